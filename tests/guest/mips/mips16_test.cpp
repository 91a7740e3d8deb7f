// MIPS16e with expected registers, by the JIT and the interpreter, in both byte orders. Code of 32 bits calls it by
// JALX.
#include "guest/mips/bare_machine.h"

namespace doppel::mips::test {
namespace {

constexpr u32 kCode16 = 0x80002000, kReturn = 0xe8a0;  // JRC ra
constexpr u32 jalx(u32 to) { return 29u << 26 | (to & 0x0fffffff) >> 2; }

class Mips16 : public ::testing::TestWithParam<Kind> {
 protected:
  BareMachine m{GetParam()};
  MipsState& s = m.cpu.state();
  void set(unsigned n, u32 value) { s.gpr[n] = value; }
  void put16(u32 address, u32 half) {
    m.byte(address + (m.model.big_endian ? 0 : 1)) = static_cast<u8>(half >> 8);
    m.byte(address + (m.model.big_endian ? 1 : 0)) = static_cast<u8>(half);
  }
  void run(std::initializer_list<u32> halves) {
    u32 at = kCode16;
    for (const u32 h : halves) put16(at, h), at += 2;
    put16(at, kReturn);
    m.run({jalx(kCode16), 0});
  }
};

TEST_P(Mips16, Arithmetic) {
  set(4, 7), set(5, 0xfffffff0);
  run({0xe4a9,            // ADDU $2, $4, $5
       0xe4af,            // SUBU $3, $4, $5
       0x4c05,            // ADDIU $4, 5
       0xf7ff, 0x4d1f,    // ADDIU $5, -1, extended
       0x6e2a,            // LI $6, 42
       0xf132, 0x6f14,    // LI $7, 0x9134
       0x3040,            // SLL $16, $2, 8
       0xf340, 0x31a3});  // SRA $17, $5, 13, extended
  EXPECT_EQ(m.reg(2), 0xfffffff7u);
  EXPECT_EQ(m.reg(3), 0x17u);
  EXPECT_EQ(m.reg(4), 12u);
  EXPECT_EQ(m.reg(5), 0xffffffefu);
  EXPECT_EQ(m.reg(6), 42u);
  EXPECT_EQ(m.reg(7), 0x9134u);
  EXPECT_EQ(m.reg(16), 0xfffff700u);
  EXPECT_EQ(m.reg(17), 0xffffffffu);
}

TEST_P(Mips16, ComparisonsAndMoves) {
  set(4, 7), set(5, 0xfffff0f0), set(25, 99), set(16, 3);
  run({0x659c,    // MOVE $28, $4
       0x6759,    // MOVE $2, $25
       0xebab,    // NEG $3, $5
       0xeeaf,    // NOT $6, $5
       0xeca2,    // SLT $4, $5
       0x67f8,    // MOVE $7, $24
       0x5408,    // SLTI $4, 8
       0x6101,    // BTNEZ: over one
       0x6f05});  // LI $7, 5
  EXPECT_EQ(m.reg(28), 7u);
  EXPECT_EQ(m.reg(2), 99u);
  EXPECT_EQ(m.reg(3), 0xf10u);
  EXPECT_EQ(m.reg(6), 0xf0fu);
  EXPECT_EQ(m.reg(7), 0u);
  EXPECT_EQ(m.reg(24), 1u);
}

TEST_P(Mips16, HiLoAndExtension) {
  set(4, 0x10000), set(5, 0x12345), set(6, 0x18281);
  run({0xecb8, 0xea12, 0xeb10,  // MULT $4, $5; MFLO $2; MFHI $3
       0xecbb, 0xef10,          // DIVU $4, $5; MFHI $7
       0xee91});                // SEB $6
  EXPECT_EQ(m.reg(2), 0x23450000u);
  EXPECT_EQ(m.reg(3), 1u);
  EXPECT_EQ(m.reg(7), 0x10000u);
  EXPECT_EQ(m.reg(6), 0xffffff81u);
}

TEST_P(Mips16, MemoryAndTheStack) {
  set(29, BareMachine::kData + 0x100), set(16, 0x1616), set(17, 0x1717), set(4, 0x44), set(5, 0x55);
  run({0x64f4,            // SAVE 32, ra, s0, s1
       0xd402,            // SW $4, 8(sp)
       0x9602,            // LW $6, 8(sp)
       0x6801, 0x6902,    // LI $16, 1; LI $17, 2
       0x6474,            // RESTORE
       0xf608, 0x64f8,    // SAVE a0-a1, 64, ra, s0-s7
       0xf600, 0x6478});  // RESTORE
  const u32 top = BareMachine::kData + 0x100;
  EXPECT_EQ(m.reg(29), top);
  EXPECT_EQ(m.reg(16), 0x1616u);
  EXPECT_EQ(m.reg(17), 0x1717u);
  EXPECT_EQ(m.reg(6), 0x44u);
  EXPECT_EQ(m.get32(top - 4), BareMachine::kCode + 8);
  EXPECT_EQ(m.get32(top - 32), 0x1717u);  // below s7 to s2
  EXPECT_EQ(m.get32(top), 0x44u);
  EXPECT_EQ(m.get32(top + 4), 0x55u);
}

TEST_P(Mips16, BranchesAndJumps) {
  set(4, 0), set(29, BareMachine::kData + 0x100);
  for (u32 i = 0; i < 4; i++) put16(kCode16 + 0x40 + 2 * i, (const u32[]){0x4a10, 0xe820, 0x4a20, 0x4a40}[i]);
  run({0x64c1,                                  // SAVE 8, ra
       0x6a01,                                  // LI $2, 1
       0x2401,                                  // BEQZ $4, over one
       0x6a00,                                  // LI $2, 0
       0x1800, (kCode16 + 0x40) >> 2 & 0xffff,  // JAL
       0x4a02,                                  // ADDIU $2, 2 in its slot
       0xb703,                                  // LW $7, near the pc
       0x1002,                                  // B over two
       0x0005, 0x6a00,
       0x4a04,                                // ADDIU $2, 4
       0x6441});                              // RESTORE
  EXPECT_EQ(m.reg(2), 1u + 2 + 16 + 32 + 4);  // the routine's slot ran; what is after it did not
}

TEST_P(Mips16, ExchangesBack) {
  m.code(0x80003000, {spc(8, 31, 0, 0), addiu(3, 31, 0)});  // JR ra
  set(29, BareMachine::kData + 0x100);
  run({0x64c1, 0x1c00, 0x3000 >> 2, 0x6500, 0x6441});  // SAVE; JALX; RESTORE
  EXPECT_EQ(m.reg(3), kCode16 + 8 + 1);                // the link has the mode in bit 0
}

TEST_P(Mips16, ExceptionsHaveTheModeInEpc) {
  set(4, BareMachine::kData + 1), set(29, 0);
  run({0x6500, 0x9c60});  // LW $3, 0($4)
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_ADEL});
  EXPECT_EQ(static_cast<u32>(s.epc), kCode16 + 2 + 1);
  s.status &= ~u32{ST_EXL};
  run({0x6500, 0xe820, 0x9c60});  // JR ra, with that in its slot
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_ADEL});
  EXPECT_EQ(static_cast<u32>(s.epc), kCode16 + 2 + 1);
  EXPECT_TRUE(s.cause & CA_BD);
  s.status &= ~u32{ST_EXL};
  run({0xe8a5});  // BREAK
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_BP});
  s.status &= ~u32{ST_EXL};
  run({0xe800 | 0x1d});  // no instruction
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_RI});
}

