// The page walker, its faults, and accesses through the soft TLB.
#include "guest/x86/system/paging.h"
#include "system_fixture.h"

namespace doppel::x86::test {
namespace {

enum : u64 { P = 1, W = 2, U = 4, A = 32, D = 64, PS = 128, G = 256 };

TEST_F(SystemTest, AccessedAndDirtyBits) {
  long_mode_on();
  const u64 pte = kTables + 0x3000 + 8 * 0x50;
  EXPECT_EQ(mem::load<u32>(s().h, 0x50010), 0u);
  EXPECT_EQ(peek<u64>(pte), u64{0x50000 | P | W | U | A});
  mem::store<u32>(s().h, 0x50010, 7);
  EXPECT_EQ(peek<u64>(pte), u64{0x50000 | P | W | U | A | D});
  EXPECT_TRUE(peek<u64>(kTables) & A);
  EXPECT_FALSE(peek<u64>(kTables) & D);
}

TEST_F(SystemTest, PageFaultCodes) {
  long_mode_on();
  poke<u64>(kTables + 0x3000 + 8 * 0x50, 0);
  EXPECT_TRUE(raises(0x400, [&] { mem::load<u32>(s().h, 0x50ffe); }));
  EXPECT_EQ(s().cr2, 0x50ffeu);
  expect_pending(PF_, 0);
  poke<u64>(kTables + 0x3000 + 8 * 0x51, 0x51000 | P);  // supervisor, read only
  EXPECT_TRUE(raises(0x400, [&] { mem::store<u32>(s().h, 0x51000, 0); }));
  expect_pending(PF_, 3);
  user_mode();
  EXPECT_TRUE(raises(0x400, [&] { mem::load<u32>(s().h, 0x51000); }));
  expect_pending(PF_, 5);
  EXPECT_TRUE(raises(0x400, [&] { helper_fetch_fault(sp, 0x51000); }));
  expect_pending(PF_, 0x15);
  poke<u64>(kTables + 0x3000 + 8 * 0x52, 0x52000 | P | W | U | u64{1} << 51);
  EXPECT_TRUE(raises(0x400, [&] { mem::load<u32>(s().h, 0x52000); }));
  expect_pending(PF_, 0xd);
  poke<u64>(kTables + 0x3000 + 8 * 0x53, 0x53000 | P | U | u64{1} << 63);
  EXPECT_TRUE(raises(0x400, [&] { helper_fetch_fault(sp, 0x53000); }));
  expect_pending(PF_, 0x15);
  EXPECT_TRUE(raises(0x400, [&] { mem::load<u32>(s().h, 0x0000800000000000); }));
  expect_pending(GP, 0);
}

TEST_F(SystemTest, CrossingStoreWritesNothing) {
  long_mode_on();
  poke<u64>(kTables + 0x3000 + 8 * 0x51, 0x51000 | P | U);
  poke<u32>(0x50ffc, 0x11223344);
  EXPECT_TRUE(raises(0x400, [&] { mem::store<u32>(s().h, 0x50ffe, ~u32{0}); }));
  EXPECT_EQ(s().cr2, 0x51000u);
  expect_pending(PF_, 3);
  EXPECT_EQ(peek<u32>(0x50ffc), 0x11223344u);
}

TEST_F(SystemTest, SmepAndSmap) {
  long_mode_on();
  EXPECT_EQ(mem::load<u8>(s().h, 0x50000), 0);
  write_cr4(s(), s().cr4 | CR4_SMEP | CR4_SMAP);
  // Everything is a user page; the tables of the processor would fault too, so give them supervisor pages.
  for (u64 i = 0; i < 0x40; i++) poke<u64>(kTables + 0x3000 + 8 * i, (i << 12) | P | W);
  flush_tlb(s());
  EXPECT_TRUE(raises(0x400, [&] { mem::load<u8>(s().h, 0x50000); }));
  expect_pending(PF_, 1);
  helper_stac(sp);
  EXPECT_FALSE(raises(0x400, [&] { mem::load<u8>(s().h, 0x50000); }));
  helper_clac(sp);
  EXPECT_TRUE(raises(0x400, [&] { mem::load<u8>(s().h, 0x50000); }));
  expect_pending(PF_, 1);
  EXPECT_TRUE(raises(0x400, [&] { helper_fetch_fault(sp, 0x50000); }));
  expect_pending(PF_, 0x11);
  user_mode();
  EXPECT_FALSE(raises(0x400, [&] { mem::load<u8>(s().h, 0x50000); }));
}

TEST_F(SystemTest, LargePages) {
  long_mode_on();
  poke<u64>(kTables + 0x2000 + 8 * 2, 0x200000 | P | W | U | PS);
  EXPECT_FALSE(raises(0, [&] { mem::store<u32>(s().h, 0x400000 + 0x1234, 99); }));
  EXPECT_EQ(peek<u32>(0x201234), 99u);
  poke<u64>(kTables + 0x1000 + 8, 0 | P | W | U | PS | G);  // 1 GiB
  EXPECT_FALSE(raises(0, [&] { mem::store<u32>(s().h, 0x40000000 + 0x201238, 98); }));
  EXPECT_EQ(peek<u32>(0x201238), 98u);
  poke<u64>(kTables + 0x2000 + 8 * 3, 0x202000 | P | PS);
  EXPECT_TRUE(raises(0, [&] { mem::load<u32>(s().h, 0x600000); }));
  expect_pending(PF_, 9);
}

TEST_F(SystemTest, Paging32WithPse) {
  protected_mode();
  s().cr4 |= CR4_PSE;
  poke<u32>(kTables, 0 | P | W | U | PS);
  poke<u32>(kTables + 4 * 0x300, (kTables + 0x1000) | P | W | U);
  poke<u32>(kTables + 0x1000 + 4 * 5, 0x60000 | P | W | U);
  s().cr3 = kTables;
  write_cr0(s(), s().cr0 | u64{CR0_PG});
  mem::store<u32>(s().h, 0xc0005010, 42);
  EXPECT_EQ(peek<u32>(0x60010), 42u);
  EXPECT_EQ(peek<u32>(kTables + 0x1000 + 4 * 5), u32{0x60000 | P | W | U | A | D});
  mem::store<u32>(s().h, 0x123456, 43);
  EXPECT_EQ(peek<u32>(0x123456), 43u);
  EXPECT_EQ(peek<u32>(kTables), u32{P | W | U | PS | A | D});
  u64 pa = 0;
  EXPECT_TRUE(cpu->debug_translate(0xc0005123, pa));
  EXPECT_EQ(pa, 0x60123u);
  EXPECT_FALSE(cpu->debug_translate(0xd0000000, pa));
}

TEST_F(SystemTest, PaePointersAreLoadedWithCr3) {
  protected_mode();
  s().cr4 |= CR4_PAE;
  poke<u64>(kTables, (kTables + 0x1000) | P);
  poke<u64>(kTables + 0x1000, 0 | P | W | U | PS);
  s().cr3 = kTables;
  write_cr0(s(), s().cr0 | u64{CR0_PG});
  mem::store<u32>(s().h, 0x1ff000, 5);
  EXPECT_EQ(peek<u32>(0x1ff000), 5u);
  poke<u64>(kTables, 2 | P);  // reserved bit
  EXPECT_TRUE(raises(0, [&] { helper_mov_to_cr(sp, 3, kTables); }));
  expect_pending(GP, 0);
  EXPECT_EQ(s().cr3, kTables);
}

TEST_F(SystemTest, PcidKeepsEntries) {
  long_mode_on();
  write_cr4(s(), s().cr4 | CR4_PCIDE);
  EXPECT_EQ(mem::load<u8>(s().h, 0x50000), 0);
  const u64 pte = kTables + 0x3000 + 8 * 0x50;
  poke<u64>(pte, 0x60000 | 7);
  poke<u8>(0x60000, 0x77);
  write_cr3(s(), (kTables | 5));
  EXPECT_EQ(mem::load<u8>(s().h, 0x50000), 0x77);
  write_cr3(s(), kTables | u64{1} << 63);
  EXPECT_EQ(s().cr3, kTables);
  write_cr3(s(), kTables);
  EXPECT_EQ(mem::load<u8>(s().h, 0x50000), 0x77) << "flushed";
  poke<u64>(pte, 0x50000 | 7);
  helper_invlpg(sp, 0x50000);
  EXPECT_EQ(mem::load<u8>(s().h, 0x50000), 0);
}

TEST_F(SystemTest, ControlRegisterChecks) {
  long_mode_on();
  EXPECT_TRUE(raises(0, [&] { helper_mov_to_cr(sp, 0, s().cr0 & ~u64{CR0_PE}); }));
  expect_pending(GP, 0);
  EXPECT_TRUE(raises(0, [&] { helper_mov_to_cr(sp, 4, s().cr4 & ~u64{CR4_PAE}); }));
  expect_pending(GP, 0);
  EXPECT_TRUE(raises(0, [&] { helper_mov_to_cr(sp, 4, s().cr4 | 1u << 31); }));
  expect_pending(GP, 0);
  EXPECT_TRUE(raises(0, [&] { helper_mov_to_cr(sp, 1, 0); }));
  EXPECT_EQ(s().exc_vector, UD);
  s().exc_pending = 0;
  helper_mov_to_cr(sp, 8, 5);
  EXPECT_EQ(helper_mov_from_cr(sp, 8), 5u);
  user_mode();
  EXPECT_TRUE(raises(0, [&] { helper_mov_from_cr(sp, 0); }));
  expect_pending(GP, 0);
}

}  // namespace
}  // namespace doppel::x86::test
