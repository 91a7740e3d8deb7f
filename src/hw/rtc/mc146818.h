// Motorola MC146818A real-time clock and CMOS RAM, with the 128 bytes and century byte (0x32) of PC chipsets. Time runs
// with the clock it is given; nothing ticks: the registers are computed from the clock when read, and one timer waits
// for the next interrupt that is enabled (update-ended, alarm, periodic). Missed periodic ticks count as one. UIP is up
// for 244 us before an update. Window of 2 ports (at 0x70): index, data. Device lock held.
#pragma once
#include <array>
#include <functional>
#include <string_view>

#include "base/result.h"
#include "hw/core/clock.h"
#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class Mc146818 final : public Device, public MmioHandler {
 public:
  struct Params {
    Clock& clock;
    IrqLine irq;
    s64 start_seconds = 0;  // the guest's date at clock time 0, seconds since 1970 (see rtc_start_seconds)
    u8 century = 0x32;      // index of the century byte; 0: none
    std::function<void(bool masked)> nmi_mask;  // bit 7 of the index port; optional
    std::function<void(s64 seconds)> date_set;  // by the guest, to so many seconds from where it would be; optional
  };
  explicit Mc146818(Params p);
  // Firmware bytes (0x0e-0x7f) set by the board; they survive reset.
  void set_nvram(u8 index, u8 value) { ram_[index & 0x7f] = value; }
  u8 nvram(u8 index) const { return ram_[index & 0x7f]; }
  void set_irq_enabled(bool on);  // the HPET's legacy replacement takes interrupt 8 away
  s64 guest_seconds() const;      // the guest's date now
  s64 until_update() const { return running() ? kNsPerSecond - subsecond() : 0; }  // ns
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 1}; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

 private:
  enum : u8 {
    kSeconds,
    kSecondsAlarm,
    kMinutes,
    kMinutesAlarm,
    kHours,
    kHoursAlarm,
    kDayOfWeek,
    kDay,
    kMonth,
    kYear,
    kA,
    kB,
    kC,
    kD
  };
  bool running() const;   // divider counts and SET is clear
  s64 subsecond() const;  // ns
  void fill_time();       // current date into ram_[0..9] and the century
  void take_time();       // date in ram_ becomes the guest's date
  s64 period_ns() const;  // 0: off
  void restart_periodic();
  void catch_up();  // sets the flags of what happened since the last look
  void update_irq();
  void arm();
  s64 next_alarm(s64 after_second) const;  // guest second at which the alarm matches next; -1: never
  u8 to_reg(unsigned v) const;
  unsigned from_reg(u8 v) const;
  u8 hour_to_reg(unsigned hour) const;
  unsigned hour_from_reg(u8 v) const;
  u8 read_register(u8 index);
  void write_register(u8 index, u8 value);
  void write_a(u8 value);
  void write_b(u8 value);

  Params p_;
  Timer timer_;
  std::array<u8, 128> ram_{};
  u8 index_ = 0;
  s64 offset_seconds_ = 0;  // guest time = offset + clock + phase
  s64 phase_ns_ = 0;
  s64 seen_second_ = 0;     // last guest second whose update was handled
  s64 periodic_next_ = -1;  // clock time of the next periodic flag; -1: off
  bool irq_enabled_ = true;
};

// "utc", "localtime", "2024-02-29T12:00:00" or "2024-02-29": the date the RTC starts with.
Result<s64> rtc_start_seconds(std::string_view base);

}  // namespace doppel::hw
