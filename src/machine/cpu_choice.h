// Which CPU a machine has: the guest behind a target's name, and the model of -cpu or the target's default.
#pragma once
#include <string>

#include "machine/machine.h"

namespace doppel::machine {

std::string guest_of(const std::string& target);  // x86, mips
std::string default_cpu(const std::string& target);
std::string cpu_spec(const MachineConfig& config);  // what -cpu says, or the default

}  // namespace doppel::machine
