// Delivery of exceptions and interrupts in every mode, and the way back.
#include "system_fixture.h"

namespace doppel::x86::test {
namespace {

TEST_F(SystemTest, ResetState) {
  EXPECT_EQ(cpu->linear_pc(), 0xfffffff0u);
  EXPECT_EQ(s().seg[CS].selector, 0xf000);
  EXPECT_EQ(s().cr0, 0x60000010u);
  EXPECT_FALSE(cpu->halted());
  EXPECT_FALSE(cpu->has_work());
}

TEST_F(SystemTest, RealModeInterruptAndReturn) {
  poke<u16>(4 * 0x21, 0x1234);
  poke<u16>(4 * 0x21 + 2, 0x200);
  s().seg[CS] = {0x1000, 0xffff, 0x100, s().seg[CS].attr};
  s().gpr[RSP] = 0x8000;
  set_eflags(s(), IF | CF | TF, ~u32{0});
  EXPECT_TRUE(raises(0x10, [&] { helper_int_n(sp, 0x21, 2); }));
  deliver();
  EXPECT_EQ(s().rip, 0x1234u);
  EXPECT_EQ(s().seg[CS].base, 0x2000u);
  EXPECT_EQ(s().gpr[RSP], 0x7ffau);
  EXPECT_EQ(peek<u16>(0x7ffa), 0x12);
  EXPECT_EQ(peek<u16>(0x7ffc), 0x100);
  EXPECT_EQ(peek<u16>(0x7ffe), TF | IF | CF | 2);
  EXPECT_FALSE(get_eflags(s()) & (IF | TF));
  helper_iret(sp, 2, 0);
  EXPECT_EQ(s().rip, 0x12u);
  EXPECT_EQ(s().seg[CS].base, 0x1000u);
  EXPECT_EQ(get_eflags(s()), u32{IF | CF | TF | 2});
}

TEST_F(SystemTest, ExternalInterruptNeedsIf) {
  poke<u32>(4 * 8, 0x01000500);
  s().gpr[RSP] = 0x1000;
  cpu->set_intr(true);
  platform.vector = 8;
  EXPECT_FALSE(cpu->has_work());
  helper_sti(sp);
  EXPECT_FALSE(cpu->has_work()) << "the shadow of STI";
  s().shadow = 0;
  EXPECT_TRUE(cpu->has_work());
  cpu->set_intr(false);
  cpu->apic_event(true);
  deliver();
  EXPECT_EQ(s().rip, 0x500u);
}

TEST_F(SystemTest, HaltWakesByNmi) {
  poke<u32>(4 * 2, 0x00000700);
  s().gpr[RSP] = 0x1000;
  helper_hlt(sp);
  EXPECT_TRUE(cpu->halted());
  cpu->nmi();
  EXPECT_TRUE(cpu->has_work());
  deliver();
  EXPECT_FALSE(cpu->halted());
  EXPECT_EQ(s().rip, 0x700u);
  EXPECT_TRUE(s().nmi_blocked);
  cpu->nmi();
  EXPECT_FALSE(cpu->has_work());
  helper_iret(sp, 2, 0);
  EXPECT_TRUE(cpu->has_work());
}

TEST_F(SystemTest, ProtectedModeErrorCodeSamePrivilege) {
  protected_mode();
  gate(13, 8, 0x5000, 0x8e);
  EXPECT_TRUE(raises(0x400, [&] { helper_raise_gp0(sp); }));
  deliver();
  EXPECT_EQ(s().rip, 0x5000u);
  EXPECT_EQ(s().gpr[RSP], 0x8000u - 16);
  EXPECT_EQ(peek<u32>(0x7ff0), 0u);
  EXPECT_EQ(peek<u32>(0x7ff4), 0x400u);
  EXPECT_EQ(peek<u32>(0x7ff8), 8u);
  EXPECT_TRUE(peek<u32>(0x7ffc) & RF);
}

TEST_F(SystemTest, InnerPrivilegeThroughTssAndBack) {
  protected_mode();
  gate(0x80, 8, 0x5000, 0xef);  // trap gate, DPL 3
  user_mode();
  s().gpr[RSP] = 0x7000;
  set_eflags(s(), IF, IF);
  EXPECT_TRUE(raises(0x400, [&] { helper_int_n(sp, 0x80, 2); }));
  deliver();
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(s().gpr[RSP], 0x9000u - 20);
  EXPECT_EQ(peek<u32>(0x9000 - 4), 0x23u);
  EXPECT_EQ(peek<u32>(0x9000 - 8), 0x7000u);
  EXPECT_EQ(peek<u32>(0x9000 - 16), 0x1bu);
  EXPECT_EQ(peek<u32>(0x9000 - 20), 0x402u);
  EXPECT_TRUE(s().eflags & IF) << "a trap gate leaves IF";
  helper_iret(sp, 4, 0);
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().rip, 0x402u);
  EXPECT_EQ(s().gpr[RSP], 0x7000u);
  EXPECT_EQ(s().seg[SS].selector, 0x23);
}

TEST_F(SystemTest, SoftwareInterruptChecksGatePrivilege) {
  protected_mode();
  gate(0x30, 8, 0x5000, 0x8e);
  gate(13, 8, 0x6000, 0x8e);
  user_mode();
  EXPECT_TRUE(raises(0x400, [&] { helper_int_n(sp, 0x30, 2); }));
  deliver();
  EXPECT_EQ(s().rip, 0x6000u);
  EXPECT_EQ(peek<u32>(0x9000 - 24), 0x30u * 8 + 2);
  EXPECT_EQ(peek<u32>(0x9000 - 20), 0x400u) << "the fault is that of the INT";
}

TEST_F(SystemTest, DoubleFaultAndShutdown) {
  protected_mode();
  gate(8, 8, 0x8800, 0x8e);
  // #GP's gate is missing: #NP while delivering a contributory fault.
  EXPECT_TRUE(raises(0x400, [&] { helper_raise_gp0(sp); }));
  deliver();
  EXPECT_EQ(s().rip, 0x8800u);
  EXPECT_EQ(peek<u32>(s().gpr[RSP]), 0u);
  gate(8, 0, 0, 0);
  EXPECT_TRUE(raises(0x400, [&] { helper_raise_gp0(sp); }));
  deliver();
  EXPECT_EQ(platform.shutdowns, 1);
  EXPECT_TRUE(cpu->halted());
}

TEST_F(SystemTest, ExtBitWhenDeliveringInterrupt) {
  protected_mode();
  gate(11, 8, 0x5000, 0x8e);
  gate(13, 8, 0x6000, 0x8e);
  gate(0x40, 0x40, 0x100, 0x8e);  // code segment not good
  set_eflags(s(), IF, IF);
  cpu->set_intr(true);
  platform.vector = 0x40;
  deliver();
  EXPECT_EQ(s().rip, 0x6000u);
  EXPECT_EQ(peek<u32>(s().gpr[RSP]), 0x41u);
}

TEST_F(SystemTest, LongModeIstAndAlignment) {
  long_mode_on();
  gate64(14, 8, 0xffff800000005000, 0x8e, 1);
  gate64(0x21, 8, 0x6000, 0x8e, 0);
  s().gpr[RSP] = 0x8005;
  EXPECT_TRUE(raises(0x400, [&] { raise_page_fault(s(), 0x123456, 2); }));
  deliver();
  EXPECT_EQ(s().rip, 0xffff800000005000u);
  EXPECT_EQ(s().gpr[RSP], 0xa000u - 48);
  EXPECT_EQ(s().cr2, 0x123456u);
  EXPECT_EQ(peek<u64>(0xa000 - 48), 2u);
  EXPECT_EQ(peek<u64>(0xa000 - 16), 0x8005u);
  s().gpr[RSP] = 0x8005;
  EXPECT_TRUE(raises(0x400, [&] { helper_int_n(sp, 0x21, 2); }));
  deliver();
  EXPECT_EQ(s().gpr[RSP], 0x8000u - 40);
  helper_iret(sp, 8, 0);
  EXPECT_EQ(s().gpr[RSP], 0x8005u);
  EXPECT_EQ(s().rip, 0x402u);
}

TEST_F(SystemTest, LongModeUserToKernelGivesNullStack) {
  long_mode_on();
  gate64(0x80, 8, 0x6000, 0xee, 0);
  user_mode();
  s().gpr[RSP] = 0x7000;
  EXPECT_TRUE(raises(0x400, [&] { helper_int_n(sp, 0x80, 2); }));
  deliver();
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(s().seg[SS].selector, 0);
  EXPECT_EQ(s().gpr[RSP], 0x9000u - 40);
  EXPECT_EQ(s().h.mmu_mode, u32{kMmuSupervisor});
  helper_iret(sp, 8, 0);
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().h.mmu_mode, u32{kMmuUser});
  EXPECT_EQ(s().seg[SS].selector, 0x23);
}

