// Finds firmware files in the usual folders: -L folders, beside the binary, Debian's packages. Errors name the package
// that has the file.
#pragma once
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::machine {

Result<std::string> find_firmware(const std::vector<std::string>& extra_dirs, const std::string& name);
Result<std::vector<u8>> load_firmware(const std::vector<std::string>& extra_dirs, const std::string& name);

}  // namespace doppel::machine
