// PCI configuration mechanism #1: CONFADD at offset 0 (I/O port 0xcf8) and CONFDATA at offset 4 (0xcfc), eight ports in
// all. Byte accesses at offset 1 belong to the south bridge's reset control register (port 0xcf9), which overlaps
// CONFADD.
#pragma once
#include "hw/bus/pci/pci_bus.h"
#include "hw/core/device.h"

namespace doppel::hw {

class PciConfigPorts final : public Device, public MmioHandler {
 public:
  struct Params {
    PciBus& bus;
    MmioHandler* reset_control = nullptr;  // Piix3Isa::reset_control()
  };
  explicit PciConfigPorts(Params p) : p_(p) {}
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 4}; }
  void reset() override { address_ = 0; }
  void archive(StateArchive& ar) override { ar.field("address", address_); }

 private:
  Params p_;
  u32 address_ = 0;
};

}  // namespace doppel::hw
