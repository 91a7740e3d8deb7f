// Ahci: the SATA controller of an ICH9 in AHCI mode, 8086:2922 (Intel ICH9 datasheet, document 316972; AHCI 1.3.1): six
// ports of 32 commands, native command queuing, 64-bit addresses, INTx. Not there: legacy IDE modes, port multipliers,
// staggered spin-up, command completion coalescing, message-signalled interrupts.
#pragma once
#include <array>
#include <memory>

#include "hw/block/ahci_port.h"
#include "hw/bus/pci/pci_device.h"

namespace doppel::hw {

class Ahci final : public PciDevice, private MmioHandler {
 public:
  struct Params {
    std::array<std::unique_ptr<IdeDrive>, ahci::kPorts> drives;  // null: nothing there
    std::mutex* device_lock = nullptr;                           // null: synchronous
  };
  explicit Ahci(Params p);
  ~Ahci() override;
  IdeDrive* drive(unsigned port) const { return ports_[port]->drive(); }
  void reset() override;
  void archive(StateArchive& ar) override;
  void leave() override;
  void sleep() override;
  void wake() override;
  std::string info() const override;

 private:
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {4, 4}; }
  void update_interrupt();
  void reset_controller();
  u32 pending() const;

  std::array<std::unique_ptr<AhciPort>, ahci::kPorts> ports_;
  u32 control_ = ahci::kGhcAhci, status_ = 0;
};

}  // namespace doppel::hw
