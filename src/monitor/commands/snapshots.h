// Snapshots inside the disks, for the human monitor.
#pragma once
#include "monitor/commands/command.h"

namespace doppel::monitor {

std::string savevm(Context& context, const Words& words);
std::string loadvm(Context& context, const Words& words);
std::string delvm(Context& context, const Words& words);
std::string info_snapshots(Context& context, const Words& words);

}  // namespace doppel::monitor
