// See x87_special.h.
#include "fpu/x87_special.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace doppel::fpu {
namespace {

enum Condition : u16 { C0 = 0x100, C1 = 0x200, C2 = 0x400, C3 = 0x4000 };
constexpr f80 kIndefinite{0xc000000000000000ull, 0xffff};

bool is_negative(const f80& r) { return r.sign_exponent & 0x8000; }
bool is_zero(const f80& r) { return r.significand == 0 && (r.sign_exponent & 0x7fff) == 0; }
bool is_inf(const f80& r) { return (r.sign_exponent & 0x7fff) == 0x7fff && r.significand == u64{1} << 63; }

double to_double(const f80& r) {
  Env env;
  const u64 bits = convert<f64>(r, env);
  double d;
  std::memcpy(&d, &bits, sizeof d);
  return d;
}
f80 from_double(double d) {
  u64 bits;
  std::memcpy(&bits, &d, sizeof bits);
  Env env;
  return convert<f80>(bits, env);
}

// FSCALE: a times 2 to the truncated b, within what exponents can hold.
f80 scale(const f80& a, const f80& b, Env& env) {
  if (is_nan(a) || is_nan(b)) return add(a, b, env);
  if (is_inf(b)) {
    if (is_negative(b)) {
      if (is_inf(a)) {
        env.flags |= kInvalid;
        return kIndefinite;
      }
      return {0, static_cast<u16>(a.sign_exponent & 0x8000)};
    }
    if (is_zero(a)) {
      env.flags |= kInvalid;
      return kIndefinite;
    }
    return {u64{1} << 63, static_cast<u16>((a.sign_exponent & 0x8000) | 0x7fff)};
  }
  Env quiet;
  s64 n = to_s64(b, Rounding::Zero, quiet);
  if (quiet.flags & kInvalid) n = is_negative(b) ? -70000 : 70000;
  n = std::clamp<s64>(n, -70000, 70000);
  f80 v = a;
  while (n != 0) {
    const s64 step = std::clamp<s64>(n, -16000, 16000);
    const f80 power{u64{1} << 63, static_cast<u16>(16383 + step)};
    v = mul(v, power, env);
    n -= step;
  }
  return v;
}

// FPREM and FPREM1 by long division of the significands, at most 63 quotient bits at a time.
X87Special remainder(const f80& a, const f80& b, bool ieee, Env& env) {
  X87Special r;
  r.st0 = a;
  if (is_nan(a) || is_nan(b)) {
    r.st0 = add(a, b, env);
    return r;
  }
  if (is_inf(a) || is_zero(b)) {
    r.st0 = kIndefinite;
    env.flags |= kInvalid;
    return r;
  }
  if (is_inf(b) || is_zero(a)) return r;
  auto normal = [](const f80& v, u64& sig) {
    int e = v.sign_exponent & 0x7fff;
    sig = v.significand;
    if (e == 0) e = 1;
    while (!(sig >> 63)) {
      sig <<= 1;
      e--;
    }
    return e;
  };
  u64 sa, sb;
  int ea = normal(a, sa);
  const int eb = normal(b, sb);
  int d = ea - eb;
  if (d < (ieee ? -1 : 0)) return r;
  const bool partial = d >= 64;
  int steps = partial ? 63 : d;
  u64 q = 0;
  u128 rem = sa;
  if (d == -1) rem = sa >> 1;
  if (d >= 0) {
    for (int i = 0;; i++) {
      q <<= 1;
      if (rem >= sb) {
        rem -= sb;
        q |= 1;
      }
      if (i == steps) break;
      rem <<= 1;
    }
  }
  bool negative = is_negative(a);
  int e = partial ? ea - steps : eb;
  if (d == -1) {             // |a| < |b| but may be over half of it: IEEE rounds the quotient to one
    if (sa <= sb) return r;  // 2|a| <= |b| (equal: to even, zero)
    rem = (u128{sb} << 1) - sa;
    e = eb - 1;
    negative = !negative;
    q = 1;
  } else if (ieee && !partial) {
    const u128 twice = rem << 1;
    if (twice > sb || (twice == sb && (q & 1))) {
      rem = u128{sb} - rem;
      negative = !negative;
      q++;
    }
  }
  if (rem == 0) {
    r.st0 = {0, static_cast<u16>(is_negative(a) ? 0x8000 : 0)};
  } else {
    u64 sig = static_cast<u64>(rem);
    while (!(sig >> 63) && e > 1) {
      sig <<= 1;
      e--;
    }
    while (e < 1) {
      sig >>= 1;
      e++;
    }
    r.st0 = {sig, static_cast<u16>((negative ? 0x8000 : 0) | ((sig >> 63) ? e : 0))};
  }
  if (partial)
    r.conditions = C2;
  else
    r.conditions = static_cast<u16>((q & 1 ? C1 : 0) | (q & 2 ? C3 : 0) | (q & 4 ? C0 : 0));
  return r;
}

}  // namespace

