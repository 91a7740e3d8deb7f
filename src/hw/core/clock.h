// Clock and Timer. Time is in nanoseconds as s64. The virtual clock stops with the machine; with -icount it is a function of
// instructions executed. Timers fire on the machine's main loop thread with the device lock held.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "base/bits.h"

namespace doppel::hw {

constexpr s64 kNsPerSecond = 1'000'000'000;

class Clock;

// One shot; arm again from the callback for a period. Destroying it disarms it. Any thread that holds the device lock.
class Timer {
 public:
  Timer(Clock& clock, std::function<void()> fire) : clock_(clock), fire_(std::move(fire)) {}
  ~Timer() { disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void arm_at(s64 ns);
  void arm_in(s64 ns);
  void disarm();
  bool armed() const { return deadline_ >= 0; }
  s64 deadline() const { return deadline_; }   // -1: not armed

 private:
  friend class Clock;
  Clock& clock_;
  std::function<void()> fire_;
  s64 deadline_ = -1;
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual s64 now() const = 0;                 // any thread
  // The earliest deadline, or -1. Any thread.
  s64 next_deadline() const;
  // Fires all that are due; with the device lock held. Returns how many fired.
  int run_due();
  // Called (lock-free) whenever the earliest deadline becomes earlier: wakes the main loop, bounds -icount slices.
  std::function<void()> on_earlier;

 private:
  friend class Timer;
  void insert(Timer& t, s64 deadline);
  void remove(Timer& t);
  mutable std::mutex lock_;
  std::multimap<s64, Timer*> queue_;
};

// A clock that only moves when told: device tests.
class SteppedClock final : public Clock {
 public:
  s64 now() const override { return now_; }
  void advance(s64 ns);                        // fires timers in order on the way

 private:
  s64 now_ = 0;
};

}  // namespace doppel::hw
