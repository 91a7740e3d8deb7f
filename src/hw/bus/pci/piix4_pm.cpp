#include "hw/bus/pci/piix4_pm.h"

#include <cstdio>

#include "base/log.h"
#include "hw/bus/pci/pci_bus.h"

namespace doppel::hw {
namespace {

using namespace pci;

enum ConfigReg : u8 {
  kPmBa = 0x40,
  kCntA = 0x44,
  kDevActB = 0x58,
  kPmRegMisc = 0x80,
  kSmbBa = 0x90,
  kSmbHstCfg = 0xd2,
  kSmbRev = 0xd6
};
enum PmReg : u8 { kPm1Sts = 0x00, kPm1En = 0x02, kPm1Cnt = 0x04, kPmTmr = 0x08, kGpSts = 0x0c, kGpEn = 0x0e };
constexpr u8 kApmcEn = 0x02;  // in the top byte of DEVACTB: bit 25
constexpr u8 kDevActBTop = kDevActB + 3;
constexpr u8 kPmiose = 0x01, kSmbHstEn = 0x01;

}  // namespace

Piix4Pm::Piix4Pm(Params p)
    : PciDevice("piix4-pm", {.vendor = 0x8086, .device = 0x7113, .revision = 3, .class_code = 0x068000, .pin = 1}),
      p_(std::move(p)),
      pm_({p_.clock, p_.sci, [this](unsigned typ) { sleep_requested(typ); }}) {
  define16(kCommand, 0, kIoSpace);
  define16(kStatus, kFastBackToBackCapable | kDevselMedium, 0, kStatusErrors);
  define32(kPmBa, 1, 0xffc0);
  for (unsigned at = kCntA; at < kPmRegMisc; at++) define8(static_cast<u8>(at), 0, 0xff);
  if (!p_.smm) define8(kDevActBTop, kApmcEn, 0xff);
  define8(kPmRegMisc, 0, kPmiose);
  define32(kSmbBa, 1, 0xfff0);
  define8(kSmbHstCfg, 0, 0x0f);
  define8(kSmbHstCfg + 1, 0, 0xff);
  define16(kSmbHstCfg + 2, 0, 0xffff);
  define8(kSmbRev, 0);
}

void Piix4Pm::map_windows() {
  if (bus() == nullptr) return;
  const auto place = [this](std::unique_ptr<MappedWindow>& window, const char* name, bool on, u16 port, u32 count,
                            MmioHandler& handler) {
    on = on && port != 0;
    if (window != nullptr) return window->set(on, port);
    if (on) window = bus()->ports().map(name, port, count, handler);
  };
  place(pm_window_, "piix4-pm", (config8(kPmRegMisc) & kPmiose) != 0, config16(kPmBa) & 0xffc0, 64, pm_ports_);
  place(smbus_window_, "piix4-smbus", (config8(kSmbHstCfg) & kSmbHstEn) != 0, config16(kSmbBa) & 0xfff0, 16, smbus_);
}

void Piix4Pm::config_written(u8 offset, unsigned size) {
  const auto touches = [&](u8 reg, unsigned width) { return offset < reg + width && offset + size > reg; };
  if (touches(kPmBa, 4) || touches(kPmRegMisc, 1) || touches(kSmbBa, 4) || touches(kSmbHstCfg, 1)) map_windows();
}

u32 Piix4Pm::PmPorts::read_dword(u64 offset) {
  switch (offset) {
    case kPm1Sts: return d_.pm_.pm1_status() | u32{d_.pm_.pm1_enable()} << 16;
    case kPm1Cnt: return d_.pm_.pm1_control();
    case kPmTmr: return d_.pm_.timer_value();
    case kGpSts: return d_.pm_.gpe_status() | u32{d_.pm_.gpe_enable()} << 16;
    default: return load_le<u32>(&d_.storage_[offset]);
  }
}

u64 Piix4Pm::PmPorts::read(u64 offset, unsigned size) {
  offset &= 63;
  u64 value = read_dword(offset & ~u64{3});
  if ((offset & 3) + size > 4) value |= u64{read_dword(((offset & ~u64{3}) + 4) & 63)} << 32;
  return (value >> (8 * (offset & 3))) & mask_bits(8 * size);
}

void Piix4Pm::PmPorts::write(u64 offset, u64 value, unsigned size) {
  // By 16-bit registers, with the bytes that are written.
  for (unsigned i = 0; i < size;) {
    const u64 at = (offset + i) & 63, reg = at & ~u64{1};
    const unsigned n = at % 2 == 0 && i + 1 < size ? 2 : 1;
    const unsigned shift = 8 * static_cast<unsigned>(at & 1);
    const u16 mask = static_cast<u16>(mask_bits(8 * n) << shift);
    const u16 v = static_cast<u16>(((value >> (8 * i)) << shift) & mask);
    const auto merge = [&](u16 old) { return static_cast<u16>((old & ~mask) | v); };
    switch (reg) {
      case kPm1Sts: d_.pm_.clear_pm1_status(v); break;
      case kPm1En: d_.pm_.set_pm1_enable(merge(d_.pm_.pm1_enable())); break;
      case kPm1Cnt: d_.pm_.set_pm1_control(merge(d_.pm_.pm1_control())); break;
      case kGpSts: d_.pm_.clear_gpe_status(v); break;
      case kGpEn: d_.pm_.set_gpe_enable(merge(d_.pm_.gpe_enable())); break;
      case kPmTmr:
      case kPmTmr + 2: break;
      default: store_le<u16>(&d_.storage_[reg], merge(load_le<u16>(&d_.storage_[reg]))); break;
    }
    i += n;
  }
}

u64 Piix4Pm::ApmPorts::read(u64 offset, unsigned) { return offset == 0 ? d_.apmc_ : d_.apms_; }

void Piix4Pm::ApmPorts::write(u64 offset, u64 value, unsigned) {
  const u8 v = static_cast<u8>(value);
  if (offset != 0) {
    d_.apms_ = v;
    return;
  }
  d_.apmc_ = v;
  if (v == kAcpiEnable || v == kAcpiDisable) return d_.pm_.set_sci_enabled(v == kAcpiEnable);
  if (d_.p_.smm && d_.p_.smi && (d_.config8(kDevActBTop) & kApmcEn) != 0) d_.p_.smi();
}

void Piix4Pm::sleep_requested(unsigned slp_typ) {
  DOPPEL_LOG(Trace, "piix4-pm: sleep type %u\n", slp_typ);
  if (slp_typ == kSlpTypS5 || slp_typ == kSlpTypS4) {
    if (p_.soft_off) p_.soft_off();
  } else if (slp_typ == kSlpTypS3) {
    if (p_.suspend) p_.suspend();
  } else {
    DOPPEL_LOG(GuestErrors, "piix4-pm: the guest asks for sleep type %u, which does not exist\n", slp_typ);
  }
}

void Piix4Pm::reset() {
  PciDevice::reset();
  apmc_ = apms_ = 0;
  storage_.fill(0);
  pm_.reset();
  smbus_.reset();
  map_windows();
}

void Piix4Pm::archive(StateArchive& ar) {
  PciDevice::archive(ar);
  ar.field("apmc", apmc_);
  ar.field("apms", apms_);
  ar.field("storage", storage_);
  ar.section("pm", [&] { pm_.archive(ar); });
  ar.section("smbus", [&] { smbus_.archive(ar); });
  if (ar.loading()) map_windows();
}

std::string Piix4Pm::info() const {
  char text[120];
  std::snprintf(text, sizeof text, "      ACPI ports 0x%x, PM1 enable 0x%x control 0x%x, GPE 0x%x/0x%x\n",
                config16(kPmBa) & 0xffc0, pm_.pm1_enable(), pm_.pm1_control(), pm_.gpe_status(), pm_.gpe_enable());
  return PciDevice::info() + text;
}

}  // namespace doppel::hw
