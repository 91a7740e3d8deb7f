// Where the translations of programs are kept between runs: one file a program, build and CPU (exec/code_store.h).
#pragma once
#include <memory>
#include <string>

#include "user/elf_loader.h"
#include "user/thread.h"

namespace doppel::user {

// $XDG_CACHE_HOME/doppel/code, or ~/.cache/doppel/code. Empty: there is no home, or the program is to have other rights
// than who started it.
std::string default_code_cache();
// The store for the program, null without a folder; makes the folder.
std::unique_ptr<exec::CodeStore> open_code_store(const Process& p, const Program& program);
// Before the program ends or becomes another: keeps what is new, and takes the oldest files away where the folder has
// become too big.
void keep_code(Process& p);

}  // namespace doppel::user
