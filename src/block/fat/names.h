// Names in a FAT folder: the long one (VFAT, UTF-16) and the short one of 8 and 3 characters that goes with it, each
// once in its folder whatever the case. Source: "FAT: General Overview", long directory entries.
#pragma once
#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/bits.h"

namespace doppel::block::fat {

using ShortName = std::array<u8, 11>;

struct Names {
  std::u16string long_name;  // empty: the short one says it all
  ShortName short_name;
};

// The names of one folder, in the order they come.
class NameMaker {
 public:
  // Of a host file's name (UTF-8; what FAT can't have becomes '_').
  Names add(const std::string& host_name);

 private:
  ShortName alias(const std::u16string& name);
  std::set<std::u16string> long_names_;  // in upper case
  std::set<ShortName> short_names_;
  std::map<std::string, unsigned> numbers_;  // the last one given to names of a beginning
};

u64 long_entries(const Names& n);  // directory entries of the long name
// Appends the entries of a long name, last part first.
void put_long_name(std::vector<u8>& folder, const Names& n);

}  // namespace doppel::block::fat
