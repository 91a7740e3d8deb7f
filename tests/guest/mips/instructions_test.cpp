// MIPS instructions with expected registers, by the JIT and the interpreter, in both byte orders.
#include "guest/mips/bare_machine.h"

namespace doppel::mips::test {
namespace {

class Mips : public ::testing::TestWithParam<Kind> {
 protected:
  BareMachine m{GetParam()};
  MipsState& s = m.cpu.state();
  void set(unsigned n, u32 value) { s.gpr[n] = canonical32(s, value); }
};

constexpr u32 kNop = 0, kEret = 0x42000018;

TEST_P(Mips, ArithmeticAndLogic) {
  set(4, 0x80000001), set(5, 7);
  m.run({spc(33, 4, 5, 2), spc(35, 5, 4, 3), spc(39, 4, 5, 6), spc(42, 4, 5, 7), spc(43, 4, 5, 8),
         imm(11, 5, 9, 0xffff), spc(3, 0, 4, 10, 4), spc(2, 0, 4, 11, 4)});
  EXPECT_EQ(m.reg(2), 0x80000008u);
  EXPECT_EQ(m.reg(3), 0x80000006u);
  EXPECT_EQ(m.reg(6), ~0x80000007u);
  EXPECT_EQ(m.reg(7), 1u);  // signed
  EXPECT_EQ(m.reg(8), 0u);
  EXPECT_EQ(m.reg(9), 1u);  // the immediate is sign-extended, then compared unsigned
  EXPECT_EQ(m.reg(10), 0xf8000000u);
  EXPECT_EQ(m.reg(11), 0x08000000u);
}

TEST_P(Mips, MultiplyAndDivide) {
  set(4, 0xfffffff9), set(5, 2);  // -7
  m.run({spc(26, 4, 5, 0), spc(16, 0, 0, 2), spc(18, 0, 0, 3), spc(27, 4, 5, 0), spc(18, 0, 0, 6), spc(24, 4, 5, 0),
         spc(16, 0, 0, 7), 28u << 26 | 4u << 21 | 5u << 16, spc(18, 0, 0, 8)});
  EXPECT_EQ(m.reg(2), 0xffffffffu);  // -7 mod 2
  EXPECT_EQ(m.reg(3), 0xfffffffdu);
  EXPECT_EQ(m.reg(6), 0x7ffffffcu);
  EXPECT_EQ(m.reg(7), 0xffffffffu);
  EXPECT_EQ(m.reg(8), 0xffffffe4u);  // MADD: -14 - 14
}

TEST_P(Mips, OverflowTrapsAndWritesNothing) {
  set(4, 0x7fffffff), set(5, 1), set(2, 99);
  m.run({kNop, spc(32, 4, 5, 2)});
  EXPECT_EQ(m.reg(2), 99u);
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_OV});
  EXPECT_EQ(static_cast<u32>(s.epc), BareMachine::kCode + 4);
  EXPECT_FALSE(s.cause & CA_BD);
}

TEST_P(Mips, BranchesAndTheirSlots) {
  set(4, 1), set(6, 0);
  m.run({imm(4, 0, 0, 2), addiu(6, 6, 1), addiu(6, 6, 16),     // B over one, slot runs
         imm(5, 4, 0, 2), addiu(4, 0, 0), addiu(6, 6, 16),     // BNE: compared before its slot changes $4
         imm(20, 4, 7, 2), addiu(6, 6, 16), addiu(6, 6, 2),    // BEQL of 0 and $7: taken, slot runs
         imm(21, 0, 0, 2), addiu(6, 6, 32), addiu(6, 6, 4)});  // BNEL not taken: slot nullified
  EXPECT_EQ(m.reg(6), 1u + 16u + 4u);
}

TEST_P(Mips, CallsLinkPastTheSlot) {
  m.run({0x0c000000 | ((BareMachine::kCode + 16) & 0x0fffffff) >> 2, addiu(2, 31, 0), addiu(3, 0, 1), kNop, kNop});
  EXPECT_EQ(m.reg(31), BareMachine::kCode + 8);
  EXPECT_EQ(m.reg(2), BareMachine::kCode + 8);  // the slot sees the link
  EXPECT_EQ(m.reg(3), 0u);
}

