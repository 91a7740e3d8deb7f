// Platform: the CPU's pins, given by the board. The CPU knows nothing else of the machine. Calls come from the vCPU's
// thread without the device lock unless said otherwise.
#pragma once
#include <string>

#include "base/bits.h"

namespace doppel::x86 {

class Platform {
 public:
  virtual ~Platform() = default;
  virtual u32 port_in(u16 port, unsigned size) = 0;
  virtual void port_out(u16 port, u32 value, unsigned size) = 0;
  // Interrupt acknowledge: the vector of the highest-priority interrupt (local APIC first, then ExtINT from the 8259s),
  // or -1 if it went away. Called when an event says there is one and IF allows it.
  virtual int acknowledge_interrupt(u32 cpu) = 0;
  // Local APIC: present unless it is -1 ids. MSRs 0x1b and 0x800..0x83f, CR8. False: #GP.
  virtual bool apic_msr_read(u32 cpu, u32 msr, u64& value) = 0;
  virtual bool apic_msr_write(u32 cpu, u32 msr, u64 value) = 0;
  virtual u64 apic_base(u32 cpu) = 0;
  virtual u8 read_cr8(u32 cpu) = 0;
  virtual void write_cr8(u32 cpu, u8 value) = 0;
  virtual void tsc_deadline(u32 cpu, u64 tsc) = 0;  // MSR 0x6e0; 0 disarms
  virtual u64 tsc() = 0;                            // the machine's time stamp counter before the CPU's offset
  virtual u64 tsc_hz() = 0;
  virtual void ferr(u32 cpu, bool level) = 0;          // FERR# (IRQ 13) when CR0.NE = 0
  virtual void shutdown(u32 cpu) = 0;                  // triple fault
  virtual void smi_entered(u32 cpu, bool in_smm) = 0;  // SMRAM opens and closes
  virtual void cpu_halted(u32 cpu) = 0;
  virtual u32 cpu_count() = 0;
  virtual u32 apic_id(u32 cpu) { return cpu; }
  // Random numbers shall be the same in each run (-icount).
  virtual bool repeatable() { return false; }
};

// Without a board, for single programs, tools and tests: ports read as ones, nothing else happens.
class NullPlatform : public Platform {
 public:
  u32 port_in(u16, unsigned) override { return ~u32{0}; }
  void port_out(u16, u32, unsigned) override {}
  int acknowledge_interrupt(u32) override { return -1; }
  bool apic_msr_read(u32, u32, u64&) override { return false; }
  bool apic_msr_write(u32, u32, u64) override { return false; }
  u64 apic_base(u32) override { return 0xfee00900; }
  u8 read_cr8(u32) override { return 0; }
  void write_cr8(u32, u8) override {}
  void tsc_deadline(u32, u64) override {}
  u64 tsc() override { return 0; }
  u64 tsc_hz() override { return 1000000000; }
  void ferr(u32, bool) override {}
  void shutdown(u32) override {}
  void smi_entered(u32, bool) override {}
  void cpu_halted(u32) override {}
  u32 cpu_count() override { return 1; }
};

}  // namespace doppel::x86
