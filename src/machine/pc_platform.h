// PcPlatform: the x86 CPUs' pins on a PC: port space, local APICs or the 8259s' INTR, time stamp counter, FERR#, SMM,
// shutdown.
#pragma once
#include <atomic>
#include <mutex>

#include "guest/x86/platform.h"
#include "hw/core/bus.h"
#include "hw/core/clock.h"
#include "hw/intc/apic_bus.h"
#include "hw/intc/i8259.h"

namespace doppel::machine {

class PcPlatform final : public x86::Platform {
 public:
  struct Params {
    std::mutex& device_lock;
    hw::PortBus& ports;
    hw::Clock& clock;
    u32 cpus = 1;
    bool repeatable = false;                   // -icount
    std::function<void()> reset;               // triple fault
    std::function<void(bool any_in_smm)> smm;  // device lock held
  };
  explicit PcPlatform(Params p) : p_(std::move(p)) {}
  // The board's wiring, once its devices exist.
  void connect(hw::ApicBus* apics, hw::I8259Pair* pic, hw::IrqLine fpu_irq) {
    apics_ = apics, pic_ = pic, fpu_irq_ = std::move(fpu_irq);
  }

  u32 port_in(u16 port, unsigned size) override;
  void port_out(u16 port, u32 value, unsigned size) override;
  int acknowledge_interrupt(u32 cpu) override;
  bool apic_msr_read(u32 cpu, u32 msr, u64& value) override;
  bool apic_msr_write(u32 cpu, u32 msr, u64 value) override;
  u64 apic_base(u32 cpu) override;
  u8 read_cr8(u32 cpu) override;
  void write_cr8(u32 cpu, u8 value) override;
  void tsc_deadline(u32 cpu, u64 tsc) override;
  u64 tsc() override { return static_cast<u64>(p_.clock.now()); }
  u64 tsc_hz() override { return hw::kNsPerSecond; }
  void ferr(u32 cpu, bool level) override;
  void shutdown(u32) override { p_.reset(); }
  void smi_entered(u32 cpu, bool in_smm) override;
  void cpu_halted(u32) override {}
  u32 cpu_count() override { return p_.cpus; }
  bool repeatable() override { return p_.repeatable; }

 private:
  hw::LocalApic* apic(u32 cpu) { return apics_ ? apics_->apic(cpu) : nullptr; }
  Params p_;
  hw::ApicBus* apics_ = nullptr;
  hw::I8259Pair* pic_ = nullptr;
  hw::IrqLine fpu_irq_;
  std::vector<bool> in_smm_;
};

}  // namespace doppel::machine
