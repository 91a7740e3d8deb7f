// What floating-point operations give, by src/fpu: results and the causes they leave in FCSR or MSACSR (vol. I-A,
// chapter 6). The unit's NaNs are those of before IEEE 754-2008 (FCSR.NAN2008 = 0: a signalling NaN has the top bit of
// its fraction set, and every result that is a NaN is the default quiet one, which IEEE 754-1985 leaves open) or of
// 2008: an operand's NaN goes on, made quiet.
#pragma once
#include <initializer_list>

#include "fpu/fpu.h"
#include "guest/mips/helpers/table.h"

namespace doppel::mips {

// One operation: its result, and its causes (FpException).
struct Outcome {
  u64 value = 0;
  u32 cause = 0;
};

struct FpUnit {
  fpu::Env env;
  bool nan2008 = false;  // and ABS2008
};

template <typename F>
struct FpFormat;
template <>
struct FpFormat<u32> {
  static constexpr u32 kExponent = 0x7f800000, kSign = 0x80000000, kQuiet = 0x00400000, kNan = 0x7fbfffff,
                       kNan2008 = 0x7fc00000, kOne = 0x3f800000, kTwo = 0x40000000;
};
template <>
struct FpFormat<u64> {
  static constexpr u64 kExponent = 0x7ff0000000000000, kSign = u64{1} << 63, kQuiet = u64{1} << 51,
                       kNan = 0x7ff7ffffffffffff, kNan2008 = 0x7ff8000000000000, kOne = 0x3ff0000000000000,
                       kTwo = 0x4000000000000000;
};

template <typename F>
bool is_nan(F a) {
  return static_cast<F>(a & ~FpFormat<F>::kSign) > FpFormat<F>::kExponent;
}
template <typename F>
bool is_signaling(const FpUnit& unit, F a) {
  return is_nan(a) && ((a & FpFormat<F>::kQuiet) != 0) != unit.nan2008;
}
template <typename F>
F default_nan(const FpUnit& unit) {
  return unit.nan2008 ? FpFormat<F>::kNan2008 : FpFormat<F>::kNan;
}

u32 fp_causes(u32 flags);  // of fpu::Flag
// When an operand is a NaN: the first signalling one's, else the first one's.
template <typename F>
bool nan_result(const FpUnit& unit, std::initializer_list<F> operands, Outcome& out) {
  const F* chosen = nullptr;
  bool signaling = false;
  for (const F& a : operands) {
    if (!is_nan(a)) continue;
    const bool is = is_signaling(unit, a);
    if (!chosen || (is && !signaling)) chosen = &a;
    signaling |= is;
  }
  if (!chosen) return false;
  out = {unit.nan2008 ? static_cast<F>(*chosen | FpFormat<F>::kQuiet) : FpFormat<F>::kNan, signaling ? u32{FP_V} : 0};
  return true;
}
template <typename F>
Outcome outcome(const FpUnit& unit, F r, const fpu::Env& env) {  // a NaN is that of an invalid operation
  return {is_nan(r) ? default_nan<F>(unit) : r, fp_causes(env.flags)};
}

// `what`: an FpOp, kFpDouble or kFpPaired, and at bit 16 its detail: the condition of a comparison (and kFpAbsolute),
// the rounding of a conversion. Paired: the upper single's result is in the upper half; of a comparison in bit 1.
Outcome fp_perform(const FpUnit& unit, u64 what, u64 a, u64 b, u64 c);

}  // namespace doppel::mips
