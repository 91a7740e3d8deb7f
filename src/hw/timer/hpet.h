// High precision event timer (IA-PC HPET specification 1.0a): a 64-bit counter at 100 MHz, 3 to 32 comparators,
// periodic mode, legacy replacement routing, FSB (MSI) delivery. Window of 1 KiB at 0xfed00000; 32- and 64-bit
// accesses. Device lock held.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "hw/core/clock.h"
#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/mmio.h"
#include "hw/core/ticks.h"

namespace doppel::hw {

class Hpet final : public Device, public MmioHandler {
 public:
  static constexpr u32 kPeriodFs = 10'000'000;  // 10 ns
  struct Params {
    Clock& clock;
    std::vector<IrqLine> irq;                        // by I/O APIC pin; routes that aren't there are not offered
    IrqLine legacy_timer, legacy_rtc;                // interrupts 0 and 8 while legacy replacement is on
    std::function<void(bool on)> legacy;             // legacy replacement changed: the PIT and RTC lose their lines
    std::function<void(u64 address, u32 data)> msi;  // optional
    unsigned comparators = 3;
    u32 routes = 0x00f00104;  // pins offered in INT_ROUTE_CAP: 2, 8, 20-23
  };
  explicit Hpet(Params p);
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {4, 8}; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;
  bool legacy_mode() const { return (config_ & 2) != 0; }

 private:
  struct Comparator {
    u64 config = 0, comparator = ~u64{0}, period = 0, fsb = 0;
    std::unique_ptr<Timer> timer;
    TickDebt debt;        // periodic
    TickCadence cadence;  // not periodic
  };
  u64 counter() const;
  u64 read64(u64 offset) const;
  void write64(u64 offset, u64 value, u64 mask);
  void write_config(u64 value);
  void write_comparator_config(unsigned n, u64 value);
  void write_comparator(unsigned n, u64 value, u64 mask);
  void arm(unsigned n, bool after_match = false);
  s64 patience(const Comparator& c) const;
  void advance_periodic(Comparator& c);
  void lower(unsigned n);
  void arm_all();
  void fired(unsigned n);
  const IrqLine* line(unsigned n) const;
  bool running() const { return (config_ & 1) != 0; }
  static s64 period_ns(const Comparator& c);
  static u64 width(const Comparator& c);  // mask of the comparator's bits

  Params p_;
  std::vector<Comparator> timers_;
  u64 config_ = 0, status_ = 0;
  u64 counter_base_ = 0;  // counter when it was started or stopped
  s64 started_ = 0;       // clock time of the start
};

}  // namespace doppel::hw
