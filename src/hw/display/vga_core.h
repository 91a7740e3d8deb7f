// VgaCore: an IBM VGA (PS/2 Hardware Interface Technical Reference, "Video Subsystem") with the Bochs VBE extension
// (DISPI interface, id 0xb0c5) and linear video memory. It owns the memory and the registers; a card (std_vga.h) gives
// it ports and PCI. Memory layout: plane p of plane offset o is byte o * 4 + p. Deviation: chain-4 addresses are bytes
// of that layout one to one (o = address / 4), where the VGA spreads them (o = address & ~3), so that mode 13h and the
// linear modes see memory as a plain array.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "display/surface.h"
#include "hw/core/bus.h"
#include "hw/core/clock.h"
#include "hw/core/mmio.h"
#include "state/archive.h"

namespace doppel::hw {

// Indices of the Bochs DISPI registers and bits of kVbeEnable.
enum VbeIndex : u16 {
  kVbeId,
  kVbeXres,
  kVbeYres,
  kVbeBpp,
  kVbeEnable,
  kVbeBank,
  kVbeVirtWidth,
  kVbeVirtHeight,
  kVbeXOffset,
  kVbeYOffset,
  kVbeVideoMemory64k,
  kVbeCount
};
enum VbeEnableBits : u16 { kVbeEnabled = 1, kVbeGetCaps = 2, kVbe8BitDac = 0x20, kVbeLfb = 0x40, kVbeNoClear = 0x80 };

// A picture whose rows are arrays of pixels.
struct VgaLinearMode {
  u32 width = 0, height = 0, bpp = 8, stride = 0;  // stride: in bytes, not 0
  u64 start = 0;                                   // of the first row in video memory, within it
};

// What a chip has beyond the VGA. Device lock held.
class VgaExtension {
 public:
  virtual ~VgaExtension() = default;
  // Ports, as VgaCore::read_port counts them. False: the VGA's own.
  virtual bool read_port(u32 offset, u8& value) = 0;
  virtual bool write_port(u32 offset, u8 value) = 0;
  // The picture, when the chip is in a mode of its own.
  virtual std::optional<VgaLinearMode> linear_mode() const = 0;
  // The window at 0xa0000. False: as the VGA's registers say.
  virtual bool owns_window() const = 0;
  virtual bool read_window(u32 offset, u8& value) = 0;
  virtual bool write_window(u32 offset, u8 value) = 0;
};

class VgaCore final : public display::Console {
 public:
  struct Params {
    AddressBus& memory;
    Clock& clock;
    std::mutex& lock;            // the device lock, for refresh() and text()
    u32 vram_bytes = 16u << 20;  // a power of two, at least 256 KiB
    VgaExtension* extension = nullptr;
  };
  static constexpr u16 kFirstPort = 0x3b0, kPortCount = 0x30;
  static constexpr u16 kFirstVbePort = 0x1ce, kVbePortCount = 3;  // index, data (0x1cf, 16 bits wide)

  explicit VgaCore(Params p);
  ~VgaCore() override;
  MmioHandler& ports() { return ports_; }  // 0x3b0..0x3df
  MmioHandler& vbe_ports() { return vbe_ports_; }
  u8* vram() { return vram_; }
  u32 vram_bytes() const { return p_.vram_bytes; }
  // Offset is the I/O port's from 0x3b0. Device lock held, as for all below.
  u8 read_port(u32 offset);
  void write_port(u32 offset, u8 value);
  u16 read_vbe(u16 index) const;
  void write_vbe(u16 index, u16 value);
  // For the extension: registers, and what it has changed.
  void set_extension(VgaExtension* extension) { p_.extension = extension; }
  u8 crtc(u8 index) const { return r_.crtc[index & 31]; }
  u8 graphics(u8 index) const { return r_.gfx[index & 15]; }
  u8 crtc_index() const { return r_.crtc_index; }
  u8 attribute_index() const { return r_.attr_index; }
  bool attribute_data_next() const { return r_.attr_flip_flop != 0; }
  u8 dac_mask() const { return r_.dac_mask; }
  bool crtc_at(u32 offset) const;  // does misc output's bit 0 put the CRTC there?
  void registers_changed();
  void memory_changed(u64 first, u64 size);
  void reset();
  void archive(StateArchive& ar);
  std::string info() const;

  // display::Console
  bool refresh(display::Surface& out) override;
  std::string text() override;
  bool in_text_mode() override;

 private:
  struct Regs {
    u8 misc = 0, feature = 0, seq_index = 0, crtc_index = 0, gfx_index = 0, attr_index = 0;
    u8 attr_flip_flop = 0;  // 1: the next write to 0x3c0 is data
    u8 dac_mask = 0xff, dac_read_index = 0, dac_write_index = 0, dac_component = 0, dac_reading = 0;
    std::array<u8, 8> seq{};
    std::array<u8, 32> crtc{};
    std::array<u8, 16> gfx{};
    std::array<u8, 32> attr{};
    std::array<u8, 768> dac{};
    std::array<u8, 3> dac_latch{};
    u16 vbe_index = 0;
    std::array<u16, kVbeCount> vbe{};
  };
  class Ports final : public MmioHandler {
   public:
    explicit Ports(VgaCore& vga) : vga_(vga) {}
    u64 read(u64 offset, unsigned) override { return vga_.read_port(static_cast<u32>(offset)); }
    void write(u64 offset, u64 value, unsigned) override {
      vga_.write_port(static_cast<u32>(offset), static_cast<u8>(value));
    }
    AccessSizes access_sizes() const override { return {1, 1}; }

