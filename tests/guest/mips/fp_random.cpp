// Floating-point instructions of MIPS with random operands, rounding modes, enables and flags: results, FCSR and traps
// must be those of src/fpu with the NaN rules of FCSR.NAN2008 = 0 (vol. I-A, 6.4 to 6.6). The interpreter and the JIT;
// what the JIT computes on the host's own unit is checked by it. DOPPEL_RANDOM_TESTS sets how many, DOPPEL_SEED where
// to begin.
#include <cstdlib>
#include <random>

#include "fpu/fpu.h"
#include "guest/mips/bare_machine.h"

namespace doppel::mips::test {
namespace {

enum Op : unsigned { Add, Sub, Mul, Div, Sqrt, Abs, Neg, Recip, Madd, Msub, Nmadd, Nmsub, ToW, ToL, ToOther, Compare };
constexpr const char* kNames[] = {"add",  "sub",  "mul",   "div",   "sqrt", "abs",  "neg",     "recip",
                                  "madd", "msub", "nmadd", "nmsub", "to.w", "to.l", "convert", "compare"};

template <typename F>
struct Format;
template <>
struct Format<u32> {
  static constexpr u32 kSign = 0x80000000, kInfinity = 0x7f800000, kSignaling = 0x00400000, kNan = 0x7fbfffff;
};
template <>
struct Format<u64> {
  static constexpr u64 kSign = u64{1} << 63, kInfinity = u64{0x7ff} << 52, kSignaling = u64{1} << 51,
                       kNan = 0x7ff7ffffffffffff;
};
template <typename F>
bool is_nan(F a) {
  return (a & ~Format<F>::kSign) > Format<F>::kInfinity;
}
template <typename F>
bool is_signaling(F a) {
  return is_nan(a) && (a & Format<F>::kSignaling);
}

struct Case {
  Op op;
  bool is_double;
  unsigned how = 4;   // conversions to integers: ROUND TRUNC CEIL FLOOR, or by FCSR
  unsigned cond = 0;  // comparisons
  u64 a, b, c;
  u32 fcsr;
};
struct Answer {
  u64 result = 0;
  u32 causes = 0;
  bool condition = false;
};

fpu::Rounding rounding(unsigned mode) {
  static constexpr fpu::Rounding kModes[4] = {fpu::Rounding::Nearest, fpu::Rounding::Zero, fpu::Rounding::Up,
                                              fpu::Rounding::Down};
  return kModes[mode & 3];
}

template <typename F>
Answer of_nans(std::initializer_list<F> operands) {
  Answer r{Format<F>::kNan, 0, false};
  for (const F a : operands)
    if (is_signaling(a)) r.causes = FP_V;
  return r;
}

template <typename F, typename Other>
Answer expected(const Case& k) {
  const F a = static_cast<F>(k.a), b = static_cast<F>(k.b), c = static_cast<F>(k.c);
  fpu::Env env;
  env.rounding = rounding(k.fcsr);
  env.ftz = env.daz = (k.fcsr & FCSR_FS) != 0;
  if (k.fcsr >> kFcsrEnables & FP_U) env.unmasked = fpu::kUnderflow;
  const bool two = k.op <= Div, three = k.op >= Madd && k.op <= Nmsub;
  const bool any_nan = is_nan(a) || ((two || three) && is_nan(b)) || (three && is_nan(c));
  Answer r;
  F value = 0;
  if (k.op == Compare) {
    const bool unordered = is_nan(a) || is_nan(b);
    const auto relation = unordered ? fpu::Relation::Unordered : fpu::compare(a, b, false, env);
    if (is_signaling(a) || is_signaling(b) || (unordered && k.cond & 8)) r.causes = FP_V;
    r.condition = (k.cond & 1 && unordered) || (k.cond & 2 && relation == fpu::Relation::Equal) ||
                  (k.cond & 4 && relation == fpu::Relation::Less);
    return r;
  }
  if (k.op == ToW || k.op == ToL) {
    const auto mode = k.how < 4 ? rounding(k.how) : env.rounding;
    r.result = k.op == ToL ? static_cast<u64>(fpu::to_s64(a, mode, env)) : static_cast<u32>(fpu::to_s32(a, mode, env));
    if (env.flags & fpu::kInvalid) return {k.op == ToL ? ~u64{0} >> 1 : 0x7fffffffu, FP_V, false};
  } else if (k.op == ToOther) {
    if (is_nan(a)) return {Format<Other>::kNan, is_signaling(a) ? u32{FP_V} : 0u, false};
    r.result = fpu::convert<Other>(a, env);
  } else if (any_nan) {
    r = three ? of_nans<F>({a, b, c}) : two ? of_nans<F>({a, b}) : of_nans<F>({a});
    if (!three || is_nan(a) || is_nan(b)) return r;
    fpu::mul(a, b, env);  // its flags count, though the sum is a NaN
    r.result = Format<F>::kNan;
    if (is_signaling(c)) env.flags |= fpu::kInvalid;
  } else {
    fpu::Env fresh;
    switch (k.op) {
      case Add: value = fpu::add(a, b, env); break;
      case Sub: value = fpu::sub(a, b, env); break;
      case Mul: value = fpu::mul(a, b, env); break;
      case Div: value = fpu::div(a, b, env); break;
      case Sqrt: value = fpu::sqrt(a, env); break;
      case Abs: value = a & static_cast<F>(~Format<F>::kSign); break;
      case Neg: value = a ^ Format<F>::kSign; break;
      case Recip: value = fpu::div(fpu::from_s32<F>(1, fresh), a, env); break;
      default: {
        const F product = fpu::mul(a, b, env);
        value = k.op == Madd || k.op == Nmadd ? fpu::add(product, c, env) : fpu::sub(product, c, env);
        if (k.op >= Nmadd) value ^= Format<F>::kSign;
        break;
      }
    }
    r.result = is_nan(value) ? Format<F>::kNan : value;
  }
  r.causes = (env.flags & fpu::kInvalid ? u32{FP_V} : 0u) | (env.flags & fpu::kDivByZero ? u32{FP_Z} : 0u) |
             (env.flags & fpu::kOverflow ? u32{FP_O} : 0u) | (env.flags & fpu::kUnderflow ? u32{FP_U} : 0u) |
             (env.flags & fpu::kInexact ? u32{FP_I} : 0u);
  return r;
}

// f2 = op(f4, f6, f8); comparisons to condition 3.
u32 word(const Case& k) {
  const u32 fmt = k.is_double ? 17 : 16;
  static constexpr u32 kFunct[] = {0, 1, 2, 3, 4, 5, 7, 21};
  static constexpr u32 kTernary[] = {32, 40, 48, 56};
  switch (k.op) {
    case ToW: return fp(k.how < 4 ? 12 + k.how : 36, fmt, 4, 0, 2);
    case ToL: return fp(k.how < 4 ? 8 + k.how : 37, fmt, 4, 0, 2);
    case ToOther: return fp(k.is_double ? 32 : 33, fmt, 4, 0, 2);
    case Compare: return fp(48 + k.cond, fmt, 4, 6, 3 << 2);
    case Madd:
    case Msub:
    case Nmadd:
    case Nmsub:
      return 19u << 26 | 8u << 21 | 6u << 16 | 4u << 11 | 2u << 6 | kTernary[k.op - Madd] | (k.is_double ? 1 : 0);
    default: return fp(kFunct[k.op], fmt, 4, k.op <= Div ? 6 : 0, 2);
  }
}

u64 random_operand(std::mt19937_64& rng, bool is_double) {
  static constexpr u32 kSingle[] = {0,          0x80000000, 0x3f800000, 0x7f800000, 0xff800000, 0x7fbfffff, 0x7fc00000,
                                    0x7f800001, 1,          0x00800000, 0x7f7fffff, 0x4f000000, 0xcf000000, 0x5f000000};
  static constexpr u64 kDouble[] = {0,
                                    u64{1} << 63,
                                    u64{0x3ff} << 52,
                                    u64{0x7ff} << 52,
                                    u64{0xfff} << 52,
                                    0x7ff7ffffffffffff,
                                    0x7ff8000000000000,
                                    0x7ff0000000000001,
                                    1,
                                    u64{1} << 52,
                                    0x7fefffffffffffff,
                                    0x41dfffffffc00000,
                                    0xc1e0000000000000,
                                    0x43e0000000000000};
  const u64 r = rng();
  const unsigned kind = rng() % 6;
  if (is_double) {
    if (kind == 0) return kDouble[r % std::size(kDouble)];
    if (kind <= 2) return (r & 0x800fffffffffffff) | (1023 - 35 + r % 70) << 52;
    if (kind == 3) return (r & 0x800fffffffffffff) | (r & 1 ? 2046 - r % 60 : r % 60) << 52;
    return r;
  }
  if (kind == 0) return kSingle[r % std::size(kSingle)];
  if (kind <= 2) return (r & 0x807fffff) | (127 - 20 + r % 40) << 23;
  if (kind == 3) return (r & 0x807fffff) | (r & 1 ? 254 - r % 30 : r % 30) << 23;
  return r & 0xffffffff;
}

class FpRandom : public ::testing::TestWithParam<Kind> {
 protected:
  static u64 number(const char* name, u64 otherwise) {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
  }
  static Case random_case(std::mt19937_64& rng) {
    Case k{};
    k.op = static_cast<Op>(rng() % 16);
    k.is_double = rng() & 1;
    k.how = static_cast<unsigned>(rng() % 5);
    k.cond = rng() & 15;
    k.a = random_operand(rng, k.is_double), k.b = random_operand(rng, k.is_double);
    k.c = random_operand(rng, k.is_double);
    k.fcsr = static_cast<u32>(rng() & 0x7f) | static_cast<u32>(rng() & 0xfe) << 24;  // rounding, flags, conditions
    if (rng() % 4 == 0) k.fcsr |= static_cast<u32>(rng() & 31) << kFcsrEnables;
    if (rng() % 8 == 0) k.fcsr |= FCSR_FS;
    return k;
  }
  void run(const Case& k, u64 seed) {
    MipsState& s = m_.cpu.state();
    constexpr u64 kBefore = 0x1122334455667788;
    s.status |= ST_FR;
    s.status &= ~u32{ST_EXL};
    s.cause = 0;
    s.fpr[2] = kBefore;
    s.fpr[4] = k.a, s.fpr[6] = k.b, s.fpr[8] = k.c;
    update_mode(s);
    set_fcsr(s, k.fcsr);
    m_.run({word(k)});
    sync_fcsr(s);
    const Answer want = k.is_double ? expected<u64, u32>(k) : expected<u32, u64>(k);
    const bool trap = want.causes & (k.fcsr >> kFcsrEnables & 31);
    u32 fcsr = (k.fcsr & ~(63u << kFcsrCauses)) | want.causes << kFcsrCauses;
    const u32 bit = u32{1} << fcsr_condition_bit(3);
    if (!trap) {
      fcsr |= want.causes << kFcsrFlags;
      if (k.op == Compare) fcsr = want.condition ? fcsr | bit : fcsr & ~bit;
    }
    const std::string what = std::string(kNames[k.op]) + (k.is_double ? ".d" : ".s") +
                             " DOPPEL_SEED=" + std::to_string(seed) +
                             ::testing::PrintToString(std::array{k.a, k.b, k.c}) + " how " + std::to_string(k.how) +
                             " fcsr " + std::to_string(k.fcsr);
    ASSERT_EQ(s.cause >> 2 & 31, trap ? u32{EXC_FPE} : 0u) << what;
    ASSERT_EQ(s.fcr31, fcsr) << std::hex << what;
    if (k.op == Compare) return;
    const bool wide = k.op == ToL || (k.op == ToOther ? !k.is_double : k.is_double && k.op != ToW);
    const u64 mask = wide ? ~u64{0} : 0xffffffffu;
    ASSERT_EQ(s.fpr[2] & mask, (trap ? kBefore : want.result) & mask) << std::hex << what;
  }
  BareMachine m_{GetParam()};
};

TEST_P(FpRandom, AsTheSoftFloat) {
  const char* full = std::getenv("DOPPEL_TEST_FULL");
  const u64 first = number("DOPPEL_SEED", 1), count = number("DOPPEL_RANDOM_TESTS", full && *full ? 300000 : 5000);
  for (u64 seed = first; seed < first + count; seed++) {
    std::mt19937_64 rng(seed);
    run(random_case(rng), seed);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, FpRandom,
                         ::testing::Values(Kind{false, false, "24Kf"}, Kind{true, false, "24Kf"},
                                           Kind{false, true, "MIPS64R2-generic"}),
                         [](const auto& p) {
                           return std::string(p.param.interpreter ? "Interpreter" : "Jit") +
                                  (p.param.big_endian ? "64Big" : "32Little");
                         });

}  // namespace
}  // namespace doppel::mips::test
