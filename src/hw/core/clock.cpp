// Timer queues. A queue is a vector ordered by deadline (a machine has some twenty timers): no allocation when a timer
// is armed, and the earliest deadline can be read without a lock.
#include "hw/core/clock.h"

#include <algorithm>

#include "base/assert.h"

namespace doppel::hw {

void Timer::arm_at(s64 ns) { clock_.insert(*this, std::max<s64>(ns, 0)); }

void Timer::arm_in(s64 ns) {
  const s64 now = clock_.now();
  s64 at = 0;
  if (__builtin_add_overflow(now, std::max<s64>(ns, 0), &at)) at = INT64_MAX;
  arm_at(at);
}

void Timer::disarm() { clock_.remove(*this); }

bool Clock::take(Timer& t) {
  if (t.deadline() < 0) return false;
  const auto it = std::find(queue_.rbegin(), queue_.rend(), &t);
  ASSERT_MSG(it != queue_.rend(), "an armed timer is not in its clock's queue");
  queue_.erase(std::next(it).base());
  t.deadline_.store(-1, std::memory_order_relaxed);
  return true;
}

void Clock::look() {
  s64 patient = -1;
  for (const Timer* t : queue_) {
    s64 at = 0;
    if (__builtin_add_overflow(t->deadline(), t->patience_.load(std::memory_order_relaxed), &at)) at = INT64_MAX;
    if (patient < 0 || at < patient) patient = at;
  }
  earliest_.store(queue_.empty() ? -1 : queue_.back()->deadline(), std::memory_order_release);
  patient_.store(patient, std::memory_order_release);
}

void Clock::insert(Timer& t, s64 deadline) {
  bool earlier = false;
  {
    std::lock_guard guard(lock_);
    take(t);
    // Equal deadlines fire in the order they were armed: the newcomer goes before its equals (the end is taken first).
    const auto at =
        std::partition_point(queue_.begin(), queue_.end(), [&](const Timer* q) { return q->deadline() > deadline; });
    queue_.insert(at, &t);
    t.deadline_.store(deadline, std::memory_order_relaxed);
    const s64 before = next_deadline(), before_patient = patient_deadline();
    look();
    earlier = before < 0 || next_deadline() < before || patient_deadline() < before_patient;
  }
  if (earlier && on_earlier) on_earlier();
}

void Clock::remove(Timer& t) {
  std::lock_guard guard(lock_);
  if (take(t)) look();
}

Timer* Clock::pop_due(s64 now, s64& deadline) {
  std::lock_guard guard(lock_);
  if (queue_.empty() || queue_.back()->deadline() > now) return nullptr;
  Timer* t = queue_.back();
  queue_.pop_back();
  deadline = t->deadline();
  t->deadline_.store(-1, std::memory_order_relaxed);
  look();
  return t;
}

int Clock::run_due() {
  int fired = 0;
  s64 deadline = 0;
  const s64 now_ns = now();  // once: a timer that re-arms itself in the past can't keep us here
  // Bounded: a callback that arms a deadline that has passed already runs again at the next call.
  constexpr int kMost = 256;
  while (fired < kMost) {
    Timer* t = pop_due(now_ns, deadline);
    if (t == nullptr) break;
    t->fire_();
    fired++;
  }
  return fired;
}

void SteppedClock::advance(s64 ns) {
  const s64 end = now_ + ns;
  for (;;) {
    s64 deadline = 0;
    Timer* t = pop_due(end, deadline);
    if (t == nullptr) break;
    now_ = std::max(now_, deadline);
    t->fire_();
  }
  now_ = end;
}

}  // namespace doppel::hw
