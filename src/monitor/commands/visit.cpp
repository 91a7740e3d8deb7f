#include "monitor/commands/visit.h"

namespace doppel::monitor {

std::string expected(const std::string& path, const char* what) {
  return "Invalid parameter type for '" + path + "', expected: " + what;
}

std::string out_of_range(const std::string& path) { return "Parameter '" + path + "' is out of range"; }

std::string bad_value(const std::string& path, const std::string& value, const std::vector<std::string>& names) {
  std::string all;
  for (size_t i = 0; i < names.size() && i < 12; i++) all += (i ? ", " : "") + names[i];
  if (names.size() > 12) all += ", ...";
  return "Parameter '" + path + "' does not accept value '" + value.substr(0, 80) + "' (it takes " + all + ")";
}

}  // namespace doppel::monitor
