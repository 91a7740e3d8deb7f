// PciBus: PCI bus 0. Finds functions for the host bridge's configuration cycles and collects INTx# into the four PIRQ
// lines, by default swizzled by slot as the pc board wires them: PIRQ = (slot + pin - 2) mod 4, that is slot 1
// INTA# -> PIRQA, slot 2 INTA# -> PIRQB...
#pragma once
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "hw/bus/pci/pci_device.h"
#include "hw/core/irq.h"

namespace doppel::hw {

class PciBus final {
 public:
  struct Params {
    AddressBus& memory;
    PortBus& ports;
    DmaPort& dma;
    std::function<void(u64 address, u32 data)> msi = {};      // a message-signalled interrupt; empty: nobody hears it
    unsigned (*pirq_of)(u8 devfn, u8 pin) = PciBus::pirq_of;  // the board's wiring
  };
  explicit PciBus(Params p) : p_(p) {}
  ~PciBus();  // devices that are still plugged in lose their windows; memory and port bus must be alive
  // Where PIRQA..PIRQD go (the ISA bridge's pirq(n)). Levels now high are driven at once.
  void connect_pirq(unsigned n, IrqLine line);

  // Plugs a function in; it may be destroyed before or after the bus. ASSERTs when the place is taken.
  void attach(u8 devfn, PciDevice& device);
  void detach(PciDevice& device);
  // The same while CPUs run: the windows are closed at once, and freed with the device, when no CPU can be at its way
  // in.
  void withdraw(PciDevice& device);
  // First slot from `from` up whose eight functions are all free; -1: bus full.
  int free_slot(unsigned from = 2) const;
  PciDevice* at(u8 devfn) const { return functions_[devfn]; }

  // Configuration cycles: offset may be unaligned; an absent function reads all ones.
  u32 config_read(u8 bus, u8 devfn, u8 offset, unsigned size);
  void config_write(u8 bus, u8 devfn, u8 offset, u32 value, unsigned size);

  AddressBus& memory() { return p_.memory; }
  PortBus& ports() { return p_.ports; }
  DmaPort& dma() { return p_.dma; }
  void send_msi(u64 address, u32 data) {
    if (p_.msi) p_.msi(address, data);
  }
  static unsigned pirq_of(u8 devfn, u8 pin) { return (pci::slot_of(devfn) + pin - 2) & 3; }
  std::string describe() const;  // info pci

 private:
  friend class PciDevice;
  void set_intx(const PciDevice& device, bool level);  // called on changes only

  Params p_;
  std::array<PciDevice*, 256> functions_{};
  std::array<IrqLine, 4> pirq_;
  std::array<u32, 4> asserted_{};  // how many functions drive each PIRQ
};

}  // namespace doppel::hw
