// The VGA's registers as ports 0x3b0-0x3df see them: sequencer, CRT controller, graphics and attribute controllers,
// DAC.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "hw/display/vga_core.h"

namespace doppel::hw {
namespace {
// Which bits of each register can be written and read back.
constexpr u8 kSeqMask[8] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0x00, 0x00, 0xff};
constexpr u8 kGfxMask[16] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
constexpr u8 kAttrMask[32] = {0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
                              0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f};
constexpr u8 kCrtcRegs = 0x19;
constexpr u8 kVideoEnable = 0x20;  // PAS, bit 5 of the attribute index
constexpr u16 kVbeId5 = 0xb0c5;
constexpr size_t kPage = 4096;
}  // namespace

VgaCore::VgaCore(Params p) : p_(p) {
  vram_block_ = std::calloc(1, p_.vram_bytes + kPage);  // pages come when touched
  vram_ = reinterpret_cast<u8*>(align_up(reinterpret_cast<uintptr_t>(vram_block_), kPage));
  touched_.resize(p_.vram_bytes / kPage);
  legacy_ = p_.memory.map("vga", 0xa0000, 0x20000, window_, 1);
  legacy_->set(true, 0xa0000);
  reset();
}

VgaCore::~VgaCore() {
  direct_.clear();
  legacy_.reset();
  std::free(vram_block_);
}

void VgaCore::reset() {
  r_ = Regs{};
  r_.vbe[kVbeId] = kVbeId5;
  r_.vbe[kVbeVideoMemory64k] = static_cast<u16>(p_.vram_bytes >> 16);
  latch_ = 0;
  registers_changed();
}

void VgaCore::registers_changed() {
  redraw_ = true;
  map_window();
}

template <size_t N>
void VgaCore::store_reg(std::array<u8, N>& regs, u8 index, u8 value, u8 mask) {
  value &= mask;
  if (regs[index] == value) return;
  regs[index] = value;
  registers_changed();
}

// Port offsets 0x00-0x0f are 0x3bx (monochrome), 0x20-0x2f 0x3dx (colour).
bool VgaCore::crtc_at(u32 offset) const { return (offset >= 0x20) == ((r_.misc & 1) != 0); }

u8 VgaCore::read_port(u32 offset) {
  if (u8 own = 0; p_.extension && p_.extension->read_port(offset, own)) return own;
  switch (offset) {
    case 0x10: return r_.attr_flip_flop ? 0 : r_.attr_index;
    case 0x11: return r_.attr[r_.attr_index & 0x1f];
    case 0x12: return 0x10;  // input status 0: switch sense, a colour display answers
    case 0x13: return 1;
    case 0x14: return r_.seq_index;
    case 0x15: return r_.seq[r_.seq_index];
    case 0x16: return r_.dac_mask;
    case 0x17: return r_.dac_reading ? 3 : 0;
    case 0x18: return r_.dac_write_index;
    case 0x19: return read_dac();
    case 0x1a: return r_.feature;
    case 0x1c: return r_.misc;
    case 0x1e: return r_.gfx_index;
    case 0x1f: return r_.gfx[r_.gfx_index];
    default: break;
  }
  if (offset >= 0x10 && offset < 0x20) return 0xff;
  if (!crtc_at(offset)) return 0xff;
  switch (offset & 0x0f) {
    case 0x0:
    case 0x2:
    case 0x4:
    case 0x6: return r_.crtc_index;
    case 0x1:
    case 0x3:
    case 0x5:
    case 0x7: return r_.crtc_index < kCrtcRegs ? r_.crtc[r_.crtc_index] : 0;
    case 0xa: return status1();
    default: return 0xff;
  }
}

void VgaCore::write_port(u32 offset, u8 value) {
  if (p_.extension && p_.extension->write_port(offset, value)) return;
  switch (offset) {
    case 0x10: write_attribute(value); return;
    case 0x12:
      r_.misc = value & 0xef;
      registers_changed();
      return;
    case 0x14: r_.seq_index = value & 7; return;
    case 0x15: store_reg(r_.seq, r_.seq_index, value, kSeqMask[r_.seq_index]); return;
    case 0x16:
      r_.dac_mask = value;
      redraw_ = true;
      return;
    case 0x17:
      r_.dac_read_index = value;
      r_.dac_component = 0;
      r_.dac_reading = 1;
      return;
    case 0x18:
      r_.dac_write_index = value;
      r_.dac_component = 0;
      r_.dac_reading = 0;
      return;
    case 0x19: write_dac(value); return;
    case 0x1e: r_.gfx_index = value & 0x0f; return;
    case 0x1f: store_reg(r_.gfx, r_.gfx_index, value, kGfxMask[r_.gfx_index]); return;
    default: break;
  }
  if ((offset >= 0x10 && offset < 0x20) || !crtc_at(offset)) return;
  switch (offset & 0x0f) {
    case 0x0:
    case 0x2:
    case 0x4:
    case 0x6: r_.crtc_index = value & 0x3f; return;
    case 0x1:
    case 0x3:
    case 0x5:
    case 0x7: {
      const u8 index = r_.crtc_index;
      if (index >= kCrtcRegs) return;
      const bool is_protected = (r_.crtc[0x11] & 0x80) && index <= 7;
      if (!is_protected) store_reg(r_.crtc, index, value, 0xff);
      if (is_protected && index == 7)
        store_reg(r_.crtc, index, static_cast<u8>((r_.crtc[7] & ~0x10) | (value & 0x10)), 0xff);
      return;
    }
    case 0xa: r_.feature = value & 3; return;
    default: return;
  }
}

