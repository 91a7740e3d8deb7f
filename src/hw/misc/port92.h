// Port 0x92, system control port A (PS/2): bit 0 pulses a CPU reset, bit 1 is the fast A20 gate. Window of 1 port.
// Device lock held.
#pragma once
#include <functional>

#include "hw/core/device.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class Port92 final : public Device, public MmioHandler {
 public:
  struct Params {
    std::function<void(bool on)> a20;
    std::function<bool()> a20_state;  // optional: what the A20 gate is now (the i8042 moves it too)
    std::function<void()> reset_request;
  };
  explicit Port92(Params p) : p_(std::move(p)) {}
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 1}; }
  void reset() override { value_ = 0; }
  void archive(StateArchive& ar) override { ar.field("value", value_); }

 private:
  Params p_;
  u8 value_ = 0;
};

}  // namespace doppel::hw
