// Image locks: two machines that write one image destroy it. Open file description locks on the byte ranges that QEMU
// uses too (100 and 200 up), so each sees the other: a writer holds 100..299 exclusively; readers share 100 and 201 and
// look for a writer at 101.
#pragma once
#include <string>

#include "base/result.h"

namespace doppel::block {

// Locks the open file for as long as `fd` is open. A file system without locks: succeeds. The error names the process
// that holds the image when it can be found.
Status lock_image(int fd, const std::string& path, bool writer);

}  // namespace doppel::block