void VgaCore::write_attribute(u8 value) {
  if (!r_.attr_flip_flop) {
    if ((r_.attr_index ^ value) & kVideoEnable) redraw_ = true;
    r_.attr_index = value & 0x3f;
  } else {
    const u8 index = r_.attr_index & 0x1f;
    const bool palette_locked = index < 16 && (r_.attr_index & kVideoEnable);
    if (!palette_locked) store_reg(r_.attr, index, value, kAttrMask[index]);
  }
  r_.attr_flip_flop ^= 1;
}

u8 VgaCore::read_dac() {
  const u8 value = r_.dac[r_.dac_read_index * 3u + r_.dac_component];
  if (++r_.dac_component == 3) {
    r_.dac_component = 0;
    r_.dac_read_index++;
  }
  return value;
}

void VgaCore::write_dac(u8 value) {
  r_.dac_latch[r_.dac_component] = value;
  if (++r_.dac_component < 3) return;
  r_.dac_component = 0;
  const u8 mask = (r_.vbe[kVbeEnable] & kVbe8BitDac) ? 0xff : 0x3f;
  for (u32 i = 0; i < 3; i++) r_.dac[r_.dac_write_index * 3u + i] = r_.dac_latch[i] & mask;
  r_.dac_write_index++;
  redraw_ = true;
}

u32 VgaCore::vertical_total() const {
  const u8 overflow = r_.crtc[7];
  return (r_.crtc[6] | (overflow & 1u) << 8 | (overflow >> 5 & 1u) << 9) + 2;
}

s64 VgaCore::line_ns() const {
  const s64 clock_hz = ((r_.misc >> 2) & 3) == 1 ? 28'322'000 : 25'175'000;
  s64 dots = (r_.crtc[0] + 5) * ((r_.seq[1] & 1) ? 8 : 9);
  if (r_.seq[1] & 8) dots *= 2;
  return dots * kNsPerSecond / clock_hz;
}

s64 VgaCore::frame_ns() const {
  const s64 ns = line_ns() * vertical_total();
  return ns < 5'000'000 || ns > 50'000'000 ? kNsPerSecond / 60 : ns;  // not programmed, or a VBE mode
}

// Bit 0: no display (either blanking), bit 3: vertical retrace. Reading it also resets the attribute flip-flop.
u8 VgaCore::status1() {
  r_.attr_flip_flop = 0;
  const s64 frame = frame_ns(), line = std::max<s64>(frame / vertical_total(), 1);
  const s64 now = p_.clock.now() % frame;
  const u32 y = static_cast<u32>(now / line);
  const u8 overflow = r_.crtc[7];
  const u32 display_end = r_.crtc[0x12] | (overflow >> 1 & 1u) << 8 | (overflow >> 6 & 1u) << 9;
  const u32 retrace = r_.crtc[0x10] | (overflow >> 2 & 1u) << 8 | (overflow >> 7 & 1u) << 9;
  const u32 length = std::max<u32>((r_.crtc[0x11] - retrace) & 0x0f, 1);
  const u32 start = retrace && retrace < vertical_total() ? retrace : vertical_total() - 2;
  const s64 visible = line * (r_.crtc[1] + 1) / (r_.crtc[0] + 5);
  u8 status = 0;
  if (y > display_end || now % line >= visible) status |= 1;
  if (y >= start && y < start + length) status |= 9;
  return status;
}

void VgaCore::archive(StateArchive& ar) {
  ar.section("vga", [&] {
    ar.field("misc", r_.misc), ar.field("feature", r_.feature), ar.field("seq_index", r_.seq_index);
    ar.field("crtc_index", r_.crtc_index), ar.field("gfx_index", r_.gfx_index), ar.field("attr_index", r_.attr_index);
    ar.field("attr_flip_flop", r_.attr_flip_flop), ar.field("dac_mask", r_.dac_mask),
        ar.field("dac_read_index", r_.dac_read_index);
    ar.field("dac_write_index", r_.dac_write_index), ar.field("dac_component", r_.dac_component),
        ar.field("dac_reading", r_.dac_reading);
    ar.field("seq", r_.seq), ar.field("crtc", r_.crtc), ar.field("gfx", r_.gfx), ar.field("attr", r_.attr),
        ar.field("dac", r_.dac);
    ar.field("dac_latch", r_.dac_latch), ar.field("vbe_index", r_.vbe_index), ar.field("vbe", r_.vbe),
        ar.field("latch", latch_);
    ar.bytes("vram", {vram_, p_.vram_bytes});
  });
  if (ar.loading()) {  // what a damaged state could hold beyond the tables
    r_.seq_index &= 7, r_.gfx_index &= 15, r_.crtc_index &= 0x3f, r_.attr_index &= 0x3f;
    r_.dac_component %= 3, r_.attr_flip_flop &= 1, r_.dac_reading &= 1;
    if (vbe_on()) fix_vbe();
    r_.vbe[kVbeBank] &= static_cast<u16>((p_.vram_bytes >> 16) - 1);
    direct_base_ = ~u64{0};
    registers_changed();
  }
}

std::string VgaCore::info() const {
  const Frame f = frame();
  static constexpr const char* kKinds[] = {"blank", "text", "planar graphics", "linear graphics"};
  char text[128];
  std::snprintf(text, sizeof text, "%s, %ux%u dots, %u bits a pixel (VBE), %u KiB video memory\n",
                kKinds[static_cast<int>(f.kind)], f.width, f.height, vbe_on() ? r_.vbe[kVbeBpp] : 0u,
                p_.vram_bytes >> 10);
  return text;
}

}  // namespace doppel::hw
