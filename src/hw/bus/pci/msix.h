// MSI-X of a PCI function (PCI Local Bus Specification 3.0, 6.8.2): the capability, and a memory BAR of its own with
// the vector table in its lower half and the pending bits in its upper half. The device calls notify(); a vector that
// is masked stays pending and is sent when the guest unmasks it.
//
//   constructor of the function:  msix_(*this, 1, 3)
//   config_written(), reset(), archive(): pass on.
#pragma once
#include <vector>

#include "hw/bus/pci/pci_device.h"

namespace doppel::hw {

class PciMsix final : private MmioHandler {
 public:
  static constexpr u16 kNoVector = 0xffff;
  static constexpr unsigned kMaxVectors = 2048;
  // `vectors`: 1 to kMaxVectors; the BAR `index` must be free.
  PciMsix(PciDevice& device, int index, unsigned vectors);
  unsigned vectors() const { return static_cast<unsigned>(pending_.size()); }
  bool enabled() const;
  void notify(unsigned vector);  // nothing happens for a number that is no vector
  void config_written(u8 offset, unsigned size);
  void reset();
  void archive(StateArchive& ar);

 private:
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {4, 4}; }
  bool masked(unsigned vector) const;
  void send(unsigned vector);
  void send_pending();
  u32& entry(unsigned vector, unsigned word) { return table_[vector * 4 + word]; }

  PciDevice& device_;
  u8 capability_ = 0;
  std::vector<u32> table_;   // four words a vector: address low and high, data, control
  std::vector<u8> pending_;  // one a vector
};

}  // namespace doppel::hw
