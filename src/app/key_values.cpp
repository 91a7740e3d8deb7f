#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/options.h"

namespace doppel::app {

namespace {

using Json = nlohmann::ordered_json;

std::string scalar_text(const Json& v) {
  if (v.is_string()) return v.get<std::string>();
  if (v.is_boolean()) return v.get<bool>() ? "on" : "off";
  return v.dump();
}

// A list of strings, [{"str": "a"}, {"str": "b"}], is the key given twice.
void flatten(const Json& v, const std::string& key, KeyValues& out) {
  if (v.is_object()) {
    for (auto it = v.begin(); it != v.end(); ++it) flatten(*it, key.empty() ? it.key() : key + "." + it.key(), out);
  } else if (v.is_array()) {
    for (size_t i = 0; i < v.size(); i++) {
      const bool text = v[i].is_object() && v[i].size() == 1 && v[i].contains("str");
      flatten(text ? v[i]["str"] : v[i], text ? key : key + "." + std::to_string(i), out);
    }
  } else {
    out.emplace_back(key, scalar_text(v));
  }
}

}  // namespace

Status check_json(std::string_view option, std::string_view text) {
  const Json v = Json::parse(text, nullptr, false);
  if (!v.is_discarded() && v.is_object()) return success();
  return Error{
      "the value of -" + std::string(option) + " begins as JSON and is none: " + std::string(text.substr(0, 60)),
      "write {\"key\": \"value\"}, or key=value"};
}

KeyValues parse_key_values(std::string_view text, std::string_view first_key) {
  if (text.starts_with("{")) {
    KeyValues values;
    if (const Json v = Json::parse(text, nullptr, false); !v.is_discarded()) flatten(v, "", values);
    return values;
  }
  KeyValues out;
  bool first = true;
  size_t at = 0;
  while (at <= text.size()) {
    std::string item;
    while (at < text.size()) {
      if (text[at] == ',') {
        if (at + 1 < text.size() && text[at + 1] == ',') {
          item += ',';
          at += 2;
          continue;
        }
        break;
      }
      item += text[at++];
    }
    at++;
    if (item.empty()) continue;
    const size_t eq = item.find('=');
    if (eq != std::string::npos) {
      out.emplace_back(item.substr(0, eq), item.substr(eq + 1));
    } else if (first && !first_key.empty()) {
      out.emplace_back(std::string(first_key), item);
    } else if (item.starts_with("no") && item.size() > 2) {
      out.emplace_back(item.substr(2), "off");
    } else {
      out.emplace_back(item, "on");
    }
    first = false;
  }
  return out;
}

Error wrong_choice(const std::string& what, const std::string& value, const std::vector<std::string>& built,
                   const std::vector<std::string>& later) {
  std::string use;
  for (const std::string& b : built) use += (use.empty() ? "use " : " or ") + b;
  if (std::find(later.begin(), later.end(), value) != later.end())
    return Error{what + " '" + value + "' is not built yet", use};
  std::vector<std::string> all = built;
  all.insert(all.end(), later.begin(), later.end());
  const std::string near = nearest(value, all);
  if (near.empty()) return Error{"there is no " + what + " '" + value + "'", use};
  const bool there = std::find(built.begin(), built.end(), near) != built.end();
  return Error{"there is no " + what + " '" + value + "'",
               "did you mean '" + near + "'?" + (there ? "" : " that is not built yet: " + use)};
}

Result<bool> parse_switch(const std::string& what, std::string_view value) {
  for (const char* on : {"on", "yes", "true", "y"}) {
    if (value == on) return true;
  }
  for (const char* off : {"off", "no", "false", "n"}) {
    if (value == off) return false;
  }
  return Error{what + "=" + std::string(value) + " is neither on nor off", "use " + what + "=on or =off"};
}

Result<u64> parse_size(std::string_view text, u64 unit) {
  u64 v = 0;
  size_t i = 0;
  while (i < text.size() && text[i] >= '0' && text[i] <= '9') {
    if (v > (~u64{0} - 9) / 10) return Error{"the size " + std::string(text) + " is too large", "", 1};
    v = v * 10 + static_cast<u64>(text[i++] - '0');
  }
  if (i == 0)
    return Error{"'" + std::string(text) + "' is not a size", "write a number with K, M, G or T, such as 512M", 1};
  if (i < text.size()) {
    switch (text[i]) {
      case 'b':
      case 'B': unit = 1; break;
      case 'k':
      case 'K': unit = u64{1} << 10; break;
      case 'm':
      case 'M': unit = u64{1} << 20; break;
      case 'g':
      case 'G': unit = u64{1} << 30; break;
      case 't':
      case 'T': unit = u64{1} << 40; break;
      default:
        return Error{"'" + std::string(text) + "' is not a size", "write a number with K, M, G or T, such as 512M", 1};
    }
    if (i + 1 < text.size() && !(text.substr(i + 1) == "B" || text.substr(i + 1) == "iB"))
      return Error{"'" + std::string(text) + "' is not a size", "write a number with K, M, G or T, such as 512M", 1};
  }
  if (v != 0 && unit > ~u64{0} / v) return Error{"the size " + std::string(text) + " is too large", "", 1};
  return v * unit;
}

}  // namespace doppel::app
