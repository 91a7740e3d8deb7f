#include "hw/display/cirrus_blitter.h"

#include <algorithm>

#include "base/log.h"

namespace doppel::hw {
namespace {

// Appendix D8, table "BLT ROP".
u8 combine(u8 rop, u8 s, u8 d) {
  switch (rop) {
    case 0x00: return 0;
    case 0x05: return s & d;
    case 0x06: return d;
    case 0x09: return static_cast<u8>(s & ~d);
    case 0x0b: return static_cast<u8>(~d);
    case 0x0d: return s;
    case 0x0e: return 0xff;
    case 0x50: return static_cast<u8>(~s & d);
    case 0x59: return s ^ d;
    case 0x6d: return s | d;
    case 0x90: return static_cast<u8>(~s & ~d);
    case 0x95: return static_cast<u8>(~(s ^ d));
    case 0xad: return static_cast<u8>(s | ~d);
    case 0xd0: return static_cast<u8>(~s);
    case 0xd6: return static_cast<u8>(~s | d);
    case 0xda: return static_cast<u8>(~s | ~d);
    default: return d;
  }
}

constexpr unsigned kTile = 8;  // pixels in each direction

}  // namespace

// A line of the CPU's: bits of whole bytes (or doublewords), or bytes of whole doublewords.
u32 CirrusBlitter::line_bytes_from_cpu() const {
  if (!(r_.mode & kExpand)) return align_up(row_bytes(), 4);
  const u32 bits = row_bytes() / pixel_bytes();
  return r_.mode_ext & kDwords ? align_up(bits, 32) / 8 : align_up(bits, 8) / 8;
}

void CirrusBlitter::start(const Registers& r) {
  r_ = r;
  waiting_ = false;
  row_ = filled_ = 0;
  if (r_.mode & kToCpu) {
    DOPPEL_LOG(Unimp, "cirrus: a transfer from video memory to the CPU (mode 0x%02x)\n", r_.mode);
    return;
  }
  if ((r_.mode & (kExpand | kPattern)) == (kExpand | kPattern) && (r_.mode_ext & kSolid)) return fill();
  if (r_.mode & kFromCpu) {
    waiting_ = (r_.mode & kPattern) || line_bytes_from_cpu() != 0;
    return;
  }
  if (r_.mode & kPattern) return pattern_of_memory();
  return r_.mode & kExpand ? expand_rows() : copy_rows();
}

void CirrusBlitter::feed(u8 byte) {
  if (!waiting_) return;
  line_[filled_++] = byte;
  const bool tile = (r_.mode & kPattern) != 0;
  const u32 wanted = tile ? r_.mode & kExpand ? kTile : kTile * kTile * pixel_bytes() : line_bytes_from_cpu();
  if (filled_ < wanted) return;
  filled_ = 0;
  if (!tile) return line_complete();
  waiting_ = false;
  pattern({line_.data(), wanted});
}

void CirrusBlitter::line_complete() {
  const std::span<const u8> line{line_.data(), line_bytes_from_cpu()};
  const u32 dst = r_.dst + row_ * r_.dst_pitch;
  r_.mode& kExpand ? expand_line(dst, line) : copy_line(dst, line);
  if (++row_ == rows()) waiting_ = false;
}

void CirrusBlitter::row_done(u32 dst) {
  const u64 first = dst & mask_, size = row_bytes();
  wrote_(first, std::min<u64>(size, vram_.size() - first));
  if (first + size > vram_.size()) wrote_(0, first + size - vram_.size());
}

// One pixel; nothing where the result would be the transparent colour (of 8 or 16 bits).
void CirrusBlitter::pixel(u32 dst, const u8* colour) {
  const unsigned bytes = pixel_bytes();
  std::array<u8, 4> result{};
  for (unsigned i = 0; i < bytes; i++) result[i] = combine(r_.rop, colour[i], at(dst + i));
  if ((r_.mode & (kTransparent | kExpand)) == kTransparent) {
    if (bytes == 1 && result[0] == (r_.key & 0xff)) return;
    if (bytes == 2 && load_le<u16>(result.data()) == r_.key) return;
  }
  for (unsigned i = 0; i < bytes; i++) at(dst + i) = result[i];
}

void CirrusBlitter::put_colour(u32 dst, u32 colour) {
  const std::array<u8, 4> bytes = {static_cast<u8>(colour), static_cast<u8>(colour >> 8), static_cast<u8>(colour >> 16),
                                   static_cast<u8>(colour >> 24)};
  pixel(dst, bytes.data());
}

void CirrusBlitter::copy_line(u32 dst, std::span<const u8> line) {
  const unsigned bytes = pixel_bytes();
  if (r_.mode & kTransparent) {
    for (u32 x = 0; x + bytes <= row_bytes(); x += bytes) pixel(dst + x, &line[x]);
  } else {
    for (u32 x = 0; x < row_bytes(); x++) at(dst + x) = combine(r_.rop, line[x], at(dst + x));
  }
  row_done(dst);
}

// Backwards the addresses are those of the last bytes. Byte by byte in the engine's order, as the areas may overlap.
void CirrusBlitter::copy_rows() {
  const bool down = r_.mode & kBackwards;
  const bool keyed = r_.mode & kTransparent;
  const u32 step = down ? ~u32{0} : 1;
  const unsigned bytes = keyed ? pixel_bytes() : 1;
  for (u32 y = 0; y < rows(); y++) {
    u32 dst = down ? r_.dst - y * r_.dst_pitch : r_.dst + y * r_.dst_pitch;
    u32 src = down ? r_.src - y * r_.src_pitch : r_.src + y * r_.src_pitch;
    const u32 first = down ? dst - row_bytes() + 1 : dst;
    for (u32 x = 0; x + bytes <= row_bytes(); x += bytes, dst += step * bytes, src += step * bytes) {
      if (!keyed) {
        at(dst) = combine(r_.rop, at(src), at(dst));
        continue;
      }
      const u32 back = down ? bytes - 1 : 0;
      std::array<u8, 4> colour{};
      for (unsigned i = 0; i < bytes; i++) colour[i] = at(src - back + i);
      pixel(dst - back, colour.data());
    }
    row_done(first);
  }
}

// Bits from the left; the first `left` pixels of a row stay.
void CirrusBlitter::expand_line(u32 dst, std::span<const u8> bits) {
  const unsigned bytes = pixel_bytes();
  const u32 skip = bytes == 3 ? (r_.left & 0x1fu) / 3 : r_.left & 7u;
  const u8 invert = r_.mode_ext & kInvert ? 0xff : 0;
  for (u32 x = skip; (x + 1) * bytes <= row_bytes(); x++) {
    const bool set = (bits[x / 8] ^ invert) >> (7 - x % 8) & 1;
    if (!set && (r_.mode & kTransparent)) continue;
    put_colour(dst + x * bytes, set ? r_.foreground : r_.background);
  }
  row_done(dst);
}

// In video memory one row's bits follow the other's.
void CirrusBlitter::expand_rows() {
  const u32 length = line_bytes_from_cpu();
  for (u32 y = 0; y < rows(); y++) {
    for (u32 i = 0; i < length; i++) line_[i] = at(r_.src + y * length + i);
    expand_line(r_.dst + y * r_.dst_pitch, {line_.data(), length});
  }
}

void CirrusBlitter::fill() {
  const unsigned bytes = pixel_bytes();
  for (u32 y = 0; y < rows(); y++) {
    const u32 dst = r_.dst + y * r_.dst_pitch;
    for (u32 x = 0; x + bytes <= row_bytes(); x += bytes) put_colour(dst + x, r_.foreground);
    row_done(dst);
  }
}

void CirrusBlitter::pattern_of_memory() {
  const unsigned row = r_.mode & kExpand ? 1 : pixel_bytes() == 3 ? 32 : kTile * pixel_bytes();
  std::array<u8, kPatternBytes> tile{};
  const u32 first = r_.src & ~(row * kTile - 1);
  const unsigned used = r_.mode & kExpand ? 1 : kTile * pixel_bytes();  // of 24 bits: 24 of 32 bytes
  for (unsigned y = 0; y < kTile; y++) {
    for (unsigned i = 0; i < used; i++) tile[y * used + i] = at(first + y * row + i);
  }
  pattern({tile.data(), used * kTile});
}

// Eight rows, over and over; the source address says which comes first.
void CirrusBlitter::pattern(std::span<const u8> tile) {
  const unsigned bytes = pixel_bytes();
  const u8 invert = r_.mode_ext & kInvert ? 0xff : 0;
  const bool expand = r_.mode & kExpand;
  const u32 skip = bytes == 3 ? (r_.left & 0x1fu) / 3 : r_.left & 7u;
  for (u32 y = 0; y < rows(); y++) {
    const u32 dst = r_.dst + y * r_.dst_pitch;
    const unsigned row = (y + r_.src) % kTile;
    for (u32 x = skip; (x + 1) * bytes <= row_bytes(); x++) {
      if (!expand) {
        pixel(dst + x * bytes, &tile[(row * kTile + x % kTile) * bytes]);
        continue;
      }
      const bool set = (tile[row] ^ invert) >> (7 - x % kTile) & 1;
      if (!set && (r_.mode & kTransparent)) continue;
      put_colour(dst + x * bytes, set ? r_.foreground : r_.background);
    }
    row_done(dst);
  }
}

void CirrusBlitter::archive(StateArchive& ar) {
  ar.field("width", r_.width), ar.field("height", r_.height), ar.field("dst_pitch", r_.dst_pitch),
      ar.field("src_pitch", r_.src_pitch), ar.field("dst", r_.dst), ar.field("src", r_.src), ar.field("left", r_.left);
  ar.field("mode", r_.mode), ar.field("rop", r_.rop), ar.field("mode_ext", r_.mode_ext);
  ar.field("foreground", r_.foreground), ar.field("background", r_.background), ar.field("key", r_.key);
  ar.field("waiting", waiting_), ar.field("row", row_), ar.field("filled", filled_), ar.field("line", line_);
  if (!ar.loading()) return;
  r_.width &= 0x1fff, r_.height &= 0x7ff;
  const u32 wanted =
      r_.mode & kPattern ? r_.mode & kExpand ? kTile : kTile * kTile * pixel_bytes() : line_bytes_from_cpu();
  if (filled_ >= wanted || row_ >= rows()) waiting_ = false;
}

}  // namespace doppel::hw
