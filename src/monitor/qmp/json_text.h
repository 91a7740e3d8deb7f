// JSON as clients of this protocol expect it: parsed strictly, printed with ", " and ": " on one line (or indented by
// four), other than ASCII escaped.
#pragma once
#include <string>

#include "base/result.h"
#include "monitor/commands/visit.h"

namespace doppel::monitor {

// Errors: what is wrong and where; a key that comes twice.
Result<Input> parse_json(const std::string& text);
std::string print_json(const Output& value, bool pretty);

}  // namespace doppel::monitor
