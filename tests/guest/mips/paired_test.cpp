// Paired single and MIPS-3D with expected registers, by the JIT and the interpreter, in both byte orders.
#include "guest/mips/bare_machine.h"

namespace doppel::mips::test {
namespace {

constexpr u32 kPs = 22, kOne = 0x3f800000, kTwo = 0x40000000, kThree = 0x40400000, kFour = 0x40800000,
              kHalf = 0x3f000000;
constexpr u64 pair(u32 high, u32 low) { return u64{high} << 32 | low; }

class MipsPaired : public ::testing::TestWithParam<Kind> {
 protected:
  MipsPaired() {
    s.status |= ST_FR;
    update_mode(s);
  }
  BareMachine m{GetParam()};
  MipsState& s = m.cpu.state();
};

TEST_P(MipsPaired, ArithmeticInBothHalves) {
  s.fpr[1] = pair(kOne, kTwo);
  s.fpr[3] = pair(kTwo, kOne);
  s.fpr[5] = pair(kOne | 1u << 31, kThree);
  m.run({fp(0, kPs, 1, 3, 2), fp(1, kPs, 1, 3, 4), fp(2, kPs, 1, 3, 6), fp(5, kPs, 5, 0, 7), fp(7, kPs, 5, 0, 8),
         19u << 26 | 5u << 21 | 3u << 16 | 1u << 11 | 9u << 6 | 38,     // MADD.PS
         19u << 26 | 5u << 21 | 3u << 16 | 1u << 11 | 10u << 6 | 54});  // NMADD.PS
  EXPECT_EQ(s.fpr[2], pair(kThree, kThree));
  EXPECT_EQ(s.fpr[4], pair(kOne | 1u << 31, kOne));
  EXPECT_EQ(s.fpr[6], pair(kTwo, kTwo));
  EXPECT_EQ(s.fpr[7], pair(kOne, kThree));
  EXPECT_EQ(s.fpr[8], pair(kOne, kThree | 1u << 31));
  EXPECT_EQ(s.fpr[9], pair(kOne, 0x40a00000));
  EXPECT_EQ(s.fpr[10], pair(kOne | 1u << 31, 0xc0a00000));
}

TEST_P(MipsPaired, CausesOfBothHalves) {
  s.fpr[1] = pair(0x7f800000, 0x7f7fffff);
  s.fpr[3] = pair(0xff800000, 0x7f7fffff);
  m.run({fp(0, kPs, 1, 3, 2)});
  EXPECT_EQ(s.fpr[2], pair(0x7fbfffff, 0x7f800000));
  EXPECT_EQ(s.fcr31 >> kFcsrCauses & 63, u32{FP_V} | u32{FP_O} | u32{FP_I});
  EXPECT_EQ(s.fcr31 >> kFcsrFlags & 31, u32{FP_V} | u32{FP_O} | u32{FP_I});
}

TEST_P(MipsPaired, ComparisonsAndMoves) {
  s.fpr[1] = pair(kOne, kTwo);
  s.fpr[3] = pair(kTwo, kOne);
  s.fpr[6] = pair(9, 9);
  m.run({fp(60, kPs, 1, 3, 2 << 2), fp(17, kPs, 1, 2 << 2 | 1, 6)});  // C.LT.PS cc 2 and 3; MOVT.PS by them
  EXPECT_EQ(s.fcr31 >> 26 & 3, 2u);
  EXPECT_EQ(s.fpr[6], pair(kOne, 9));
}

TEST_P(MipsPaired, HalvesPutTogether) {
  s.fpr[1] = pair(0x11111111, 0x22222222);
  s.fpr[3] = pair(0x33333333, 0x44444444);
  s.gpr[4] = 4;
  m.run({fp(44, kPs, 1, 3, 4), fp(45, kPs, 1, 3, 5), fp(46, kPs, 1, 3, 6), fp(47, kPs, 1, 3, 7), fp(38, 16, 1, 3, 8),
         fp(32, kPs, 1, 0, 9), fp(40, kPs, 1, 0, 10), 19u << 26 | 4u << 21 | 3u << 16 | 1u << 11 | 11u << 6 | 30,
         19u << 26 | 0u << 21 | 3u << 16 | 1u << 11 | 12u << 6 | 30});
  EXPECT_EQ(s.fpr[4], pair(0x22222222, 0x44444444));  // PLL
  EXPECT_EQ(s.fpr[5], pair(0x22222222, 0x33333333));  // PLU
  EXPECT_EQ(s.fpr[6], pair(0x11111111, 0x44444444));  // PUL
  EXPECT_EQ(s.fpr[7], pair(0x11111111, 0x33333333));  // PUU
  EXPECT_EQ(s.fpr[8], pair(0x22222222, 0x44444444));  // CVT.PS.S
  EXPECT_EQ(static_cast<u32>(s.fpr[9]), 0x11111111u);
  EXPECT_EQ(static_cast<u32>(s.fpr[10]), 0x22222222u);
  EXPECT_EQ(s.fpr[11], m.model.big_endian ? pair(0x22222222, 0x33333333) : pair(0x44444444, 0x11111111));
  EXPECT_EQ(s.fpr[12], s.fpr[1]);
}

TEST_P(MipsPaired, WithoutRegistersOf64Bits) {
  s.status &= ~u32{ST_FR};
  update_mode(s);
  m.run({fp(0, kPs, 2, 4, 6)});
  EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_RI});
}

