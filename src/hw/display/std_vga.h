// Standard VGA: VgaCore on a PCI card, 1234:1111 (class VGA). BAR0: video memory, prefetchable. BAR2: 4 KiB of
// registers: EDID at 0, the VGA's ports 0x3c0-0x3df at 0x400, the DISPI registers (16 bits each) at 0x500, and a
// byte-order register at 0x604. The card answers the legacy ports and 0xa0000-0xbffff as long as the board maps them
// (VgaCore).
#pragma once
#include <vector>

#include "hw/bus/pci/pci_device.h"
#include "hw/display/vga_core.h"

namespace doppel::hw {

class StdVga final : public PciDevice, private MmioHandler {
 public:
  struct Params {
    VgaCore::Params core;
    std::vector<u8> rom;  // the VGA BIOS; empty: none
  };
  explicit StdVga(Params p);
  VgaCore& core() { return core_; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override { return core_.info(); }

 private:
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 4}; }
  VgaCore core_;
  std::array<u8, 128> edid_;
};

}  // namespace doppel::hw
