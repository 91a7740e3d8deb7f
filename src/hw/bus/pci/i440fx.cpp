#include "hw/bus/pci/i440fx.h"

#include <algorithm>

namespace doppel::hw {
namespace {

using namespace pci;

// Section 3.2 of the data sheet.
enum Reg440Fx : u8 {
  kPmcCfg = 0x50,
  kDeTurbo = 0x52,
  kDbc = 0x53,
  kAxc = 0x54,
  kDramR = 0x55,
  kDramC = 0x57,
  kDramT = 0x58,
  kPam0 = 0x59,
  kDrb0 = 0x60,
  kFdhc = 0x68,
  kMtt = 0x70,
  kClt = 0x71,
  kSmramc = 0x72,
  kErrCmd = 0x90,
  kErrSts = 0x91
};
enum PamBits : u8 { kReadEnable = 1, kWriteEnable = 2 };
enum SmramBits : u8 { kSmmBase = 0x02, kGSmrame = 0x08, kDLck = 0x10, kDCls = 0x20, kDOpen = 0x40 };

}  // namespace

I440Fx::I440Fx(Params p)
    : PciDevice("i440fx", {.vendor = 0x8086, .device = 0x1237, .revision = 2, .class_code = 0x060000}),
      p_(std::move(p)) {
  define16(kCommand, kMemorySpace | kBusMaster, kParityErrorResponse | kSerrEnable);
  define16(kStatus, kDevselMedium, 0, kStatusErrors);
  define16(kPmcCfg, 0, 0x7fff);
  define8(kDeTurbo, 0, 0xff);
  define8(kDbc, 0x80, 0xff);
  define8(kAxc, 0, 0xff);
  define16(kDramR, 0, 0xffff);
  define8(kDramC, 0x01, 0x3f);
  define8(kDramT, 0x10, 0x7f);
  define8(kPam0, 0, 0x30);
  for (unsigned i = 1; i < 7; i++) define8(static_cast<u8>(kPam0 + i), 0, 0x33);
  // DRAM row boundaries count 8 MiB; memory above 2 GiB does not fit the register.
  const u8 rows = static_cast<u8>(std::min<u64>(p_.ram_bytes >> 23, 0xff));
  for (unsigned i = 0; i < 8; i++) define8(static_cast<u8>(kDrb0 + i), rows, 0xff);
  define8(kFdhc, 0, 0xc0);
  define8(kMtt, 0, 0xff);
  define8(kClt, 0x10, 0xff);
  define8(kSmramc, kSmmBase, kGSmrame | kDLck | kDCls | kDOpen);
  define8(kErrCmd, 0, 0xff);
  define8(kErrSts, 0, 0, 0x11);
}

PamMap I440Fx::pam() const {
  PamMap map;
  const auto region = [this](u8 reg, bool high, u32 start, u32 size) {
    const unsigned bits = config8(reg) >> (high ? 4 : 0);
    return PamRegion{start, size, (bits & kReadEnable) != 0, (bits & kWriteEnable) != 0};
  };
  map[0] = region(kPam0, true, 0xf0000, 0x10000);
  for (unsigned i = 0; i < 12; i++)
    map[i + 1] = region(static_cast<u8>(kPam0 + 1 + i / 2), i % 2 != 0, 0xc0000 + i * 0x4000, 0x4000);
  return map;
}

SmramState I440Fx::smram() const {
  const u8 v = config8(kSmramc);
  return {.enabled = (v & kGSmrame) != 0,
          .open = (v & kGSmrame) != 0 && (v & kDOpen) != 0,
          .closed = (v & kDCls) != 0,
          .locked = (v & kDLck) != 0};
}

void I440Fx::config_write(u8 offset, u32 value, unsigned size) {
  const u8 before = config8(kSmramc);
  PciDevice::config_write(offset, value, size);
  if (offset <= kSmramc && offset + size > kSmramc) {
    u8 after = config8(kSmramc);
    if ((before & kDLck) != 0)
      after = before;  // until reset nothing changes
    else if ((after & kDLck) != 0)
      after = static_cast<u8>(after & ~kDOpen);
    poke8(kSmramc, after);
    tell(false);
  }
}

void I440Fx::config_written(u8 offset, unsigned size) {
  if (offset < kPam0 + 7 && offset + size > kPam0) tell(false);
}

void I440Fx::tell(bool always) {
  const PamMap map = pam();
  if (p_.on_pam && (always || map != told_pam_)) p_.on_pam(map);
  told_pam_ = map;
  const SmramState s = smram();
  if (p_.on_smram && (always || s != told_smram_)) p_.on_smram(s);
  told_smram_ = s;
}

void I440Fx::reset() {
  PciDevice::reset();
  tell(true);
}

void I440Fx::archive(StateArchive& ar) {
  PciDevice::archive(ar);
  if (ar.loading()) tell(true);
}

}  // namespace doppel::hw
