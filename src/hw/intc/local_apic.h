// Local APIC of one CPU: xAPIC and x2APIC (Intel SDM volume 3, chapter "APIC"). Version 0x14, six LVT entries.
//
// Threads. Only the CPU's own thread changes ISR, TPR, PPR and takes bits out of IRR; any thread may put bits into IRR.
// All of them are atomics with this rule: a sender sets IRR, then looks at PPR; the owner sets PPR, then looks at IRR
// (sequentially consistent), so that one of the two sees the request. Senders only ever raise apic_event; the owner
// alone lowers it, and looks again after. acknowledge, CR8, EOI and the MSRs need no lock. The timer has a lock of its
// own (order: device lock, timer lock, clock).
//
// Not modelled: performance counter and thermal LVT delivery (registers only), remote read, focus processor checking,
// arbitration id rotation on the serial APIC bus (the arbitration register is derived).
#pragma once
#include <array>
#include <atomic>
#include <functional>
#include <mutex>

#include "hw/core/clock.h"
#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/ticks.h"
#include "hw/intc/apic_bus.h"

namespace doppel::hw {

class LocalApic final : public Device {
 public:
  struct Params {
    ApicBus& bus;
    Clock& clock;  // bus clock: 1 GHz of this
    u32 id = 0;    // initial APIC id
    bool bsp = false;
    bool x2apic = true;  // CPUID says so
    bool tsc_deadline = true;
    bool virtual_wire = true;                      // BSP leaves reset with LINT0 as ExtINT, as firmware would set it
    std::function<void(bool pending)> apic_event;  // an interrupt can be acknowledged. Any thread, lock-free
    std::function<void()> nmi, smi, init;          // any thread, lock-free
    std::function<void(u8 vector)> sipi;
    std::function<s64(u64 tsc)> tsc_to_ns;      // virtual time at which the CPU's TSC reaches a value
    std::function<void(u64 msr)> base_changed;  // IA32_APIC_BASE was written (own thread); optional
  };
  explicit LocalApic(Params p);

  // --- own CPU's thread, without the device lock ---
  int acknowledge();     // vector, moved from IRR to ISR; or from the 8259s; -1: nothing (any more)
  bool pending() const;  // as apic_event says
  u8 cr8() const { return static_cast<u8>(tpr_.load(std::memory_order_relaxed) >> 4); }
  void set_cr8(u8 value) { set_tpr(static_cast<u8>(value << 4)); }
  bool read_msr(u32 msr, u64& value);  // 0x1b, 0x800..0x83f, 0x6e0. False: #GP
  bool write_msr(u32 msr, u64 value);
  u64 base() const { return base_.load(std::memory_order_relaxed); }
  u64 tsc_deadline() const { return tsc_deadline_.load(std::memory_order_relaxed); }
  void set_tsc_deadline(u64 tsc);  // MSR 0x6e0; 0 disarms
  bool enabled() const { return (base() & kBaseEnable) != 0; }
  bool x2apic_mode() const { return (base() & (kBaseEnable | kBaseX2)) == (kBaseEnable | kBaseX2); }

  // --- register window, device lock held (through ApicBus) ---
  u32 read_register(u32 offset);
  void write_register(u32 offset, u32 value);

  // --- any thread ---
  void set_lint(unsigned n, bool level);    // LINT0 (8259 INTR), LINT1 (NMI)
  bool accept(const ApicMessage& message);  // the message is for this APIC
  bool matches(const ApicMessage& message) const;
  u8 priority() const;  // for lowest priority arbitration
  u32 id() const { return p_.id; }
  bool software_enabled() const { return (svr_.load(std::memory_order_relaxed) & 0x100) != 0; }

  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

  static constexpr u64 kBaseEnable = 1 << 11, kBaseX2 = 1 << 10, kBaseBsp = 1 << 8;

 private:
  enum Lvt : unsigned { kTimer, kThermal, kPerf, kLint0, kLint1, kError, kLvtCount };
  using Bits = std::array<std::atomic<u64>, 4>;
  static int highest(const Bits& bits);
  static u32 word(const Bits& bits, unsigned n) {
    return static_cast<u32>(bits[n / 2].load(std::memory_order_relaxed) >> (32 * (n & 1)));
  }

  void init_reset();
  void eoi(bool lock_held);
  void set_tpr(u8 value);
  void update_ppr();
  void raise_event();  // sender
  // Owner: lowers or raises. `force`: a sender may have raised late, after the owner lowered.
  void update_event(bool force = false);
  bool accepts() const { return enabled() && software_enabled(); }
  bool vector_pending() const;
  void request(u8 vector, bool level);
  void raise_lvt(unsigned entry);
  bool extint_pending() const;
  bool read_any(u32 offset, u32& value);  // false: no such register
  bool write_any(u32 offset, u32 value, bool lock_held);
  u32 lvt(unsigned entry) const { return lvt_[entry].load(std::memory_order_relaxed); }
  void write_lvt(unsigned entry, u32 value);
  void write_icr(u64 icr);
  void error(u32 bit);
  u32 logical_id_x2() const { return ((p_.id & 0xffff0u) << 12) | (1u << (p_.id & 15)); }
  bool write_base(u64 value);

  unsigned divide_shift() const;
  enum TimerMode : u32 { kOneShot, kPeriodic, kDeadline };
  u32 timer_mode() const { return (lvt(kTimer) >> 17) & 3; }
  u32 current_count();
  void start_timer(u32 initial);
  void write_divide(u32 value);
  void change_timer_mode(u32 from, u32 to);
  void rearm();           // timer lock held
  bool expired(s64 now);  // timer lock held: the timer ran out; moves it on
  void timer_fired();

  Params p_;
  Timer timer_;
  mutable std::mutex timer_lock_;
  std::atomic<u64> base_{0};
  std::atomic<u32> xapic_id_{0}, ldr_{0}, dfr_{~0u}, svr_{0xff}, esr_{0}, esr_latched_{0};
  std::atomic<u8> tpr_{0}, ppr_{0};
  std::atomic<u32> icr_low_{0}, icr_high_{0};
  std::array<std::atomic<u32>, kLvtCount> lvt_{};
  Bits irr_{}, isr_{}, tmr_{};
  std::atomic<bool> lint_[2]{};
  std::atomic<bool> extint_message_{false};  // an ExtINT message of an I/O APIC
  std::atomic<bool> event_{false};           // apic_event's last value
  std::atomic<u64> tsc_deadline_{0};
  // under timer_lock_
  u32 initial_count_ = 0, divide_ = 0;
  s64 timer_start_ = 0;  // when the current count began
  bool timer_running_ = false;
  TickDebt debt_;        // of the periodic timer
  TickCadence cadence_;  // of the others
};

}  // namespace doppel::hw