   private:
    VgaCore& vga_;
  };
  class VbePorts final : public MmioHandler {
   public:
    explicit VbePorts(VgaCore& vga) : vga_(vga) {}
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, u64 value, unsigned size) override;
    AccessSizes access_sizes() const override { return {1, 2}; }

   private:
    VgaCore& vga_;
  };
  class Window final : public MmioHandler {  // 0xa0000..0xbffff
   public:
    explicit Window(VgaCore& vga) : vga_(vga) {}
    u64 read(u64 offset, unsigned) override { return vga_.read_memory(static_cast<u32>(offset)); }
    void write(u64 offset, u64 value, unsigned) override {
      vga_.write_memory(static_cast<u32>(offset), static_cast<u8>(value));
    }
    AccessSizes access_sizes() const override { return {1, 1}; }

   private:
    VgaCore& vga_;
  };
  // The visible frame, derived from the registers before each rendering.
  struct Frame {
    enum class Kind : u8 { Blank, Text, Planar, Linear } kind = Kind::Blank;
    u32 width = 0, height = 0;  // in dots
    bool operator==(const Frame&) const = default;
  };
  // Memory address counter and row scan counter over the lines of a frame.
  struct Scan {
    u32 address = 0, row = 0;
    bool second = false;
  };

  // Registers (vga_registers.cpp)
  u8 status1();
  void write_attribute(u8 value);
  u8 read_dac();
  void write_dac(u8 value);
  template <size_t N>
  void store_reg(std::array<u8, N>& regs, u8 index, u8 value, u8 mask);
  // Memory (vga_memory.cpp)
  u8 read_memory(u32 offset);
  void write_memory(u32 offset, u8 value);
  bool decode(u32 offset, u32& address) const;
  u32 plane_mask32(u8 planes) const;
  void store_planes(u32 plane_offset, u8 value, u8 planes);
  void map_window();
  void touch(u32 byte) {
    touched_[byte >> 12] = true;
    any_touched_ = true;
  }
  bool vbe_on() const { return (r_.vbe[kVbeEnable] & kVbeEnabled) != 0; }
  bool vbe_linear() const { return vbe_on() && r_.vbe[kVbeBpp] >= 8; }
  std::optional<VgaLinearMode> linear() const;
  u32 vbe_stride() const;  // bytes a row (of one plane with 4 bits a pixel)
  // VBE (vbe_dispi.cpp)
  void fix_vbe();
  void enable_vbe(u16 value);
  // Rendering (vga_render.cpp, vga_text.cpp)
  Frame frame() const;
  void update();
  void build_palettes();
  void render_standard(const Frame& frame);
  void render_linear(const Frame& frame, const std::vector<bool>* rows);
  void render_text_row(const Scan& scan, u32 columns, u32* line);
  void render_planar_row(const Scan& scan, u32 columns, u32* line) const;
  u32 display_address(u32 counter, u32 row) const;
  u32 start_address() const;
  u32 line_compare() const;
  void next_line(Scan& scan) const;
  bool cursor_visible() const;
  bool blink_phase() const;
  u64 frame_number() const;
  s64 frame_ns() const;
  s64 line_ns() const;
  u32 vertical_total() const;
  bool dirty_rows(const Frame& frame, std::vector<bool>& rows);

  Params p_;
  Ports ports_{*this};
  VbePorts vbe_ports_{*this};
  Window window_{*this};
  void* vram_block_ = nullptr;  // what vram_ is aligned within
  u8* vram_ = nullptr;
  Regs r_;
  u32 latch_ = 0;
  std::unique_ptr<MappedWindow> legacy_;
  std::map<u64, std::unique_ptr<MappedWindow>> direct_;  // by offset into vram: one a bank that was used
  MappedWindow* shown_ = nullptr;                        // the one that is mapped now
  u64 direct_base_ = ~u64{0};                            // into vram; ~0: not mapped
  // Rendering
  std::vector<bool> touched_;  // pages written through the window
  bool any_touched_ = false;
  bool redraw_ = true;  // registers changed: everything is drawn anew
  bool last_cursor_ = false, last_blink_ = false;
  Frame last_frame_;
  display::Surface picture_;
  std::vector<bool> pages_;  // scratch for take_dirty
  u64 generation_ = 1;       // of picture_
  struct Viewer {
    const display::Surface* surface;
    u64 generation;
  };
  std::vector<Viewer> viewers_;
  std::array<u32, 16> palette16_{};
  std::array<u32, 256> palette256_{};
};

}  // namespace doppel::hw
