#include "hw/rtc/mc146818.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace doppel::hw {
namespace {
// Register A: UIP, divider, rate. B: SET, enables, data mode, hours. C: flags. D: valid RAM and time.
enum : u8 { kUip = 0x80 };
enum : u8 { kSet = 0x80, kPie = 0x40, kAie = 0x20, kUie = 0x10, kSqwe = 8, kBinary = 4, k24Hours = 2 };
enum : u8 { kIrqf = 0x80, kPf = 0x40, kAf = 0x20, kUf = 0x10 };
constexpr s64 kUipNs = 244'141;  // UIP comes up this long before an update
constexpr s64 kDaySeconds = 86'400;

s64 floor_div(s64 a, s64 b) { return a / b - (a % b < 0 ? 1 : 0); }
s64 floor_mod(s64 a, s64 b) { return a - floor_div(a, b) * b; }
}  // namespace

Mc146818::Mc146818(Params p)
    : p_(std::move(p)), timer_(p_.clock, [this] {
        catch_up();
        update_irq();
        arm();
      }) {
  ram_[kA] = 0x26;  // 32768 Hz time base, 1024 Hz periodic rate
  ram_[kB] = k24Hours;
  ram_[kD] = 0x80;
  offset_seconds_ = p_.start_seconds;
  seen_second_ = guest_seconds();
  fill_time();
  restart_periodic();
}

void Mc146818::reset() {
  // RESET clears the interrupt enables and flags; time and memory have a battery.
  catch_up();
  ram_[kB] &= static_cast<u8>(~(kPie | kAie | kUie | kSqwe));
  ram_[kC] = 0;
  index_ = 0;
  irq_enabled_ = true;
  update_irq();
  arm();
}

bool Mc146818::running() const { return (ram_[kB] & kSet) == 0 && (ram_[kA] & 0x60) != 0x60; }
s64 Mc146818::guest_seconds() const { return offset_seconds_ + floor_div(p_.clock.now() + phase_ns_, kNsPerSecond); }
s64 Mc146818::subsecond() const { return floor_mod(p_.clock.now() + phase_ns_, kNsPerSecond); }

u8 Mc146818::to_reg(unsigned v) const { return static_cast<u8>(ram_[kB] & kBinary ? v : (v / 10 % 10) << 4 | v % 10); }
unsigned Mc146818::from_reg(u8 v) const { return ram_[kB] & kBinary ? v : (v >> 4) * 10u + (v & 15u); }

u8 Mc146818::hour_to_reg(unsigned hour) const {
  if (ram_[kB] & k24Hours) return to_reg(hour);
  return static_cast<u8>(to_reg(hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? 0x80 : 0));
}

