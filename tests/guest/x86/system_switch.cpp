// Switches of address spaces, by the guest's own MOV to CR3, and what may be kept over them.
#include <gtest/gtest.h>

#include "guest/x86/kernel_machine.h"

namespace doppel::x86::test {
namespace {

using K = KernelMachine;

// A kernel whose pages are global goes on after MOV to CR3 without the vCPU loop, even if one of its instructions
// straddles two pages.
TEST(Switch, GlobalCodeIsFoundAfterASwitch) {
  KernelMachine m(false);
  for (unsigned space = 0; space < 2; space++) {
    for (u64 page = 0x10000; page < 0x14000; page += mem::kPageSize) m.map(space, page, page, K::P | K::W | K::G);
  }
  m.poke(0x10000, {0x0f, 0x22, 0xd8,          // 0: mov cr3, rax
                   0x48, 0x93,                // xchg rax, rbx
                   0xe8, 0xf3, 0x0f, 0, 0,    // call 0x10ffd
                   0x48, 0xff, 0xc9,          // dec rcx
                   0x75, 0xf1,                // jnz 0
                   0xf4});                    // hlt
  m.poke(0x10ffd, {0x90,                      // nop
                   0x81, 0xc2, 1, 0, 0, 0,    // add edx, 1: over the end of the page
                   0xe9, 0xf9, 0x0f, 0, 0});  // jmp 0x12002
  m.poke(0x12002, {0xc3});                    // ret
  m.start(0x10000, 0x13800);
  m.state().gpr[RAX] = m.cr3(1);
  m.state().gpr[RBX] = m.cr3(0);
  m.state().gpr[RCX] = 1000;
  m.state().gpr[RDX] = 0;
  m.run();
  EXPECT_EQ(m.state().gpr[RDX], 1000u);
  EXPECT_LT(m.counters().enters, 1100u) << "at most one entry a switch";
}

// A user loop at 0x10000 that makes RCX (kept in RBX) system calls; the kernel's side is at 0x11000.
void system_calls(KernelMachine& m, unsigned count) {
  for (u64 page = 0x10000; page < 0x14000; page += mem::kPageSize) m.map(0, page, page, K::P | K::W | K::U);
  for (u64 page = 0; page < 0x4000; page += mem::kPageSize) m.map(0, page, page, K::P | K::W);
  m.poke(0x10000, {0x0f, 0x05,          // 0: syscall
                   0xff, 0xcb,          // dec ebx
                   0x75, 0xfa,          // jnz 0
                   0xb8, 1, 0, 0, 0,    // mov eax, 1: the end
                   0x0f, 0x05});        // syscall
  m.poke(0x11000, {0xff, 0xc2,          // inc edx
                   0x83, 0xf8, 0x01,    // cmp eax, 1
                   0x75, 0x01,          // jne +1
                   0xf4,                // hlt
                   0x48, 0x0f, 0x07});  // sysret
  m.start(0x11000 + 8, 0x13800);
  X86State& s = m.state();
  s.lstar = 0x11000;
  s.sfmask = IF;
  s.gpr[RCX] = 0x10000;
  s.gpr[R11] = 2;
  s.gpr[RBX] = count;
  s.gpr[RDX] = 0;
}

TEST(Switch, SystemCallsStayInGeneratedCode) {
  KernelMachine m(false);
  system_calls(m, 1000);
  m.run();
  EXPECT_EQ(m.state().gpr[RDX], 1001u);
  EXPECT_LT(m.counters().enters, 50u);
}

// An interrupt that came while the kernel had IF clear is taken before the first instruction after SYSRET.
TEST(Switch, InterruptIsTakenRightAfterSysret) {
  for (const bool interpreter : {false, true}) {
    KernelMachine m(interpreter);
    system_calls(m, 10);
    m.poke(0x11000, {0xff, 0xc2,          // inc edx
                     0x83, 0xfa, 0x05,    // cmp edx, 5
                     0x75, 0x04,          // jne +4
                     0xb0, 0x40,          // mov al, 0x40
                     0xe6, 0x10,          // out 0x10, al
                     0x48, 0x0f, 0x07});  // sysret
    m.poke(0x12000, {0xf4});              // handler: hlt
    m.gate(0x40, 0x12000);
    m.poke64(K::kTss + 4, 0x13c00);
    m.state().rip = 0x11000 + 11;
    m.state().gpr[R11] = 2 | IF;
    m.run();
    EXPECT_EQ(m.state().gpr[RDX], 5u);
    EXPECT_EQ(m.state().gpr[RBX], 6u) << "no instruction of the user's ran in between";
    EXPECT_EQ(m.state().rip, 0x12001u);
    EXPECT_EQ(m.peek64(0x13c00 - 40), 0x10002u);
  }
}

// A segment register that is null in turn changes the mode word; the region goes on in the other mode's code.
TEST(Switch, SegmentLoadsThatChangeTheModeStayInGeneratedCode) {
  for (const bool interpreter : {false, true}) {
    KernelMachine m(interpreter);
    for (u64 page = 0; page < 0x14000; page += mem::kPageSize) m.map(0, page, page, K::P | K::W | K::G);
    m.poke(0x10000, {0x31, 0xc0,                                // 0: xor eax, eax
                     0x8e, 0xe0,                                // mov fs, eax
                     0xb8, 0x10, 0,    0,    0,                 // mov eax, 0x10
                     0x8e, 0xe0,                                // mov fs, eax
                     0x64, 0xff, 0x05, 0x00, 0x30, 0x01, 0x00,  // inc dword fs:[0x13000]
                     0x49,                                      // dec ecx
                     0x75, 0xeb,                                // jnz 0
                     0xf4});                                    // hlt
    m.start(0x10000, 0x13800);
    X86State& s = m.state();
    s.seg[CS].attr = (s.seg[CS].attr & ~u32{kAttrL}) | kAttrDB;
    update_mode(s);
    s.gpr[RCX] = 1000;
    m.run();
    EXPECT_EQ(m.peek64(0x13000), 1000u);
    EXPECT_EQ(s.seg[FS].selector, 0x10u);
    if (interpreter) continue;
    EXPECT_LT(m.counters().enters, 50u);
    EXPECT_LT(m.counters().requests, 50u);
  }
}

// What the executor's switches of --opt leave out. Two spaces in turn; two pages that meet in the table's places.
struct Figures {
  u64 sum, kept, restored, victims, resumes, links;
};
Figures switch_spaces(const char* model, const ir::OptFlags& opt) {
  KernelMachine m(false, model, opt);
  const bool tags = std::string_view(model) == "max";
  for (unsigned space = 0; space < 2; space++) {
    for (u64 page = 0x10000; page < 0x14000; page += mem::kPageSize) m.map(space, page, page, K::P | K::W | K::G);
    m.map(space, 0x30000, 0x30000 + space * 0x1000, K::P | K::W);
    m.map(space, 0x30000 + mem::kTlbEntries * mem::kPageSize, 0x32000, K::P | K::W);
  }
  m.poke64(0x30000, 1);
  m.poke64(0x31000, 10);
  m.poke64(0x32000, 100);
  m.poke(0x10000, {0x0f, 0x22, 0xd8,  // 0: mov cr3, rax
                   0x48, 0x93,        // xchg rax, rbx
                   0x03, 0x16,        // add edx, [rsi]
                   0x03, 0x17,        // add edx, [rdi]
                   0xff, 0xc9,        // dec ecx
                   0x75, 0xf3,        // jnz 0
                   0xf4});            // hlt
  m.start(0x10000, 0x13800);
  X86State& s = m.state();
  if (tags) {
    s.cr4 |= CR4_PCIDE;
    update_mode(s);
  }
  const u64 tagged = tags ? u64{1} << 63 : 0;
  s.gpr[RAX] = m.cr3(1) | tagged | (tags ? 1 : 0);
  s.gpr[RBX] = m.cr3(0) | tagged;
  s.gpr[RCX] = 1000;
  s.gpr[RDX] = 0;
  s.gpr[RSI] = 0x30000;
  s.gpr[RDI] = 0x30000 + mem::kTlbEntries * mem::kPageSize;
  m.run();
  const mem::TlbCounters& t = m.tlb().counters();
  return {s.gpr[RDX], t.space_hits, t.restored, t.victim_hits, m.counters().resumes, m.counters().links};
}

TEST(Switch, EachCanBeLeftOut) {
  constexpr u64 kSum = 500 * 101 + 500 * 110;
  for (const char* model : {"qemu64", "max"}) {
    const Figures all = switch_spaces(model, {});
    EXPECT_EQ(all.sum, kSum);
    EXPECT_GT(all.kept, 900u) << model;
    EXPECT_GT(all.victims, 500u) << model;
    EXPECT_GT(all.resumes, 0u) << model;
    EXPECT_GT(all.links, 0u) << model;
    ir::OptFlags opt;
    opt.spaces = false;
    const Figures no_spaces = switch_spaces(model, opt);
    EXPECT_EQ(no_spaces.sum, kSum);
    EXPECT_EQ(no_spaces.kept + no_spaces.restored, 0u);
    EXPECT_GT(no_spaces.links, 0u);
    opt = {};
    opt.victims = false;
    const Figures no_victims = switch_spaces(model, opt);
    EXPECT_EQ(no_victims.sum, kSum);
    EXPECT_EQ(no_victims.victims, 0u);
    EXPECT_GT(no_victims.kept, 900u);
    opt = {};
    opt.resume = false;
    const Figures no_resume = switch_spaces(model, opt);
    EXPECT_EQ(no_resume.sum, kSum);
    EXPECT_EQ(no_resume.resumes, 0u);
    EXPECT_GT(no_resume.kept, 900u);
    opt = {};
    opt.chain = false;
    const Figures no_chain = switch_spaces(model, opt);
    EXPECT_EQ(no_chain.sum, kSum);
    EXPECT_EQ(no_chain.links, 0u);
    EXPECT_EQ(switch_spaces(model, ir::OptFlags::none()).sum, kSum);
  }
}

}  // namespace
}  // namespace doppel::x86::test
