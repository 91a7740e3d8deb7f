// Floating point by the host's arithmetic against the helpers' (src/fpu): results, causes and flags, operands of every
// kind, every rounding, both formats.
#include <random>

#include "guest/mips/bare_machine.h"
#include "guest/mips/helpers/table.h"

namespace doppel::mips::test {
namespace {

struct Operation {
  const char* name;
  u64 op;
  u32 word;       // with fs 2, ft 4, fr 6, fd 8; format S and D by the template's bits
  u32 single;     // the bits that say S
  u32 is_double;  // the bits that say D; 0: S only
  int operands;
};

constexpr u32 arith(u32 funct, u32 ft) { return 17u << 26 | ft << 16 | 2u << 11 | 8u << 6 | funct; }
constexpr u32 madd(u32 funct) { return 19u << 26 | 6u << 21 | 4u << 16 | 2u << 11 | 8u << 6 | funct; }
constexpr u32 kS = 16u << 21, kD = 17u << 21, kW = 20u << 21;

const Operation kOperations[] = {
    {"add", kFpAdd, arith(0, 4), kS, kD, 2},
    {"sub", kFpSub, arith(1, 4), kS, kD, 2},
    {"mul", kFpMul, arith(2, 4), kS, kD, 2},
    {"div", kFpDiv, arith(3, 4), kS, kD, 2},
    {"sqrt", kFpSqrt, arith(4, 0), kS, kD, 1},
    {"abs", kFpAbs, arith(5, 0), kS, kD, 1},
    {"neg", kFpNeg, arith(7, 0), kS, kD, 1},
    {"madd", kFpMadd, madd(32), 0, 1, 3},
    {"msub", kFpMsub, madd(40), 0, 1, 3},
    {"nmadd", kFpNmadd, madd(48), 0, 1, 3},
    {"nmsub", kFpNmsub, madd(56), 0, 1, 3},
    {"trunc.w", kFpToW | 1 << 16, arith(13, 0), kS, kD, 1},
    {"cvt.w", kFpToW | 4 << 16, arith(36, 0), kS, kD, 1},
    {"cvt.d.s", kFpDFromS, arith(33, 0), kS, 0, 1},
    {"cvt.s.w", kFpSFromW, arith(32, 0), kW, 0, 1},
    {"cvt.d.w", kFpDFromW, arith(33, 0), kW, 0, 1},
};

class Operands {
 public:
  u64 wide() {
    static constexpr u64 kSpecial[] = {0,
                                       1,
                                       0x7ff0000000000000,
                                       0x7ff7ffffffffffff,
                                       0x7ff8000000000000,
                                       0x7ff0000000000001,
                                       0x7fefffffffffffff,
                                       0x0010000000000000,
                                       0x000fffffffffffff,
                                       0x3ff0000000000000,
                                       0x4008000000000000,
                                       0x41dfffffffc00000,
                                       0x41e0000000000000,
                                       0x3fe0000000000000,
                                       0x3ff8000000000000,
                                       0x47efffffe0000000,
                                       0x36a0000000000000};
    const u64 sign = random_() & u64{1} << 63;
    switch (random_() % 4) {
      case 0: return sign | kSpecial[random_() % std::size(kSpecial)];
      case 1: return random_();
      case 2: return sign | (u64{0x3f0} + random_() % 0x40) << 52 | (random_() & 0xfffffffffffff);
      default: return sign | (random_() & u64{0x7ff} << 52) | (random_() & 7) << 49;
    }
  }
  u32 narrow() {
    static constexpr u32 kSpecial[] = {0,          1,          0x7f800000, 0x7fbfffff, 0x7fc00000,
                                       0x7f800001, 0x7f7fffff, 0x00800000, 0x007fffff, 0x3f800000,
                                       0x40400000, 0x4f000000, 0x4effffff, 0x3f000000};
    const u32 sign = static_cast<u32>(random_()) & 0x80000000;
    switch (random_() % 3) {
      case 0: return sign | kSpecial[random_() % std::size(kSpecial)];
      case 1: return static_cast<u32>(random_());
      default: return sign | (0x70u + static_cast<u32>(random_() % 32)) << 23 | (random_() & 0x7fffff);
    }
  }
  u64 below(u64 n) { return random_() % n; }

