// MmioHandler: a device's window, in memory or in port space. It sees offsets, never addresses. Sizes 1, 2, 4, 8 in any
// alignment may arrive: access_sizes tells the bus what to split or widen. Called with the device lock held
// (docs/design/threads.md).
#pragma once
#include "base/bits.h"

namespace doppel::hw {

struct AccessSizes {
  u8 min = 1, max = 8;  // accesses outside are split into several of `max` (little-endian) or widened to `min`
};

class MmioHandler {
 public:
  virtual ~MmioHandler() = default;
  virtual u64 read(u64 offset, unsigned size) = 0;
  virtual void write(u64 offset, u64 value, unsigned size) = 0;
  virtual AccessSizes access_sizes() const { return {}; }
};

}  // namespace doppel::hw
