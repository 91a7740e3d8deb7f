// What the soft TLB keeps over MOV to CR3 on a CPU without PCID must be what a walk would find, whoever wrote the
// tables.
#include "guest/x86/kernel_machine.h"
#include "system_fixture.h"

namespace doppel::x86::test {
namespace {

enum : u64 { P = 1, W = 2, U = 4, A = 32, D = 64, PS = 128, G = 256 };

// Two spaces in long mode: kTables and kOther. The second one maps only its first 4 MiB by tables of its own.
class KeptTest : public SystemTest {
 protected:
  static constexpr u64 kOther = 0x20000, kPage = 0x50000;
  static constexpr u64 kPte = kTables + 0x3000 + 8 * 0x50, kPde = kTables + 0x2000;

  void spaces() {
    long_mode_on();
    for (u64 i = 0; i < 3; i++) poke<u64>(kOther + i * 0x1000, (kOther + (i + 1) * 0x1000) | 7);
    for (u64 i = 0; i < 512; i++) poke<u64>(kOther + 0x3000 + 8 * i, (i << 12) | 7);
    for (u64 pa = 0x50000; pa < 0x54000; pa += 0x1000) poke<u32>(pa, static_cast<u32>(pa));
  }
  u32 load(u64 va) { return mem::load<u32>(s().h, va); }
  void visit_other() {
    write_cr3(s(), kOther);
    load(0x60000);
  }
  // Away, `change` by whoever it is, and back.
  void away(const std::function<void()>& change) {
    visit_other();
    change();
    write_cr3(s(), kTables);
  }
};

TEST_F(KeptTest, WhatDidNotChangeIsKept) {
  spaces();
  load(kPage);
  mem::store<u32>(s().h, kPage + 0x1000, 1);
  away([] {});
  const u64 before = tlb->counters().fills;
  EXPECT_EQ(load(kPage), kPage);
  mem::store<u32>(s().h, kPage + 0x1000, 2);
  EXPECT_EQ(tlb->counters().fills, before);
  EXPECT_GE(tlb->counters().restored, 2u);
}

TEST_F(KeptTest, ChangedMappings) {
  spaces();
  load(kPage);
  away([&] { poke<u64>(kPte, 0x51000 | 7); });
  EXPECT_EQ(load(kPage), 0x51000u);
  away([&] { poke<u64>(kPte, 0); });
  EXPECT_TRUE(raises(0x400, [&] { load(kPage); }));
  expect_pending(PF_, 0);
  poke<u64>(kPte, 0x52000 | 7);  // present now: no flush needed
  EXPECT_EQ(load(kPage), 0x52000u);
  // The same root again is a flush too.
  poke<u64>(kPte, 0x53000 | 7);
  write_cr3(s(), kTables);
  EXPECT_EQ(load(kPage), 0x53000u);
}

TEST_F(KeptTest, ChangedRights) {
  spaces();
  mem::store<u32>(s().h, kPage, 1);
  away([&] { poke<u64>(kPte, kPage | P | U | A | D); });
  EXPECT_TRUE(raises(0x400, [&] { mem::store<u32>(s().h, kPage, 2); }));
  expect_pending(PF_, 3);
  away([&] { poke<u64>(kPte, kPage | P | W | A | D); });
  mem::store<u32>(s().h, kPage, 3);
  user_mode();
  EXPECT_TRUE(raises(0x400, [&] { load(kPage); }));
}

TEST_F(KeptTest, AccessedAndDirtyBitsAreSetAgain) {
  spaces();
  mem::store<u32>(s().h, kPage, 1);
  EXPECT_EQ(peek<u64>(kPte), kPage | 7 | A | D);
  away([&] { poke<u64>(kPte, kPage | 7 | A); });
  mem::store<u32>(s().h, kPage, 2);
  EXPECT_EQ(peek<u64>(kPte), kPage | 7 | A | D);
  away([&] { poke<u64>(kPte, kPage | 7 | D); });
  load(kPage);
  EXPECT_EQ(peek<u64>(kPte), kPage | 7 | A | D);
  away([&] { poke<u64>(kPde, (kTables + 0x3000) | 7); });
  load(kPage);
  EXPECT_EQ(peek<u64>(kPde), (kTables + 0x3000) | 7 | A);
  // A dirty bit that another mapping or CPU set takes nothing back.
  poke<u64>(kPte, kPage | 7);
  write_cr3(s(), kTables);
  load(kPage);
  const u64 before = tlb->counters().fills;
  away([&] { poke<u64>(kPte, kPage | 7 | A | D); });
  load(kPage);
  EXPECT_EQ(tlb->counters().fills, before);
}

TEST_F(KeptTest, ChangedUpperLevels) {
  spaces();
  load(kPage);
  poke<u64>(0x30000 + 8 * 0x50, 0x51000 | 7);
  away([&] { poke<u64>(kPde, 0x30000 | 7); });
  EXPECT_EQ(load(kPage), 0x51000u);
  // A large page instead of a table, and back.
  away([&] { poke<u64>(kPde, 0x200000 | 7 | PS); });
  poke<u32>(0x200000 + kPage, 77);
  EXPECT_EQ(load(kPage), 77u);
  away([&] { poke<u64>(kPde, (kTables + 0x3000) | 7); });
  EXPECT_EQ(load(kPage), kPage);
}

TEST_F(KeptTest, AnotherCpuWritesTheTables) {
  spaces();
  auto model = parse_cpu("max", true);
  ASSERT_TRUE(model.ok());
  X86Cpu second(*model, platform, 1, nullptr);
  mem::SoftTlb second_tlb(second.state().h, memory);
  mem::store<u64>(second.state().h, kPte, kPage | 7);  // its TLB has the table's page, paging off
  load(kPage);
  away([&] { mem::store<u64>(second.state().h, kPte, 0x52000 | 7); });
  EXPECT_EQ(load(kPage), 0x52000u);
}

TEST_F(KeptTest, GlobalPagesStayUntilInvlpg) {
  spaces();
  write_cr4(s(), s().cr4 | CR4_PGE);
  poke<u64>(kPte, kPage | 7 | G);
  poke<u64>(kOther + 0x3000 + 8 * 0x50, kPage | 7 | G);
  load(kPage);
  const u64 before = tlb->counters().fills;
  away([&] { EXPECT_EQ(load(kPage), kPage); });
  EXPECT_EQ(load(kPage), kPage);
  EXPECT_EQ(tlb->counters().fills, before + 1);
  poke<u64>(kPte, 0x51000 | 7 | G);
  away([&] {
    poke<u64>(kOther + 0x3000 + 8 * 0x50, 0x51000 | 7 | G);
    helper_invlpg(sp, kPage);
    EXPECT_EQ(load(kPage), 0x51000u);
  });
  EXPECT_EQ(load(kPage), 0x51000u);
}

TEST_F(KeptTest, InvlpgReachesWhatConflictsPushedOut) {
  spaces();
  poke<u64>(kTables + 0x2000 + 8 * 2, (kTables + 0x5000) | 7);  // 4 MiB: the same places in the table
  for (u64 i = 0; i < 512; i++) poke<u64>(kTables + 0x5000 + 8 * i, (i << 12) | 7);
  EXPECT_EQ(load(kPage), kPage);
  EXPECT_EQ(load(0x400000 + kPage), kPage);
  EXPECT_EQ(load(kPage), kPage);
  EXPECT_EQ(tlb->counters().victim_hits, 1u);
  EXPECT_EQ(load(0x400000 + kPage), kPage);
  poke<u64>(kPte, 0x51000 | 7);
  helper_invlpg(sp, kPage);
  EXPECT_EQ(load(kPage), 0x51000u);
  // A flush of all that is not global reaches it as well.
  load(0x400000 + kPage);
  poke<u64>(kPte, 0x52000 | 7);
  write_cr3(s(), kTables);
  EXPECT_EQ(load(kPage), 0x52000u);
}

// The walk of a victim with fewer rights is no answer to a store.
TEST_F(KeptTest, VictimsDoNotGiveRightsAway) {
  spaces();
  poke<u64>(kTables + 0x2000 + 8 * 2, (kTables + 0x5000) | 7);
  for (u64 i = 0; i < 512; i++) poke<u64>(kTables + 0x5000 + 8 * i, (i << 12) | 7);
  load(kPage);
  load(0x400000 + kPage);
  mem::store<u32>(s().h, kPage, 9);
  EXPECT_EQ(peek<u64>(kPte), kPage | 7 | A | D);
  EXPECT_EQ(peek<u32>(kPage), 9u);
}

TEST_F(SystemTest, KeptUnderPaeAndTwoLevels) {
  protected_mode();
  const u64 other = 0x20000;
  for (const bool pae : {false, true}) {
    write_cr0(s(), s().cr0 & ~u64{CR0_PG});
    s().cr4 = CR4_PSE | (pae ? u32{CR4_PAE} : 0u);
    for (const u64 root : {u64{kTables}, other}) {
      if (pae) {
        poke<u64>(root, (root + 0x1000) | P);
        poke<u64>(root + 0x1000, (root + 0x2000) | 7);
        poke<u64>(root + 0x1008, 0x200000 | 7 | PS);
        for (u64 i = 0; i < 512; i++) poke<u64>(root + 0x2000 + 8 * i, (i << 12) | 7);
      } else {
        poke<u32>(root, static_cast<u32>(root + 0x2000) | 7);
        for (u32 i = 0; i < 1024; i++) poke<u32>(root + 0x2000 + 4 * i, (i << 12) | 7);
      }
    }
    poke<u32>(0x50000, 1);
    poke<u32>(0x51000, 2);
    s().cr3 = kTables;
    write_cr0(s(), s().cr0 | u64{CR0_PG});
    EXPECT_EQ(mem::load<u32>(s().h, 0x50000), 1u);
    write_cr3(s(), other);
    EXPECT_EQ(mem::load<u32>(s().h, 0x51000), 2u);
    if (pae)
      poke<u64>(kTables + 0x2000 + 8 * 0x50, 0x51000 | 7);
    else
      poke<u32>(kTables + 0x2000 + 4 * 0x50, 0x51000 | 7);
    write_cr3(s(), kTables);
    EXPECT_EQ(mem::load<u32>(s().h, 0x50000), 2u) << pae;
    if (!pae) continue;
    // The pointer table's entry changed: all of its gigabyte is another one.
    write_cr3(s(), other);
    poke<u64>(kTables, (other + 0x1000) | P);
    write_cr3(s(), kTables);
    EXPECT_EQ(mem::load<u32>(s().h, 0x50000), 1u);
  }
}

// The region behind a jump is found again if its page is mapped as it was, and not if it is not.
TEST(Switch, ChangedCodePagesAreSeen) {
  for (const bool interpreter : {false, true}) {
    KernelMachine m(interpreter);
    using K = KernelMachine;
    for (unsigned space = 0; space < 2; space++) {
      for (u64 page = 0x10000; page < 0x14000; page += mem::kPageSize) m.map(space, page, page, K::P | K::W | K::G);
      m.map(space, 0x30000, 0x30000 + space * 0x1000, K::P | K::W);
    }
    const u64 pte = m.pte_address(0, 0x30000);
    // In turn: a call into the page of each space. After 100 rounds space 0 gets a third page while space 1 is on.
    m.poke(0x10000, {0x0f, 0x22, 0xd8,              // 0: mov cr3, rax
                     0x48, 0x93,                    // xchg rax, rbx
                     0x41, 0xff, 0xd0,              // call r8
                     0xff, 0xc9,                    // dec ecx
                     0x83, 0xf9, 0x64,              // cmp ecx, 100
                     0x75, 0x08,                    // jne +8
                     0x4c, 0x89, 0x0e,              // mov [rsi], r9
                     0x90, 0x90, 0x90, 0x90, 0x90,  // nops
                     0x85, 0xc9,                    // test ecx, ecx
                     0x75, 0xe5,                    // jnz 0
                     0xf4});                        // hlt
    m.poke(0x30000, {0x48, 0xff, 0xc2, 0xc3});      // inc rdx; ret
    m.poke(0x31000, {0x49, 0xff, 0xc2, 0xc3});      // inc r10; ret
    m.poke(0x32000, {0x49, 0xff, 0xc3, 0xc3});      // inc r11; ret
    m.start(0x10000, 0x13800);
    m.map(0, pte & ~u64{0xfff}, pte & ~u64{0xfff}, K::P | K::W | K::G);
    m.map(1, pte & ~u64{0xfff}, pte & ~u64{0xfff}, K::P | K::W | K::G);
    X86State& s = m.state();
    s.gpr[RAX] = m.cr3(0);
    s.gpr[RBX] = m.cr3(1);
    s.gpr[RCX] = 200;
    s.gpr[RDX] = s.gpr[R10] = s.gpr[R11] = 0;
    s.gpr[RSI] = pte;
    s.gpr[R8] = 0x30000;
    s.gpr[R9] = 0x32000 | K::P | K::W;
    m.run();
    EXPECT_EQ(s.gpr[RDX], 50u);
    EXPECT_EQ(s.gpr[R10], 100u);
    EXPECT_EQ(s.gpr[R11], 50u);
    if (interpreter) continue;
    EXPECT_LT(m.counters().enters, 60u) << "the jump caches of both spaces outlive the switches";
  }
}

}  // namespace
}  // namespace doppel::x86::test
