#include "hw/bus/pci/piix3_isa.h"

namespace doppel::hw {
namespace {

using namespace pci;

// Section 2.2 of the data sheet.
enum RegPiix3 : u8 {
  kIort = 0x4c,
  kXbcs = 0x4e,
  kPirqRcA = 0x60,
  kTom = 0x69,
  kMstat = 0x6a,
  kMbirq0 = 0x70,
  kMbdma0 = 0x76,
  kPcsc = 0x78,
  kApicBase = 0x80,
  kDlc = 0x82,
  kSmiCntl = 0xa0,
  kSmiEn = 0xa2,
  kSee = 0xa4,
  kFtmr = 0xa8,
  kSmiReq = 0xaa,
  kCtlTmr = 0xac,
  kCthTmr = 0xae
};
constexpr u8 kNotRouted = 0x80;
constexpr u16 kAllowed = 0xdef8;  // 3-7, 9-12, 14, 15
enum RcrBits : u8 { kHardReset = 0x02, kResetCpu = 0x04 };

}  // namespace

Piix3Isa::Piix3Isa(Params p)
    : PciDevice("piix3-isa", {.vendor = 0x8086, .device = p.device_id, .class_code = 0x060100, .multi_function = true}),
      p_(std::move(p)) {
  define16(kCommand, kIoSpace | kMemorySpace | kBusMaster, kSpecialCycles | kSerrEnable);
  define16(kStatus, kDevselMedium, 0, kStatusErrors);
  define8(kIort, 0x4d, 0x7f);
  define16(kXbcs, 0x0003, 0x01ff);
  for (unsigned i = 0; i < 4; i++) define8(static_cast<u8>(kPirqRcA + i), kNotRouted, 0x8f);
  define8(kTom, 0x02, 0xfa);
  define16(kMstat, 0, 0x0080, 0x0001);
  define8(kMbirq0, kNotRouted, 0xaf);
  define8(kMbdma0, 0x0c, 0x8f);
  define8(kMbdma0 + 1, 0x0c, 0x8f);
  define16(kPcsc, 0x0002, 0xffff);
  define8(kApicBase, 0, 0x7f);
  define8(kDlc, 0, 0x0f);
  define8(kSmiCntl, 0x08, 0x1f);
  define16(kSmiEn, 0, 0x01ff);
  define32(kSee, 0, 0xffffffff);
  define8(kFtmr, 0x0f, 0xff);
  define16(kSmiReq, 0, 0x01ff);
  define8(kCtlTmr, 0, 0xff);
  define8(kCthTmr, 0, 0xff);
}

IrqLine Piix3Isa::pirq(unsigned n) {
  return IrqLine([this, n](bool level) { set_pirq(n & 3, level); });
}

int Piix3Isa::route(unsigned n) const {
  const u8 rc = config8(static_cast<u8>(kPirqRcA + (n & 3)));
  const int irq = rc & 15;
  return (rc & kNotRouted) != 0 || ((kAllowed >> irq) & 1) == 0 ? -1 : irq;
}

void Piix3Isa::set_pirq(unsigned n, bool level) {
  pirq_level_[n] = level;
  drive();
}

void Piix3Isa::drive() {
  u16 want = 0;
  for (unsigned n = 0; n < 4; n++) {
    if (pirq_level_[n] && route(n) >= 0) want = static_cast<u16>(want | (1 << route(n)));
  }
  const u16 changed = want ^ driven_;
  driven_ = want;
  for (unsigned i = 0; i < 16; i++) {
    if ((changed >> i) & 1) p_.irq[i].set(((want >> i) & 1) != 0);
  }
}

void Piix3Isa::config_written(u8 offset, unsigned size) {
  if (offset < kPirqRcA + 4 && offset + size > kPirqRcA) drive();
}

void Piix3Isa::ResetControl::write(u64, u64 value, unsigned) {
  const u8 before = isa_.rcr_;
  isa_.rcr_ = static_cast<u8>(value & (kHardReset | kResetCpu));
  // A rise of RCPU resets; hard or soft makes no difference to a virtual machine.
  if ((before & kResetCpu) == 0 && (isa_.rcr_ & kResetCpu) != 0) {
    isa_.rcr_ = static_cast<u8>(isa_.rcr_ & ~kResetCpu);
    if (isa_.p_.reset_request) isa_.p_.reset_request();
  }
}

void Piix3Isa::reset() {
  PciDevice::reset();
  rcr_ = 0;
  drive();
}

void Piix3Isa::archive(StateArchive& ar) {
  ar.field("rcr", rcr_);
  ar.field("pirq_level", pirq_level_);
  PciDevice::archive(ar);
  if (ar.loading()) drive();
}

std::string Piix3Isa::info() const {
  std::string out = PciDevice::info();
  for (unsigned n = 0; n < 4; n++) {
    out += "      PIRQ" + std::string(1, static_cast<char>('A' + n)) + " -> " +
           (route(n) < 0 ? std::string("none") : "irq " + std::to_string(route(n))) +
           (pirq_level_[n] ? " (high)\n" : "\n");
  }
  return out;
}

}  // namespace doppel::hw
