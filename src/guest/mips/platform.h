// Platform: the CPU's pins, given by the board. Calls come from the vCPU's thread without the device lock.
#pragma once
#include "base/bits.h"

namespace doppel::mips {

class Platform {
 public:
  virtual ~Platform() = default;
  // Time for Count, which goes up once in 1 / count_hz() seconds.
  virtual u64 now_ns() = 0;
  virtual u64 count_hz() = 0;
  // Count will equal Compare in `ns` nanoseconds from now: timer_event is due then. A new call replaces the old one.
  virtual void arm_compare(u32 cpu, u64 ns) = 0;
};

}  // namespace doppel::mips
