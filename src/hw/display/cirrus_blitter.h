// The bit block transfer engine of the Cirrus Logic GD5446 (Technical Reference Manual, chapter 9.5 and appendix D8):
// copies, fills, 8x8 patterns and expansion of bits to colours, from video memory or from the CPU, under sixteen raster
// operations. A transfer takes no time; one from the CPU ends with its last byte. Transfers to the CPU are not built.
// Addresses wrap at the end of the video memory.
#pragma once
#include <array>
#include <functional>
#include <span>

#include "base/bits.h"
#include "state/archive.h"

namespace doppel::hw {

class CirrusBlitter {
 public:
  // As the graphics registers 0x20 to 0x35 hold it; sizes are less one.
  struct Registers {
    u16 width = 0, height = 0, dst_pitch = 0, src_pitch = 0;
    u32 dst = 0, src = 0;
    u8 left = 0, mode = 0, rop = 0, mode_ext = 0;
    u32 foreground = 0, background = 0;
    u16 key = 0;  // the colour that is transparent
  };
  enum Mode : u8 { kBackwards = 1, kToCpu = 2, kFromCpu = 4, kTransparent = 8, kPattern = 0x40, kExpand = 0x80 };
  enum ModeExt : u8 { kDwords = 1, kInvert = 2, kSolid = 4 };

  // `wrote` is told which bytes of the video memory have changed.
  CirrusBlitter(std::span<u8> vram, std::function<void(u64 first, u64 size)> wrote)
      : vram_(vram), mask_(static_cast<u32>(vram.size() - 1)), wrote_(std::move(wrote)) {}
  void start(const Registers& r);
  bool waits() const { return waiting_; }  // for bytes of the CPU
  void feed(u8 byte);
  void reset() { waiting_ = false; }
  void archive(StateArchive& ar);

 private:
  static constexpr size_t kLineBytes = 8192 + 4, kPatternBytes = 256;
  unsigned pixel_bytes() const { return (r_.mode >> 4 & 3u) + 1; }
  u32 row_bytes() const { return r_.width + 1u; }
  u32 rows() const { return r_.height + 1u; }
  u32 line_bytes_from_cpu() const;
  u8& at(u32 address) { return vram_[address & mask_]; }
  void row_done(u32 dst);
  void pixel(u32 dst, const u8* colour);
  void put_colour(u32 dst, u32 colour);
  void copy_rows();
  void copy_line(u32 dst, std::span<const u8> line);
  void expand_line(u32 dst, std::span<const u8> bits);
  void expand_rows();
  void fill();
  void pattern(std::span<const u8> tile);
  void pattern_of_memory();
  void line_complete();

  std::span<u8> vram_;
  u32 mask_;
  std::function<void(u64, u64)> wrote_;
  Registers r_;
  bool waiting_ = false;
  u32 row_ = 0, filled_ = 0;  // of a transfer from the CPU
  std::array<u8, kLineBytes> line_{};
};

}  // namespace doppel::hw
