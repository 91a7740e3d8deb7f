#include "hw/bus/pci/pci_hotplug.h"

#include <cstdio>
#include <utility>

#include "base/log.h"

namespace doppel::hw {
namespace {
enum Reg : u64 {
  kCame = 0x00,
  kGo = 0x04,
  kEject = 0x08,
  kRemovable = 0x0c,
  kBus = 0x10,
  kSlot = 0x18,
  kEvent = 0x1c,
  kStatus = 0x20
};
constexpr u32 bit(unsigned slot) { return u32{1} << (slot & 31); }
}  // namespace

void PciHotplug::set_removable(unsigned slot, bool on) {
  removable_ = on ? removable_ | bit(slot) : removable_ & ~bit(slot);
}

void PciHotplug::came(unsigned slot) {
  set_removable(slot, true);
  came_ |= bit(slot);
  p_.notify();
}

void PciHotplug::ask(unsigned slot) {
  go_ |= bit(slot);
  asked_ |= bit(slot);
  p_.notify();
}

void PciHotplug::keep(unsigned slot) {
  go_ &= ~bit(slot);
  asked_ &= ~bit(slot);
}

void PciHotplug::gone(unsigned slot) {
  came_ &= ~bit(slot);
  keep(slot);
  set_removable(slot, false);
}

u64 PciHotplug::read(u64 offset, unsigned) {
  if (offset == kBus) return bus_;
  if (bus_ != 0) return 0;
  switch (offset) {
    case kCame: return std::exchange(came_, 0);
    case kGo: return std::exchange(go_, 0);
    case kRemovable: return removable_;
    case kSlot: return slot_;
    case kEvent: return event_;
    default: return 0;
  }
}

void PciHotplug::write(u64 offset, u64 value, unsigned) {
  const u32 v = static_cast<u32>(value);
  if (offset == kBus) {
    bus_ = v;
    return;
  }
  if (bus_ != 0) return;
  switch (offset) {
    case kEject:
      for (unsigned slot = 0; slot < 32; slot++) {
        if ((v & removable_ & bit(slot)) != 0) p_.eject(slot);
      }
      break;
    case kSlot: slot_ = v & 31; break;
    case kEvent: event_ = v; break;
    case kStatus:
      DOPPEL_LOG(Trace, "pci-hotplug: slot %u, event %u ended with %u\n", slot_, event_, v);
      if (p_.report) p_.report(slot_, event_, v);
      break;
    default: break;
  }
}

void PciHotplug::reset() { came_ = go_ = bus_ = slot_ = event_ = 0; }

void PciHotplug::archive(StateArchive& ar) {
  ar.field("came", came_);
  ar.field("go", go_);
  ar.field("asked", asked_);
  ar.field("removable", removable_);
  ar.field("bus", bus_);
  ar.field("slot", slot_);
  ar.field("event", event_);
  if (ar.loading()) slot_ &= 31;
}

std::string PciHotplug::info() const {
  char text[80];
  std::snprintf(text, sizeof text, "came %08x, shall go %08x, may go %08x\n", came_, asked_, removable_);
  return text;
}

}  // namespace doppel::hw