TEST_F(SystemTest, Vm86EntryAndExit) {
  protected_mode();
  gate(13, 8, 0x6000, 0x8e);
  // IRET frame to VM86 at CPL 0.
  u32 frame[9] = {0x100, 0x2000, VM | IF | 2, 0x1000, 0x3000, 0x11, 0x22, 0x33, 0x44};
  for (unsigned i = 0; i < 9; i++) poke<u32>(0x7000 + 4 * i, frame[i]);
  s().gpr[RSP] = 0x7000;
  helper_iret(sp, 4, 0);
  EXPECT_TRUE(vm86(s()));
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().seg[CS].base, 0x20000u);
  EXPECT_EQ(s().seg[ES].selector, 0x11);
  EXPECT_EQ(s().seg[GS].base, 0x440u);
  // CLI with IOPL 0 is #GP: nine values and the error code on the kernel's stack.
  EXPECT_TRUE(raises(0x105, [&] { helper_cli(sp); }));
  deliver();
  EXPECT_FALSE(vm86(s()));
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(s().gpr[RSP], 0x9000u - 40);
  EXPECT_EQ(peek<u32>(0x9000 - 40), 0u);
  EXPECT_EQ(peek<u32>(0x9000 - 36), 0x105u);
  EXPECT_TRUE(peek<u32>(0x9000 - 28) & VM);
  EXPECT_EQ(peek<u32>(0x9000 - 4), 0x44u);
  EXPECT_EQ(s().seg[DS].selector, 0);
  s().gpr[RSP] += 4;
  helper_iret(sp, 4, 0);
  EXPECT_TRUE(vm86(s()));
  EXPECT_EQ(s().rip, 0x105u);
}

