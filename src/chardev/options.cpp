#include "chardev/options.h"

#include <sstream>

namespace doppel::chardev {

std::string OptionList::get(const std::string& key, const std::string& otherwise) const {
  const auto it = values.find(key);
  return it == values.end() ? otherwise : it->second;
}

Result<bool> OptionList::flag(const std::string& key, bool otherwise) const {
  const auto it = values.find(key);
  if (it == values.end()) return otherwise;
  const std::string& v = it->second;
  if (v == "on" || v == "yes" || v == "true" || v == "y") return true;
  if (v == "off" || v == "no" || v == "false" || v == "n") return false;
  return Error{"option '" + key + "' is '" + v + "'", "use on or off"};
}

Status OptionList::only(std::string_view known) const {
  for (const auto& [key, value] : values) {
    std::istringstream names{std::string(known)};
    bool found = false;
    for (std::string name; names >> name;) found |= name == key;
    if (!found) return Error{"'" + head + "' has no option '" + key + "'", "options: " + std::string(known)};
  }
  return success();
}

OptionList parse_options(std::string_view text) {
  OptionList list;
  std::string part;
  bool first = true;
  auto end_part = [&] {
    if (first) {
      list.head = part;
      first = false;
    } else if (!part.empty()) {
      const size_t eq = part.find('=');
      if (eq != std::string::npos)
        list.values[part.substr(0, eq)] = part.substr(eq + 1);
      else if (part.size() > 2 && part.compare(0, 2, "no") == 0 && part != "nodelay")
        list.values[part.substr(2)] = "off";  // nowait
      else
        list.values[part] = "on";
    }
    part.clear();
  };
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] != ',') {
      part += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == ',') {
      part += ',';
      i++;
    } else {
      end_part();
    }
  }
  end_part();
  return list;
}

}  // namespace doppel::chardev
