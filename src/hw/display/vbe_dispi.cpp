// The Bochs VBE extension (DISPI): mode, bank, virtual size and offsets in sixteen-bit registers behind an index and a
// data port.
#include <algorithm>
#include <cstring>

#include "hw/display/vga_core.h"

namespace doppel::hw {
namespace {
constexpr u16 kMaxXres = 4096, kMaxYres = 4096, kMaxBpp = 32;

bool valid_bpp(u16 bpp) { return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32; }
}  // namespace

// Offset 0 is the index port, 1 the data port: words at odd addresses, as the hardware has it.
u64 VgaCore::VbePorts::read(u64 offset, unsigned size) {
  const u16 value = offset == 0 ? vga_.r_.vbe_index : vga_.read_vbe(vga_.r_.vbe_index);
  return size == 1 ? value & 0xff : value;
}

void VgaCore::VbePorts::write(u64 offset, u64 value, unsigned size) {
  if (size != 2) return;
  if (offset == 0) {
    vga_.r_.vbe_index = static_cast<u16>(value);
  } else if (offset == 1) {
    vga_.write_vbe(vga_.r_.vbe_index, static_cast<u16>(value));
  }
}

u16 VgaCore::read_vbe(u16 index) const {
  if (index >= kVbeCount) return 0;
  if (r_.vbe[kVbeEnable] & kVbeGetCaps) {
    if (index == kVbeXres) return kMaxXres;
    if (index == kVbeYres) return kMaxYres;
    if (index == kVbeBpp) return kMaxBpp;
  }
  return r_.vbe[index];
}

void VgaCore::write_vbe(u16 index, u16 value) {
  switch (index) {
    case kVbeId:
      if (value >= 0xb0c0 && value <= 0xb0c5) r_.vbe[kVbeId] = value;
      return;
    case kVbeXres:
    case kVbeYres:
    case kVbeXOffset:
    case kVbeYOffset: r_.vbe[index] = value; break;
    case kVbeBpp: r_.vbe[kVbeBpp] = value ? value : 8; break;
    case kVbeVirtWidth: r_.vbe[kVbeVirtWidth] = value; break;
    case kVbeBank: r_.vbe[kVbeBank] = static_cast<u16>(value & ((p_.vram_bytes >> 16) - 1)); break;
    case kVbeEnable: enable_vbe(value); break;
    default: return;
  }
  if (vbe_on()) fix_vbe();
  registers_changed();
}

void VgaCore::enable_vbe(u16 value) {
  const bool was_on = vbe_on();
  const bool was_8bit = (r_.vbe[kVbeEnable] & kVbe8BitDac) != 0, is_8bit = (value & kVbe8BitDac) != 0;
  if (was_8bit != is_8bit) {
    for (u8& component : r_.dac)
      component = static_cast<u8>(is_8bit ? component << 2 | component >> 4 : component >> 2);
  }
  r_.vbe[kVbeEnable] = value;
  r_.vbe[kVbeBank] = 0;
  if (!vbe_on() || was_on) return;
  r_.vbe[kVbeVirtWidth] = r_.vbe[kVbeXres];
  r_.vbe[kVbeXOffset] = r_.vbe[kVbeYOffset] = 0;
  fix_vbe();
  if (!(value & kVbeNoClear)) {
    const u64 bytes = u64{vbe_stride()} * r_.vbe[kVbeYres] * (r_.vbe[kVbeBpp] == 4 ? 4 : 1);
    std::memset(vram_, 0, std::min<u64>(bytes, p_.vram_bytes));
  }
}

// Keeps what is shown within the video memory, whatever the guest writes.
void VgaCore::fix_vbe() {
  auto& vbe = r_.vbe;
  if (!valid_bpp(vbe[kVbeBpp])) vbe[kVbeBpp] = 8;
  vbe[kVbeXres] = static_cast<u16>(std::clamp<u16>(vbe[kVbeXres] & ~7, 8, kMaxXres));
  vbe[kVbeVirtWidth] = std::clamp<u16>(static_cast<u16>(vbe[kVbeVirtWidth] & ~7), vbe[kVbeXres], 0x3ff8);
  const u32 memory = vbe[kVbeBpp] == 4 ? p_.vram_bytes / 4 : p_.vram_bytes;
  vbe[kVbeVirtHeight] = static_cast<u16>(std::min<u32>(memory / vbe_stride(), 0xffff));
  vbe[kVbeYres] = std::clamp<u16>(vbe[kVbeYres], 1, std::min<u16>(kMaxYres, vbe[kVbeVirtHeight]));
  vbe[kVbeXOffset] = std::min<u16>(vbe[kVbeXOffset], static_cast<u16>(vbe[kVbeVirtWidth] - vbe[kVbeXres]));
  vbe[kVbeYOffset] = std::min<u16>(vbe[kVbeYOffset], static_cast<u16>(vbe[kVbeVirtHeight] - vbe[kVbeYres]));
  vbe[kVbeBank] &= static_cast<u16>((p_.vram_bytes >> 16) - 1);
}

}  // namespace doppel::hw
