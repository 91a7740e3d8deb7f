#include "machine/virtual_clock.h"

#include <algorithm>
#include <chrono>

namespace doppel::machine {

s64 VirtualClock::host_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

s64 VirtualClock::now() const {
  if (instructions_) return static_cast<s64>(instructions_() << shift_) + skipped_.load(std::memory_order_acquire);
  const s64 frozen = frozen_.load(std::memory_order_acquire);
  return frozen >= 0 ? frozen : host_ns() - offset_.load(std::memory_order_relaxed);
}

void VirtualClock::start() {
  const s64 frozen = frozen_.load();
  if (frozen < 0) return;
  offset_.store(host_ns() - frozen);
  frozen_.store(-1, std::memory_order_release);
}

void VirtualClock::stop() {
  if (running()) frozen_.store(std::max<s64>(host_ns() - offset_.load(), 0), std::memory_order_release);
}

void VirtualClock::set(s64 ns) {
  frozen_.store(std::max<s64>(ns, 0), std::memory_order_release);
  if (instructions_) skipped_.store(ns - static_cast<s64>(instructions_() << shift_), std::memory_order_release);
}

void VirtualClock::use_instructions(std::function<u64()> instructions, int shift) {
  instructions_ = std::move(instructions);
  shift_ = shift;
}

void VirtualClock::skip_to(s64 ns) {
  const s64 ahead = ns - now();
  if (ahead > 0) skipped_.fetch_add(ahead);
}

s64 VirtualClock::instructions_until(s64 ns) const {
  const s64 left = ns - now();
  return std::max<s64>((left + (s64{1} << shift_) - 1) >> shift_, 1);
}

}  // namespace doppel::machine
