#include "hw/intc/ioapic_82093aa.h"

#include <bit>
#include <cstdio>

#include "base/log.h"

namespace doppel::hw {
namespace {
constexpr u64 kMasked = 1 << 16, kLevel = 1 << 15, kRemoteIrr = 1 << 14, kActiveLow = 1 << 13, kPendingBit = 1 << 12,
              kLogical = 1 << 11;
constexpr u64 kReadOnly = kRemoteIrr | kPendingBit;
}  // namespace

IoApic82093::IoApic82093(Params p) : p_(p) { reset(); }

void IoApic82093::reset() {
  redirection_.fill(kMasked);
  irr_ = 0;
  id_ = p_.id;
  index_ = 0;
}

IrqLine IoApic82093::pin(unsigned n) {
  return IrqLine([this, n](bool level) { set_pin(n, level); });
}

// Polarity: boards drive pins with "asserted" as true for either polarity, as the electrical level is nobody's
// interest; the polarity bit is kept for the guest to read.
void IoApic82093::set_pin(unsigned n, bool level) {
  if (n >= kPins) return;
  const u32 bit = 1u << n;
  const bool was = (levels_ & bit) != 0;
  levels_ = level ? levels_ | bit : levels_ & ~bit;
  if (redirection_[n] & kLevel) {
    irr_ = level ? irr_ | bit : irr_ & ~bit;
    if (level) service(n);
  } else if (level && !was) {
    // An edge on a masked pin is lost (290566, interrupt mask).
    if (redirection_[n] & kMasked) return;
    irr_ |= bit;
    service(n);
  }
}

void IoApic82093::service(unsigned n) {
  u64& entry = redirection_[n];
  const u32 bit = 1u << n;
  if ((irr_ & bit) == 0 || (entry & kMasked)) return;
  const bool level = (entry & kLevel) != 0;
  if (level && (entry & kRemoteIrr)) return;
  ApicMessage m;
  m.vector = static_cast<u8>(entry);
  m.mode = static_cast<ApicDelivery>((entry >> 8) & 7);
  m.logical = (entry & kLogical) != 0;
  m.level = level;
  m.destination = static_cast<u32>(entry >> 56);
  if (!level) irr_ &= ~bit;
  // Remote IRR first: the CPU may acknowledge and end the interrupt from its own thread, but EOI needs the device lock.
  if (level && (m.mode == ApicDelivery::Fixed || m.mode == ApicDelivery::LowestPriority)) entry |= kRemoteIrr;
  if (p_.bus.deliver(m) == 0 && level) entry &= ~kRemoteIrr;  // nobody took it: offered again at the next change
}

void IoApic82093::eoi(u8 vector) {
  for (unsigned n = 0; n < kPins; n++) {
    u64& entry = redirection_[n];
    if ((entry & 0xff) != vector || !(entry & kLevel) || !(entry & kRemoteIrr)) continue;
    entry &= ~kRemoteIrr;
    service(n);  // the line is still high: again
  }
}

u32 IoApic82093::read_register(u8 index) const {
  if (index == 0) return u32{id_} << 24;
  if (index == 1) return (kPins - 1) << 16 | p_.version;
  if (index == 2) return u32{id_} << 24;
  if (index >= 0x10 && index < 0x10 + 2 * kPins) {
    const u64 entry = redirection_[(index - 0x10) / 2];
    return static_cast<u32>((index & 1) ? entry >> 32 : entry);
  }
  return 0;
}

void IoApic82093::write_register(u8 index, u32 value) {
  if (index == 0) {
    id_ = (value >> 24) & 0xf;
    return;
  }
  if (index < 0x10 || index >= 0x10 + 2 * kPins) return;
  const unsigned n = (index - 0x10u) / 2;
  u64& entry = redirection_[n];
  if (index & 1) {
    entry = (entry & 0xffffffffu) | u64{value} << 32;
    entry &= 0xff000000'0001ffffull;
  } else {
    const bool was_level = (entry & kLevel) != 0;
    entry = (entry & ~u64{0xffffffff}) | (value & 0x1ffff & ~kReadOnly) | (entry & kReadOnly);
    const u32 bit = 1u << n;
    const bool level = (entry & kLevel) != 0;
    if (!level) entry &= ~kRemoteIrr;  // switching to edge is the old way to clear a stuck remote IRR
    if (level)
      irr_ = (levels_ & bit) ? irr_ | bit : irr_ & ~bit;
    else if (was_level)
      irr_ &= ~bit;
  }
  service(n);
}

u64 IoApic82093::read(u64 offset, unsigned) {
  switch (offset & 0xff) {
    case 0x00: return index_;
    case 0x10: return read_register(index_);
    default: return 0;
  }
}

void IoApic82093::write(u64 offset, u64 value, unsigned) {
  switch (offset & 0xff) {
    case 0x00: index_ = static_cast<u8>(value); break;
    case 0x10: write_register(index_, static_cast<u32>(value)); break;
    case 0x40:
      if (p_.version >= 0x20) eoi(static_cast<u8>(value));
      break;
    default:
      DOPPEL_LOG(GuestErrors, "ioapic: write of %#llx at %#llx\n", static_cast<unsigned long long>(value),
                 static_cast<unsigned long long>(offset));
  }
}

void IoApic82093::archive(StateArchive& ar) {
  ar.field("redirection", redirection_);
  ar.field("levels", levels_);
  ar.field("irr", irr_);
  ar.field("id", id_);
  ar.field("index", index_);
}

std::string IoApic82093::info() const {
  std::string text;
  char line[160];
  for (unsigned n = 0; n < kPins; n++) {
    const u64 e = redirection_[n];
    std::snprintf(line, sizeof line, "  pin %-2u 0x%016llx dest=%llx vec=%llu %s %s %s%s%s%s\n", n,
                  static_cast<unsigned long long>(e), static_cast<unsigned long long>(e >> 56),
                  static_cast<unsigned long long>(e & 0xff), (e & kActiveLow) ? "active-lo" : "active-hi",
                  (e & kLevel) ? "level" : "edge ", (e & kMasked) ? "masked " : "",
                  (e & kLogical) ? "logical" : "physical", (e & kRemoteIrr) ? " remote-irr" : "",
                  (levels_ >> n & 1) ? " high" : "");
    text += line;
  }
  return text;
}

}  // namespace doppel::hw
