// Files that are there as a whole or not at all, whatever happens meanwhile.
#pragma once
#include <string>

#include "base/result.h"

namespace doppel::os {

// Written under another name, made stable, renamed.
Status write_durably(const std::string& path, const std::string& text);
Status sync_path(const std::string& path);  // a file or a folder is stable
// A new file that nobody else has; the folder is there. False: it exists already (no error).
Result<bool> create_new(const std::string& path);
// "" when it can't be read.
std::string read_text(const std::string& path);

}  // namespace doppel::os
