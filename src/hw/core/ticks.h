// Timers by which a guest's kernel ticks. While the only CPU sleeps and no program runs, ticks wait for the next ones,
// so that a kernel that ticks all the time does not wake the host each time (ADR 16). A periodic timer then owes ticks:
// all of them come, in a bundle, and who counts ticks stays right (TickDebt). A kernel that programs each tick anew
// catches up by itself, from a clock; that it ticks shows in what it programs (TickCadence).
#pragma once
#include <algorithm>
#include <cstdlib>

#include "base/bits.h"

namespace doppel::hw {

constexpr s64 kLongestTickWait =
    12'500'000;                         // ns that a tick may wait: three of a kernel that ticks 250 times a second
constexpr s64 kShortestTick = 900'000;  // ... and the shortest period for which it does

// How long the ticks of a period (ns) may wait: whole periods.
constexpr s64 tick_patience(s64 period) { return period < kShortestTick ? 0 : kLongestTickWait / period * period; }

class TickDebt {
 public:
  // An owed tick is due at once, when the CPU has handled the one before and sleeps again; or, if it runs on, after
  // this patience.
  static constexpr s64 kSoon = 1, kPatience = 1'000'000;
  // A tick comes now, `late` ns after its time, and stands for itself. Ticks may be late for any reason; no more than
  // those that may wait are owed.
  void tick(s64 late, s64 period) {
    const s64 most = tick_patience(period);
    owed_ = most > 0 ? std::clamp<s64>(late, 0, most) / period : 0;
  }
  bool pay() {  // takes one: it comes now
    if (owed_ == 0) return false;
    owed_--;
    return true;
  }
  bool any() const { return owed_ > 0; }
  void forget() { owed_ = 0; }  // the timer was programmed anew

 private:
  s64 owed_ = 0;
};

class TickCadence {
 public:
  void programmed(s64 deadline) {  // ns
    const s64 step = deadline - last_;
    last_ = deadline;
    const s64 off = period_ > 0 ? step - (step + period_ / 2) / period_ * period_ : 0;
    if (period_ >= kShortestTick && step > period_ / 2 && step < 2 * kLongestTickWait &&
        std::abs(off) <= period_ / 16) {
      steady_ = std::min(steady_ + 1, kSteady);
    } else {
      period_ = step;
      steady_ = 0;
    }
  }
  s64 patience() const { return steady_ < kSteady ? 0 : tick_patience(period_); }
  void forget() { *this = {}; }

 private:
  static constexpr int kSteady = 64;  // ticks in a row
  s64 last_ = 0, period_ = 0;
  int steady_ = 0;
};

}  // namespace doppel::hw
