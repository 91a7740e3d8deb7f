#include "hw/timer/hpet.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace doppel::hw {
namespace {
constexpr s64 kTickNs = Hpet::kPeriodFs / 1'000'000;
constexpr s64 kShortestPeriod = 10'000;
// General registers.
constexpr u64 kCapabilities = 0x00, kConfig = 0x10, kStatus = 0x20, kCounter = 0xf0, kTimers = 0x100,
              kTimerStride = 0x20;
// Timer configuration.
constexpr u64 kLevel = 1 << 1, kEnable = 1 << 2, kPeriodic = 1 << 3, kPeriodicCap = 1 << 4, kWideCap = 1 << 5,
              kValueSet = 1 << 6, kNarrow = 1 << 8;
constexpr u64 kRoute = 0x1f << 9, kFsb = 1 << 14, kFsbCap = 1 << 15;
constexpr u64 kTimerWritable = kLevel | kEnable | kPeriodic | kValueSet | kNarrow | kRoute | kFsb;
}  // namespace

Hpet::Hpet(Params p) : p_(std::move(p)) {
  p_.comparators = std::clamp(p_.comparators, 3u, 32u);
  timers_.resize(p_.comparators);
  for (unsigned n = 0; n < timers_.size(); n++)
    timers_[n].timer = std::make_unique<Timer>(p_.clock, [this, n] { fired(n); });
  reset();
}

void Hpet::reset() {
  for (unsigned n = 0; n < timers_.size(); n++) {
    Comparator& c = timers_[n];
    c.timer->disarm();
    lower(n);
    c.config = kPeriodicCap | kWideCap | (p_.msi ? kFsbCap : 0) | u64{p_.routes} << 32;
    c.comparator = ~u64{0};
    c.period = c.fsb = 0;
    c.debt.forget();
    c.cadence.forget();
  }
  const bool was_legacy = legacy_mode();
  config_ = status_ = counter_base_ = 0;
  started_ = 0;
  if (was_legacy && p_.legacy) p_.legacy(false);
}

s64 Hpet::period_ns(const Comparator& c) { return static_cast<s64>(std::min<u64>(c.period, u64{1} << 40)) * kTickNs; }
u64 Hpet::width(const Comparator& c) { return c.config & kNarrow ? 0xffffffffu : ~u64{0}; }

u64 Hpet::counter() const {
  return running() ? counter_base_ + static_cast<u64>(p_.clock.now() - started_) / kTickNs : counter_base_;
}

const IrqLine* Hpet::line(unsigned n) const {
  if (legacy_mode() && n < 2) return n == 0 ? &p_.legacy_timer : &p_.legacy_rtc;
  const unsigned route = static_cast<unsigned>((timers_[n].config & kRoute) >> 9);
  return route < p_.irq.size() && (p_.routes >> route & 1) ? &p_.irq[route] : nullptr;
}

void Hpet::lower(unsigned n) {
  if (const IrqLine* l = line(n)) l->set(false);
}

void Hpet::arm(unsigned n, bool after_match) {
  Comparator& c = timers_[n];
  if (!running() || !(c.config & kEnable)) {
    c.timer->disarm();
    return;
  }
  advance_periodic(c);
  const u64 mask = width(c);
  const u64 now = counter();
  u64 wait = (c.comparator - now) & mask;
  if (wait == 0 && after_match) wait = mask;  // the next match is a wrap away
  if (wait > u64{1} << 58) {
    c.timer->disarm();
    return;
  }  // 90 years
  const s64 now_ns = p_.clock.now();
  s64 at = started_ + static_cast<s64>(now - counter_base_) * kTickNs + static_cast<s64>(wait) * kTickNs;
  if ((c.config & kPeriodic) && after_match) at = std::max(at, now_ns + kShortestPeriod);
  if (!after_match) c.debt.forget();
  if (c.debt.any()) at = std::min(at, now_ns + TickDebt::kSoon);
  c.timer->set_patience(patience(c));
  c.timer->arm_at(at);
}