TEST_P(Mips, FaultInADelaySlot) {
  set(4, BareMachine::kData + 1);
  m.run({kNop, imm(4, 0, 0, 4), imm(35, 4, 2, 0)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_ADEL});
  EXPECT_TRUE(s.cause & CA_BD);
  EXPECT_EQ(static_cast<u32>(s.epc), BareMachine::kCode + 4);
  EXPECT_EQ(static_cast<u32>(s.bad_vaddr), BareMachine::kData + 1);
}

TEST_P(Mips, SystemCallInADelaySlot) {
  m.run({imm(4, 0, 0, 4), 12});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_SYS});
  EXPECT_TRUE(s.cause & CA_BD);
  EXPECT_EQ(static_cast<u32>(s.epc), BareMachine::kCode);
}

// What LWL and SWL of an unaligned word do, byte by byte.
TEST_P(Mips, UnalignedWords) {
  for (u32 at = 0; at < 4; at++) {
    for (u32 i = 0; i < 8; i++) m.byte(BareMachine::kData + i) = static_cast<u8>(0x11 * (i + 1));
    const bool big = m.model.big_endian;
    set(4, BareMachine::kData + at);
    m.run({imm(34, 4, 2, big ? 0 : 3), imm(38, 4, 2, big ? 3 : 0), lui(5, 0xa1b2), ori(5, 5, 0xc3d4),
           imm(42, 4, 5, big ? 0 : 3), imm(46, 4, 5, big ? 3 : 0)});
    u32 want = 0;
    for (u32 i = 0; i < 4; i++) want |= 0x11 * (at + i + 1) << (8 * (big ? 3 - i : i));
    EXPECT_EQ(m.reg(2), want) << at;
    for (u32 i = 0; i < 8; i++) {
      const u32 n = i - at;
      const u32 stored = n < 4 ? 0xa1b2c3d4u >> (8 * (big ? 3 - n : n)) & 0xff : 0x11 * (i + 1);
      EXPECT_EQ(m.byte(BareMachine::kData + i), stored) << at << " " << i;
    }
  }
}

TEST_P(Mips, LoadLinkedStoreConditional) {
  set(4, BareMachine::kData);
  m.put32(BareMachine::kData, 41);
  m.run({imm(48, 4, 2, 0), addiu(3, 2, 1), imm(56, 4, 3, 0), addiu(6, 0, 9), imm(56, 4, 6, 0)});
  EXPECT_EQ(m.reg(3), 1u);
  EXPECT_EQ(m.get32(BareMachine::kData), 42u);
  EXPECT_EQ(m.reg(6), 0u);  // without a link it stores nothing
}

TEST_P(Mips, BitFields) {
  if (m.model.release < 2) GTEST_SKIP() << "release 1";
  set(4, 0x12345678), set(2, 0xffffffff);
  m.run({31u << 26 | 4u << 21 | 3u << 16 | 7u << 11 | 8u << 6,
         31u << 26 | 4u << 21 | 2u << 16 | 15u << 11 | 8u << 6 | 4, 31u << 26 | 4u << 16 | 5u << 11 | 2u << 6 | 32,
         31u << 26 | 4u << 16 | 6u << 11 | 16u << 6 | 32, 28u << 26 | 4u << 21 | 7u << 11 | 32, spc(2, 1, 4, 8, 4)});
  EXPECT_EQ(m.reg(3), 0x56u);
  EXPECT_EQ(m.reg(2), 0xffff78ffu);
  EXPECT_EQ(m.reg(5), 0x34127856u);  // WSBH
  EXPECT_EQ(m.reg(6), 0x78u);        // SEB
  EXPECT_EQ(m.reg(7), 3u);           // CLZ
  EXPECT_EQ(m.reg(8), 0x81234567u);  // ROTR
}

