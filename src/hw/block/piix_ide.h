// PIIX3 IDE function, 8086:7010, or the PIIX4's, 8086:7111 (document 290550, sections 2.3 and 3.5): two channels at the
// legacy ports, bus master registers in BAR4. The board maps channel(0).command_block() at 0x1f0, control_block() at
// 0x3f6, channel(1)'s at 0x170 and 0x376; they answer whether or not IDETIM enables decoding, as the board's firmware
// expects.
#pragma once
#include "hw/block/bus_master.h"
#include "hw/block/ide_channel.h"
#include "hw/bus/pci/pci_device.h"

namespace doppel::hw {

class PiixIde final : public PciDevice, private MmioHandler {
 public:
  struct Params {
    Clock& clock;
    std::array<IrqLine, 2> irq;                                      // ISA interrupts 14 and 15
    std::array<std::array<std::unique_ptr<IdeDrive>, 2>, 2> drives;  // [channel][master, slave]; null: nothing there
    s64 command_delay_ns = 0;
    std::mutex* device_lock = nullptr;  // null: DMA and flushes are done at once
    u16 device_id = 0x7010;
  };
  explicit PiixIde(Params p);
  ~PiixIde() override;
  IdeChannel& channel(unsigned n) { return *channels_[n]; }
  IdeDrive* drive(unsigned channel, unsigned unit) { return channels_[channel]->drive(unit); }

  void reset() override;
  void archive(StateArchive& ar) override;
  void sleep() override;
  void wake() override;
  std::string info() const override;

 private:
  u64 read(u64 offset, unsigned size) override;  // BAR4
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 4}; }

  std::array<std::unique_ptr<BusMaster>, 2> masters_;
  std::array<std::unique_ptr<IdeChannel>, 2> channels_;
};

}  // namespace doppel::hw
