// What a file is, by its content, and the options that boot it.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"

namespace doppel::app {

struct Detected {
  std::string what;                    // "Linux kernel 6.1.0-50-amd64 (x86-64)"
  std::string arch;                    // x86_64 or i386
  std::vector<std::string> arguments;  // QEMU-compatible options
};
// Errors: no such file, a folder, content that nothing here boots (says what it is).
Result<Detected> detect(const std::string& path);
bool option_takes_argument(const std::string& option);

}  // namespace doppel::app