// A refill handler that maps the page, and the access runs again.
TEST_P(Mips, TlbRefill) {
  const u32 vector = m.model.is_64bit ? 0x80000080 : 0x80000000;  // Status.KX
  m.code(vector, {lui(26, 0), ori(26, 26, 0x8000 >> 6 | 7), mtc0(26, 2), mtc0(26, 3), 0x42000006, kEret});
  m.put32(BareMachine::kData + 0x10, 0xcafe);
  s.entry_hi = 5;
  set(4, 0x40000010);
  m.run({imm(35, 4, 2, 0), addiu(3, 0, 7)});
  EXPECT_EQ(m.reg(2), 0xcafeu);
  EXPECT_EQ(m.reg(3), 7u);
  EXPECT_EQ(static_cast<u32>(s.bad_vaddr), 0x40000010u);
  EXPECT_EQ(s.entry_hi & 0xff, 5u);
}

// An entry ends for its address space too when it is replaced while another one runs.
TEST_P(Mips, ReplacedEntryOfAnotherSpace) {
  m.code(0x80000080, {BareMachine::kWait});  // refill with Status.KX
  s.entry_lo0 = s.entry_lo1 = 0x8000 >> 6 | 6;
  write_cp0(s, 10, 0, 0x40000001);
  tlb_write(s, 0);
  set(4, 0x40000010);
  m.run({imm(35, 4, 2, 0)});
  EXPECT_EQ(s.cause >> 2 & 31, 0u);
  write_cp0(s, 10, 0, 0x50000002);
  m.run({kNop});
  tlb_write(s, 0);
  write_cp0(s, 10, 0, 0x40000001);
  m.run({imm(35, 4, 2, 0)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_TLBL});
}

// The segment at the top, sign-extended on a 64-bit CPU: its entries match, and end when they are replaced.
TEST_P(Mips, MappedKernelSegment) {
  const u32 vector = m.model.is_64bit ? 0x80000080 : 0x80000000;
  m.code(vector, {lui(26, 0), ori(26, 26, 0x8000 >> 6 | 7), mtc0(26, 2), mtc0(26, 3), 0x42000006, kEret});
  m.put32(BareMachine::kData + 0x10, 0xbeef);
  set(4, 0xd0000010);
  m.run({imm(35, 4, 2, 0)});
  EXPECT_EQ(m.reg(2), 0xbeefu);
  m.code(vector, {BareMachine::kWait});
  for (unsigned i = 0; i < m.model.tlb_entries; i++) {
    write_cp0(s, 10, 0, canonical32(s, 0x60000000 + i * 0x2000));
    tlb_write(s, i);
  }
  s.status &= ~u32{ST_EXL};
  m.run({imm(35, 4, 2, 0)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_TLBL});
}

// What TLBWR replaced still grants accesses, till the program could tell.
class RetiredTlbTest : public Mips {
 protected:
  static constexpr u32 kVa = 0x40000000, kTlbp = 0x42000008, kTlbr = 0x42000001, kTlbwi = 0x42000002;
  void SetUp() override {
    Mips::SetUp();
    m.code(0x80000180, {BareMachine::kWait});
    m.code(m.model.is_64bit ? 0x80000080 : 0x80000000, {BareMachine::kWait});
    m.put32(BareMachine::kData + 0x10, 0xcafe);
    set(4, kVa + 0x10);
    s.entry_lo0 = s.entry_lo1 = 0x8000 >> 6 | 2;  // valid, not dirty
    write_cp0(s, 10, 0, kVa + 5);
    tlb_write(s, random_index(s), true);
    for (unsigned i = 0; i < m.model.tlb_entries; i++) {
      write_cp0(s, 10, 0, canonical32(s, 0x60000000 + i * 0x2000) | 5);
      tlb_write(s, random_index(s), true);
    }
  }
  // The exception of a load, after the words; 0: none.
  u32 load_after(std::initializer_list<u32> words) {
    s.status &= ~u32{ST_EXL};
    s.cause &= ~u32{CA_EXC};
    write_cp0(s, 10, 0, kVa + 5);
    m.run(words);
    s.status &= ~u32{ST_EXL};
    write_cp0(s, 10, 0, kVa + 5);
    m.run({imm(35, 4, 2, 0)});
    return s.cause >> 2 & 31;
  }
};

TEST_P(RetiredTlbTest, GrantsAccesses) {
  EXPECT_EQ(load_after({kNop}), 0u);
  EXPECT_EQ(m.reg(2), 0xcafeu);
}

