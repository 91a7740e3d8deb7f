// Starting and ending a program's threads and processes.
#pragma once
#include "user/elf_loader.h"
#include "user/thread.h"

namespace doppel::user {

// The calling thread becomes the program's first one; it does not return but with an error.
Error run_program(Process& process, Program& program);

// The process ends: robust futexes that its threads hold get new owners, as the kernel would see to if it knew them.
void abandon_futexes(Process& process);

}  // namespace doppel::user
