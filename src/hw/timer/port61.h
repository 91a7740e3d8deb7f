// Port 0x61, system control port B (PIIX3 "NMI status and control", 290550 section 2.4): gate and output of PIT counter
// 2, speaker enable, refresh toggle, SERR#/IOCHK# status and enables. Boot code calibrates through it: a read computes
// bits from the clock. Window of 1 port. Device lock held.
#pragma once
#include <functional>

#include "hw/core/clock.h"
#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/mmio.h"
#include "hw/timer/i8254.h"

namespace doppel::hw {

class Port61 final : public Device, public MmioHandler {
 public:
  struct Params {
    Clock& clock;
    I8254& pit;
    IrqLine nmi;                                // NMI request of SERR#/IOCHK#; mask (port 0x70 bit 7) is the board's
    std::function<void(bool on, u32 hz)> tone;  // speaker; optional
  };
  explicit Port61(Params p);
  void set_serr(bool asserted);
  void set_iochk(bool asserted);
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 1}; }
  void reset() override;
  void archive(StateArchive& ar) override;

 private:
  void update_nmi();
  Params p_;
  u8 control_ = 0;  // bits 3..0 as written
  u8 errors_ = 0;   // bits 7 (SERR), 6 (IOCHK)
};

}  // namespace doppel::hw
