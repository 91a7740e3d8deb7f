// The local APIC's timer: one-shot, periodic, TSC deadline. The count is computed from the clock; the Timer only waits
// for the next interrupt, and is not armed while the LVT entry is masked. Periods that passed while nobody looked count
// once.
#include <algorithm>

#include "hw/intc/local_apic.h"

namespace doppel::hw {
namespace {
// A guest that programs a shorter period gets this one: an interrupt takes longer than that to handle.
constexpr s64 kShortestPeriod = 10'000;
}  // namespace

unsigned LocalApic::divide_shift() const { return (((divide_ & 3) | ((divide_ >> 1) & 4)) + 1) & 7; }

u32 LocalApic::current_count() {
  std::lock_guard guard(timer_lock_);
  if (!timer_running_ || timer_mode() == kDeadline) return 0;
  const u64 elapsed = static_cast<u64>(std::max<s64>(p_.clock.now() - timer_start_, 0)) >> divide_shift();
  if (timer_mode() == kPeriodic) return static_cast<u32>(initial_count_ - elapsed % initial_count_);
  return elapsed >= initial_count_ ? 0 : static_cast<u32>(initial_count_ - elapsed);
}

void LocalApic::start_timer(u32 initial) {
  std::lock_guard guard(timer_lock_);
  if (timer_mode() == kDeadline) return;
  initial_count_ = initial;
  timer_start_ = p_.clock.now();
  timer_running_ = initial != 0;
  rearm();
}

void LocalApic::write_divide(u32 value) {
  const u32 remaining = current_count();
  std::lock_guard guard(timer_lock_);
  divide_ = value;
  if (timer_running_) timer_start_ = p_.clock.now() - (s64{initial_count_ - remaining} << divide_shift());
  rearm();
}

void LocalApic::change_timer_mode(u32 from, u32 to) {
  if (from == to || (from != kDeadline && to != kDeadline)) return;
  timer_running_ = false;
  initial_count_ = 0;
  tsc_deadline_.store(0);
}

// A time that has passed is owed, too: the host may have kept this thread waiting since the timer was started.
void LocalApic::rearm() {
  if (lvt(kTimer) & 0x10000) {
    timer_.disarm();
    return;
  }
  if (timer_mode() == kDeadline) {
    const u64 tsc = tsc_deadline_.load();
    if (tsc != 0 && p_.tsc_to_ns)
      timer_.arm_at(p_.tsc_to_ns(tsc));
    else
      timer_.disarm();
    return;
  }
  if (!timer_running_) {
    timer_.disarm();
    return;
  }
  const s64 now = p_.clock.now();
  const s64 length = s64{initial_count_} << divide_shift();
  s64 at = timer_start_ + length;
  if (timer_mode() == kPeriodic) {
    if (at <= now) at += (now - at) / length * length + length;
    if (length < kShortestPeriod) at = std::max(at, now + kShortestPeriod);
  }
  timer_.arm_at(at);
}

bool LocalApic::expired(s64 now) {
  if (lvt(kTimer) & 0x10000) return false;
  if (timer_mode() == kDeadline) {
    const u64 tsc = tsc_deadline_.load();
    if (tsc == 0 || !p_.tsc_to_ns) return false;
    if (p_.tsc_to_ns(tsc) > now) {
      rearm();
      return false;
    }
    tsc_deadline_.store(0);
    return true;
  }
  if (!timer_running_) return false;
  const s64 length = s64{initial_count_} << divide_shift();
  if (timer_start_ + length > now) {
    rearm();
    return false;
  }  // reprogrammed meanwhile
  if (timer_mode() == kPeriodic) {
    timer_start_ += (now - timer_start_) / length * length;  // start of the current period
    rearm();
  } else {
    timer_running_ = false;
  }
  return true;
}

void LocalApic::timer_fired() {
  bool fire = false;
  {
    std::lock_guard guard(timer_lock_);
    fire = expired(p_.clock.now());
  }
  if (fire) raise_lvt(kTimer);
}

void LocalApic::set_tsc_deadline(u64 tsc) {
  bool past = false;
  {
    std::lock_guard guard(timer_lock_);
    if (timer_mode() != kDeadline) return;
    tsc_deadline_.store(tsc);
    past = tsc != 0 && p_.tsc_to_ns && !(lvt(kTimer) & 0x10000) && p_.tsc_to_ns(tsc) <= p_.clock.now();
    if (past) {
      tsc_deadline_.store(0);
      timer_.disarm();
    } else {
      rearm();
    }
  }
  if (past) raise_lvt(kTimer);  // no need to wait for the main loop
}

}  // namespace doppel::hw
