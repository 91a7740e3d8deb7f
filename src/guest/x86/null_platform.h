// A platform without a board, for tools and tests: ports read as ones, nothing else happens.
#pragma once
#include "guest/x86/platform.h"

namespace doppel::x86 {

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
