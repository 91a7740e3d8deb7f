// RxFilter: which frames a network card takes, as its driver has set it, for whoever asks from outside.
#pragma once
#include <array>
#include <vector>

#include "base/bits.h"

namespace doppel::hw {

struct RxFilter {
  enum class Pass { None, Normal /* those listed */, All };
  using Mac = std::array<u8, 6>;
  bool promiscuous = false, broadcast = false;
  Pass unicast = Pass::Normal, multicast = Pass::Normal, vlan = Pass::All;
  bool unicast_overflow = false, multicast_overflow = false;  // the driver gave more addresses than the table has
  Mac mac{};
  std::vector<Mac> unicasts, multicasts;
  std::vector<u16> vlans;
};

}  // namespace doppel::hw