X87Special x87_special(unsigned code, const f80& a, const f80& b, Env& env) {
  X87Special r;
  env.flags = 0;
  const double x = to_double(a), y = to_double(b);
  const bool in_range = std::fabs(x) < 9223372036854775808.0;
  switch (code) {
    case 0x0: r.st0 = from_double(std::exp2(x) - 1); break;
    case 0x1:
      r.st1 = from_double(y * std::log2(x));
      r.pops = true;
      break;
    case 0x2:
      if (!in_range) {
        r.st0 = a;
        r.conditions = C2;
      } else {
        r.st1 = from_double(std::tan(x));
        r.st0 = from_double(1.0);
        r.pushes = true;
      }
      break;
    case 0x3:
      r.st1 = from_double(std::atan2(y, x));
      r.pops = true;
      break;
    case 0x4: {  // FXTRACT
      r.pushes = true;
      if (is_zero(a)) {
        env.flags |= kDivByZero;
        r.st1 = {u64{1} << 63, 0xffff};
        r.st0 = a;
        break;
      }
      if (is_nan(a)) {
        r.st0 = r.st1 = add(a, a, env);
        break;
      }
      if (is_inf(a)) {
        r.st1 = {u64{1} << 63, 0x7fff};
        r.st0 = a;
        break;
      }
      u64 sig = a.significand;
      int e = a.sign_exponent & 0x7fff;
      if (e == 0) {
        e = 1;
        env.flags |= kDenormal;
      }
      while (!(sig >> 63)) {
        sig <<= 1;
        e--;
      }
      r.st1 = from_s64<f80>(e - 16383, env);
      r.st0 = {sig, static_cast<u16>((a.sign_exponent & 0x8000) | 16383)};
      break;
    }
    case 0x5: return remainder(a, b, true, env);
    case 0x8: return remainder(a, b, false, env);
    case 0x9:
      r.st1 = from_double(y * std::log1p(x) / std::log(2.0));
      r.pops = true;
      break;
    case 0xa: r.st0 = sqrt(a, env); break;
    case 0xb:
      if (!in_range) {
        r.st0 = a;
        r.conditions = C2;
      } else {
        r.st1 = from_double(std::sin(x));
        r.st0 = from_double(std::cos(x));
        r.pushes = true;
      }
      break;
    case 0xc: r.st0 = round_to_integral(a, env.rounding, true, env); break;
    case 0xd: r.st0 = scale(a, b, env); break;
    case 0xe:
      if (!in_range) {
        r.st0 = a;
        r.conditions = C2;
      } else
        r.st0 = from_double(std::sin(x));
      break;
    case 0xf:
      if (!in_range) {
        r.st0 = a;
        r.conditions = C2;
      } else
        r.st0 = from_double(std::cos(x));
      break;
    default: r.st0 = a; break;
  }
  if (env.flags & kRoundedUp) r.conditions |= C1;
  return r;
}

}  // namespace doppel::fpu
