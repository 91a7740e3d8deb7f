// Files that are there as a whole or not at all, whatever happens meanwhile.
#pragma once
#include <span>
#include <string>

#include "base/result.h"

namespace doppel::os {

// Written under another name, made stable, renamed.
Status write_durably(const std::string& path, const std::string& text);
Status sync_path(const std::string& path);  // a file or a folder is stable
// A new file that nobody else has; the folder is there. False: it exists already (no error).
Result<bool> create_new(const std::string& path);
// Files that only their owner's programs have written: of this user, not writable by others, no symbolic link. Mapped
// as a whole, to be read; empty: there is none. The replacement is there as a whole, or not at all.
std::span<const unsigned char> map_own_file(const std::string& path);
void unmap_file(std::span<const unsigned char> file);
bool replace_own_file(const std::string& path, std::span<const unsigned char> data);
// "" when it can't be read.
std::string read_text(const std::string& path);

}  // namespace doppel::os