TEST_P(MipsPaired, Mips3d) {
  if (!m.model.mips3d) {
    m.run({fp(24, kPs, 2, 4, 6)});
    EXPECT_EQ(s.cause >> 2 & 31, u32{EXC_RI});
    return;
  }
  s.fpr[1] = pair(kOne, kTwo);
  s.fpr[3] = pair(kFour, kTwo);
  s.fpr[5] = pair(kOne | 1u << 31, kHalf);
  s.fpr[20] = pair(0xfffffffd, 7);
  const u32 next = fp(29, kPs, 3, 0, 9);
  m.run({fp(24, kPs, 1, 3, 6), fp(26, kPs, 1, 3, 7), fp(28, kPs, 1, 3, 8), next, fp(30, kPs, 3, 0, 10),
         fp(31, 16, 1, 3, 11), fp(38, 20, 20, 0, 12), fp(36, kPs, 5, 0, 13),
         fp(62, kPs, 5, 1, 4 << 2) | 1u << 6,  // CABS.LE.PS cc 4 and 5
         17u << 26 | 10u << 21 | 4u << 18 | 0u << 16 | 2, addiu(2, 0, 1), addiu(2, 2, 2), addiu(2, 2, 4)});
  EXPECT_EQ(s.fpr[6], pair(kThree, 0x40c00000));        // ADDR
  EXPECT_EQ(s.fpr[7], pair(kTwo, 0x41000000));          // MULR
  EXPECT_EQ(s.fpr[8], pair(0xc0400000, 0xc0400000));    // RECIP2: 1 - 4, 1 - 4
  EXPECT_EQ(s.fpr[9], pair(0x3e800000, kHalf));         // RECIP1
  EXPECT_EQ(s.fpr[10] >> 32, u64{kHalf});               // RSQRT1
  EXPECT_EQ(static_cast<u32>(s.fpr[11]), 0xbfc00000u);  // RSQRT2.S: (1 - 4) / 2
  EXPECT_EQ(s.fpr[12], pair(0xc0400000, 0x40e00000));   // CVT.PS.PW
  EXPECT_EQ(s.fpr[13], pair(0xffffffff, 0));            // CVT.PW.PS
  EXPECT_EQ(s.fcr31 >> 28 & 3, 3u);
  EXPECT_EQ(m.reg(2), 5u);  // BC1ANY4F: conditions 6 and 7 are false
}

constexpr Kind kKinds[] = {{false, false, "20Kc"},
                           {true, false, "20Kc"},
                           {false, true, "20Kc"},
                           {true, true, "20Kc"},
                           {false, false, "MIPS64R2-generic"}};
INSTANTIATE_TEST_SUITE_P(All, MipsPaired, ::testing::ValuesIn(kKinds), [](const auto& info) {
  return std::string(info.param.cpu[0] == '2' ? "20Kc" : "Generic") + (info.param.big_endian ? "_big" : "_little") +
         (info.param.interpreter ? "_interpreter" : "_jit");
});

}  // namespace
}  // namespace doppel::mips::test
