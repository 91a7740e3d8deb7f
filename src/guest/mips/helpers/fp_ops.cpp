#include "guest/mips/helpers/fp_ops.h"

namespace doppel::mips {
namespace {

template <typename F>
F negated(F a) {
  return is_nan(a) ? a : static_cast<F>(a ^ FpFormat<F>::kSign);
}

template <typename F>
Outcome binary(const FpUnit& unit, u64 op, F a, F b) {
  Outcome out;
  if (nan_result(unit, {a, b}, out)) return out;
  fpu::Env env = unit.env;
  switch (op) {
    case kFpAdd: return outcome(unit, fpu::add(a, b, env), env);
    case kFpSub: return outcome(unit, fpu::sub(a, b, env), env);
    case kFpMul: return outcome(unit, fpu::mul(a, b, env), env);
    case kFpDiv: return outcome(unit, fpu::div(a, b, env), env);
    default: break;
  }
  // The second half of NMADD and NMSUB.
  return outcome(unit, negated(op == kFpNegAdd ? fpu::add(a, b, env) : fpu::sub(a, b, env)), env);
}

template <typename F>
Outcome unary(const FpUnit& unit, u64 op, F a) {
  if (unit.nan2008 && op == kFpAbs) return {static_cast<F>(a & ~FpFormat<F>::kSign), 0};  // ABS2008
  if (unit.nan2008 && op == kFpNeg) return {static_cast<F>(a ^ FpFormat<F>::kSign), 0};
  Outcome out;
  if (nan_result(unit, {a}, out)) return out;
  fpu::Env env = unit.env;
  constexpr F one = FpFormat<F>::kOne;
  switch (op) {
    case kFpAbs: return {static_cast<F>(a & ~FpFormat<F>::kSign), 0};
    case kFpNeg: return {static_cast<F>(a ^ FpFormat<F>::kSign), 0};
    case kFpSqrt: return outcome(unit, fpu::sqrt(a, env), env);
    case kFpRecip: return outcome(unit, fpu::div(one, a, env), env);
    default: return outcome(unit, fpu::div(one, fpu::sqrt(a, env), env), env);  // kFpRsqrt
  }
}

// a * b + c and its like, with a rounding between: release 2's are not fused. Both operations leave their causes.
template <typename F>
Outcome ternary(const FpUnit& unit, u64 op, F a, F b, F c) {
  static constexpr FpOp kSecond[4] = {kFpAdd, kFpSub, kFpNegAdd, kFpNegSub};
  const Outcome product = binary(unit, kFpMul, a, b);
  const Outcome sum = binary(unit, kSecond[op - kFpMadd], static_cast<F>(product.value), c);
  return {sum.value, product.cause | sum.cause};
}

// RECIP2 and RSQRT2 of MIPS-3D: -(a * b - 1), and half of that: steps of an iteration.
template <typename F>
Outcome refinement(const FpUnit& unit, u64 op, F a, F b) {
  const Outcome product = binary(unit, kFpMul, a, b);
  const Outcome less = binary(unit, kFpSub, static_cast<F>(product.value), FpFormat<F>::kOne);
  if (op == kFpRecip2) return {negated(static_cast<F>(less.value)), product.cause | less.cause};
  const Outcome half = binary(unit, kFpDiv, static_cast<F>(less.value), FpFormat<F>::kTwo);
  return {negated(static_cast<F>(half.value)), product.cause | less.cause | half.cause};
}

// 4: by FCSR; 0 nearest, 1 to zero, 2 up, 3 down: in the order of ROUND, TRUNC, CEIL, FLOOR.
template <typename F>
Outcome to_int(const FpUnit& unit, u64 op, F a, u64 how) {
  static constexpr fpu::Rounding kHow[4] = {fpu::Rounding::Nearest, fpu::Rounding::Zero, fpu::Rounding::Up,
                                            fpu::Rounding::Down};
  fpu::Env env = unit.env;
  const fpu::Rounding rounding = how < 4 ? kHow[how] : env.rounding;
  const bool wide = op == kFpToL;
  const u64 r =
      wide ? static_cast<u64>(fpu::to_s64(a, rounding, env)) : static_cast<u32>(fpu::to_s32(a, rounding, env));
  if (!(env.flags & fpu::kInvalid)) return {r, fp_causes(env.flags)};
  const u64 largest = wide ? 0x7fffffffffffffff : 0x7fffffff;
  if (!unit.nan2008) return {largest, FP_V};
  return {is_nan(a) ? 0 : a & FpFormat<F>::kSign ? largest + 1 : largest, FP_V};
}

// The NaN of another width: its sign and the upper bits of its fraction.
u32 narrower(u64 a) {
  return static_cast<u32>(a >> 32 & 0x80000000) | 0x7fc00000 | (static_cast<u32>(a >> 29) & 0x3fffff);
}
u64 wider(u32 a) { return u64{a & 0x80000000} << 32 | 0x7ff8000000000000 | u64{a & 0x3fffff} << 29; }

Outcome convert(const FpUnit& unit, u64 op, u64 a) {
  fpu::Env env = unit.env;
  const u32 low = static_cast<u32>(a);
  u64 r = 0;
  switch (op) {
    case kFpSFromD:
      if (is_nan(a))
        return {unit.nan2008 ? narrower(a) : default_nan<u32>(unit), is_signaling(unit, a) ? u32{FP_V} : 0};
      r = fpu::convert<u32>(a, env);
      break;
    case kFpDFromS:
      if (is_nan(low))
        return {unit.nan2008 ? wider(low) : default_nan<u64>(unit), is_signaling(unit, low) ? u32{FP_V} : 0};
      r = fpu::convert<u64>(low, env);
      break;
    case kFpSFromW: r = fpu::from_s32<u32>(static_cast<s32>(a), env); break;
    case kFpSFromL: r = fpu::from_s64<u32>(static_cast<s64>(a), env); break;
    case kFpDFromW: r = fpu::from_s32<u64>(static_cast<s32>(a), env); break;
    default: r = fpu::from_s64<u64>(static_cast<s64>(a), env); break;
  }
  return {r, fp_causes(env.flags)};
}

// Value: whether condition `cond` of C.cond holds.
template <typename F>
Outcome compare(const FpUnit& unit, u64 cond, F a, F b) {
  if (cond & kFpAbsolute) a &= ~FpFormat<F>::kSign, b &= ~FpFormat<F>::kSign;
  const bool unordered = is_nan(a) || is_nan(b);
  const bool invalid = is_signaling(unit, a) || is_signaling(unit, b) || (unordered && (cond & 8));
  bool less = false, equal = false;
  if (!unordered) {
    fpu::Env env = unit.env;
    const fpu::Relation r = fpu::compare(a, b, false, env);
    less = r == fpu::Relation::Less;
    equal = r == fpu::Relation::Equal;
  }
  const bool holds = ((cond & 1) && unordered) || ((cond & 2) && equal) || ((cond & 4) && less);
  return {holds, invalid ? u32{FP_V} : 0};
}

template <typename F>
Outcome perform(const FpUnit& unit, u64 what, F a, F b, F c) {
  const u64 op = what & 0xff, detail = what >> 16;
  switch (op) {
    case kFpAdd:
    case kFpSub:
    case kFpMul:
    case kFpDiv:
    case kFpNegAdd:
    case kFpNegSub: return binary(unit, op, a, b);
    case kFpMadd:
    case kFpMsub:
    case kFpNmadd:
    case kFpNmsub: return ternary(unit, op, a, b, c);
    case kFpRecip2:
    case kFpRsqrt2: return refinement(unit, op, a, b);
    case kFpToW:
    case kFpToL: return to_int(unit, op, a, detail);
    case kFpCompare: return compare(unit, detail, a, b);
    default: return unary(unit, op, a);
  }
}

Outcome single(const FpUnit& unit, u64 what, u64 a, u64 b, u64 c) {
  if ((what & 0xff) >= kFpSFromD && (what & 0xff) <= kFpDFromL) return convert(unit, what & 0xff, a);
  return perform<u32>(unit, what, static_cast<u32>(a), static_cast<u32>(b), static_cast<u32>(c));
}

}  // namespace

u32 fp_causes(u32 flags) {
  return (flags & fpu::kInvalid ? u32{FP_V} : 0u) | (flags & fpu::kDivByZero ? u32{FP_Z} : 0u) |
         (flags & fpu::kOverflow ? u32{FP_O} : 0u) | (flags & fpu::kUnderflow ? u32{FP_U} : 0u) |
         (flags & fpu::kInexact ? u32{FP_I} : 0u);
}

Outcome fp_perform(const FpUnit& unit, u64 what, u64 a, u64 b, u64 c) {
  if (what & kFpPaired) {
    const Outcome low = single(unit, what, a, b, c), high = single(unit, what, a >> 32, b >> 32, c >> 32);
    const unsigned at = (what & 0xff) == kFpCompare ? 1 : 32;
    return {low.value | high.value << at, low.cause | high.cause};
  }
  if (!(what & kFpDouble)) return single(unit, what, a, b, c);
  return perform<u64>(unit, what, a, b, c);
}

}  // namespace doppel::mips