s64 Hpet::patience(const Comparator& c) const {
  if (c.debt.any()) return TickDebt::kPatience;
  return c.config & kPeriodic ? tick_patience(period_ns(c)) : c.cadence.patience();
}

// A periodic comparator that the counter has passed (missed while masked, or time jumped) moves on by whole periods.
void Hpet::advance_periodic(Comparator& c) {
  if (!(c.config & kPeriodic) || c.period == 0) return;
  const u64 mask = width(c);
  const u64 behind = (counter() - c.comparator) & mask;
  if (behind == 0 || behind > mask / 2) return;  // it is ahead of us
  c.comparator = (c.comparator + (behind / c.period + 1) * c.period) & mask;
}

void Hpet::arm_all() {
  for (unsigned n = 0; n < timers_.size(); n++) arm(n);
}

void Hpet::fired(unsigned n) {
  Comparator& c = timers_[n];
  if ((c.config & kPeriodic) && c.period != 0) {
    const u64 mask = width(c);
    const u64 behind = (counter() - c.comparator) & mask;
    const bool passed = behind <= mask / 2;
    if (!c.debt.pay()) c.debt.tick(passed ? static_cast<s64>(behind) * kTickNs : 0, period_ns(c));
    if (passed) c.comparator = (c.comparator + (behind / c.period + 1) * c.period) & mask;
  }
  arm(n, true);
  if (c.config & kFsb) {
    if (p_.msi) p_.msi(c.fsb >> 32, static_cast<u32>(c.fsb));
    return;
  }
  const IrqLine* l = line(n);
  if (c.config & kLevel) {
    status_ |= u64{1} << n;
    if (l != nullptr) l->set(true);
  } else if (l != nullptr) {
    l->set(false);  // an edge; stays high so that the 8259 keeps the request
    l->set(true);
  }
}

u64 Hpet::read64(u64 offset) const {
  switch (offset) {
    case kCapabilities: return u64{kPeriodFs} << 32 | 0x80860000u | 1 << 15 | 1 << 13 | (timers_.size() - 1) << 8 | 1;
    case kConfig: return config_;
    case kStatus: return status_;
    case kCounter: return counter();
    default: break;
  }
  if (offset >= kTimers && (offset - kTimers) / kTimerStride < timers_.size()) {
    const Comparator& c = timers_[(offset - kTimers) / kTimerStride];
    switch ((offset - kTimers) % kTimerStride) {
      case 0x00: return c.config;
      case 0x08: return c.comparator;
      case 0x10: return c.fsb;
      default: break;
    }
  }
  return 0;
}

u64 Hpet::read(u64 offset, unsigned size) {
  const u64 v = read64(offset & 0x3f8);
  return size == 8 ? v : v >> (offset & 4 ? 32 : 0) & 0xffffffffu;
}

void Hpet::write(u64 offset, u64 value, unsigned size) {
  const bool high = size < 8 && (offset & 4);
  const u64 mask = size >= 8 ? ~u64{0} : high ? ~u64{0xffffffff} : u64{0xffffffff};
  write64(offset & 0x3f8, high ? value << 32 : value, mask);
}

void Hpet::write64(u64 offset, u64 value, u64 mask) {
  value &= mask;
  switch (offset) {
    case kConfig: write_config((config_ & ~mask) | value); return;
    case kStatus:
      for (unsigned n = 0; n < timers_.size(); n++) {
        const u64 bit = u64{1} << n;
        if (!(status_ & value & bit)) continue;
        status_ &= ~bit;
        lower(n);
      }
      return;
    case kCounter:
      if (running()) DOPPEL_LOG(GuestErrors, "hpet: counter written while it runs\n");
      counter_base_ = (counter() & ~mask) | value;
      started_ = p_.clock.now();
      arm_all();
      return;
    default: break;
  }
  if (offset < kTimers || (offset - kTimers) / kTimerStride >= timers_.size()) return;
  const unsigned n = static_cast<unsigned>((offset - kTimers) / kTimerStride);
  Comparator& c = timers_[n];
  switch ((offset - kTimers) % kTimerStride) {
    case 0x00: write_comparator_config(n, (c.config & ~mask) | value); return;
    case 0x08: write_comparator(n, value, mask); return;
    case 0x10: c.fsb = (c.fsb & ~mask) | value; return;
    default: return;
  }
}

