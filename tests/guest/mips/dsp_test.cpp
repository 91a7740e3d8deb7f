// The DSP module with expected registers, by the JIT and the interpreter, in both byte orders.
#include "guest/mips/helpers/dsp.h"

#include "guest/mips/bare_machine.h"

namespace doppel::mips::test {
namespace {

constexpr u32 dsp(u64 op, u32 rs, u32 rt, u32 rd) {
  return 31u << 26 | rs << 21 | rt << 16 | rd << 11 | static_cast<u32>(op);
}

class MipsDsp : public ::testing::TestWithParam<Kind> {
 protected:
  MipsDsp() {
    s.status |= ST_MX;
    update_mode(s);
  }
  BareMachine m{GetParam()};
  MipsState& s = m.cpu.state();
  void set(unsigned n, u32 value) { s.gpr[n] = canonical32(s, value); }
  // One operation of $4 and $5 to $2; DSPControl is cleared before.
  u32 of(u64 op, u32 a, u32 b) { return of(op, 4, 5, a, b); }
  u32 of_rt(u64 op, u32 b) { return of(op, 0, 5, 0, b); }
  u32 of_rs(u64 op, u32 a) { return of(op, 4, 0, a, 0); }
  u32 of(u64 op, u32 rs, u32 rt, u32 a, u32 b) {
    set(4, a), set(5, b);
    s.dsp_control = 0;
    m.run({dsp(op, rs, rt, 2)});
    return m.reg(2);
  }
  u64 acc(unsigned n) const { return n == 0 ? s.hi << 32 | s.lo : s.acc_hi[n - 1] << 32 | s.acc_lo[n - 1]; }
  void set_acc(unsigned n, u64 v) {
    (n == 0 ? s.hi : s.acc_hi[n - 1]) = v >> 32;
    (n == 0 ? s.lo : s.acc_lo[n - 1]) = static_cast<u32>(v);
  }
  u32 flags() const { return s.dsp_control >> kDspOuFlag & 0xff; }
};

TEST_P(MipsDsp, SumsAndSaturation) {
  EXPECT_EQ(of(ADDU_QB, 0xff010203, 0x01020304), 0x00030507u);
  EXPECT_EQ(flags(), 0x10u);
  EXPECT_EQ(of(ADDU_S_QB, 0xff010203, 0x01020304), 0xff030507u);
  EXPECT_EQ(of(SUBU_S_QB, 0x00050505, 0x01020304), 0x00030201u);
  EXPECT_EQ(of(ADDQ_PH, 0x7fff0001, 0x00010001), 0x80000002u);
  EXPECT_EQ(of(ADDQ_S_PH, 0x7fff8000, 0x0001ffff), 0x7fff8000u);
  EXPECT_EQ(flags(), 0x10u);
  EXPECT_EQ(of(SUBQ_S_W, 0x80000000, 1), 0x80000000u);
  EXPECT_EQ(of(ADDQ_S_W, 5, 6), 11u);
  EXPECT_EQ(flags(), 0u);
  EXPECT_EQ(of_rs(RADDU_W_QB, 0xff010203), 0x105u);
  EXPECT_EQ(of(MODSUB, 0, 0x00123408), 0x1234u);
  EXPECT_EQ(of(MODSUB, 100, 0x00123408), 92u);
}

TEST_P(MipsDsp, Carry) {
  set(4, 0xffffffff), set(5, 2);
  m.run({dsp(ADDSC, 4, 5, 2), dsp(ADDWC, 5, 5, 3)});
  EXPECT_EQ(m.reg(2), 1u);
  EXPECT_EQ(m.reg(3), 5u);
  EXPECT_TRUE(s.dsp_control & DSP_C);
}

TEST_P(MipsDsp, Products) {
  EXPECT_EQ(of(MULQ_RS_PH, 0x40008000, 0x40008000), 0x20007fffu);
  EXPECT_EQ(flags(), 0x20u);
  EXPECT_EQ(of(MULEQ_S_W_PHL, 0x40001234, 0x40005678), 0x20000000u);
  EXPECT_EQ(of(MULEU_S_PH_QBL, 0x02ff0000, 0x00030200), 0x0006ffffu);
  EXPECT_EQ(flags(), 0x20u);
}

TEST_P(MipsDsp, ShiftsAndPrecision) {
  set(4, 0x40c00001), set(6, 4);
  m.run({dsp(SHLL_PH, 1, 4, 2), dsp(SHLL_S_PH, 1, 4, 3), dsp(SHRA_R_PH, 1, 4, 7), dsp(SHRLV_QB, 6, 4, 8)});
  EXPECT_EQ(m.reg(2), 0x81800002u);
  EXPECT_EQ(m.reg(3), 0x7fff0002u + 0x0u);
  EXPECT_EQ(m.reg(7), 0x20600001u);
  EXPECT_EQ(m.reg(8), 0x040c0000u);
  EXPECT_EQ(flags(), 0x40u);
  EXPECT_EQ(of(PRECRQ_QB_PH, 0x11223344, 0x55667788), 0x11335577u);
  EXPECT_EQ(of(PRECRQU_S_QB_PH, 0x80007fff, 0x40000080), 0x00ff8001u);
  EXPECT_EQ(flags(), 0x40u);
  EXPECT_EQ(of(PRECRQ_RS_PH_W, 0x7fff8000, 0x00018000), 0x7fff0002u);
  EXPECT_EQ(of_rt(PRECEQU_PH_QBLA, 0xff010203), 0x7f800100u);
  EXPECT_EQ(of_rt(PRECEU_PH_QBR, 0xff010203), 0x00020003u);
  EXPECT_EQ(of_rt(BITREV, 0x12340001), 0x8000u);
  m.run({dsp(REPL_PH, 31, 31, 2), dsp(REPL_QB, 0, 0x5a & 31, 3)});  // the immediate is in the places of rs and rt
  EXPECT_EQ(m.reg(2), 0xffffffffu);
  EXPECT_EQ(m.reg(3), 0x1a1a1a1au);
}

TEST_P(MipsDsp, CompareAndPick) {
  set(4, 0x01020304), set(5, 0x01030204);
  m.run({dsp(CMPU_LE_QB, 4, 5, 0), dsp(PICK_QB, 4, 5, 2), dsp(CMPGU_EQ_QB, 4, 5, 3)});
  EXPECT_EQ(s.dsp_control >> kDspCcond & 15, 13u);
  EXPECT_EQ(m.reg(2), 0x01020204u);
  EXPECT_EQ(m.reg(3), 9u);
}

TEST_P(MipsDsp, Accumulators) {
  set_acc(2, 0xffffffff), set(4, 0x00020003), set(5, 0x00040005);
  m.run({dsp(DPAQ_S_W_PH, 4, 5, 2), dsp(DPAU_H_QBR, 4, 5, 1), dsp(MAQ_S_W_PHL, 4, 5, 3)});
  EXPECT_EQ(acc(2), u64{0xffffffff} + 46);
  EXPECT_EQ(acc(1), 15u);
  EXPECT_EQ(acc(3), 16u);
  set_acc(1, 0x7fffffffffffffff), set(4, 0x7fffffff);
  m.run({dsp(DPAQ_SA_L_W, 4, 4, 1)});
  EXPECT_EQ(acc(1), 0x7fffffffffffffffu);
  EXPECT_EQ(flags(), 2u);
}

TEST_P(MipsDsp, MovesAndMultipliesOfAccumulators) {
  set(4, 0xfffffffe), set(5, 3), set(6, 77);
  m.run({spc(24, 4, 5, 1), spc(16, 1, 0, 2), spc(18, 1, 0, 3), 28u << 26 | 5u << 21 | 5u << 16 | 1u << 11,
         spc(17, 6, 0, 3), spc(19, 5, 0, 3)});  // MULT $ac1; MFHI, MFLO; MADD $ac1; MTHI, MTLO $ac3
  EXPECT_EQ(m.reg(2), 0xffffffffu);
  EXPECT_EQ(m.reg(3), 0xfffffffau);
  EXPECT_EQ(acc(1), 3u);
  EXPECT_EQ(acc(3), u64{77} << 32 | 3);
  EXPECT_EQ(acc(0), 0u);
}

TEST_P(MipsDsp, Extraction) {
  set_acc(1, 0x0000001234567890);
  m.run({dsp(EXTR_W, 4, 2, 1), dsp(EXTR_S_H, 24, 3, 1), dsp(EXTR_RS_W, 0, 6, 1)});
  EXPECT_EQ(m.reg(2), 0x23456789u);
  EXPECT_EQ(m.reg(3), 0x1234u);
  EXPECT_EQ(m.reg(6), 0x7fffffffu);
  EXPECT_EQ(flags(), 0x80u);
  s.dsp_control = 15;
  m.run({dsp(EXTPDP, 7, 2, 1), dsp(EXTP, 8, 3, 1)});  // bits 15 to 8; then only eight are left
  EXPECT_EQ(m.reg(2), 0x78u);
  EXPECT_EQ(s.dsp_control & 63, 7u);
  EXPECT_TRUE(s.dsp_control & DSP_EFI);
  set_acc(1, 0x0000001234567890), set(4, 5);
  m.run({31u << 26 | 0x3cu << 20 | 1u << 11 | 0x6b8, dsp(MTHLIP, 4, 0, 2)});  // SHILO by -4
  EXPECT_EQ(acc(1), 0x0000012345678900u);
  EXPECT_EQ(s.dsp_control & 63, 39u);
}

TEST_P(MipsDsp, ControlAndBranch) {
  set(4, 0xffffffff), set(6, 0x123);
  m.run({31u << 26 | 4u << 21 | 9u << 11 | 0x4f8,                                     // WRDSP $4, pos and ouflag
         31u << 26 | 0x3fu << 16 | 2u << 11 | 0x4b8,                                  // RDDSP
         1u << 26 | 28u << 16 | 2, addiu(3, 0, 1), addiu(3, 3, 2), addiu(3, 3, 4)});  // BPOSGE32
  EXPECT_EQ(m.reg(2), 0x00ff003fu);
  EXPECT_EQ(m.reg(3), 5u);
  s.dsp_control = 8 | 8 << 7;
  set(5, 0xaaaaaaaa);
  m.run({31u << 26 | 6u << 21 | 5u << 16 | 12});  // INSV
  EXPECT_EQ(m.reg(5), 0xaaaa23aau);
}

TEST_P(MipsDsp, IndexedLoads) {
  m.put32(BareMachine::kData + 8, 0x8001c0fe);
  set(4, BareMachine::kData), set(5, 8);
  m.run({31u << 26 | 4u << 21 | 5u << 16 | 2u << 11 | 10, 31u << 26 | 4u << 21 | 5u << 16 | 3u << 11 | 4u << 6 | 10,
         31u << 26 | 4u << 21 | 5u << 16 | 6u << 11 | 6u << 6 | 10});
  EXPECT_EQ(m.reg(2), 0x8001c0feu);
  EXPECT_EQ(m.reg(3), m.model.big_endian ? 0xffff8001u : 0xffffc0feu);
  EXPECT_EQ(m.reg(6), m.model.big_endian ? 0x80u : 0xfeu);
}

TEST_P(MipsDsp, Revision2) {
  if (m.model.dsp < 2) {
    m.run({dsp(MUL_PH, 4, 5, 2)});
    EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_RI});
    return;
  }
  EXPECT_EQ(of(ADDUH_R_QB, 0x01ff0003, 0x02ff0104), 0x02ff0104u);
  EXPECT_EQ(of(MUL_S_PH, 0x01000002, 0x01000003), 0x7fff0006u);
  EXPECT_EQ(of(MULQ_S_W, 0x40000000, 0x40000000), 0x20000000u);
  set(4, 0x12345678), set(5, 0x9abcdef0);
  m.run({dsp(APPEND, 4, 5, 8), dsp(BALIGN, 4, 5, 1)});
  EXPECT_EQ(m.reg(5), 0xdef07812u);
  set(4, 0x00020003), set(5, 0x00040005);
  m.run({dsp(DPAX_W_PH, 4, 5, 1)});
  EXPECT_EQ(acc(1), 22u);
}

TEST_P(MipsDsp, Disabled) {
  s.status &= ~u32{ST_MX};
  update_mode(s);
  set(2, 7);
  m.run({dsp(ADDU_QB, 4, 5, 2)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_DSPDIS});
  EXPECT_EQ(m.reg(2), 7u);
}

constexpr Kind kKinds[] = {{false, false, "34Kf"}, {true, false, "34Kf"}, {false, true, "74Kf"}, {true, true, "74Kf"}};
INSTANTIATE_TEST_SUITE_P(All, MipsDsp, ::testing::ValuesIn(kKinds), [](const auto& info) {
  return "cpu" + std::string(info.param.cpu) + (info.param.big_endian ? "_big" : "_little") +
         (info.param.interpreter ? "_interpreter" : "_jit");
});

TEST(MipsDspAbsent, IsReserved) {
  BareMachine m{Kind{false, false, "24Kf"}};
  m.run({dsp(ADDU_QB, 4, 5, 2)});
  EXPECT_EQ(m.cpu.state().cause >> 2 & 31, u32{EXC_RI});
}

}  // namespace
}  // namespace doppel::mips::test