TEST_F(SystemTest, VmeRedirectsSoftwareInterrupt) {
  protected_mode();
  s().cr4 |= CR4_VME;
  poke<u16>(kTss + 0x66, 0x88);  // redirection map at 0x68, all zero: to the 8086 program
  poke<u32>(4 * 0x21, 0x05000777);
  u32 frame[9] = {0x100, 0x2000, VM | IF | VIF | 2, 0x1000, 0x3000, 0, 0, 0, 0};
  for (unsigned i = 0; i < 9; i++) poke<u32>(0x7000 + 4 * i, frame[i]);
  s().gpr[RSP] = 0x7000;
  helper_iret(sp, 4, 0);
  EXPECT_TRUE(raises(0x100, [&] { helper_int_n(sp, 0x21, 2); }));
  EXPECT_FALSE(s().exc_pending);
  EXPECT_EQ(s().rip, 0x777u);
  EXPECT_EQ(s().seg[CS].selector, 0x500);
  EXPECT_EQ(peek<u16>(0x30000 + 0xffa), 0x102);
  EXPECT_TRUE(peek<u16>(0x30000 + 0xffe) & IF);
  EXPECT_FALSE(s().eflags & VIF);
}

TEST_F(SystemTest, SyscallAndSysret) {
  long_mode_on();
  s().star = u64{0x10} << 48 | u64{8} << 32;
  s().lstar = 0x5000;
  s().sfmask = IF | TF;
  user_mode();
  set_eflags(s(), IF | CF, ~u32{0});
  s().rip = 0x402;
  helper_syscall(sp, 0x402);
  EXPECT_EQ(s().rip, 0x5000u);
  EXPECT_EQ(s().gpr[RCX], 0x402u);
  EXPECT_EQ(s().gpr[R11], u64{IF | CF | 2});
  EXPECT_EQ(s().cpl, 0);
  EXPECT_FALSE(s().eflags & IF);
  EXPECT_TRUE(cpu->mode() & kModeCs64);
  helper_sysret(sp, 8);
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().rip, 0x402u);
  EXPECT_EQ(s().seg[CS].selector, 0x23);
  EXPECT_EQ(s().seg[SS].selector, 0x1b);
  EXPECT_TRUE(s().eflags & IF);
}