void Hpet::write_config(u64 value) {
  value &= 3;
  const u64 changed = config_ ^ value;
  if (changed & 2) {
    for (unsigned n = 0; n < 2; n++) lower(n);
  }
  if (changed & 1) {
    if (value & 1)
      started_ = p_.clock.now();
    else
      counter_base_ = counter();
  }
  config_ = value;
  if ((changed & 2) && p_.legacy) p_.legacy(legacy_mode());
  if (!(value & 1)) {
    for (unsigned n = 0; n < timers_.size(); n++) lower(n);
  }
  arm_all();
}

void Hpet::write_comparator_config(unsigned n, u64 value) {
  Comparator& c = timers_[n];
  u64 writable = kTimerWritable;
  if (!p_.msi) writable &= ~kFsb;
  const u64 config = (c.config & ~writable) | (value & writable);
  const u64 changed = c.config ^ config;
  if (changed & (kLevel | kEnable | kRoute | kFsb)) {
    lower(n);
    if (!(config & kLevel)) status_ &= ~(u64{1} << n);
  }
  c.config = config;
  if (changed & kNarrow && config & kNarrow) {
    c.comparator &= 0xffffffffu;
    c.period &= 0xffffffffu;
  }
  if (const IrqLine* l = line(n); l != nullptr && (status_ >> n & 1) && (config & kEnable)) l->set(true);
  arm(n);
}

// In periodic mode a write is the period; with VAL_SET it is the first match as well.
void Hpet::write_comparator(unsigned n, u64 value, u64 mask) {
  Comparator& c = timers_[n];
  const u64 bits = width(c);
  if (!(c.config & kPeriodic) || (c.config & kValueSet)) c.comparator = ((c.comparator & ~mask) | value) & bits;
  if (c.config & kPeriodic) c.period = ((c.period & ~mask) | value) & bits;
  c.config &= ~kValueSet;
  if (const u64 wait = (c.comparator - counter()) & bits; !(c.config & kPeriodic) && wait < u64{1} << 40)
    c.cadence.programmed(p_.clock.now() + static_cast<s64>(wait) * kTickNs);
  arm(n);
}

void Hpet::archive(StateArchive& ar) {
  ar.field("config", config_);
  ar.field("status", status_);
  ar.field("counter_base", counter_base_);
  ar.field("started", started_);
  for (unsigned n = 0; n < timers_.size(); n++) {
    Comparator& c = timers_[n];
    ar.section("timer" + std::to_string(n), [&] {
      ar.field("config", c.config);
      ar.field("comparator", c.comparator);
      ar.field("period", c.period);
      ar.field("fsb", c.fsb);
    });
  }
  if (!ar.loading()) return;
  if (p_.legacy) p_.legacy(legacy_mode());
  arm_all();
  for (unsigned n = 0; n < timers_.size(); n++) {
    if (const IrqLine* l = line(n); l != nullptr && (status_ >> n & 1)) l->set(true);
  }
}

std::string Hpet::info() const {
  char line_text[160];
  std::snprintf(line_text, sizeof line_text, "counter=%llx config=%llx status=%llx\n",
                static_cast<unsigned long long>(counter()), static_cast<unsigned long long>(config_),
                static_cast<unsigned long long>(status_));
  std::string text = line_text;
  for (unsigned n = 0; n < timers_.size(); n++) {
    const Comparator& c = timers_[n];
    std::snprintf(line_text, sizeof line_text, "timer %u: config=%llx comparator=%llx period=%llx\n", n,
                  static_cast<unsigned long long>(c.config & 0xffffffffu),
                  static_cast<unsigned long long>(c.comparator), static_cast<unsigned long long>(c.period));
    text += line_text;
  }
  return text;
}

}  // namespace doppel::hw
