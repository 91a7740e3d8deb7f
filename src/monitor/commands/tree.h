// The machine's objects and buses as text, for the human monitor.
#pragma once
#include "monitor/commands/command.h"

namespace doppel::monitor {

std::string qom_list(Context& context, const Words& words);
std::string qom_get(Context& context, const Words& words);
std::string qom_set(Context& context, const Words& words);
std::string info_qom_tree(Context& context, const Words& words);
std::string info_qtree(Context& context, const Words& words);

}  // namespace doppel::monitor
