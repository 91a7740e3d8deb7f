// Intel 82093AA I/O APIC (290566), with the EOI register and version of later chipsets (ICH). 24 pins, edge and level,
// remote IRR, all delivery modes. The window (at 0xfec00000, 4 KiB) takes 32-bit accesses. Device lock held on every
// call.
#pragma once
#include <array>

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/mmio.h"
#include "hw/intc/apic_bus.h"

namespace doppel::hw {

class IoApic82093 final : public Device, public MmioHandler {
 public:
  static constexpr unsigned kPins = 24;
  struct Params {
    ApicBus& bus;
    u8 version = 0x20;  // 0x11: the chip itself, without the EOI register
    u8 id = 0;          // after reset; firmware may change it
  };
  explicit IoApic82093(Params p);
  IrqLine pin(unsigned n);
  void eoi(u8 vector);
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {4, 4}; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

 private:
  u32 read_register(u8 index) const;
  void write_register(u8 index, u32 value);
  void set_pin(unsigned n, bool level);
  void service(unsigned n);

  Params p_;
  std::array<u64, kPins> redirection_{};
  u32 levels_ = 0;  // pins that are high
  u32 irr_ = 0;     // pins with a request not yet delivered (edge), or high (level)
  u8 id_ = 0, index_ = 0;
};

}  // namespace doppel::hw