unsigned Mc146818::hour_from_reg(u8 v) const {
  if (ram_[kB] & k24Hours) return from_reg(v);
  return from_reg(v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

void Mc146818::fill_time() {
  using namespace std::chrono;
  const s64 now = guest_seconds();
  const s64 day = floor_div(now, kDaySeconds);
  const unsigned second = static_cast<unsigned>(now - day * kDaySeconds);
  const sys_days date{days{static_cast<int>(day)}};
  const year_month_day ymd{date};
  const int full_year = int{ymd.year()};
  ram_[kSeconds] = to_reg(second % 60);
  ram_[kMinutes] = to_reg(second / 60 % 60);
  ram_[kHours] = hour_to_reg(second / 3600);
  ram_[kDayOfWeek] = to_reg(weekday{date}.c_encoding() + 1);
  ram_[kDay] = to_reg(unsigned{ymd.day()});
  ram_[kMonth] = to_reg(unsigned{ymd.month()});
  ram_[kYear] = to_reg(static_cast<unsigned>(floor_mod(full_year, 100)));
  if (p_.century) ram_[p_.century & 0x7f] = to_reg(static_cast<unsigned>(floor_mod(floor_div(full_year, 100), 100)));
}

void Mc146818::take_time() {
  using namespace std::chrono;
  int full_year = static_cast<int>(from_reg(ram_[kYear]) % 100);
  if (p_.century)
    full_year += static_cast<int>(from_reg(ram_[p_.century & 0x7f]) % 100) * 100;
  else
    full_year += full_year < 70 ? 2000 : 1900;
  const unsigned month_number = std::clamp(from_reg(ram_[kMonth]), 1u, 12u);
  const unsigned day_number = std::clamp(from_reg(ram_[kDay]), 1u, 31u);
  const sys_days first{year{full_year} / month{month_number} / day{1}};
  const s64 day = first.time_since_epoch().count() + s64{day_number} - 1;  // 31 April is 1 May
  const s64 second = day * kDaySeconds + s64{hour_from_reg(ram_[kHours])} * 3600 + from_reg(ram_[kMinutes]) * 60 +
                     from_reg(ram_[kSeconds]);
  const s64 moved = second - guest_seconds();
  offset_seconds_ += moved;  // the fraction goes on
  seen_second_ = second;
  if (moved != 0 && p_.date_set) p_.date_set(offset_seconds_ - p_.start_seconds);
}

s64 Mc146818::period_ns() const {
  const unsigned rate = ram_[kA] & 15;
  if (rate == 0 || (ram_[kA] & 0x70) != 0x20) return 0;
  // 1 and 2 give 256 and 128 Hz as 8 and 9 do, at the 32768 Hz time base.
  const unsigned shift = rate <= 2 ? rate + 6 : rate - 1;
  return (kNsPerSecond << shift) / 32768;
}

void Mc146818::restart_periodic() {
  const s64 period = period_ns();
  periodic_next_ = period == 0 ? -1 : p_.clock.now() + period - subsecond() % period;
}

s64 Mc146818::next_alarm(s64 after) const {
  const u8 s = ram_[kSecondsAlarm], m = ram_[kMinutesAlarm], h = ram_[kHoursAlarm];
  auto any = [](u8 v) { return (v & 0xc0) == 0xc0; };
  const s64 hour = any(h) ? -1 : static_cast<s64>(hour_from_reg(h)),
            minute = any(m) ? -1 : static_cast<s64>(from_reg(m)), second = any(s) ? -1 : static_cast<s64>(from_reg(s));
  if (hour > 23 || minute > 59 || second > 59) return -1;
  // From the hour down: skip to the start of the next hour, minute or second until all match; one day has them all.
  for (s64 t = after + 1, end = t + 2 * kDaySeconds; t < end;) {
    const s64 of_day = floor_mod(t, kDaySeconds);
    if (hour >= 0 && of_day / 3600 != hour) {
      t += 3600 - of_day % 3600;
      continue;
    }
    if (minute >= 0 && of_day / 60 % 60 != minute) {
      t += 60 - of_day % 60;
      continue;
    }
    if (second >= 0 && of_day % 60 != second) {
      t++;
      continue;
    }
    return t;
  }
  return -1;
}

void Mc146818::catch_up() {
  const s64 now = p_.clock.now();
  if (running()) {
    const s64 second = guest_seconds();
    if (second != seen_second_) {
      if (second > seen_second_) {
        ram_[kC] |= kUf;
        const s64 alarm = next_alarm(seen_second_);
        if (alarm >= 0 && alarm <= second) ram_[kC] |= kAf;
      }
      seen_second_ = second;
    }
  }
  if (periodic_next_ >= 0 && now >= periodic_next_) {
    ram_[kC] |= kPf;
    const s64 period = period_ns();
    periodic_next_ += ((now - periodic_next_) / period + 1) * period;
  }
}

void Mc146818::update_irq() {
  const bool on = (ram_[kC] & ram_[kB] & (kPf | kAf | kUf)) != 0;
  ram_[kC] = static_cast<u8>((ram_[kC] & ~kIrqf) | (on ? kIrqf : 0));
  p_.irq.set(on && irq_enabled_);
}

void Mc146818::arm() {
  // While IRQF is up nothing more can be told.
  if (ram_[kC] & kIrqf) {
    timer_.disarm();
    return;
  }
  s64 at = INT64_MAX;
  const u8 b = ram_[kB];
  if ((b & kPie) && periodic_next_ >= 0) at = std::min(at, periodic_next_);
  if (running()) {
    auto clock_time = [&](s64 second) { return (second - offset_seconds_) * kNsPerSecond - phase_ns_; };
    if (b & kUie) at = std::min(at, clock_time(seen_second_ + 1));
    if (b & kAie) {
      if (const s64 alarm = next_alarm(seen_second_); alarm >= 0) at = std::min(at, clock_time(alarm));
    }
  }
  if (at == INT64_MAX)
    timer_.disarm();
  else
    timer_.arm_at(at);
}

void Mc146818::set_irq_enabled(bool on) {
  irq_enabled_ = on;
  update_irq();
}

u8 Mc146818::read_register(u8 index) {
  switch (index) {
    case kA: {
      const bool uip = running() && subsecond() >= kNsPerSecond - kUipNs;
      return static_cast<u8>((ram_[kA] & 0x7f) | (uip ? kUip : 0));
    }
    case kC: {
      catch_up();
      update_irq();
      const u8 v = ram_[kC];
      ram_[kC] = 0;
      update_irq();
      arm();
      return v;
    }
    case kD: return 0x80;
    case kSecondsAlarm:
    case kMinutesAlarm:
    case kHoursAlarm:
    case kB: return ram_[index];
    default:
      if (running() && (index <= kYear || (p_.century && index == p_.century))) fill_time();
      return ram_[index];
  }
}

void Mc146818::write_a(u8 value) {
  const bool was_stopped = (ram_[kA] & 0x60) == 0x60;
  if (running()) fill_time();
  ram_[kA] = value & 0x7f;
  const bool stopped = (ram_[kA] & 0x60) == 0x60;
  if (was_stopped && !stopped) {
    // The first update comes half a second after the divider's reset is released.
    if (!(ram_[kB] & kSet)) take_time();
    phase_ns_ += kNsPerSecond / 2 - subsecond();
    seen_second_ = guest_seconds();
  }
  restart_periodic();
}

void Mc146818::write_b(u8 value) {
  const bool was_running = running();
  if (was_running) fill_time();
  ram_[kB] = value;
  if (!was_running && running()) take_time();
}

void Mc146818::write_register(u8 index, u8 value) {
  if (index == kC || index == kD) return;
  catch_up();
  if (index == kA) {
    write_a(value);
  } else if (index == kB) {
    write_b(value);
  } else if (index <= kYear || (p_.century && index == p_.century)) {
    const bool alarm = index == kSecondsAlarm || index == kMinutesAlarm || index == kHoursAlarm;
    if (running() && !alarm) {
      fill_time();
      ram_[index] = value;
      take_time();
    } else {
      ram_[index] = value;
    }
  } else {
    ram_[index] = value;
    return;
  }
  update_irq();
  arm();
}

u64 Mc146818::read(u64 offset, unsigned) { return (offset & 1) ? read_register(index_) : 0xff; }

void Mc146818::write(u64 offset, u64 value, unsigned) {
  if (offset & 1) {
    write_register(index_, static_cast<u8>(value));
    return;
  }
  index_ = value & 0x7f;
  if (p_.nmi_mask) p_.nmi_mask((value & 0x80) != 0);
}

void Mc146818::archive(StateArchive& ar) {
  if (!ar.loading()) catch_up();
  ar.field("ram", ram_);
  ar.field("index", index_);
  ar.field("offset_seconds", offset_seconds_);
  ar.field("phase_ns", phase_ns_);
  ar.field("seen_second", seen_second_);
  ar.field("periodic_next", periodic_next_);
  ar.field("irq_enabled", irq_enabled_);
  if (!ar.loading()) return;
  index_ &= 0x7f;
  if (period_ns() == 0) periodic_next_ = -1;
  update_irq();
  arm();
}

std::string Mc146818::info() const {
  const std::time_t t = static_cast<std::time_t>(guest_seconds());
  std::tm tm{};
  gmtime_r(&t, &tm);
  char text[96];
  std::snprintf(text, sizeof text, "%04d-%02d-%02d %02d:%02d:%02d A=%02x B=%02x C=%02x\n", tm.tm_year + 1900,
                tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ram_[kA], ram_[kB], ram_[kC]);
  return text;
}

Result<s64> rtc_start_seconds(std::string_view base) {
  const std::time_t now = std::time(nullptr);
  if (base.empty() || base == "utc") return static_cast<s64>(now);
  if (base == "localtime") {
    std::tm tm{};
    localtime_r(&now, &tm);
    return static_cast<s64>(now) + tm.tm_gmtoff;
  }
  const std::string text(base);
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0, used = 0;
  const bool date = std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &y, &mo, &d, &used) == 3;
  const bool whole = date && static_cast<size_t>(used) == text.size();
  int used2 = 0;
  const bool with_time = date && !whole &&
                         std::sscanf(text.c_str() + used, "T%2d:%2d:%2d%n", &h, &mi, &s, &used2) == 3 &&
                         static_cast<size_t>(used) + static_cast<size_t>(used2) == text.size();
  using namespace std::chrono;
  const year_month_day ymd{year{y}, month{static_cast<unsigned>(mo)}, day{static_cast<unsigned>(d)}};
  if (!(whole || with_time) || !ymd.ok() || h > 23 || mi > 59 || s > 59 || h < 0 || mi < 0 || s < 0) {
    return Error{"the RTC's date '" + text + "' is not one",
                 "use base=utc, base=localtime or base=2024-02-29T12:30:00"};
  }
  return s64{sys_days{ymd}.time_since_epoch().count()} * kDaySeconds + h * 3600 + mi * 60 + s;
}

}  // namespace doppel::hw
