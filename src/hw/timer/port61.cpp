#include "hw/timer/port61.h"

namespace doppel::hw {
namespace {
enum : u8 {
  kGate2 = 1,
  kSpeaker = 2,
  kSerrDisable = 4,
  kIochkDisable = 8,
  kRefresh = 0x10,
  kOut2 = 0x20,
  kIochk = 0x40,
  kSerr = 0x80
};
constexpr s64 kRefreshHalf = 15'085;  // ns between two changes of the refresh bit (counter 1 at its usual 18 ticks)
}  // namespace

Port61::Port61(Params p) : p_(std::move(p)) { reset(); }

void Port61::reset() {
  control_ = errors_ = 0;
  p_.pit.set_gate(2, false);
  p_.nmi.set(false);
}

u64 Port61::read(u64, unsigned) {
  const u8 refresh = static_cast<u64>(p_.clock.now()) / kRefreshHalf & 1 ? kRefresh : 0;
  return static_cast<u64>(control_ | refresh | (p_.pit.out(2) ? kOut2 : 0) | errors_);
}

void Port61::write(u64, u64 value, unsigned) {
  const u8 before = control_;
  control_ = value & 0xf;
  p_.pit.set_gate(2, (control_ & kGate2) != 0);
  if (control_ & kSerrDisable) errors_ &= static_cast<u8>(~kSerr);
  if (control_ & kIochkDisable) errors_ &= static_cast<u8>(~kIochk);
  update_nmi();
  constexpr u8 kSound = kGate2 | kSpeaker;
  if (p_.tone && (before ^ control_) & kSound) {
    const bool on = (control_ & kSound) == kSound && p_.pit.mode(2) == 3;
    p_.tone(on, static_cast<u32>(I8254::kHz / p_.pit.reload(2)));
  }
}

void Port61::set_serr(bool asserted) {
  if (asserted && !(control_ & kSerrDisable)) errors_ |= kSerr;
  update_nmi();
}

void Port61::set_iochk(bool asserted) {
  if (asserted && !(control_ & kIochkDisable)) errors_ |= kIochk;
  update_nmi();
}

void Port61::update_nmi() { p_.nmi.set(errors_ != 0); }

void Port61::archive(StateArchive& ar) {
  ar.field("control", control_);
  ar.field("errors", errors_);
  if (ar.loading()) update_nmi();
}

}  // namespace doppel::hw
