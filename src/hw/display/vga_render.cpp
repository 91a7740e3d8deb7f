// From registers and memory to a picture. The standard modes are drawn line by line as the CRTC scans them (memory
// address counter, row scan, line compare, panning); the linear VBE modes only where memory was written.
#include <algorithm>
#include <cstring>

#include "hw/display/vga_core.h"

namespace doppel::hw {
namespace {
constexpr u8 kVideoEnable = 0x20, kScreenOff = 0x20, kHalfDotClock = 8;
constexpr u32 kPageBytes = 4096;

constexpr u32 rgb(u32 r, u32 g, u32 b) { return r << 16 | g << 8 | b; }
constexpr u32 widen5(u32 v) { return v << 3 | v >> 2; }
constexpr u32 widen6(u32 v) { return v << 2 | v >> 4; }

// Eight dots of one plane: byte i of the result is bit 7 - i.
constexpr u64 spread_bits(u8 byte) {
  u64 out = 0;
  for (unsigned i = 0; i < 8; i++) out |= u64{(byte >> (7 - i)) & 1u} << (8 * i);
  return out;
}
constexpr auto kSpread = [] {
  std::array<u64, 256> table{};
  for (unsigned i = 0; i < 256; i++) table[i] = spread_bits(static_cast<u8>(i));
  return table;
}();

// One pixel of a linear mode.
template <unsigned kBpp>
u32 pixel_at(const u8* p, const std::array<u32, 256>& palette) {
  if constexpr (kBpp == 8) return palette[*p];
  if constexpr (kBpp == 15) {
    const u32 v = load_le<u16>(p);
    return rgb(widen5(v >> 10 & 31), widen5(v >> 5 & 31), widen5(v & 31));
  }
  if constexpr (kBpp == 16) {
    const u32 v = load_le<u16>(p);
    return rgb(widen5(v >> 11), widen6(v >> 5 & 63), widen5(v & 31));
  }
  if constexpr (kBpp == 24) return rgb(p[2], p[1], p[0]);
  return load_le<u32>(p) & 0xffffff;
}

template <unsigned kBpp>
void convert_row(const u8* from, u32* to, u32 width, const std::array<u32, 256>& palette) {
  constexpr unsigned kBytes = (kBpp + 7) / 8;
  for (u32 x = 0; x < width; x++) to[x] = pixel_at<kBpp>(from + x * kBytes, palette);
}
}  // namespace

std::optional<VgaLinearMode> VgaCore::linear() const {
  if (!vbe_on()) return p_.extension ? p_.extension->linear_mode() : std::nullopt;
  if (!vbe_linear()) return std::nullopt;
  VgaLinearMode mode{r_.vbe[kVbeXres], r_.vbe[kVbeYres], r_.vbe[kVbeBpp], vbe_stride()};
  mode.start = u64{r_.vbe[kVbeYOffset]} * mode.stride + u64{r_.vbe[kVbeXOffset]} * ((mode.bpp + 7) / 8);
  return mode;
}

VgaCore::Frame VgaCore::frame() const {
  Frame f;
  const bool blank = !(r_.attr_index & kVideoEnable) || (r_.seq[1] & kScreenOff);
  if (vbe_on()) {
    f.kind = blank ? Frame::Kind::Blank : vbe_linear() ? Frame::Kind::Linear : Frame::Kind::Planar;
    f.width = r_.vbe[kVbeXres];
    f.height = r_.vbe[kVbeYres];
    return f;
  }
  if (const auto own = linear()) {
    if (own->width < 64 || own->height < 16) return {Frame::Kind::Blank, 720, 400};
    return {blank ? Frame::Kind::Blank : Frame::Kind::Linear, own->width, own->height};
  }
  const bool graphics = (r_.gfx[6] & 1) != 0;
  const u8 overflow = r_.crtc[7];
  const u32 dots = graphics || (r_.seq[1] & 1) ? 8 : 9;
  f.width = (r_.crtc[1] + 1u) * dots * ((r_.seq[1] & kHalfDotClock) ? 2 : 1);
  f.height = (r_.crtc[0x12] | (overflow >> 1 & 1u) << 8 | (overflow >> 6 & 1u) << 9) + 1;
  if (f.width < 64 || f.height < 16) return {Frame::Kind::Blank, 720, 400};  // not programmed yet
  f.kind = blank ? Frame::Kind::Blank : graphics ? Frame::Kind::Planar : Frame::Kind::Text;
  return f;
}

u64 VgaCore::frame_number() const { return static_cast<u64>(p_.clock.now() / frame_ns()); }
// The cursor changes every 8 frames, blinking characters every 16 (PS/2 reference).
bool VgaCore::cursor_visible() const { return (frame_number() & 8) == 0; }
bool VgaCore::blink_phase() const { return (frame_number() & 16) != 0; }

void VgaCore::build_palettes() {
  const bool wide = (r_.vbe[kVbeEnable] & kVbe8BitDac) != 0;
  const auto component = [&](u32 index, u32 c) -> u32 {
    const u8 v = r_.dac[index * 3 + c];
    return wide ? v : widen6(v & 0x3f);
  };
  for (u32 i = 0; i < 256; i++) {
    const u32 index = i & r_.dac_mask;
    palette256_[i] = rgb(component(index, 0), component(index, 1), component(index, 2));
  }
  for (u32 i = 0; i < 16; i++) {
    u32 index = r_.attr[i];
    if (r_.attr[0x10] & 0x80) index = (index & 0x0f) | (r_.attr[0x14] & 3u) << 4;
    index |= (r_.attr[0x14] & 0x0cu) << 4;
    palette16_[i] = palette256_[index & 0xff];
  }
}

u32 VgaCore::start_address() const {
  if (vbe_on()) return r_.vbe[kVbeYOffset] * vbe_stride() + r_.vbe[kVbeXOffset] / 8u;
  return (r_.crtc[0x0c] << 8 | r_.crtc[0x0d]) + ((r_.crtc[8] >> 5) & 3u);
}

u32 VgaCore::line_compare() const {
  if (vbe_on()) return ~u32{0};
  return r_.crtc[0x18] | (r_.crtc[7] >> 4 & 1u) << 8 | (r_.crtc[9] >> 6 & 1u) << 9;
}

// Address counter to plane offset: byte, word or doubleword addressing, and the row scan bits that CGA and Hercules
// modes put in.
u32 VgaCore::display_address(u32 counter, u32 row) const {
  if (vbe_on()) return counter & (p_.vram_bytes / 4 - 1);
  const u8 mode = r_.crtc[0x17];
  u32 address;
  if (r_.seq[4] & 8) {
    address = counter;  // chain-4 memory is dense here: see vga_core.h
  } else if (r_.crtc[0x14] & 0x40) {
    address = counter << 2 | (counter >> 14 & 3);
  } else if (!(mode & 0x40)) {
    address = counter << 1 | (counter >> ((mode & 0x20) ? 15 : 13) & 1);
  } else {
    address = counter;
  }
  if (!(mode & 1)) address = (address & ~0x2000u) | (row & 1) << 13;
  if (!(mode & 2)) address = (address & ~0x4000u) | (row >> 1 & 1) << 14;
  return address & 0xffff;
}

void VgaCore::next_line(Scan& scan) const {
  if (vbe_on()) {
    scan.address += vbe_stride();
    return;
  }
  if (r_.crtc[9] & 0x80) {  // each line twice
    scan.second = !scan.second;
    if (scan.second) return;
  }
  if (scan.row == (r_.crtc[9] & 0x1fu)) {
    scan.row = 0;
    scan.address += r_.crtc[0x13] * 2u;
  } else {
    scan.row = (scan.row + 1) & 0x1f;
  }
}

void VgaCore::render_planar_row(const Scan& scan, u32 columns, u32* line) const {
  const u8 shift = vbe_on() ? 0 : (r_.gfx[5] >> 5) & 3;
  const u8 enable = r_.attr[0x12] & 0x0f;
  for (u32 column = 0; column < columns; column++, line += 8) {
    const u32 data = load_le<u32>(vram_ + display_address(scan.address + column, scan.row) * 4);
    if (shift >= 2) {  // 256 colours: a byte a pixel, two dots each
      for (u32 i = 0; i < 4; i++) line[2 * i] = line[2 * i + 1] = palette256_[(data >> (8 * i)) & 0xff];
    } else if (shift == 1) {  // two bits a dot: planes 0 and 2 first, then 1 and 3
      for (u32 i = 0; i < 8; i++) {
        const u32 low = data >> (i < 4 ? 0 : 8), high = low >> 16, at = 6 - 2 * (i & 3);
        line[i] = palette16_[((low >> at & 3) | (high >> at & 3) << 2) & enable];
      }
    } else {
      const u64 dots = kSpread[data & 0xff] | kSpread[data >> 8 & 0xff] << 1 | kSpread[data >> 16 & 0xff] << 2 |
                       kSpread[data >> 24] << 3;
      for (u32 i = 0; i < 8; i++) line[i] = palette16_[(dots >> (8 * i)) & enable];
    }
  }
}

void VgaCore::render_standard(const Frame& f) {
  const bool is_text = f.kind == Frame::Kind::Text;
  const u32 dots = is_text && !(r_.seq[1] & 1) ? 9 : 8;
  const u32 scale = !vbe_on() && (r_.seq[1] & kHalfDotClock) ? 2 : 1;
  const u32 columns = f.width / (dots * scale);
  const u32 pan_register = vbe_on() ? 0 : r_.attr[0x13] & 0x0f;
  const u32 full_pan = dots == 9 ? (pan_register >= 8 ? 0 : pan_register + 1) : pan_register & 7;
  const u32 compare = line_compare();
  std::vector<u32> line((columns + 2) * dots);
  Scan scan{start_address(), vbe_on() ? 0u : r_.crtc[8] & 0x1fu, false};
  u32 pan = full_pan;
  for (u32 y = 0; y < f.height; y++) {
    u32* out = &picture_.pixels[size_t{y} * f.width];
    if (is_text) {
      render_text_row(scan, columns + 1, line.data());
    } else {
      render_planar_row(scan, columns + 1, line.data());
    }
    if (scale == 1) {
      std::copy_n(&line[pan], f.width, out);
    } else {
      for (u32 x = 0; x < f.width; x++) out[x] = line[pan + x / 2];
    }
    next_line(scan);
    if (y == compare) {
      scan = {};
      if (r_.attr[0x10] & 0x20) pan = 0;
    }
  }
}

void VgaCore::render_linear(const Frame& f, const std::vector<bool>* rows) {
  const VgaLinearMode mode = linear().value_or(VgaLinearMode{});
  const u32 bpp = mode.bpp;
  for (u32 y = 0; y < f.height; y++) {
    if (rows && !(*rows)[y]) continue;
    const u64 at = mode.start + u64{y} * mode.stride;
    if (at + u64{f.width} * ((bpp + 7) / 8) > p_.vram_bytes) break;
    u32* out = &picture_.pixels[size_t{y} * f.width];
    switch (bpp) {
      case 8: convert_row<8>(vram_ + at, out, f.width, palette256_); break;
      case 15: convert_row<15>(vram_ + at, out, f.width, palette256_); break;
      case 16: convert_row<16>(vram_ + at, out, f.width, palette256_); break;
      case 24: convert_row<24>(vram_ + at, out, f.width, palette256_); break;
      default: convert_row<32>(vram_ + at, out, f.width, palette256_); break;
    }
  }
}

// Which rows of a linear frame lie on pages written since the last call. Standard modes: row 0 stands for anything.
bool VgaCore::dirty_rows(const Frame& f, std::vector<bool>& rows) {
  const bool is_linear = f.kind == Frame::Kind::Linear;
  const VgaLinearMode mode = is_linear ? linear().value_or(VgaLinearMode{}) : VgaLinearMode{};
  const u32 stride = mode.stride;
  const u64 start = mode.start;
  const u64 size = is_linear ? std::min<u64>(u64{stride} * (f.height + 1), p_.vram_bytes - start) : u64{256} << 10;
  const u64 first = align_down(start, kPageBytes), last = align_up(start + size, kPageBytes);
  p_.memory.take_dirty(vram_ + first, last - first, pages_);
  bool any = false;
  rows.assign(f.height, false);
  for (u64 page = first / kPageBytes; page < last / kPageBytes; page++) {
    const u64 index = page - first / kPageBytes;
    if (!touched_[page] && !(index < pages_.size() && pages_[index])) continue;
    any = true;
    if (!is_linear) break;
    const u64 from = page * kPageBytes > start ? (page * kPageBytes - start) / stride : 0;
    const u64 to = std::min<u64>(((page + 1) * kPageBytes - 1 - start) / stride, f.height - 1);
    for (u64 y = from; y <= to; y++) rows[y] = true;
  }
  if (any_touched_) std::fill(touched_.begin(), touched_.end(), false);
  any_touched_ = false;
  return any;
}

// Brings picture_ up to date and counts generation_ when it changed.
void VgaCore::update() {
  const Frame f = frame();
  std::vector<bool> rows;
  const bool written = dirty_rows(f, rows);
  const bool cursor = f.kind == Frame::Kind::Text && cursor_visible(),
             blink = f.kind == Frame::Kind::Text && blink_phase();
  const bool all = redraw_ || f != last_frame_;
  if (!all && !written && cursor == last_cursor_ && blink == last_blink_) return;
  last_frame_ = f;
  last_cursor_ = cursor;
  last_blink_ = blink;
  redraw_ = false;
  if (picture_.width != f.width || picture_.height != f.height) {
    picture_.width = f.width;
    picture_.height = f.height;
    picture_.pixels.assign(size_t{f.width} * f.height, 0);
  }
  build_palettes();
  switch (f.kind) {
    case Frame::Kind::Blank: std::fill(picture_.pixels.begin(), picture_.pixels.end(), 0); break;
    case Frame::Kind::Linear: render_linear(f, all ? nullptr : &rows); break;
    default: render_standard(f); break;
  }
  generation_++;
}

bool VgaCore::refresh(display::Surface& out) {
  const std::lock_guard guard(p_.lock);
  update();
  auto it = std::find_if(viewers_.begin(), viewers_.end(), [&](const Viewer& v) { return v.surface == &out; });
  if (it == viewers_.end()) {
    if (viewers_.size() >= 8) viewers_.erase(viewers_.begin());  // a surface that is gone at worst costs a copy
    it = viewers_.insert(viewers_.end(), Viewer{&out, 0});
  }
  const bool same_size =
      out.width == picture_.width && out.height == picture_.height && out.pixels.size() == picture_.pixels.size();
  if (it->generation == generation_ && same_size) return false;
  it->generation = generation_;
  out = picture_;
  return true;
}

}  // namespace doppel::hw
