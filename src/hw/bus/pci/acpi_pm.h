// ACPI fixed hardware (ACPI 1.0b section 4.7): PM1 event and control, the 3.579545 MHz power management timer (24
// bits), one GPE block of 16 events. Shared by chipsets' power management functions; raises SCI.
#pragma once
#include <functional>

#include "hw/core/clock.h"
#include "hw/core/irq.h"
#include "state/archive.h"

namespace doppel::hw {

class AcpiPm {
 public:
  struct Params {
    Clock& clock;
    IrqLine sci;
    std::function<void(unsigned slp_typ)> on_sleep;  // SLP_EN was written
  };
  enum Pm1 : u16 {
    kTmr = 1 << 0,
    kBm = 1 << 4,
    kGbl = 1 << 5,
    kPwrBtn = 1 << 8,
    kSlpBtn = 1 << 9,
    kRtc = 1 << 10,
    kWak = 1 << 15
  };
  enum Control : u16 { kSciEn = 1 << 0, kBmRld = 1 << 1, kGblRls = 1 << 2, kSlpTyp = 7 << 10, kSlpEn = 1 << 13 };

  explicit AcpiPm(Params p);
  void reset();
  void archive(StateArchive& ar);
  u16 pm1_status();
  void clear_pm1_status(u16 bits);
  u16 pm1_enable() const { return enable_; }
  void set_pm1_enable(u16 value);
  u16 pm1_control() const { return control_; }
  void set_pm1_control(u16 value);
  void set_sci_enabled(bool on);  // ACPI_ENABLE, ACPI_DISABLE through the SMI command port
  u32 timer_value() const;
  u16 gpe_status() const { return gpe_status_; }
  void clear_gpe_status(u16 bits);
  u16 gpe_enable() const { return gpe_enable_; }
  void set_gpe_enable(u16 value);
  void raise_gpe(unsigned bit);
  void raise_pm1(u16 bits);  // power button, RTC alarm, wake

 private:
  u64 ticks() const;
  void update();
  void arm_timer();
  Params p_;
  Timer overflow_;
  u16 status_ = 0, enable_ = 0, control_ = 0, gpe_status_ = 0, gpe_enable_ = 0;
  u64 next_overflow_ = 0;  // in ticks: when bit 23 next changes
};

}  // namespace doppel::hw
