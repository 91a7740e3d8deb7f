#include "hw/bus/pci/acpi_pm.h"

namespace doppel::hw {
namespace {
constexpr u64 kTimerHz = 3'579'545;
constexpr u64 kHalf = u64{1} << 23;  // TMR_STS rises each time bit 23 changes
constexpr u16 kStatusBits =
    AcpiPm::kTmr | AcpiPm::kBm | AcpiPm::kGbl | AcpiPm::kPwrBtn | AcpiPm::kSlpBtn | AcpiPm::kRtc | AcpiPm::kWak;
constexpr u16 kEnableBits = AcpiPm::kTmr | AcpiPm::kGbl | AcpiPm::kPwrBtn | AcpiPm::kSlpBtn | AcpiPm::kRtc;
}  // namespace

AcpiPm::AcpiPm(Params p) : p_(std::move(p)), overflow_(p_.clock, [this] { update(); }) {}

u64 AcpiPm::ticks() const {
  return static_cast<u64>(static_cast<u128>(static_cast<u64>(p_.clock.now())) * kTimerHz /
                          static_cast<u64>(kNsPerSecond));
}

u32 AcpiPm::timer_value() const { return static_cast<u32>(ticks() & 0xffffff); }

void AcpiPm::reset() {
  status_ = enable_ = control_ = gpe_status_ = gpe_enable_ = 0;
  next_overflow_ = align_down(ticks(), kHalf) + kHalf;
  update();
}

u16 AcpiPm::pm1_status() {
  if (ticks() >= next_overflow_) status_ |= kTmr;
  return status_;
}

void AcpiPm::clear_pm1_status(u16 bits) {
  (void)pm1_status();
  if ((bits & status_ & kTmr) != 0) next_overflow_ = align_down(ticks(), kHalf) + kHalf;
  status_ = static_cast<u16>(status_ & ~bits);
  update();
}

void AcpiPm::set_pm1_enable(u16 value) {
  enable_ = value & kEnableBits;
  update();
}

void AcpiPm::set_pm1_control(u16 value) {
  // SLP_EN and GBL_RLS read as zero.
  control_ = value & (kSciEn | kBmRld | kSlpTyp);
  update();
  if ((value & kSlpEn) != 0 && p_.on_sleep) p_.on_sleep((value & kSlpTyp) >> 10);
}

void AcpiPm::set_sci_enabled(bool on) {
  control_ = static_cast<u16>(on ? control_ | kSciEn : control_ & ~kSciEn);
  update();
}

void AcpiPm::clear_gpe_status(u16 bits) {
  gpe_status_ = static_cast<u16>(gpe_status_ & ~bits);
  update();
}

void AcpiPm::set_gpe_enable(u16 value) {
  gpe_enable_ = value;
  update();
}

void AcpiPm::raise_gpe(unsigned bit) {
  gpe_status_ = static_cast<u16>(gpe_status_ | (1u << (bit & 15)));
  update();
}

void AcpiPm::raise_pm1(u16 bits) {
  status_ = static_cast<u16>(status_ | (bits & kStatusBits));
  update();
}

void AcpiPm::update() {
  const bool event = (pm1_status() & enable_ & kEnableBits) != 0 || (gpe_status_ & gpe_enable_) != 0;
  p_.sci.set(event && (control_ & kSciEn) != 0);
  arm_timer();
}

void AcpiPm::arm_timer() {
  if ((enable_ & kTmr) == 0 || (status_ & kTmr) != 0) return overflow_.disarm();
  const u64 ns =
      static_cast<u64>((static_cast<u128>(next_overflow_) * static_cast<u64>(kNsPerSecond) + kTimerHz - 1) / kTimerHz);
  overflow_.arm_at(static_cast<s64>(ns));
}

void AcpiPm::archive(StateArchive& ar) {
  ar.field("pm1_status", status_);
  ar.field("pm1_enable", enable_);
  ar.field("pm1_control", control_);
  ar.field("gpe_status", gpe_status_);
  ar.field("gpe_enable", gpe_enable_);
  ar.field("next_overflow", next_overflow_);
  if (ar.loading()) update();
}

}  // namespace doppel::hw
