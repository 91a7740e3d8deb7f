// The syntax of character device options: "HEAD[,key=value...]", where ",," is a comma and a key alone means "on".
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace doppel::chardev {

struct OptionList {
  std::string head;
  std::map<std::string, std::string> values;
  std::string get(const std::string& key, const std::string& otherwise = {}) const;
  Result<bool> flag(const std::string& key, bool otherwise) const;  // on off yes no true false y n
  // An error that names the first key not in `known` (names separated by blanks).
  Status only(std::string_view known) const;
};

OptionList parse_options(std::string_view text);

}  // namespace doppel::chardev
