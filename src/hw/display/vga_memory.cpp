// Video memory as the CPU sees it through 0xa0000-0xbffff: the graphics controller's data path (write modes 0-3, read
// modes 0-1, latches) and the three ways to address planes (sequential, odd/even, chain-4), and VBE banks.
#include "hw/display/vga_core.h"

namespace doppel::hw {
namespace {
constexpr u8 kChain4 = 8, kSequential = 4;         // sequencer memory mode
constexpr u8 kOddEvenRead = 0x10, kReadMode1 = 8;  // graphics mode register
constexpr u32 kPlaneBytes = 0x10000;

// The low four bits as four bytes of ones or zeroes, plane 0 lowest.
constexpr u32 expand_planes(u8 bits) {
  return ((bits & 1) ? 0xffu : 0) | ((bits & 2) ? 0xff00u : 0) | ((bits & 4) ? 0xff0000u : 0) |
         ((bits & 8) ? 0xff000000u : 0);
}
constexpr u32 spread(u8 byte) { return byte * 0x01010101u; }
constexpr u8 rotate_right(u8 v, unsigned n) { return static_cast<u8>((v >> n) | (v << ((8 - n) & 7))); }
}  // namespace

u32 VgaCore::vbe_stride() const {
  const u32 width = r_.vbe[kVbeVirtWidth];
  const u32 bits = r_.vbe[kVbeBpp] == 15 ? 16 : r_.vbe[kVbeBpp];
  return bits == 4 ? width / 8 : width * (bits / 8);
}

// Offset in the 128 KiB window to an address within the memory map that graphics register 6 selects.
bool VgaCore::decode(u32 offset, u32& address) const {
  switch ((r_.gfx[6] >> 2) & 3) {
    case 0: address = offset; return true;
    case 1: address = offset; return offset < 0x10000;
    case 2: address = offset - 0x10000; return offset >= 0x10000 && offset < 0x18000;
    default: address = offset - 0x18000; return offset >= 0x18000;
  }
}

u8 VgaCore::read_memory(u32 offset) {
  if (u8 own = 0; p_.extension && p_.extension->read_window(offset, own)) return own;
  u32 address;
  if (vbe_linear() && offset < 0x10000) return vram_[((u32{r_.vbe[kVbeBank]} << 16) + offset) & (p_.vram_bytes - 1)];
  if (!decode(offset, address)) return 0xff;
  if (vbe_on()) address += u32{r_.vbe[kVbeBank]} << 16;
  const u32 plane_mask = vbe_on() ? p_.vram_bytes / 4 - 1 : kPlaneBytes - 1;
  u32 plane, at;
  if (r_.seq[4] & kChain4) {
    plane = address & 3;
    at = address >> 2;
  } else if (r_.gfx[5] & kOddEvenRead) {
    plane = (r_.gfx[4] & 2u) | (address & 1);
    at = address & ~1u;
  } else {
    plane = r_.gfx[4] & 3;
    at = address;
  }
  latch_ = load_le<u32>(vram_ + (at & plane_mask) * 4);
  if (!(r_.gfx[5] & kReadMode1)) return static_cast<u8>(latch_ >> (plane * 8));
  // Colour compare: a bit is set where all planes that matter equal the colour.
  const u32 differ = (latch_ ^ expand_planes(r_.gfx[2])) & expand_planes(r_.gfx[7]);
  return static_cast<u8>(~(differ | differ >> 8 | differ >> 16 | differ >> 24));
}

void VgaCore::write_memory(u32 offset, u8 value) {
  if (p_.extension && p_.extension->write_window(offset, value)) return;
  u32 address;
  if (vbe_linear() && offset < 0x10000) {
    const u32 at = ((u32{r_.vbe[kVbeBank]} << 16) + offset) & (p_.vram_bytes - 1);
    vram_[at] = value;
    touch(at);
    return;
  }
  if (!decode(offset, address)) return;
  if (vbe_on()) address += u32{r_.vbe[kVbeBank]} << 16;
  const u32 plane_mask = vbe_on() ? p_.vram_bytes / 4 - 1 : kPlaneBytes - 1;
  u8 planes = r_.seq[2];
  u32 at = address;
  if (r_.seq[4] & kChain4) {
    planes &= static_cast<u8>(1u << (address & 3));
    at = address >> 2;
  } else if (!(r_.seq[4] & kSequential)) {
    planes &= (address & 1) ? 0x0a : 0x05;
    at = address & ~1u;
  }
  if (planes) store_planes(at & plane_mask, value, planes);
}

void VgaCore::store_planes(u32 plane_offset, u8 value, u8 planes) {
  const u8 mode = r_.gfx[5] & 3;
  const u8 rotated = rotate_right(value, r_.gfx[3] & 7);
  u8 bit_mask = r_.gfx[8];
  u32 data;
  switch (mode) {
    case 0: {
      const u32 enable = expand_planes(r_.gfx[1]);
      data = (spread(rotated) & ~enable) | (expand_planes(r_.gfx[0]) & enable);
      break;
    }
    case 1: data = latch_; break;
    case 2: data = expand_planes(value); break;
    default:
      data = expand_planes(r_.gfx[0]);
      bit_mask &= rotated;
      break;
  }
  if (mode != 1) {
    switch ((r_.gfx[3] >> 3) & 3) {
      case 1: data &= latch_; break;
      case 2: data |= latch_; break;
      case 3: data ^= latch_; break;
      default: break;
    }
    const u32 bits = spread(bit_mask);
    data = (data & bits) | (latch_ & ~bits);
  }
  u8* at = vram_ + plane_offset * 4;
  const u32 mask = expand_planes(planes);
  const u32 old = load_le<u32>(at), fresh = (old & ~mask) | (data & mask);
  if (fresh == old) return;
  store_le<u32>(at, fresh);
  touch(plane_offset * 4);
}

void VgaCore::memory_changed(u64 first, u64 size) {
  for (u64 at = align_down(first, 4096); at < first + size && at < p_.vram_bytes; at += 4096)
    touch(static_cast<u32>(at));
}

// Where the window is a plain array (a VBE bank; chain-4 with nothing in the data path) it is mapped as RAM above the
// handler.
void VgaCore::map_window() {
  const bool window_a000 = ((r_.gfx[6] >> 2) & 3) == 1;
  const bool plain_path =
      r_.seq[2] == 0x0f && (r_.gfx[5] & 0x0b) == 0 && r_.gfx[3] == 0 && r_.gfx[1] == 0 && r_.gfx[8] == 0xff;
  u64 base = ~u64{0};
  if (p_.extension && p_.extension->owns_window()) {
    // through the handler
  } else if (vbe_linear()) {
    base = (u64{r_.vbe[kVbeBank]} << 16) & (p_.vram_bytes - 1);
  } else if (!vbe_on() && window_a000 && (r_.seq[4] & kChain4) && plain_path) {
    base = 0;
  }
  if (base == direct_base_) return;
  direct_base_ = base;
  if (shown_) shown_->set(false, 0xa0000);
  shown_ = nullptr;
  if (base == ~u64{0}) return;
  auto& window = direct_[base];
  if (!window) window = p_.memory.map_ram("vga.window", 0xa0000, 0x10000, vram_ + base, false, 2);
  window->set(true, 0xa0000);
  shown_ = window.get();
}

}  // namespace doppel::hw
