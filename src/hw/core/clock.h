// Clock and Timer. Time is in nanoseconds as s64. The virtual clock stops with the machine; with -icount it is a
// function of instructions executed. Timers fire with the device lock held, on the machine's main loop thread or on
// that of its only CPU when that is halted.
#pragma once
#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

#include "base/bits.h"

namespace doppel::hw {

constexpr s64 kNsPerSecond = 1'000'000'000;

class Clock;

// One shot; arm again from the callback for a period. Destroying it disarms it. Any thread that holds the device lock;
// a thread that does not may arm and disarm too (local APIC timers do), if the callback bears being called once after
// that.
class Timer {
 public:
  Timer(Clock& clock, std::function<void()> fire) : clock_(clock), fire_(std::move(fire)) {}
  ~Timer() { disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void arm_at(s64 ns);
  void arm_in(s64 ns);
  void disarm();
  // How much later it may fire while the only CPU sleeps and no program runs (ADR 16). Counts from the next arming on.
  void set_patience(s64 ns) { patience_.store(ns, std::memory_order_relaxed); }
  bool armed() const { return deadline() >= 0; }
  s64 deadline() const { return deadline_.load(std::memory_order_relaxed); }  // -1: not armed

 private:
  friend class Clock;
  friend class SteppedClock;
  Clock& clock_;
  std::function<void()> fire_;
  std::atomic<s64> deadline_{-1}, patience_{0};
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual s64 now() const = 0;  // any thread
  // The earliest deadline, or -1. Any thread.
  s64 next_deadline() const { return earliest_.load(std::memory_order_acquire); }
  // The time at which the patience of a timer ends first, or -1. Any thread.
  s64 patient_deadline() const { return patient_.load(std::memory_order_acquire); }
  // Fires all that are due; with the device lock held. Returns how many fired.
  int run_due();
  // Called (lock-free) whenever one of the two becomes earlier: wakes the main loop, bounds -icount slices.
  std::function<void()> on_earlier;

 private:
  friend class Timer;
  void insert(Timer& t, s64 deadline);
  void remove(Timer& t);
  bool take(Timer& t);  // lock_ held: out of the queue; false: was not in it
  Timer* pop_due(s64 now, s64& deadline);
  void look();  // lock_ held: the queue has changed
  std::mutex lock_;
  std::vector<Timer*> queue_;  // latest first, so that the earliest is taken off the end; few timers exist
  std::atomic<s64> earliest_{-1}, patient_{-1};
  friend class SteppedClock;
};

// A clock that only moves when told: device tests.
class SteppedClock final : public Clock {
 public:
  s64 now() const override { return now_; }
  void advance(s64 ns);              // fires timers in order on the way
  void skip(s64 ns) { now_ += ns; }  // nobody looks meanwhile

 private:
  s64 now_ = 0;
};

}  // namespace doppel::hw
