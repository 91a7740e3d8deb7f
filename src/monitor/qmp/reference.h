// The reference of the machine protocol, made from the definitions of commands, events and types (docs/qmp.md).
#pragma once
#include <string>

namespace doppel::monitor {
std::string qmp_reference();
}