// A store of the first byte of code that was run already, on another page than its caller and on the same.
TEST_P(Mips16, CodeThatChanges) {
  for (const u32 at : {kCode16, BareMachine::kCode + 0x800}) {
    put16(at, 0x4a01), put16(at + 2, kReturn);  // ADDIU $2, 1
    set(4, at), set(5, m.model.big_endian ? 0x4b : 5), set(2, 0), set(3, 0);
    m.run({jalx(at), 0, imm(40, 4, 5, 0), jalx(at), 0});
    EXPECT_EQ(m.reg(2), m.model.big_endian ? 1u : 6u);
    EXPECT_EQ(m.reg(3), m.model.big_endian ? 1u : 0u);
  }
}

TEST(Mips16Absent, JumpsToOddAddressesFail) {
  BareMachine m{Kind{false, false, "4Kc"}};
  MipsState& s = m.cpu.state();
  s.gpr[4] = kCode16 + 1;
  m.run({spc(8, 4, 0, 0), 0});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_ADEL});
  s.status &= ~u32{ST_EXL};
  m.run({jalx(kCode16), 0});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_RI});
}

constexpr Kind kKinds[] = {{false, false, "24Kc"}, {true, false, "24Kc"}, {false, true, "34Kf"}, {true, true, "34Kf"}};
INSTANTIATE_TEST_SUITE_P(All, Mips16, ::testing::ValuesIn(kKinds), [](const auto& info) {
  return std::string(info.param.big_endian ? "big" : "little") + (info.param.interpreter ? "_interpreter" : "_jit");
});

}  // namespace
}  // namespace doppel::mips::test
