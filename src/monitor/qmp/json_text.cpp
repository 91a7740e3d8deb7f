#include "monitor/qmp/json_text.h"

namespace doppel::monitor {
namespace {

// Remembers the keys of the objects that are open.
struct KeyCheck {
  std::vector<std::set<std::string>> open;
  std::string twice;
  bool operator()(int, Input::parse_event_t event, Input& value) {
    using Event = Input::parse_event_t;
    if (event == Event::object_start) open.emplace_back();
    if (event == Event::object_end && !open.empty()) open.pop_back();
    if (event == Event::key && !open.empty() && !open.back().insert(value.get<std::string>()).second)
      twice = value.get<std::string>();
    return true;
  }
};

// "[json.exception...] parse error at line 1, column 5: what" -> "what"
std::string plain(const std::string& what) {
  const size_t at = what.find("column ");
  const size_t colon = at == std::string::npos ? at : what.find(": ", at);
  std::string text = colon == std::string::npos ? what : what.substr(colon + 2);
  if (text.size() > 160) text = text.substr(0, 160) + "...";
  return text;
}

void put_string(const std::string& s, std::string& out) {
  out += Output(s).dump(-1, ' ', true, Output::error_handler_t::replace);
}

void put(const Output& v, bool pretty, size_t depth, std::string& out) {
  const auto line = [&](size_t levels) {
    if (pretty) out += "\n" + std::string(levels * 4, ' ');
  };
  if (!v.is_structured()) {
    out += v.dump(-1, ' ', true, Output::error_handler_t::replace);
    return;
  }
  const bool object = v.is_object();
  out += object ? '{' : '[';
  bool first = true;
  for (auto it = v.begin(); it != v.end(); ++it) {
    if (!first) out += pretty ? "," : ", ";
    first = false;
    line(depth + 1);
    if (object) {
      put_string(it.key(), out);
      out += ": ";
    }
    put(*it, pretty, depth + 1, out);
  }
  if (!first) line(depth);
  out += object ? '}' : ']';
}

}  // namespace

Result<Input> parse_json(const std::string& text) {
  try {
    KeyCheck keys;
    Input value = Input::parse(text, std::ref(keys));
    if (!keys.twice.empty()) return Error{"the key '" + keys.twice.substr(0, 80) + "' comes twice", ""};
    return value;
  } catch (const Input::exception& e) {
    return Error{plain(e.what()), ""};
  }
}

std::string print_json(const Output& value, bool pretty) {
  std::string out;
  put(value, pretty, 0, out);
  return out;
}

}  // namespace doppel::monitor
