// VirtioPci: virtio over PCI (virtio 1.2, 4.1), for any VirtioDevice. Transitional by default: legacy drivers use the
// ports of BAR0 (4.1.4.10), others the structures that vendor capabilities point at, in BAR4. Interrupts by MSI-X
// (BAR1) or INTA#.
//
//   BAR4: 0x0000 common configuration | 0x1000 ISR | 0x2000 device configuration | 0x3000 notification, 4 bytes a queue
#pragma once
#include <memory>

#include "hw/bus/pci/msix.h"
#include "hw/bus/virtio/virtio_device.h"

namespace doppel::hw {

class VirtioPci final : public PciDevice, private VirtioTransport {
 public:
  struct Params {
    std::unique_ptr<VirtioDevice> device;
    u32 class_code = 0xff0000;
    bool legacy = true, modern = true;  // one of them at least
    unsigned vectors = 2;               // of MSI-X; 0: none
    std::vector<u8> rom = {};
  };
  explicit VirtioPci(Params p);
  ~VirtioPci() override;
  u32 config_read(u8 offset, unsigned size) override;
  void reset() override;
  void archive(StateArchive& ar) override;
  void sleep() override { device_->sleep(); }
  void wake() override { device_->wake(); }
  void leave() override { device_->leave(); }
  std::string info() const override;
  VirtioDevice& device() { return *device_; }
  const VirtioDevice& device() const { return *device_; }

 private:
  class Ports;
  class Structures;
  // VirtioTransport
  DmaPort& dma() override { return PciDevice::dma(); }
  bool dma_allowed() const override { return (command() & pci::kBusMaster) != 0; }
  void queue_interrupt(u16 vector) override { interrupt(virtio::kIsrQueue, vector); }
  void config_interrupt() override { interrupt(virtio::kIsrQueue | virtio::kIsrConfig, config_vector_); }

  void config_written(u8 offset, unsigned size) override;
  void add_structures();
  u8 add_structure(u8 type, u32 offset, u32 length, u8 size);
  MmioHandler* window(u64& offset, unsigned& size);
  void interrupt(u8 isr, u16 vector);
  u8 take_isr();
  u16 checked_vector(u64 value) const;
  void reset_device();
  Virtqueue* selected();

  // virtio_pci_legacy.cpp
  u64 legacy_read(u64 offset, unsigned size);
  void legacy_write(u64 offset, u64 value, unsigned size);
  u32 legacy_config_at() const { return msix_ && msix_->enabled() ? 24 : 20; }
  void legacy_place(u32 page);

  // virtio_pci_modern.cpp
  u64 common_read(u64 offset, unsigned size);
  void common_write(u64 offset, u64 value, unsigned size);

  std::unique_ptr<VirtioDevice> device_;
  std::unique_ptr<PciMsix> msix_;
  std::unique_ptr<Ports> ports_;
  std::unique_ptr<Structures> structures_;
  u8 cfg_capability_ = 0;  // the window on the structures in configuration space
  bool was_master_ = false;
  u8 isr_ = 0;
  u16 config_vector_ = virtio::kNoVector, queue_select_ = 0;
  u32 device_select_ = 0, driver_select_ = 0;
};

}  // namespace doppel::hw
