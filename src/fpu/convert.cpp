// Soft float: rounding to integers, integer conversions, conversions between formats (SDM vol.
// 1, 4.8.4.2, 8.1.2, 11.4.2). The x87's precision control does not apply to any of them. Denormal operands: conversions
// to integers and ROUNDSS do not set DE, FRNDINT and widening conversions do; FST from f80 does not.
#include <limits>

#include "fpu/unpacked.h"

namespace doppel::fpu {
namespace {

// |a| rounded to an integer: exact up to 2^64 and beyond (`huge` when it needs more than 64 bits).
struct Integral {
  u64 magnitude;
  bool huge, inexact, up;
};

Integral to_integral(const Unpacked& a, Rounding mode) {
  if (a.exp >= 64) return {0, true, false, false};
  u128 whole, rest;  // rest: the fraction as a part of 2^128, sticky
  if (a.exp >= 0) {
    const unsigned fraction_bits = 127 - static_cast<unsigned>(a.exp);
    whole = a.sig >> fraction_bits;
    rest = a.sig << (128 - fraction_bits);
  } else {
    whole = 0;
    rest = shift_right_jam(a.sig, static_cast<u32>(-1 - a.exp));
  }
  const bool up = rounds_up(mode, a.sign, whole & 1, rest, kTopBit);
  whole += up;
  return {static_cast<u64>(whole), (whole >> 64) != 0, rest != 0, up};
}

template <typename F, typename I>
I to_int(F x, Rounding mode, Env& env) {
  constexpr I indefinite = std::numeric_limits<I>::min();
  const Unpacked a = unpack(x, env);
  if (a.zero()) return 0;
  if (a.cls != Class::Finite) {
    env.flags |= kInvalid;
    return indefinite;
  }
  const Integral r = to_integral(a, mode);
  const u64 limit = static_cast<u64>(std::numeric_limits<I>::max()) + (a.sign ? 1 : 0);
  if (r.huge || r.magnitude > limit) {
    env.flags |= kInvalid;
    return indefinite;
  }
  if (r.inexact) env.flags |= kInexact;
  if (r.up) env.flags |= kRoundedUp;
  return static_cast<I>(a.sign ? u64{0} - r.magnitude : r.magnitude);
}

template <typename F>
F from_int(s64 v, Env& env) {
  if (v == 0) return zero_of<F>(false);
  const u64 m = v < 0 ? u64{0} - static_cast<u64>(v) : static_cast<u64>(v);
  const int shift = std::countl_zero(m);
  return round_pack<F>(v < 0, 63 - shift, u128{m << shift} << 64, Format<F>::kPrecision, env);
}

}  // namespace

template <typename F>
F round_to_integral(F x, Rounding rounding, bool signal_inexact, Env& env) {
  const Unpacked a = unpack(x, env);
  if (a.nan()) return propagate_nan<F>(a, a, env);
  if (a.zero()) return zero_of<F>(a.sign);
  if (a.inf()) return x;
  if (std::is_same_v<F, f80> && a.denormal) env.flags |= kDenormal;
  if (a.exp >= static_cast<s32>(Format<F>::kPrecision) - 1) return x;
  const Integral r = to_integral(a, rounding);
  if (r.inexact && signal_inexact) env.flags |= kInexact | (r.up ? u32{kRoundedUp} : 0u);
  if (r.magnitude == 0) return zero_of<F>(a.sign);
  const int shift = std::countl_zero(r.magnitude);
  return pack_fields<F>(a.sign, static_cast<u32>(63 - shift + Format<F>::kMax), r.magnitude << shift);
}

template <typename F>
s32 to_s32(F a, Rounding rounding, Env& env) {
  return to_int<F, s32>(a, rounding, env);
}
template <typename F>
s64 to_s64(F a, Rounding rounding, Env& env) {
  return to_int<F, s64>(a, rounding, env);
}
template <typename F>
F from_s32(s32 a, Env& env) {
  return from_int<F>(a, env);
}
template <typename F>
F from_s64(s64 a, Env& env) {
  return from_int<F>(a, env);
}

template <typename To, typename From>
To convert(From x, Env& env) {
  const Unpacked a = unpack(x, env);
  if (a.nan()) return propagate_nan<To>(a, a, env);
  if (a.zero()) return zero_of<To>(a.sign);
  if (a.inf()) return infinity_of<To>(a.sign);
  if (a.denormal && !std::is_same_v<From, f80>) env.flags |= kDenormal;
  return round_pack<To>(a.sign, a.exp, a.sig, Format<To>::kPrecision, env);
}

#define INSTANTIATE(F)                                      \
  template F round_to_integral<F>(F, Rounding, bool, Env&); \
  template s32 to_s32<F>(F, Rounding, Env&);                \
  template s64 to_s64<F>(F, Rounding, Env&);                \
  template F from_s32<F>(s32, Env&);                        \
  template F from_s64<F>(s64, Env&);                        \
  template f32 convert<f32, F>(F, Env&);                    \
  template f64 convert<f64, F>(F, Env&);                    \
  template f80 convert<f80, F>(F, Env&);
INSTANTIATE(f32)
INSTANTIATE(f64)
INSTANTIATE(f80)
#undef INSTANTIATE

}  // namespace doppel::fpu
