// A CPU without a translator: 4 MiB of RAM at 0, a platform that records, and a runtime that unwinds by a C++
// exception.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "guest/x86/cpu.h"
#include "guest/x86/helpers/table.h"
#include "guest/x86/system/system.h"
#include "mem/soft_tlb.h"

namespace doppel::x86::test {

struct Unwound {};

class FakeRuntime final : public mem::Runtime {
 public:
  X86State* s = nullptr;
  u64 sync_to = ~u64{0};  // sync_pc's answer while "generated code runs"
  void sync_pc() override {
    if (sync_to != ~u64{0}) s->rip = sync_to;
  }
  [[noreturn]] void unwind() override {
    sync_to = ~u64{0};
    throw Unwound{};
  }
  void flush_jump_cache() override {}
  u64 icount() override { return 0; }
  void code_written(u64, u64) override {}
  void debug_watch(u64, u32, bool) override {}
};

class FakePlatform final : public Platform {
 public:
  std::vector<u32> port_writes;
  int vector = -1;
  int shutdowns = 0;
  u32 cpus = 1;
  u64 time = 1000;
  bool smm = false;
  u8 tpr = 0;
  u32 port_in(u16 port, unsigned) override { return port * 3u; }
  void port_out(u16 port, u32 value, unsigned size) override {
    port_writes.insert(port_writes.end(), {port, value, size});
  }
  int acknowledge_interrupt(u32) override {
    const int v = vector;
    vector = -1;
    return v;
  }
  bool apic_msr_read(u32, u32 msr, u64& v) override {
    v = 0xfee00900;
    return msr == 0x1b;
  }
  bool apic_msr_write(u32, u32 msr, u64) override { return msr == 0x1b; }
  u64 apic_base(u32 cpu) override { return 0xfee00800u | (cpu == 0 ? 0x100u : 0u); }
  u8 read_cr8(u32) override { return tpr; }
  void write_cr8(u32, u8 v) override { tpr = v; }
  void tsc_deadline(u32, u64) override {}
  u64 tsc() override { return time; }
  u64 tsc_hz() override { return 1000000000; }
  void ferr(u32, bool) override {}
  void shutdown(u32) override { shutdowns++; }
  void smi_entered(u32, bool in) override { smm = in; }
  void cpu_halted(u32) override {}
  u32 cpu_count() override { return cpus; }
};

class SystemTest : public ::testing::Test {
 protected:
  static constexpr u64 kRam = 4 << 20;
  static constexpr u64 kGdt = 0x1000, kIdt = 0x2000, kTss = 0x3000, kLdtBase = 0x3800, kTables = 0x10000;

  mem::AddressSpace memory;
  FakePlatform platform;
  FakeRuntime runtime;
  std::unique_ptr<X86Cpu> cpu;
  std::unique_ptr<mem::SoftTlb> tlb;
  X86State* sp = nullptr;
  u8* ram = nullptr;

  X86State& s() { return *sp; }

  void SetUp() override { make("max"); }
  void TearDown() override {
    tlb.reset();
    cpu.reset();
  }

  void make(const char* spec, u32 index = 0) {
    tlb.reset();
    auto model = parse_cpu(spec, true);
    ASSERT_TRUE(model.ok()) << model.error().text();
    cpu = std::make_unique<X86Cpu>(*model, platform, index, nullptr);
    sp = &cpu->state();
    if (!ram) {
      auto block = memory.create_ram("ram", kRam);
      ASSERT_TRUE(block.ok());
      memory.map_ram("ram", 0, *block, 0, kRam, 0);
      ram = (*block)->host;
    }
    tlb = std::make_unique<mem::SoftTlb>(sp->h, memory);
    sp->h.runtime = &runtime;
    runtime.s = sp;
  }

  // Runs `body` as generated code at `pc` would: true if it raised.
  bool raises(u64 pc, const std::function<void()>& body) {
    sp->rip = pc;
    runtime.sync_to = pc;
    try {
      body();
    } catch (const Unwound&) {
      return true;
    }
    runtime.sync_to = ~u64{0};
    return false;
  }
  // The vCPU loop's part.
  void deliver() {
    for (int i = 0; i < 10; i++) {
      try {
        cpu->deliver_pending();
        return;
      } catch (const Unwound&) {
      }
    }
    FAIL() << "delivery does not end";
  }
  void expect_pending(u8 vector, u32 error) {
    EXPECT_TRUE(sp->exc_pending);
    EXPECT_EQ(sp->exc_vector, vector);
    EXPECT_EQ(sp->exc_error, error);
    sp->exc_pending = 0;
  }

  template <typename T>
  T peek(u64 pa) {
    return load_le<T>(ram + pa);
  }
  template <typename T>
  void poke(u64 pa, std::type_identity_t<T> v) {
    store_le<T>(ram + pa, v);
  }