TEST_F(SystemTest, SingleStepAndBreakpoints) {
  protected_mode();
  gate(1, 8, 0x5000, 0x8e);
  set_eflags(s(), TF, TF);
  EXPECT_TRUE(cpu->single_stepping());
  s().rip = 0x402;
  cpu->after_single_step();
  deliver();
  EXPECT_EQ(s().rip, 0x5000u);
  EXPECT_TRUE(s().dr[6] & (1 << 14));
  EXPECT_FALSE(peek<u32>(s().gpr[RSP] + 8) & RF);
  // A code breakpoint is a fault, and RF lets the instruction through once.
  helper_mov_to_dr(sp, 0, 0x1234);
  helper_mov_to_dr(sp, 7, 1);
  EXPECT_TRUE(cpu->mode() & kModeIobp);
  EXPECT_TRUE(raises(0x1234, [&] { helper_insn_breakpoint(sp, 0x1234); }));
  deliver();
  EXPECT_TRUE(s().dr[6] & 1);
  poke<u32>(s().gpr[RSP] + 8, peek<u32>(s().gpr[RSP] + 8) | RF);
  helper_iret(sp, 4, 0);
  EXPECT_FALSE(raises(0x1234, [&] { helper_insn_breakpoint(sp, 0x1234); }));
  EXPECT_TRUE(raises(0x1234, [&] { helper_insn_breakpoint(sp, 0x1234); }));
  s().exc_pending = 0;
  // A data breakpoint is a trap.
  helper_mov_to_dr(sp, 1, 0x4444);
  helper_mov_to_dr(sp, 7, 4 | 1u << 20 | 3u << 22);
  mem::store<u32>(s().h, 0x4440, 1);
  EXPECT_FALSE(cpu->has_work());
  mem::store<u32>(s().h, 0x4442, 1);
  EXPECT_TRUE(cpu->has_work());
  s().dr[6] = 0xffff0ff0;
  deliver();
  EXPECT_EQ(s().dr[6], 0xffff0ff2u);
}

TEST_F(SystemTest, SipiStartsProcessor) {
  make("max", 1);
  EXPECT_TRUE(cpu->halted());
  cpu->set_intr(true);
  EXPECT_FALSE(cpu->has_work());
  cpu->init();
  deliver();
  EXPECT_TRUE(cpu->halted());
  cpu->sipi(0x9a);
  deliver();
  EXPECT_FALSE(cpu->halted());
  EXPECT_EQ(cpu->linear_pc(), 0x9a000u);
}

}  // namespace
}  // namespace doppel::x86::test
