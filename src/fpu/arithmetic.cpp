// Soft float: add, subtract, multiply, divide, square root, fused multiply-add. Every result is computed exactly or
// with a sticky low bit in 128 bits, then rounded once.
#include <utility>

#include "fpu/unpacked.h"

namespace doppel::fpu {
namespace {

// Sum of two nonzero finite numbers whose significands may use all 128 bits (a product) or the upper 64 (an operand).
struct Sum {
  bool zero;
  bool sign;
  s32 exp;
  u128 sig;
};

Sum add_magnitudes(bool sign, s32 ea, u128 a, s32 eb, u128 b) {
  if (ea < eb) {
    std::swap(ea, eb);
    std::swap(a, b);
  }
  b = shift_right_jam(b, static_cast<u32>(ea - eb));
  u128 s = a + b;
  if (s < a) return {false, sign, ea + 1, shift_right_jam(s, 1) | kTopBit};
  return {false, sign, ea, s};
}

Sum sub_magnitudes(bool sign, s32 ea, u128 a, s32 eb, u128 b) {
  if (ea < eb || (ea == eb && a < b)) {
    std::swap(ea, eb);
    std::swap(a, b);
    sign = !sign;
  }
  const u32 d = static_cast<u32>(ea - eb);
  u128 s;
  if (d == 0) {
    s = a - b;
  } else if (d == 1) {
    // 2a - b needs 129 bits only when nothing cancels; otherwise it is exact modulo 2^128.
    const u128 half = a - (b >> 1) - (b & 1);  // floor((2a - b) / 2)
    if (half & kTopBit)
      s = half | (b & 1);  // sticky
    else {
      s = (a << 1) - b;
      ea -= 1;
    }
  } else {
    s = a - shift_right_jam(b, d);
  }
  if (s == 0) return {true, false, 0, 0};
  const unsigned shift = clz128(s);
  return {false, sign, ea - static_cast<s32>(shift), s << shift};
}

Sum add_signed(bool sa, s32 ea, u128 a, bool sb, s32 eb, u128 b) {
  return sa == sb ? add_magnitudes(sa, ea, a, eb, b) : sub_magnitudes(sa, ea, a, eb, b);
}

template <typename F>
F pack_sum(const Sum& s, Env& env) {
  if (s.zero) return zero_of<F>(env.rounding == Rounding::Down);
  return round_pack<F>(s.sign, s.exp, s.sig, precision_of<F>(env), env);
}

template <typename F>
F add_unpacked(const Unpacked& a, const Unpacked& b, bool b_sign, Env& env) {
  if (a.nan() || b.nan()) return propagate_nan<F>(a, b, env);
  if (a.inf() && b.inf() && a.sign != b_sign) return invalid<F>(env);
  note_denormals(a, b, env);
  if (a.inf()) return infinity_of<F>(a.sign);
  if (b.inf()) return infinity_of<F>(b_sign);
  if (a.zero() && b.zero()) return zero_of<F>(a.sign == b_sign ? a.sign : env.rounding == Rounding::Down);
  if (a.zero()) return round_pack<F>(b_sign, b.exp, b.sig, precision_of<F>(env), env);
  if (b.zero()) return round_pack<F>(a.sign, a.exp, a.sig, precision_of<F>(env), env);
  return pack_sum<F>(add_signed(a.sign, a.exp, a.sig, b_sign, b.exp, b.sig), env);
}

struct Product {
  s32 exp;
  u128 sig;
};
Product multiply(const Unpacked& a, const Unpacked& b) {
  const u128 p = u128{static_cast<u64>(a.sig >> 64)} * static_cast<u64>(b.sig >> 64);
  if (p & kTopBit) return {a.exp + b.exp + 1, p};
  return {a.exp + b.exp, p << 1};
}

// Root and remainder of n >= 2^62, bit by bit.
u64 isqrt64(u64 n, u64& rem) {
  u64 root = 0, rest = n;
  for (u64 bit = u64{1} << 62; bit != 0; bit >>= 2) {
    if (rest >= root + bit) {
      rest -= root + bit;
      root = (root >> 1) + bit;
    } else {
      root >>= 1;
    }
  }
  rem = rest;
  return root;
}
// Root of n >= 2^126 and its remainder: one digit of 32 bits from the root of the upper half.
u64 isqrt128(u128 n, u128& rem) {
  u64 r1;
  const u64 s1 = isqrt64(static_cast<u64>(n >> 64), r1);
  const u128 head = (u128{r1} << 32) | static_cast<u32>(n >> 32);
  const u64 q = static_cast<u64>(head / (2 * s1));
  const u64 u = static_cast<u64>(head % (2 * s1));
  u128 s = (u128{s1} << 32) + q;
  s128 r = static_cast<s128>((u128{u} << 32) | static_cast<u32>(n)) - static_cast<s128>(u128{q} * q);
  while (r < 0) {
    r += static_cast<s128>(2 * s - 1);
    s -= 1;
  }
  rem = static_cast<u128>(r);
  return static_cast<u64>(s);
}

}  // namespace

template <typename F>
F add(F x, F y, Env& env) {
  const Unpacked a = unpack(x, env), b = unpack(y, env);
  return add_unpacked<F>(a, b, b.sign, env);
}

template <typename F>
F sub(F x, F y, Env& env) {
  const Unpacked a = unpack(x, env), b = unpack(y, env);
  return add_unpacked<F>(a, b, !b.sign, env);
}

template <typename F>
F mul(F x, F y, Env& env) {
  const Unpacked a = unpack(x, env), b = unpack(y, env);
  if (a.nan() || b.nan()) return propagate_nan<F>(a, b, env);
  if ((a.inf() && b.zero()) || (a.zero() && b.inf())) return invalid<F>(env);
  note_denormals(a, b, env);
  const bool sign = a.sign != b.sign;
  if (a.inf() || b.inf()) return infinity_of<F>(sign);
  if (a.zero() || b.zero()) return zero_of<F>(sign);
  const Product p = multiply(a, b);
  return round_pack<F>(sign, p.exp, p.sig, precision_of<F>(env), env);
}

template <typename F>
F div(F x, F y, Env& env) {
  const Unpacked a = unpack(x, env), b = unpack(y, env);
  if (a.nan() || b.nan()) return propagate_nan<F>(a, b, env);
  if ((a.inf() && b.inf()) || (a.zero() && b.zero())) return invalid<F>(env);
  const bool sign = a.sign != b.sign;
  if (b.zero() && !a.inf()) {
    env.flags |= kDivByZero;
    return infinity_of<F>(sign);
  }
  note_denormals(a, b, env);
  if (a.inf()) return infinity_of<F>(sign);
  if (b.inf() || a.zero()) return zero_of<F>(sign);
  const u64 n = static_cast<u64>(a.sig >> 64), d = static_cast<u64>(b.sig >> 64);
  const bool less = n < d;
  const u128 head = u128{n} << (less ? 64 : 63);
  const u64 q = static_cast<u64>(head / d);  // bit 63 set
  const u64 rest = static_cast<u64>(head % d);
  const u128 tail = u128{rest} << 64;
  const u64 q2 = static_cast<u64>(tail / d);
  const u128 sig = (u128{q} << 64) | q2 | (tail % d != 0);
  return round_pack<F>(sign, a.exp - b.exp - (less ? 1 : 0), sig, precision_of<F>(env), env);
}

template <typename F>
F sqrt(F x, Env& env) {
  const Unpacked a = unpack(x, env);
  if (a.nan()) return propagate_nan<F>(a, a, env);
  if (a.zero()) return zero_of<F>(a.sign);
  if (a.sign) return invalid<F>(env);
  if (a.inf()) return infinity_of<F>(false);
  note_denormals(a, a, env);
  // value = n / 2^126 * 2^even with n in [2^126, 2^128): the root lies in [1, 2) * 2^(even / 2).
  const bool odd = a.exp & 1;
  const u128 n = odd ? a.sig : a.sig >> 1;
  u128 rem;
  const u64 root = isqrt128(n, rem);
  const u128 sig = (u128{root} << 64) | (u128{rem > root} << 63) | (rem != 0);
  return round_pack<F>(false, (a.exp - (odd ? 1 : 0)) / 2, sig, precision_of<F>(env), env);
}

template <typename F>
F mul_add(F x, F y, F z, Env& env) {
  const Unpacked a = unpack(x, env), b = unpack(y, env), c = unpack(z, env);
  const bool product_invalid = (a.inf() && b.zero()) || (a.zero() && b.inf());
  if (a.nan() || b.nan() || c.nan()) {
    if (c.cls == Class::SignalingNan) env.flags |= kInvalid;
    if (c.cls == Class::Unsupported) return invalid<F>(env);
    if (a.nan() || b.nan()) return propagate_nan<F>(a, b, env);
    return pack_nan<F>(c, env);
  }
  if (product_invalid) return invalid<F>(env);
  const bool sign = a.sign != b.sign;
  const bool product_inf = a.inf() || b.inf();
  if (product_inf && c.inf() && sign != c.sign) return invalid<F>(env);
  note_denormals(a, b, env);
  note_denormals(c, c, env);
  if (product_inf) return infinity_of<F>(sign);
  if (c.inf()) return infinity_of<F>(c.sign);
  if (a.zero() || b.zero()) {
    if (c.zero()) return zero_of<F>(sign == c.sign ? sign : env.rounding == Rounding::Down);
    return round_pack<F>(c.sign, c.exp, c.sig, precision_of<F>(env), env);
  }
  const Product p = multiply(a, b);
  if (c.zero()) return round_pack<F>(sign, p.exp, p.sig, precision_of<F>(env), env);
  return pack_sum<F>(add_signed(sign, p.exp, p.sig, c.sign, c.exp, c.sig), env);
}

#define INSTANTIATE(F)           \
  template F add<F>(F, F, Env&); \
  template F sub<F>(F, F, Env&); \
  template F mul<F>(F, F, Env&); \
  template F div<F>(F, F, Env&); \
  template F sqrt<F>(F, Env&);   \
  template F mul_add<F>(F, F, F, Env&);
INSTANTIATE(f32)
INSTANTIATE(f64)
INSTANTIATE(f80)
#undef INSTANTIATE

}  // namespace doppel::fpu
