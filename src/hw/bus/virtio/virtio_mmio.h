// VirtioMmio: virtio over memory-mapped registers (virtio 1.2, 4.2), for boards without PCI. A window of 512 bytes, one
// level-triggered line. Version 2 only: the legacy interface is not there.
#pragma once
#include <memory>

#include "hw/bus/virtio/virtio_device.h"
#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class VirtioMmio final : public Device, public MmioHandler, private VirtioTransport {
 public:
  static constexpr u64 kWindow = 0x200;
  struct Params {
    std::unique_ptr<VirtioDevice> device;  // null: an empty place, which reads as device number 0
    IrqLine irq = {};
    DmaPort& dma;
  };
  explicit VirtioMmio(Params p);
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 4}; }
  void reset() override;
  void archive(StateArchive& ar) override;
  void sleep() override;
  void wake() override;
  std::string info() const override;

 private:
  DmaPort& dma() override { return p_.dma; }
  bool dma_allowed() const override { return true; }
  void queue_interrupt(u16) override { interrupt(virtio::kIsrQueue); }
  void config_interrupt() override { interrupt(virtio::kIsrConfig); }
  void interrupt(u8 bits);
  void queue_write(u64 offset, u32 value);
  Virtqueue* selected();

  Params p_;
  u8 interrupt_ = 0;
  u32 device_select_ = 0, driver_select_ = 0, queue_select_ = 0;
};

}  // namespace doppel::hw
