// The guest's memory as the monitor reads it: physical, or virtual through a CPU's page tables.
#pragma once
#include <span>

#include "machine/machine.h"

namespace doppel::monitor {

struct GuestPlace {
  u64 address = 0;
  int cpu = -1;  // -1: physical
  GuestPlace at(u64 offset) const { return {address + offset, cpu}; }
};
// How many bytes could be read; virtual memory ends at the first page that is not there.
size_t read_guest(machine::Machine& machine, const GuestPlace& place, std::span<u8> out);

}  // namespace doppel::monitor
