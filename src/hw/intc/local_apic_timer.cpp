// The local APIC's timer: one-shot, periodic, TSC deadline. The count is computed from the clock; the Timer only waits
// for the next interrupt, and is not armed while the LVT entry is masked. Of periods that passed while nobody looked a
// few are made up for (ticks.h).
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
  debt_.forget();
  if (timer_running_ && timer_mode() == kOneShot) cadence_.programmed(timer_start_ + (s64{initial} << divide_shift()));
  rearm();
}

void LocalApic::write_divide(u32 value) {
  const u32 remaining = current_count();
  std::lock_guard guard(timer_lock_);
  divide_ = value;
  if (timer_running_) timer_start_ = p_.clock.now() - (s64{initial_count_ - remaining} << divide_shift());
  debt_.forget();
  rearm();
}

void LocalApic::change_timer_mode(u32 from, u32 to) {
  if (from == to || (from != kDeadline && to != kDeadline)) return;
  timer_running_ = false;
  debt_.forget();
  initial_count_ = 0;
  tsc_deadline_.store(0);
}

// A time that has passed is owed, too: the host may have kept this thread waiting since the timer was started.
void LocalApic::rearm() {
  timer_.set_patience(0);
  if (lvt(kTimer) & 0x10000) {
    debt_.forget();
    timer_.disarm();
    return;
  }
  if (timer_mode() == kDeadline) {
    const u64 tsc = tsc_deadline_.load();
    timer_.set_patience(cadence_.patience());
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
    if (debt_.any()) at = std::min(at, now + TickDebt::kSoon);
    timer_.set_patience(debt_.any() ? TickDebt::kPatience : tick_patience(length));
  } else {
    timer_.set_patience(cadence_.patience());
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
  if (timer_mode() == kPeriodic && debt_.any()) {
    const u32 vector = lvt(kTimer) & 0xff;
    if (word(irr_, vector / 32) >> (vector % 32) & 1) {  // the one before was not taken yet: they would become one
      timer_.arm_at(now + kShortestPeriod);
      return false;
    }
    debt_.pay();
    rearm();
    return true;
  }
  const s64 length = s64{initial_count_} << divide_shift();
  if (timer_start_ + length > now) {
    rearm();
    return false;
  }  // reprogrammed meanwhile
  if (timer_mode() == kPeriodic) {
    const s64 late = now - timer_start_ - length;
    debt_.tick(late, length);
    timer_start_ += (late / length + 1) * length;  // start of the current period
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
      if (tsc != 0 && p_.tsc_to_ns) cadence_.programmed(p_.tsc_to_ns(tsc));
      rearm();
    }
  }
  if (past) raise_lvt(kTimer);  // no need to wait for the main loop
}

}  // namespace doppel::hw
