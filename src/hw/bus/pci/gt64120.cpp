#include "hw/bus/pci/gt64120.h"

namespace doppel::hw {
namespace {

using namespace pci;

// Register offsets (data sheet, chapter 20).
enum Reg : u64 {
  kCpu = 0x000,
  kPci0IoLow = 0x048,
  kPci0IoHigh = 0x050,
  kPci0Memory0Low = 0x058,
  kPci0Memory0High = 0x060,
  kInternalSpace = 0x068,
  kPci0Memory1Low = 0x080,
  kPci0Memory1High = 0x088,
  kPci0IoRemap = 0x0f0,
  kPci0Memory0Remap = 0x0f8,
  kPci0Memory1Remap = 0x100,
  kPci0Command = 0xc00,
  kInterruptCause = 0xc18,
  kInterruptAcknowledge = 0xc34,
  kConfigAddress = 0xcf8,
  kConfigData = 0xcfc,
};
constexpr u32 kLittleEndianCpu = 1 << 12, kByteSwap = 1, kSlaveByteSwap = 1 << 16;
constexpr unsigned kDecodeShift = 21;
constexpr u32 kLowMask = 0x7fff, kHighMask = 0x7f, kRemapMask = 0x7ff;
constexpr u32 kConfigEnable = u32{1} << 31;

// What a low and a high decode register make: bits 35..21 of the first address, 27..21 of the last piece.
Gt64120::Range range(u32 low, u32 high, u32 remap) {
  low &= kLowMask;
  const u32 last = (low & ~kHighMask) | (high & kHighMask);
  Gt64120::Range r;
  if (last < low) return r;
  r.start = u64{low} << kDecodeShift;
  r.size = u64{last - low + 1} << kDecodeShift;
  r.target = u64{(low & ~kRemapMask) | (remap & kRemapMask)} << kDecodeShift;
  return r;
}

}  // namespace

Gt64120::Gt64120(Params p)
    : PciDevice("gt64120", {.vendor = 0x11ab, .device = 0x4620, .revision = 0x10, .class_code = 0x060000}),
      p_(std::move(p)) {
  define16(kCommand, 0, kIoSpace | kMemorySpace | kBusMaster | kSerrEnable);
  define16(kStatus, kDevselMedium | 0x80, 0, kStatusErrors);
  for (const u8 bar : {0x10, 0x14, 0x18, 0x1c, 0x20, 0x24}) define32(bar, 0, 0xfffff000);
}

Gt64120::Decoding Gt64120::decoding() const {
  Decoding d;
  d.registers = u64{reg(kInternalSpace) & kLowMask} << kDecodeShift;
  d.io = range(reg(kPci0IoLow), reg(kPci0IoHigh), reg(kPci0IoRemap));
  d.memory0 = range(reg(kPci0Memory0Low), reg(kPci0Memory0High), reg(kPci0Memory0Remap));
  d.memory1 = range(reg(kPci0Memory1Low), reg(kPci0Memory1High), reg(kPci0Memory1Remap));
  return d;
}

void Gt64120::tell(bool always) {
  const Decoding now = decoding();
  if (!always && now == told_) return;
  told_ = now;
  if (p_.on_decoding) p_.on_decoding(now);
}

// The bridge's own configuration registers are never swapped.
bool Gt64120::swaps() const { return !(reg(kPci0Command) & kByteSwap) && (reg(kConfigAddress) & 0x00fff800) != 0; }

u32 Gt64120::config_data() const {
  const u32 at = reg(kConfigAddress);
  if (!(at & kConfigEnable)) return ~u32{0};
  return p_.bus.config_read(static_cast<u8>(at >> 16), static_cast<u8>(at >> 8), static_cast<u8>(at & 0xfc), 4);
}

u64 Gt64120::read(u64 offset, unsigned) {
  switch (offset) {
    case kConfigData: return swaps() ? __builtin_bswap32(config_data()) : config_data();
    case kInterruptAcknowledge: return p_.interrupt_acknowledge ? p_.interrupt_acknowledge() : 0xff;
    default: return reg(offset);
  }
}

void Gt64120::write(u64 offset, u64 value, unsigned) {
  const u32 v = static_cast<u32>(value);
  switch (offset) {
    case kConfigData: {
      const u32 at = reg(kConfigAddress);
      if (at & kConfigEnable)
        p_.bus.config_write(static_cast<u8>(at >> 16), static_cast<u8>(at >> 8), static_cast<u8>(at & 0xfc),
                            swaps() ? __builtin_bswap32(v) : v, 4);
      return;
    }
    case kInterruptAcknowledge: return;
    case kInterruptCause: reg(offset) &= v; return;  // zeroes clear
    case kConfigAddress: reg(offset) = v & 0x80fffffc; return;
    // A new low register resets its remap register to the same address (section 5.3).
    case kPci0IoLow: reg(kPci0IoRemap) = v & kRemapMask; break;
    case kPci0Memory0Low: reg(kPci0Memory0Remap) = v & kRemapMask; break;
    case kPci0Memory1Low: reg(kPci0Memory1Remap) = v & kRemapMask; break;
    default: break;
  }
  reg(offset) = v;
  tell(false);
}

void Gt64120::program(u64 registers, const Range& io, const Range& memory) {
  const auto high = [](const Range& r) { return static_cast<u32>((r.start + r.size - 1) >> kDecodeShift) & kHighMask; };
  reg(kInternalSpace) = static_cast<u32>(registers >> kDecodeShift);
  reg(kPci0IoLow) = static_cast<u32>(io.start >> kDecodeShift);
  reg(kPci0IoHigh) = high(io);
  reg(kPci0IoRemap) = static_cast<u32>(io.target >> kDecodeShift) & kRemapMask;
  reg(kPci0Memory0Low) = static_cast<u32>(memory.start >> kDecodeShift);
  reg(kPci0Memory0High) = high(memory);
  reg(kPci0Memory0Remap) = static_cast<u32>(memory.target >> kDecodeShift) & kRemapMask;
  tell(false);
}

void Gt64120::reset() {
  PciDevice::reset();
  regs_.fill(0);
  reg(kCpu) = p_.big_endian ? 0 : kLittleEndianCpu;
  reg(kPci0Command) = p_.big_endian ? 0 : kByteSwap | kSlaveByteSwap;
  // Section 5.1: the windows after a reset.
  reg(kPci0IoLow) = reg(kPci0IoRemap) = 0x080;
  reg(kPci0IoHigh) = 0x00f;
  reg(kPci0Memory0Low) = reg(kPci0Memory0Remap) = 0x090;
  reg(kPci0Memory0High) = 0x01f;
  reg(kPci0Memory1Low) = reg(kPci0Memory1Remap) = 0x790;
  reg(kPci0Memory1High) = 0x01f;
  reg(kInternalSpace) = 0x0a0;
  tell(true);
}

void Gt64120::archive(StateArchive& ar) {
  ar.field("registers", regs_);
  PciDevice::archive(ar);
  if (ar.loading()) tell(true);
}

}  // namespace doppel::hw