 private:
  std::mt19937_64 random_{4711};
};

u64 by_helper(MipsState& s, const Operation& o, u64 what, const u64* v) {
  switch (o.operands) {
    case 1: return helper_fp_unary(&s, what, v[0]);
    case 2: return helper_fp_binary(&s, what, v[0], v[1]);
    default: return helper_fp_ternary(&s, what, v[0], v[1], v[2]);
  }
}

class MipsHostFloat : public ::testing::TestWithParam<bool> {};

TEST_P(MipsHostFloat, IsThatOfTheHelpers) {
  BareMachine m{Kind{GetParam(), false, "24Kf"}}, reference{Kind{true, false, "24Kf"}};
  MipsState& s = m.cpu.state();
  MipsState& r = reference.cpu.state();
  Operands random;
  for (int round = 0; round < 6000; round++) {
    const Operation& o = kOperations[random.below(std::size(kOperations))];
    const bool wide = o.is_double && random.below(2);
    const u64 what = o.op | (wide ? u64{kFpDouble} : 0);
    const u32 rounding = static_cast<u32>(random.below(4));
    set_fcsr(s, rounding);
    set_fcsr(r, rounding);
    u64 v[3];
    for (int i = 0; i < 3; i++) s.fpr[2 + 2 * i] = v[i] = wide ? random.wide() : random.narrow();
    s.fpr[8] = 0;
    m.run({o.word | (wide ? o.is_double : o.single)});
    sync_fcsr(s);
    const u64 want = by_helper(r, o, what, v);
    ASSERT_EQ(s.fpr[8], want) << o.name << (wide ? ".d " : ".s ") << std::hex << v[0] << " " << v[1] << " " << v[2]
                              << " rounding " << rounding;
    ASSERT_EQ(s.fcr31, r.fcr31) << o.name << (wide ? ".d " : ".s ") << std::hex << v[0] << " " << v[1] << " " << v[2]
                                << " rounding " << rounding;
  }
}

TEST_P(MipsHostFloat, Comparisons) {
  BareMachine m{Kind{GetParam(), false, "24Kf"}}, reference{Kind{true, false, "24Kf"}};
  MipsState& s = m.cpu.state();
  MipsState& r = reference.cpu.state();
  Operands random;
  for (int round = 0; round < 2000; round++) {
    const u32 cond = static_cast<u32>(random.below(16)), cc = static_cast<u32>(random.below(8));
    const u32 before = static_cast<u32>(random.below(2)) << fcsr_condition_bit(cc);
    set_fcsr(s, before);
    set_fcsr(r, before);
    s.fpr[2] = random.wide();
    s.fpr[4] = random.below(3) ? random.wide() : s.fpr[2];
    m.run({17u << 26 | kD | 4u << 16 | 2u << 11 | cc << 8 | 0x30 | cond});
    sync_fcsr(s);
    helper_fp_compare(&r, kFpCompare | kFpDouble | u64{cond} << 16, cc, s.fpr[2], s.fpr[4]);
    ASSERT_EQ(s.fcr31, r.fcr31) << "cond " << cond << std::hex << " " << s.fpr[2] << " " << s.fpr[4];
  }
}

// Several in one region: flags of all of them, causes of the last.
TEST_P(MipsHostFloat, FlagsAddUp) {
  BareMachine m{Kind{GetParam(), false, "24Kf"}};
  MipsState& s = m.cpu.state();
  s.fpr[2] = 0x3ff0000000000000;
  s.fpr[4] = 0;
  s.fpr[6] = 0x4008000000000000;
  const u32 cfc1 = 17u << 26 | 2u << 21 | 3u << 16 | 31u << 11;
  m.run({17u << 26 | kD | 4u << 16 | 2u << 11 | 8u << 6 | 3,   // 1 / 0
         17u << 26 | kD | 6u << 16 | 2u << 11 | 10u << 6 | 3,  // 1 / 3
         17u << 26 | kD | 2u << 16 | 2u << 11 | 12u << 6 | 0,  // 1 + 1
         cfc1});
  EXPECT_EQ(m.reg(3) >> kFcsrFlags & 31, u32{FP_Z} | u32{FP_I});
  EXPECT_EQ(m.reg(3) >> kFcsrCauses & 63, 0u);
  EXPECT_EQ(s.fpr[8], 0x7ff0000000000000u);
}

INSTANTIATE_TEST_SUITE_P(Backends, MipsHostFloat, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "interpreter" : "jit"; });

}  // namespace
}  // namespace doppel::mips::test
