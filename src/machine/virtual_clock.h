// VirtualClock: the machine's time. It stops while the machine is paused. Without -icount it is the host's monotonic
// clock; with it, it is the number of instructions executed times 2^shift ns, plus what was skipped while the CPU was
// idle.
#pragma once
#include <atomic>
#include <functional>

#include "hw/core/clock.h"

namespace doppel::machine {

class VirtualClock final : public hw::Clock {
 public:
  s64 now() const override;
  void start();  // time runs from where it stopped
  void stop();
  void set(s64 ns);  // while it is stopped: a state is loaded
  bool running() const { return frozen_.load(std::memory_order_acquire) < 0; }
  // -icount: `instructions` says how many were executed so far. Before the machine starts.
  void use_instructions(std::function<u64()> instructions, int shift);
  bool counts_instructions() const { return instructions_ != nullptr; }
  void skip_to(s64 ns);                  // -icount: the CPU is idle until then
  s64 instructions_until(s64 ns) const;  // -icount: at least 1

 private:
  static s64 host_ns();
  std::atomic<s64> offset_{0};  // host time at virtual time 0
  std::atomic<s64> frozen_{0};  // the time while stopped; -1: running
  std::function<u64()> instructions_;
  int shift_ = 0;
  std::atomic<s64> skipped_{0};
};

}  // namespace doppel::machine