  // Descriptor: access byte, flags nibble (G D/B L AVL).
  void descriptor(u64 table, unsigned index, u32 base, u32 limit, u8 access, u8 flags) {
    const u32 lo = (limit & 0xffff) | base << 16;
    const u32 hi =
        ((base >> 16) & 0xff) | u32{access} << 8 | (limit & 0xf0000) | u32{flags} << 20 | (base & 0xff000000u);
    poke<u32>(table + 8 * index, lo);
    poke<u32>(table + 8 * index + 4, hi);
  }
  void gate(unsigned vector, u16 selector, u32 offset, u8 access) {
    poke<u32>(kIdt + 8 * vector, (offset & 0xffff) | u32{selector} << 16);
    poke<u32>(kIdt + 8 * vector + 4, (offset & 0xffff0000u) | u32{access} << 8);
  }
  void gate64(unsigned vector, u16 selector, u64 offset, u8 access, u8 ist) {
    poke<u32>(kIdt + 16 * vector, static_cast<u32>(offset & 0xffff) | u32{selector} << 16);
    poke<u32>(kIdt + 16 * vector + 4, static_cast<u32>(offset & 0xffff0000u) | u32{access} << 8 | ist);
    poke<u64>(kIdt + 16 * vector + 8, offset >> 32);
  }

  // Flat 32-bit protected mode. Selectors: 08 code0, 10 data0, 1b code3, 23 data3, 28 TSS, 30 LDT, 38 conforming, 40
  // not present, 48 TSS2.
  void protected_mode() {
    descriptor(kGdt, 1, 0, 0xfffff, 0x9b, 0xc);
    descriptor(kGdt, 2, 0, 0xfffff, 0x93, 0xc);
    descriptor(kGdt, 3, 0, 0xfffff, 0xfb, 0xc);
    descriptor(kGdt, 4, 0, 0xfffff, 0xf3, 0xc);
    descriptor(kGdt, 5, kTss, 0x200, 0x89, 0);
    descriptor(kGdt, 6, kLdtBase, 0x3f, 0x82, 0);
    descriptor(kGdt, 7, 0, 0xfffff, 0x9f, 0xc);
    descriptor(kGdt, 8, 0, 0xfffff, 0x13, 0xc);
    descriptor(kGdt, 9, kTss + 0x400, 0x67, 0x89, 0);
    sp->gdtr = {kGdt, 0xff, 0, 0};
    sp->idtr = {kIdt, 0xfff, 0, 0};
    sp->cr0 |= CR0_PE;
    Descriptor d;
    read_descriptor(*sp, 8, d);
    set_cs(*sp, 8, d, 0);
    for (const unsigned r : {ES, SS, DS}) load_data_segment(*sp, r, 0x10);
    for (const unsigned r : {FS, GS}) load_data_segment(*sp, r, 0);
    poke<u32>(kTss + 4, 0x9000);  // ESP0
    poke<u16>(kTss + 8, 0x10);    // SS0
    poke<u16>(kTss + 0x66, 0x68);
    helper_ltr(sp, 0x28);
    sp->gpr[RSP] = 0x8000;
    update_mode(*sp);
  }
  // Drops to CPL 3 with the flat segments.
  void user_mode() {
    Descriptor d;
    read_descriptor(*sp, 0x1b, d);
    set_cs(*sp, 0x1b, d, 3);
    for (const unsigned r : {SS, DS, ES}) {
      read_descriptor(*sp, 0x23, d);
      sp->seg[r] = d.segment(0x23);
    }
    update_mode(*sp);
  }
  // Long mode: first 4 MiB identity-mapped by 4 KiB pages, user and writable; PML4 at kTables.
  void long_mode_on() {
    protected_mode();
    descriptor(kGdt, 1, 0, 0xfffff, 0x9b, 0xa);
    descriptor(kGdt, 3, 0, 0xfffff, 0xfb, 0xa);
    poke<u64>(kTables, (kTables + 0x1000) | 7);
    poke<u64>(kTables + 0x1000, (kTables + 0x2000) | 7);
    poke<u64>(kTables + 0x2000, (kTables + 0x3000) | 7);
    poke<u64>(kTables + 0x2008, (kTables + 0x4000) | 7);
    for (u64 i = 0; i < 1024; i++) poke<u64>(kTables + 0x3000 + 8 * i, (i << 12) | 7);
    sp->cr4 |= CR4_PAE;
    sp->efer |= EFER_LME | EFER_NXE | EFER_SCE;
    sp->cr3 = kTables;
    write_cr0(*sp, sp->cr0 | u64{CR0_PG} | CR0_WP);
    poke<u64>(kGdt + 0x30, 0);  // high half of the TSS descriptor
    Descriptor d;
    read_descriptor(*sp, 8, d);
    set_cs(*sp, 8, d, 0);
    poke<u64>(kTss + 4, 0x9000);     // RSP0
    poke<u64>(kTss + 0x24, 0xa000);  // IST1
    update_mode(*sp);
  }
};

}  // namespace doppel::x86::test
