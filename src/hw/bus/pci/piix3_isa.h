// Intel 82371SB (PIIX3) PCI-to-ISA bridge, PCI function 0, 8086:7000 (document 290550), or 8086:7110 as the PIIX4's
// (document 290562), which has the same routing registers.
// Models the PIRQ routing registers and the reset control register. ELCR is part of the 8259 pair; the IDE and PM
// functions are PciDevices of their own.
#pragma once
#include <array>
#include <functional>

#include "hw/bus/pci/pci_device.h"
#include "hw/core/irq.h"

namespace doppel::hw {

class Piix3Isa final : public PciDevice {
 public:
  struct Params {
    std::array<IrqLine, 16>
        irq;  // ISA interrupts as inputs of the board's OR gates (PIRQs can reach 3-7, 9-12, 14, 15)
    u16 device_id = 0x7000;
    std::function<void()> reset_request;  // RCR: hard or soft reset of the machine
  };
  explicit Piix3Isa(Params p);
  IrqLine pirq(unsigned n);                                // input of PIRQA..D: PciBus::connect_pirq(n, isa.pirq(n))
  MmioHandler& reset_control() { return reset_control_; }  // port 0xcf9, one byte
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;
  // The ISA interrupt that PIRQ n goes to now; -1: none. For MP tables.
  int route(unsigned n) const;

 protected:
  void config_written(u8 offset, unsigned size) override;

 private:
  class ResetControl final : public MmioHandler {
   public:
    explicit ResetControl(Piix3Isa& isa) : isa_(isa) {}
    u64 read(u64, unsigned) override { return isa_.rcr_; }
    void write(u64 offset, u64 value, unsigned size) override;

   private:
    Piix3Isa& isa_;
  };
  void set_pirq(unsigned n, bool level);
  void drive();

  Params p_;
  ResetControl reset_control_{*this};
  u8 rcr_ = 0;
  std::array<bool, 4> pirq_level_{};
  u16 driven_ = 0;  // ISA interrupts we hold high
};

}  // namespace doppel::hw