TEST_P(RetiredTlbTest, EndsWhenItIsProbedFor) {
  EXPECT_EQ(load_after({imm(35, 4, 2, 0)}), 0u);
  EXPECT_EQ(load_after({kTlbp}), u32{EXC_TLBL});
  EXPECT_EQ(s.index, 0x80000000u);
}

TEST_P(RetiredTlbTest, EndsWhenEntriesAreRead) { EXPECT_EQ(load_after({kTlbr}), u32{EXC_TLBL}); }

TEST_P(RetiredTlbTest, EndsWhenAllEntriesAreRewritten) {
  for (unsigned i = 0; i < m.model.tlb_entries; i++) {
    EXPECT_EQ(load_after({kNop}), 0u) << i;
    write_cp0(s, 10, 0, canonical32(s, 0x70000000 + i * 0x2000) | 5);
    tlb_write(s, i);
  }
  EXPECT_EQ(load_after({kNop}), u32{EXC_TLBL});
}

TEST_P(RetiredTlbTest, IsOfItsAddressSpace) {
  s.status &= ~u32{ST_EXL};
  write_cp0(s, 10, 0, kVa + 6);
  m.run({imm(35, 4, 2, 0)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_TLBL});
}

// What it does not grant is a refill, as if it were gone: the handler of the other exceptions looks for the entry.
TEST_P(RetiredTlbTest, RefusesNothing) {
  m.code(0x80000180, {kNop, BareMachine::kWait});
  write_cp0(s, 10, 0, kVa + 5);
  m.run({imm(43, 4, 0, 0)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_TLBS});
  EXPECT_NE(static_cast<u32>(s.pc) & 0xfff, 0x188u);
  EXPECT_EQ(static_cast<u32>(s.epc), BareMachine::kCode);
}

// Another entry for the page: what the old one granted is gone.
TEST_P(RetiredTlbTest, EndsWhenItsPageIsMappedAnew) {
  EXPECT_EQ(load_after({imm(35, 4, 2, 0)}), 0u);
  m.put32(0x80009010, 0xbeef);
  write_cp0(s, 10, 0, kVa + 5);
  s.entry_lo0 = s.entry_lo1 = 0x9000 >> 6 | 6;
  tlb_write(s, random_index(s), true);
  EXPECT_EQ(load_after({kNop}), 0u);
  EXPECT_EQ(m.reg(2), 0xbeefu);
}

TEST_P(Mips, StoreToACleanPage) {
  write_cp0(s, 10, 0, 0x40000000);
  s.entry_lo0 = s.entry_lo1 = 0x8000 >> 6 | 3;  // valid and global, not dirty
  tlb_write(s, 0);
  set(4, 0x40000000);
  m.run({imm(35, 4, 2, 0), imm(43, 4, 0, 0)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_MOD});
  EXPECT_EQ(static_cast<u32>(s.epc), BareMachine::kCode + 4);
}

TEST_P(Mips, SoftwareInterrupt) {
  m.code(0x80000180, {mtc0(0, 13), BareMachine::kWait});  // a request that stays would end the wait
  m.run({lui(2, 0), ori(2, 2, 0x101), mfc0(3, 12), spc(37, 2, 3, 2), mtc0(2, 12), ori(4, 0, 0x100), mtc0(4, 13), kNop,
         addiu(5, 0, 1)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_INT});
  EXPECT_EQ(m.reg(5), 0u);
  EXPECT_TRUE(s.status & ST_EXL);
}

TEST_P(Mips, CountAndCompare) {
  m.platform.ns = 1000;
  m.run({ori(2, 0, 5000), mtc0(2, 11), mfc0(3, 9)});
  EXPECT_EQ(m.reg(3), 1000u);
  EXPECT_EQ(m.platform.armed, 4000u);
  m.cpu.timer_event();  // one that was armed before: not yet
  EXPECT_FALSE(read_cp0(s, 13, 0) & 0x8000);
  m.platform.ns = 5000;
  EXPECT_EQ(m.cpu.timer_event(), u64{1} << 32);  // the next time, if Compare stays
  EXPECT_TRUE(read_cp0(s, 13, 0) & 0x8000);
  m.run({mtc0(2, 11)});
  EXPECT_FALSE(read_cp0(s, 13, 0) & 0x8000);
}

