// Cirrus Logic GD5446 on PCI, 1013:00b8 (Technical Reference Manual, 385446-001): the VGA with the extended sequencer,
// graphics and CRT controller registers, packed-pixel modes of 8 to 32 bits, banks at 0xa0000, the hidden DAC register,
// and the blitter. BAR0: 4 MiB of video memory, and in its upper half the window for transfers from the CPU. BAR1: the
// VGA's ports and the blitter's registers in memory. Not modelled: video overlay, the hardware cursor, extended write
// modes, transfers to the CPU, the clocks.
#pragma once
#include "hw/bus/pci/pci_device.h"
#include "hw/display/cirrus_blitter.h"
#include "hw/display/vga_core.h"

namespace doppel::hw {

class CirrusVga final : public PciDevice, private VgaExtension {
 public:
  struct Params {
    VgaCore::Params core;  // its memory is the chip's own 4 MiB
    std::vector<u8> rom;   // the VGA BIOS; empty: none
  };
  explicit CirrusVga(Params p);
  ~CirrusVga() override;
  VgaCore& core() { return core_; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override { return core_.info(); }

 protected:
  void config_written(u8 offset, unsigned size) override;

 private:
  static constexpr unsigned kSeqCount = 0x20, kGfxCount = 0x40, kCrtcCount = 0x40;
  class Aperture final : public MmioHandler {  // BAR0 where it is not plain memory
   public:
    explicit Aperture(CirrusVga& vga) : vga_(vga) {}
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, u64 value, unsigned size) override;
    AccessSizes access_sizes() const override { return {1, 1}; }

   private:
    CirrusVga& vga_;
  };
  class MmioRegisters final : public MmioHandler {  // BAR1
   public:
    explicit MmioRegisters(CirrusVga& vga) : vga_(vga) {}
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, u64 value, unsigned size) override;
    AccessSizes access_sizes() const override { return {1, 1}; }

   private:
    CirrusVga& vga_;
  };
  // VgaExtension
  bool read_port(u32 offset, u8& value) override;
  bool write_port(u32 offset, u8 value) override;
  std::optional<VgaLinearMode> linear_mode() const override;
  bool owns_window() const override { return packed() || blitter_.waits(); }
  bool read_window(u32 offset, u8& value) override;
  bool write_window(u32 offset, u8 value) override;

  bool packed() const;
  bool bank(u32 offset, u32& address) const;
  u8 read_sequencer() const;
  bool write_sequencer(u8 value);
  u8 read_graphics() const;
  bool write_graphics(u8 value);
  void write_blit_control(u8 value);
  u8 read_crtc(u8 index) const;
  u8 read_mask();
  bool write_mask(u8 value);
  CirrusBlitter::Registers blit_registers() const;
  void feed(u8 byte);
  void show_memory();
  void put(u32 address, u8 value);

  Aperture aperture_{*this};
  MmioRegisters mmio_{*this};
  VgaCore core_;
  CirrusBlitter blitter_;
  u8 seq_index_ = 0, gfx_index_ = 0, hidden_dac_ = 0, mask_reads_ = 0;
  std::array<u8, kSeqCount> seq_{};
  std::array<u8, kGfxCount> gfx_{};
  std::array<u8, kCrtcCount> crtc_{};
  std::unique_ptr<MappedWindow> memory_;  // the video memory over the aperture
};

}  // namespace doppel::hw
