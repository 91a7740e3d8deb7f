// Galileo GT-64120 system controller for MIPS CPUs (data sheet, February 1999): the address decoding of its own
// registers and of the PCI windows, configuration cycles, interrupt acknowledge, and its host bridge function
// 00:00.0, 11ab:4620. DRAM timing, DMA channels and its timers are storage.
//
// Registers are little-endian in memory. Configuration data of other functions is swapped when the PCI command register
// says so, as it does after a reset of a big-endian CPU. Device lock held.
#pragma once
#include <array>
#include <functional>

#include "hw/bus/pci/pci_bus.h"

namespace doppel::hw {

class Gt64120 final : public PciDevice, public MmioHandler {
 public:
  // A window of the CPU's physical addresses.
  struct Range {
    u64 start = 0, size = 0;  // size 0: off
    u64 target = 0;           // the address on the bus
    bool operator==(const Range&) const = default;
  };
  struct Decoding {
    u64 registers = 0;  // of the internal space
    Range io, memory0, memory1;
    bool operator==(const Decoding&) const = default;
  };
  struct Params {
    PciBus& bus;
    std::function<u8()> interrupt_acknowledge;
    std::function<void(const Decoding&)> on_decoding;  // called on reset too
    bool big_endian = false;
  };
  static constexpr u64 kRegisterBytes = 0x1000;
  explicit Gt64120(Params p);

  u64 read(u64 offset, unsigned size) override;  // its registers
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {4, 4}; }
  void reset() override;
  void archive(StateArchive& ar) override;
  // As the firmware programs it: the registers at `registers`, the PCI windows.
  void program(u64 registers, const Range& io, const Range& memory);

 private:
  // The internal space repeats after its last register.
  u32& reg(u64 offset) { return regs_[offset % kRegisterBytes / 4]; }
  u32 reg(u64 offset) const { return regs_[offset % kRegisterBytes / 4]; }
  Decoding decoding() const;
  void tell(bool always);
  u32 config_data() const;
  bool swaps() const;

  Params p_;
  std::array<u32, kRegisterBytes / 4> regs_{};
  Decoding told_;
};

}  // namespace doppel::hw
