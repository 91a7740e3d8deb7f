// The MSA module with expected registers, by the JIT and the interpreter, in both byte orders.
#include "guest/mips/helpers/msa.h"

#include "guest/mips/bare_machine.h"

namespace doppel::mips::test {
namespace {

// wd 2, ws 4, wt 5.
constexpr u32 msa(u64 op, u32 format) {
  return 30u << 26 | static_cast<u32>(op >> 6) << 23 | format << 21 | 5u << 16 | 4u << 11 | 2u << 6 | (op & 63);
}
constexpr u32 msa_fp(u64 op, u32 wide) {
  return 30u << 26 | static_cast<u32>(op >> 6) << 22 | wide << 21 | 5u << 16 | 4u << 11 | 2u << 6 | (op & 63);
}
constexpr u32 msa_2rf(u32 op, u32 wide) {
  return 30u << 26 | 0x19u << 21 | op << 17 | wide << 16 | 4u << 11 | 2u << 6 | 0x1e;
}
constexpr u32 elm(u32 op, u32 n, u32 from, u32 to) {
  return 30u << 26 | op << 22 | n << 16 | from << 11 | to << 6 | 0x19;
}

class MipsMsa : public ::testing::TestWithParam<Kind> {
 protected:
  MipsMsa() {
    s.status |= ST_FR;
    s.config5 |= C5_MSAEN;
    update_mode(s);
  }
  BareMachine m{GetParam()};
  MipsState& s = m.cpu.state();
  void vector(unsigned n, u64 high, u64 low) { set_vector(s, n, {{low, high}}); }
  void expect(u64 high, u64 low, unsigned n = 2) {
    EXPECT_EQ(s.msa_high[n], high) << std::hex << s.msa_high[n] << " " << high;
    EXPECT_EQ(s.fpr[n], low) << std::hex << s.fpr[n] << " " << low;
  }
  void set(unsigned n, u32 value) { s.gpr[n] = canonical32(s, value); }
};

TEST_P(MipsMsa, Integers) {
  vector(4, 0x0102030405060708, 0x80ff7f0001ff00fe);
  vector(5, 0x0101010101010101, 0x0101010101010102);
  m.run({msa(ADDV, 0)});
  expect(0x0203040506070809, 0x810080010200'0100);
  m.run({msa(ADDS_S, 0)});
  expect(0x0203040506070809, 0x81007f0102000100);
  m.run({msa(CLT_S, 0)});
  expect(0, 0xffff00ff00ffffff);
  m.run({msa(CLE_U, 1)});
  expect(0, 0x00000000'0000'ffff);
  m.run({msa(MAX_A, 0)});
  expect(0x0102030405060708, 0x80017f0101010102);
  m.run({msa(SUBSUU_S, 3)});
  expect(0x0001020304050607, 0x7ffe7dff00fdfffc);
  m.run({msa(DOTP_S, 1)});
  expect(0x00030007000b000f, 0xff7f007f0000fffc);
  m.run({msa(SLL, 0)});
  expect(0x020406080a0c0e10, 0x00fefe0002fe00f8);
  m.run({msa(DIV_S, 0)});
  expect(0x0102030405060708, 0x80ff7f0001ff00ff);
  m.run({msa(MULV, 3)});
  expect(u64{0x0102030405060708} * 0x0101010101010101, u64{0x80ff7f0001ff00fe} * 0x0101010101010102);
}

TEST_P(MipsMsa, Permutations) {
  vector(4, 0x0f0e0d0c0b0a0908, 0x0706050403020100);
  vector(5, 0x1f1e1d1c1b1a1918, 0x1716151413121110);
  m.run({msa(ILVR, 0)});
  expect(0x0717061605150414, 0x0313021201110010);
  m.run({msa(ILVL, 2)});
  expect(0x0f0e0d0c1f1e1d1c, 0x0b0a09081b1a1918);
  m.run({msa(PCKEV, 1)});
  expect(0x0d0c090805040100, 0x1d1c191815141110);
  m.run({msa(ILVOD, 3)});
  expect(0x0f0e0d0c0b0a0908, 0x1f1e1d1c1b1a1918);
  vector(2, 0x0000000000000000, 0x40301f0f00011213);
  m.run({msa(VSHF, 0)});
  expect(0x1010101010101010, 0x00000f1f10110203);
  set(5, 3);
  vector(2, 0x2f2e2d2c2b2a2928, 0x2726252423222120);
  m.run({msa(SLD, 0)});
  expect(0x2221200f0e0d0c0b, 0x0a09080706050403);
  m.run({msa(SPLAT, 1)});
  expect(0x0706070607060706, 0x0706070607060706);
}

TEST_P(MipsMsa, ImmediatesAndElements) {
  vector(4, 0xf0e0d0c0b0a09080, 0x8000000000000001);
  set(8, 0x12345678);
  m.run({30u << 26 | 6u << 23 | 2u << 21 | 0x3ffu << 11 | 2u << 6 | 7});  // LDI.W -1
  expect(~u64{0}, ~u64{0});
  m.run({30u << 26 | 1u << 23 | 4u << 16 | 4u << 11 | 2u << 6 | 9});  // SRAI.D 4
  expect(0xff0e0d0c0b0a0908, 0xf800000000000000);
  m.run({30u << 26 | 0x77u << 16 | 4u << 11 | 2u << 6 | 10});  // SAT_S.B to 8 bits: as it is
  expect(0xf0e0d0c0b0a09080, 0x8000000000000001);
  m.run({elm(COPY_S, 15, 4, 9), elm(COPY_U, 0x21, 4, 10), elm(INSERT, 0x32, 8, 2), elm(SPLATI, 0x39, 4, 3)});
  EXPECT_EQ(m.reg(9), 0xfffffff0u);
  EXPECT_EQ(m.reg(10), 0u);
  expect(0xf0e0d0c012345678, 0x8000000000000001);
  expect(0xf0e0d0c0b0a09080, 0xf0e0d0c0b0a09080, 3);
  m.run({30u << 26 | 0x302u << 16 | 8u << 11 | 2u << 6 | 0x1e});  // FILL.W
  expect(0x1234567812345678, 0x1234567812345678);
  m.run({30u << 26 | 2u << 24 | 0x1bu << 16 | 4u << 11 | 2u << 6 | 2});  // SHF.W reversed
  expect(0x0000000180000000, 0xb0a09080f0e0d0c0);
}

TEST_P(MipsMsa, Logic) {
  vector(2, 0x00ff00ff00ff00ff, 0);
  vector(4, 0x1111111111111111, 0x5555555555555555);
  vector(5, 0x2222222222222222, 0x6666666666666666);
  m.run({30u << 26 | 6u << 21 | 5u << 16 | 4u << 11 | 2u << 6 | 0x1e});  // BSEL.V
  expect(0x1122112211221122, 0x5555555555555555);
  m.run({30u << 26 | 2u << 21 | 5u << 16 | 4u << 11 | 2u << 6 | 0x1e});  // NOR.V
  expect(0xcccccccccccccccc, 0x8888888888888888);
}

TEST_P(MipsMsa, MemoryInTheOrderOfElements) {
  for (u32 i = 0; i < 16; i++) m.byte(BareMachine::kData + 3 + i) = static_cast<u8>(i);
  set(9, BareMachine::kData + 3);
  const auto load = [](u32 format, u32 wd) { return 30u << 26 | 9u << 11 | wd << 6 | 0x20 | format; };
  m.run({load(0, 2), load(1, 3), load(2, 4), load(3, 5), load(2, 4) | 4,
         30u << 26 | 4u << 16 | 9u << 11 | 4u << 6 | 0x26});
  expect(0x0f0e0d0c0b0a0908, 0x0706050403020100, 2);
  if (m.model.big_endian) {
    expect(0x0e0f0c0d0a0b0809, 0x0607040502030001, 3);
    expect(0x08090a0b0c0d0e0f, 0x0001020304050607, 5);
  }
  for (u32 i = 0; i < 16; i++) EXPECT_EQ(m.byte(BareMachine::kData + 3 + 16 + i), i);
}

TEST_P(MipsMsa, Branches) {
  vector(4, 0, 0x0100000001010101);
  m.run({17u << 26 | 24u << 21 | 4u << 16 | 2, addiu(6, 0, 1), addiu(6, 6, 16),    // BZ.B: taken
         17u << 26 | 31u << 21 | 4u << 16 | 2, addiu(6, 6, 2), addiu(6, 6, 32),    // BNZ.D: not taken
         17u << 26 | 15u << 21 | 4u << 16 | 2, addiu(6, 6, 4), addiu(6, 6, 64)});  // BNZ.V: taken
  EXPECT_EQ(m.reg(6), 1u + 2 + 32 + 4);
  set(7, 3), set(8, 100);
  m.run({7u << 21 | 8u << 16 | 6u << 11 | 2u << 6 | 5});  // LSA by 8
  EXPECT_EQ(m.reg(6), 124u);
}

TEST_P(MipsMsa, FloatingPoint) {
  vector(4, 0x3f80000040000000, 0xc0400000'7f800000);  // 1, 2, -3, infinity
  vector(5, 0x4080000040000000, 0x40400000'7fc00001);  // 4, 2, 3, NaN
  vector(2, 0x3f8000003f800000, 0x3f8000003f800000);
  m.run({msa_fp(FMADD, 0)});
  expect(0x40a0000040a00000, 0xc1000000'7fc00001);
  m.run({msa_fp(FMAX, 0)});
  expect(0x4080000040000000, 0x40400000'7f800000);
  m.run({msa_fp(0x11a, 0)});  // FCLT.W
  expect(0xffffffff'00000000, 0xffffffff'00000000);
  EXPECT_EQ(s.msacsr, 0u);
  m.run({msa_2rf(FRCP, 0)});
  expect(0x3f8000003f000000, 0xbeaaaaab'00000000);
  EXPECT_EQ(s.msacsr, u32{FP_I} << kFcsrCauses | u32{FP_I} << kFcsrFlags);
  m.run({msa_2rf(FTINT_S, 0)});
  expect(0x0000000100000002, 0xfffffffd'7fffffff);
  EXPECT_EQ(s.msacsr >> kFcsrCauses, u32{FP_V});
  m.run({msa_fp(FEXDO, 0)});
  expect(0x3c004000c2007c00, 0x4400400042007e00);
  vector(4, 0x3c00c00000017e01, 0);
  m.run({msa_2rf(FEXUPL, 0)});
  expect(0x3f800000c0000000, 0x338000007fc02000);
}

TEST_P(MipsMsa, FloatingPointTraps) {
  vector(4, 0, 0);
  vector(5, 0, 0x3ff0000000000000);
  vector(2, 7, 7);
  set(8, FP_V << kFcsrEnables);
  m.run({elm(0, 0x3e, 8, 1), msa_fp(FDIV, 1)});  // CTCMSA; 0 / 0 in the upper lane
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_MSAFPE});
  expect(7, 7);
  EXPECT_EQ(s.msacsr >> kFcsrCauses, u32{FP_V});
  s.status &= ~u32{ST_EXL};
  set(8, FP_V << kFcsrEnables | 1 << 18);  // NX
  m.run({elm(0, 0x3e, 8, 1), msa_fp(FDIV, 1), elm(1, 0x3e, 1, 9)});
  expect(0x7ff0000000000010, 0);
  EXPECT_EQ(m.reg(9), u32{FP_V} << kFcsrEnables | 1 << 18);
}

TEST_P(MipsMsa, LowerHalvesAreTheFloatingPointRegisters) {
  vector(4, 1, 2);
  s.gpr[8] = 0x3f800000;
  m.run({17u << 26 | 4u << 21 | 8u << 16 | 4u << 11, msa(ADDV, 3)});  // MTC1
  EXPECT_EQ(static_cast<u32>(s.fpr[4]), 0x3f800000u);
  EXPECT_EQ(static_cast<u32>(s.fpr[2]), 0x3f800000u + static_cast<u32>(s.fpr[5]));
}

TEST_P(MipsMsa, DisabledAndReserved) {
  s.config5 &= ~u32{C5_MSAEN};
  update_mode(s);
  m.run({msa(ADDV, 0)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_MSADIS});
  s.config5 |= C5_MSAEN;
  s.status &= ~u32{ST_FR | ST_EXL};
  update_mode(s);
  m.run({msa(ADDV, 0)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_RI});
}

TEST_P(MipsMsa, NansOf2008) {
  s.fpr[0] = 0x7ff0000000000001;  // signalling
  s.fpr[2] = 0xfff8000000000123;
  set_fcsr(s, 0);
  m.run({fp(0, 17, 0, 2, 4), fp(5, 17, 2, 0, 6), fp(13, 17, 2, 0, 8)});  // ADD.D, ABS.D, TRUNC.W.D
  sync_fcsr(s);
  EXPECT_EQ(s.fpr[4], 0x7ff8000000000001u);
  EXPECT_EQ(s.fpr[6], 0x7ff8000000000123u);
  EXPECT_EQ(static_cast<u32>(s.fpr[8]), 0u);
  EXPECT_EQ(s.fcr31 >> kFcsrFlags & 31, u32{FP_V});
  EXPECT_EQ(s.fcr31 >> 18 & 3, 3u);
}

// CTC1 of UFR and UNFR, where Config5.UFR lets programs do it.
TEST_P(MipsMsa, RegisterSizeByCtc1) {
  const u32 ctc1 = 17u << 26 | 6u << 21;
  m.run({ctc1 | 1u << 11});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_RI});
  s.status &= ~u32{ST_EXL};
  write_cp0(s, 16, 5, C5_MSAEN | C5_UFR);
  m.run({ctc1 | 1u << 11, 17u << 26 | 2u << 21 | 9u << 16 | 1u << 11});
  EXPECT_FALSE(s.status & ST_FR);
  EXPECT_EQ(m.reg(9), 0u);
  m.run({ctc1 | 4u << 11});
  EXPECT_TRUE(s.status & ST_FR);
}

constexpr Kind kKinds[] = {
    {false, false, "P5600"}, {true, false, "P5600"}, {false, true, "P5600"}, {true, true, "P5600"}};
INSTANTIATE_TEST_SUITE_P(All, MipsMsa, ::testing::ValuesIn(kKinds), [](const auto& info) {
  return std::string(info.param.big_endian ? "big" : "little") + (info.param.interpreter ? "_interpreter" : "_jit");
});

// What is saved is there again in another CPU of the model.
TEST(MipsModules, AreSavedAndLoaded) {
  for (const char* cpu : {"P5600", "74Kf"}) {
    BareMachine from{Kind{true, false, cpu}}, to{Kind{true, false, cpu}};
    MipsState& s = from.cpu.state();
    for (unsigned i = 0; i < 32; i++) s.fpr[i] = 0x1111 * i, s.msa_high[i] = 0x2222 * i;
    for (unsigned i = 0; i < 3; i++) s.acc_hi[i] = i + 1, s.acc_lo[i] = i + 11;
    s.dsp_control = 0x01230f3f;
    s.msacsr = 0x01000f83;
    s.config5 = s.model->config5_writable;
    s.status |= s.model->status_writable & (ST_MX | ST_FR);
    update_mode(s);
    StateArchive archive(StateArchive::Mode::Save);
    from.cpu.archive(archive);
    StateArchive loaded(StateArchive::Mode::Load);
    ASSERT_TRUE(loaded.deserialize(archive.serialize()));
    to.cpu.archive(loaded);
    EXPECT_TRUE(loaded.errors().empty());
    StateArchive again(StateArchive::Mode::Save);
    to.cpu.archive(again);
    EXPECT_EQ(archive.diff(again), std::vector<std::string>{});
    EXPECT_EQ(to.cpu.state().msa_high[31], s.msa_high[31]);
    EXPECT_EQ(to.cpu.state().acc_lo[2], 13u);
    EXPECT_EQ(to.cpu.state().dsp_control, s.dsp_control);
    EXPECT_EQ(to.cpu.state().mode_cache, s.mode_cache);
  }
}

TEST(MipsMsaAbsent, IsReserved) {
  BareMachine m{Kind{false, false, "24Kf"}};
  m.run({msa(ADDV, 0)});
  EXPECT_EQ(m.cpu.state().cause >> 2 & 31, u32{EXC_RI});
}

}  // namespace
}  // namespace doppel::mips::test