// The board's timer comes when the host lets it; whoever sees Count past Compare sees the request too.
TEST_P(Mips, CountThatIsReadRaisesTheTimer) {
  m.platform.ns = 1000;
  m.run({ori(2, 0, 5000), mtc0(2, 11)});
  m.platform.ns = 5001;
  m.run({mfc0(3, 9), mfc0(4, 13)});
  EXPECT_EQ(m.reg(3), 5001u);
  EXPECT_TRUE(m.reg(4) & 0x8000);
  m.run({ori(2, 0, 9000), mtc0(2, 11)});
  m.cpu.timer_event();  // the late one
  EXPECT_FALSE(read_cp0(s, 13, 0) & 0x8000);
}

TEST_P(Mips, FloatingPoint) {
  if (!m.model.fpu) GTEST_SKIP() << "no unit";
  s.fpr[0] = 0x3ff8000000000000;  // 1.5
  s.fpr[2] = 0x4004000000000000;  // 2.5
  s.fpr[6] = 0x7ff0000000000000;
  m.run({fp(0, 17, 0, 2, 4), fp(0x3c, 17, 0, 2, 0), fp(1, 17, 6, 6, 8), fp(3, 17, 0, 2, 10)});
  sync_fcsr(s);
  EXPECT_EQ(s.fpr[4], 0x4010000000000000u);  // ADD.D
  EXPECT_TRUE(s.fcr31 & 1 << 23);            // C.LT.D
  EXPECT_EQ(s.fpr[8], 0x7ff7ffffffffffffu);  // infinity - infinity: the default NaN
  EXPECT_EQ(s.fpr[10], 0x3fe3333333333333u);
  EXPECT_EQ(s.fcr31 >> kFcsrFlags & 31, u32{FP_V} | u32{FP_I});
  EXPECT_EQ(s.fcr31 >> kFcsrCauses & 63, u32{FP_I});
}

TEST_P(Mips, FloatingPointTrap) {
  if (!m.model.fpu) GTEST_SKIP() << "no unit";
  s.fpr[2] = 0;
  s.fpr[0] = 0x3ff0000000000000;
  s.fpr[4] = 77;
  set_fcsr(s, FP_Z << kFcsrEnables);
  m.run({fp(3, 17, 0, 2, 4)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_FPE});
  EXPECT_EQ(s.fpr[4], 77u);
  EXPECT_EQ(s.fcr31 >> kFcsrCauses & 63, u32{FP_Z});
  EXPECT_EQ(s.fcr31 >> kFcsrFlags & 31, 0u);
}

TEST_P(Mips, WithoutItsUnitAnInstructionTraps) {
  s.status &= ~u32{ST_CU1};
  update_mode(s);
  m.run({fp(0, 17, 0, 2, 4)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_CPU});
  EXPECT_EQ(s.cause >> 28 & 3, 1u);
}

TEST_P(Mips, SixtyFourBits) {
  if (!m.model.is_64bit) GTEST_SKIP() << "32 bits";
  s.gpr[4] = 0x123456789abcdef0;
  m.run({spc(45, 4, 4, 2), spc(60, 0, 4, 3, 0), spc(33, 4, 0, 5)});
  EXPECT_EQ(s.gpr[2], 0x2468acf13579bde0u);
  EXPECT_EQ(s.gpr[3], 0x9abcdef000000000u);
  EXPECT_EQ(s.gpr[5], 0xffffffff9abcdef0u);  // ADDU sign-extends
}

constexpr Kind kKinds[] = {{false, false, "24Kf"},          {true, false, "24Kf"},
                           {false, true, "24Kf"},           {true, true, "24Kf"},
                           {false, false, "4Kc"},           {false, false, "MIPS64R2-generic"},
                           {true, true, "MIPS64R2-generic"}};
const auto kind_name = [](const auto& info) {
  std::string name = std::string(info.param.cpu) + (info.param.big_endian ? "_big" : "_little") +
                     (info.param.interpreter ? "_interpreter" : "_jit");
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
};
INSTANTIATE_TEST_SUITE_P(All, Mips, ::testing::ValuesIn(kKinds), kind_name);
INSTANTIATE_TEST_SUITE_P(All, RetiredTlbTest, ::testing::ValuesIn(kKinds), kind_name);

}  // namespace
}  // namespace doppel::mips::test
