#include "hw/timer/i8254.h"

#include <algorithm>
#include <cstdio>

namespace doppel::hw {
namespace {
constexpr s64 kShortestPeriod = 10'000;  // ns between two interrupts at least

// Boot code reads counters in tight loops: two hours of nanoseconds fit 64-bit arithmetic, whose division is a
// multiplication.
u64 to_ticks(s64 ns) {
  if (ns <= 0) return 0;
  const u64 t = static_cast<u64>(ns);
  if (t < u64{1} << 43) [[likely]]
    return t * I8254::kHz / kNsPerSecond;
  return static_cast<u64>(static_cast<u128>(ns) * I8254::kHz / kNsPerSecond);
}
s64 to_ns(u64 ticks) {
  return static_cast<s64>((static_cast<u128>(ticks) * kNsPerSecond + I8254::kHz - 1) / I8254::kHz);
}
bool periodic(u8 mode) { return mode == 2 || mode == 3; }
u16 to_bcd(u32 v) {
  return static_cast<u16>(v % 10 | (v / 10 % 10) << 4 | (v / 100 % 10) << 8 | (v / 1000 % 10) << 12);
}
u32 from_bcd(u16 v) { return (v & 15u) + (v >> 4 & 15u) * 10 + (v >> 8 & 15u) * 100 + (v >> 12 & 15u) * 1000; }
}  // namespace

I8254::I8254(Params p) : p_(p), timer_(p.clock, [this] { fired(); }) { reset(); }

void I8254::reset() {
  for (unsigned n = 0; n < 3; n++) {
    const bool gate = n != 2;
    channel_[n] = Channel{};
    channel_[n].gate = gate;
    channel_[n].mode = 3;  // undefined by the data sheet
  }
  irq_enabled_ = true;
  timer_.disarm();
  p_.irq.set(false);
}

bool I8254::counting(const Channel& c) const {
  if (!c.loaded) return false;
  return c.mode == 1 || c.mode == 5 ? c.triggered : c.gate;
}

u64 I8254::elapsed(const Channel& c) const { return counting(c) ? to_ticks(p_.clock.now() - c.start) : c.frozen; }

void I8254::settle(Channel& c) const {
  if (!c.next_pending || !counting(c)) return;
  if (elapsed(c) < c.count) return;
  c.start += to_ns(c.count);
  c.count = c.next_count;
  c.next_pending = false;
}

bool I8254::out_of(const Channel& c) const {
  if (!c.loaded) return c.mode != 0;
  const u64 t = elapsed(c);
  switch (c.mode) {
    case 0: return t >= c.count;
    case 1: return !c.triggered || t >= c.count;
    case 2: return !c.gate || t % c.count != c.count - 1;
    case 3: return !c.gate || t % c.count < (c.count + 1) / 2;
    default: return !counting(c) || t != c.count;  // strobes
  }
}

bool I8254::out(unsigned n) const {
  settle(channel_[n]);
  return out_of(channel_[n]);
}

u16 I8254::value(unsigned n) const {
  settle(channel_[n]);
  const Channel& c = channel_[n];
  const u64 t = elapsed(c);
  const u32 wrap = c.bcd ? 10000 : 0x10000;
  u32 v;
  if (c.mode == 2) {
    v = c.count - static_cast<u32>(t % c.count);
  } else if (c.mode == 3) {
    const u32 even = c.count & ~1u;  // counts down by two in each half
    v = even == 0 ? 1 : even - static_cast<u32>(2 * t % even);
  } else {
    v = static_cast<u32>((c.count + wrap - t % wrap) % wrap);
  }
  v %= wrap;
  return c.bcd ? to_bcd(v) : static_cast<u16>(v);
}

void I8254::set_gate(unsigned n, bool level) {
  Channel& c = channel_[n];
  if (c.gate == level) return;
  settle(c);
  const bool one_shot = c.mode == 1 || c.mode == 5;
  if (!level) {
    if (!one_shot) c.frozen = elapsed(c);
    c.gate = false;
  } else {
    c.gate = true;
    if (one_shot) {
      c.triggered = c.loaded;
      c.start = p_.clock.now();
    } else if (periodic(c.mode)) {  // the gate's edge starts a new period
      if (c.next_pending) c.count = c.next_count;
      c.next_pending = false;
      c.start = p_.clock.now();
    } else {
      c.start = p_.clock.now() - to_ns(c.frozen);
    }
    c.frozen = 0;
  }
  if (n == 0) program_irq();
}

void I8254::load(unsigned n, u32 written) {
  Channel& c = channel_[n];
  u32 count = c.bcd ? from_bcd(static_cast<u16>(written)) : written;
  if (count == 0) count = c.bcd ? 10000 : 0x10000;
  settle(c);
  if (c.loaded && periodic(c.mode) && counting(c)) {
    const u64 t = elapsed(c);
    c.start += to_ns(t - t % c.count);  // start of the current period; the new count follows it
    c.next_count = count;
    c.next_pending = true;
    if (n == 0) arm();
    return;
  }
  c.count = count;
  c.loaded = true;
  c.frozen = 0;
  c.start = p_.clock.now();
  c.next_pending = false;
  if (n == 0) program_irq();
}

void I8254::write_count(unsigned n, u8 byte) {
  Channel& c = channel_[n];
  switch (c.access) {
    case 1: load(n, byte); break;
    case 2: load(n, u32{byte} << 8); break;
    default:
      if (!c.write_high_next) {
        c.write_low = byte;
        c.write_high_next = true;
        if (c.mode == 0) {  // the first byte stops counting and lowers OUT
          c.loaded = false;
          c.frozen = 0;
          if (n == 0) program_irq();
        }
      } else {
        c.write_high_next = false;
        load(n, static_cast<u32>(byte) << 8 | c.write_low);
      }
  }
}

void I8254::latch_count(unsigned n) {
  Channel& c = channel_[n];
  if (c.latched) return;  // the first latch holds until it is read
  c.latch = value(n);
  c.latched = c.access == 1 ? 1 : c.access == 2 ? 2 : 3;
}

void I8254::latch_status(unsigned n) {
  Channel& c = channel_[n];
  if (c.status_latched) return;
  const bool level = out(n);
  c.status = static_cast<u8>((level ? 0x80 : 0) | (!c.loaded || c.next_pending ? 0x40 : 0) | c.access << 4 |
                             c.mode << 1 | (c.bcd ? 1 : 0));
  c.status_latched = true;
}

void I8254::write_control(u8 v) {
  const unsigned n = v >> 6;
  if (n == 3) {  // read-back command
    for (unsigned i = 0; i < 3; i++) {
      if (!(v >> (i + 1) & 1)) continue;
      if (!(v & 0x20)) latch_count(i);
      if (!(v & 0x10)) latch_status(i);
    }
    return;
  }
  const u8 access = v >> 4 & 3;
  if (access == 0) {
    latch_count(n);
    return;
  }
  Channel& c = channel_[n];
  const bool gate = c.gate;
  const u32 count = c.count;
  c = Channel{};
  c.gate = gate;
  c.count = count;
  c.access = access;
  c.mode = v >> 1 & 7;
  if (c.mode > 5) c.mode &= 3;
  c.bcd = (v & 1) != 0;
  if (n == 0) program_irq();
}

u64 I8254::read(u64 offset, unsigned) {
  const unsigned n = offset & 3;
  if (n == 3) return 0;
  Channel& c = channel_[n];
  if (c.status_latched) {
    c.status_latched = false;
    return c.status;
  }
  if (c.latched) {
    const bool high = (c.latched & 1) == 0;
    c.latched &= static_cast<u8>(high ? ~2 : ~1);
    return static_cast<u8>(high ? c.latch >> 8 : c.latch);
  }
  const u16 v = value(n);
  switch (c.access) {
    case 1: return v & 0xff;
    case 2: return v >> 8;
    default: c.read_high_next = !c.read_high_next; return static_cast<u8>(c.read_high_next ? v : v >> 8);
  }
}

void I8254::write(u64 offset, u64 v, unsigned) {
  const unsigned n = offset & 3;
  if (n == 3)
    write_control(static_cast<u8>(v));
  else
    write_count(n, static_cast<u8>(v));
}

// Interrupt 0 wants rising edges of OUT. The line is held high between them (the 8259 forgets an edge whose line falls
// before it is acknowledged), so that one timer event does for a period.
void I8254::program_irq() {
  debt_.forget();
  if (!irq_enabled_) return;
  p_.irq.set(out_of(channel_[0]));
  arm();
}

void I8254::arm() {
  Channel& c = channel_[0];
  settle(c);
  if (!irq_enabled_ || !counting(c)) {
    timer_.disarm();
    return;
  }
  const u64 t = elapsed(c);
  u64 edge = 0;
  switch (c.mode) {
    case 0:
    case 1: edge = c.count; break;
    case 2:
    case 3: edge = (t / c.count + 1) * c.count; break;
    default: edge = c.count + u64{1}; break;
  }
  if (edge <= t) {
    timer_.disarm();
    return;
  }
  due_ = c.start + to_ns(edge);
  const bool again = periodic(c.mode);
  timer_.set_patience(again ? tick_patience(to_ns(c.count)) : 0);
  timer_.arm_at(again ? std::max(due_, p_.clock.now() + kShortestPeriod) : due_);
}

void I8254::fired() {
  const Channel& c = channel_[0];
  const s64 now = p_.clock.now();
  if (!debt_.pay()) debt_.tick(periodic(c.mode) ? now - due_ : 0, to_ns(c.count));
  p_.irq.set(false);
  p_.irq.set(true);
  if (!debt_.any()) {
    arm();
    return;
  }
  timer_.set_patience(TickDebt::kPatience);
  timer_.arm_at(now + TickDebt::kSoon);
}

void I8254::set_irq_enabled(bool on) {
  if (irq_enabled_ == on) return;
  irq_enabled_ = on;
  if (on) {
    program_irq();
  } else {
    debt_.forget();
    timer_.disarm();
    p_.irq.set(false);
  }
}

void I8254::archive(StateArchive& ar) {
  static constexpr const char* kNames[] = {"channel0", "channel1", "channel2"};
  for (unsigned n = 0; n < 3; n++) {
    Channel& c = channel_[n];
    ar.section(kNames[n], [&] {
      ar.field("count", c.count);
      ar.field("next_count", c.next_count);
      ar.field("start", c.start);
      ar.field("frozen", c.frozen);
      ar.field("latch", c.latch);
      ar.field("latched", c.latched);
      ar.field("status", c.status);
      ar.field("status_latched", c.status_latched);
      ar.field("mode", c.mode);
      ar.field("access", c.access);
      ar.field("bcd", c.bcd);
      ar.field("write_low", c.write_low);
      ar.field("write_high_next", c.write_high_next);
      ar.field("read_high_next", c.read_high_next);
      ar.field("loaded", c.loaded);
      ar.field("triggered", c.triggered);
      ar.field("gate", c.gate);
      ar.field("next_pending", c.next_pending);
    });
    if (ar.loading()) {
      if (c.mode > 5) c.mode = 3;
      c.count = std::clamp<u32>(c.count, 1, 0x10000);
      c.next_count = std::clamp<u32>(c.next_count, 1, 0x10000);
    }
  }
  ar.field("irq_enabled", irq_enabled_);
  if (ar.loading()) {
    timer_.disarm();
    program_irq();
  }
}

std::string I8254::info() const {
  std::string text;
  char line[128];
  for (unsigned n = 0; n < 3; n++) {
    const Channel& c = channel_[n];
    std::snprintf(line, sizeof line, "counter %u: mode %u count %u value %u out %d gate %d\n", n, c.mode, c.count,
                  value(n), out(n), c.gate);
    text += line;
  }
  return text;
}

}  // namespace doppel::hw
