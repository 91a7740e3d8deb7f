// Intel 8254 programmable interval timer (231164): three 16-bit counters at 1.193182 MHz, six modes, BCD, counter and
// status latch. Counter 0's OUT is an interrupt line, counter 1 refreshed memory once, counter 2 has a gate (port 0x61)
// and drives the speaker. Values are computed from the clock when read; only counter 0 has a timer, for the edges of
// its OUT. When time jumps over several periods a few of the missed ones are made up for (ticks.h). Window of 4 ports
// (at 0x40). Device lock held.
#pragma once
#include <array>

#include "hw/core/clock.h"
#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/mmio.h"
#include "hw/core/ticks.h"

namespace doppel::hw {

class I8254 final : public Device, public MmioHandler {
 public:
  static constexpr u64 kHz = 1'193'182;
  struct Params {
    Clock& clock;
    IrqLine irq;
  };
  explicit I8254(Params p);
  bool out(unsigned n) const;  // OUT pin, from the clock
  bool gate(unsigned n) const { return channel_[n].gate; }
  void set_gate(unsigned n, bool level);
  u32 reload(unsigned n) const { return channel_[n].count; }  // 1..65536: the speaker's tone is kHz / reload
  u8 mode(unsigned n) const { return channel_[n].mode; }
  void set_irq_enabled(bool on);  // the HPET's legacy replacement takes interrupt 0 away
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 1}; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

 private:
  struct Channel {
    u32 count = 0x10000;       // initial count in the counting element (binary), 1..65536
    u32 next_count = 0x10000;  // written in modes 2, 3 while counting: loaded at the end of the period
    s64 start = 0;             // clock time of the load, or of the current period when next_pending
    u64 frozen = 0;            // ticks elapsed when the gate stopped counting
    u16 latch = 0;
    u8 latched = 0;  // bytes still latched: bit 0 low, bit 1 high
    u8 status = 0;
    bool status_latched = false;
    u8 mode = 0, access = 3;
    bool bcd = false;
    u8 write_low = 0;
    bool write_high_next = false, read_high_next = false;
    bool loaded = false;     // a count was written since the control word
    bool triggered = false;  // modes 1, 5: the gate rose since
    bool gate = true, next_pending = false;
  };
  bool counting(const Channel& c) const;
  u64 elapsed(const Channel& c) const;
  u16 value(unsigned n) const;
  bool out_of(const Channel& c) const;
  void settle(Channel& c) const;  // takes over next_count at a period's end
  void load(unsigned n, u32 count);
  void write_count(unsigned n, u8 value);
  void write_control(u8 value);
  void latch_count(unsigned n);
  void latch_status(unsigned n);
  void program_irq();  // counter 0 was reprogrammed
  void arm();
  void fired();

  Params p_;
  Timer timer_;
  mutable std::array<Channel, 3> channel_{};  // settle() works on reads too
  bool irq_enabled_ = true;
  TickDebt debt_;
  s64 due_ = 0;  // when the edge that the timer waits for is due
};

}  // namespace doppel::hw
