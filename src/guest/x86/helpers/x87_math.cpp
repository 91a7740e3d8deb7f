// x87 arithmetic: on the host's x87 when all exceptions are masked (the common case), in src/fpu otherwise and on other
// hosts. The two agree bit for bit (tests/guest/x86/x87_test.cpp) but for the transcendental instructions, which only
// approximate on other hosts.
#include <algorithm>
#include <cmath>

#include "guest/x86/helpers/x87.h"
#include "guest/x86/helpers/x87_host.h"

namespace doppel::x86::x87 {
namespace {

bool use_host(const X86State& s) { return kHostX87 && (s.fcw & 0x3f) == 0x3f; }
u16 host_cw(const X86State& s) { return static_cast<u16>((s.fcw & 0x0f00) | 0x7f); }
const Raw80& raw(const X87Reg& r) { return reinterpret_cast<const Raw80&>(r); }  // SAFETY: the same layout
Raw80& raw(X87Reg& r) { return reinterpret_cast<Raw80&>(r); }
static_assert(sizeof(Raw80) == sizeof(X87Reg));
void clean(X87Reg& r) { r.pad[0] = r.pad[1] = r.pad[2] = 0; }

bool is_negative(const X87Reg& r) { return r.sign_exponent & 0x8000; }
bool is_zero(const X87Reg& r) { return r.significand == 0 && (r.sign_exponent & 0x7fff) == 0; }
bool is_inf(const X87Reg& r) { return (r.sign_exponent & 0x7fff) == 0x7fff && r.significand == u64{1} << 63; }

double to_double(const X87Reg& r) {
  fpu::Env env;
  const u64 bits = fpu::convert<fpu::f64>(to_f80(r), env);
  double d;
  std::memcpy(&d, &bits, sizeof d);
  return d;
}
X87Reg from_double(double d) {
  u64 bits;
  std::memcpy(&bits, &d, sizeof bits);
  fpu::Env env;
  return from_f80(fpu::convert<fpu::f80>(bits, env));
}

// FSCALE: a times 2 to the truncated b, within what exponents can hold.
X87Reg scale(const X87Reg& a, const X87Reg& b, fpu::Env& env) {
  if (fpu::is_nan(to_f80(a)) || fpu::is_nan(to_f80(b))) return from_f80(fpu::add(to_f80(a), to_f80(b), env));
  if (is_inf(b)) {
    if (is_negative(b)) {
      if (is_inf(a)) {
        env.flags |= fpu::kInvalid;
        return kIndefinite;
      }
      return {0, static_cast<u16>(a.sign_exponent & 0x8000), {}};
    }
    if (is_zero(a)) {
      env.flags |= fpu::kInvalid;
      return kIndefinite;
    }
    return {u64{1} << 63, static_cast<u16>((a.sign_exponent & 0x8000) | 0x7fff), {}};
  }
  fpu::Env quiet;
  s64 n = fpu::to_s64(to_f80(b), fpu::Rounding::Zero, quiet);
  if (quiet.flags & fpu::kInvalid) n = is_negative(b) ? -70000 : 70000;
  n = std::clamp<s64>(n, -70000, 70000);
  X87Reg v = a;
  while (n != 0) {
    const s64 step = std::clamp<s64>(n, -16000, 16000);
    const X87Reg power{u64{1} << 63, static_cast<u16>(16383 + step), {}};
    v = from_f80(fpu::mul(to_f80(v), to_f80(power), env));
    n -= step;
  }
  return v;
}

// FPREM and FPREM1 by long division of the significands, at most 63 quotient bits at a time.
Special remainder(const X86State& s, const X87Reg& a, const X87Reg& b, bool ieee) {
  Special r;
  r.st0 = a;
  fpu::Env env = make_env(s);
  const fpu::f80 x = to_f80(a), y = to_f80(b);
  if (fpu::is_nan(x) || fpu::is_nan(y)) {
    r.st0 = from_f80(fpu::add(x, y, env));
    r.flags = env.flags;
    return r;
  }
  if (is_inf(a) || is_zero(b)) {
    r.st0 = kIndefinite;
    r.flags = fpu::kInvalid;
    return r;
  }
  if (is_inf(b) || is_zero(a)) return r;
  auto normal = [](const X87Reg& v, u64& sig) {
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
  if (d == -1) {
    rem = sa >> 1;
    const bool lost = sa & 1;
    (void)lost;
  }
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
    r.st0 = {0, static_cast<u16>(is_negative(a) ? 0x8000 : 0), {}};
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
    r.st0 = {sig, static_cast<u16>((negative ? 0x8000 : 0) | ((sig >> 63) ? e : 0)), {}};
  }
  if (partial)
    r.conditions = C2;
  else
    r.conditions = static_cast<u16>((q & 1 ? C1 : 0) | (q & 2 ? C3 : 0) | (q & 4 ? C0 : 0));
  return r;
}

Special soft_special(const X86State& s, u8 modrm, const X87Reg& a, const X87Reg& b) {
  Special r;
  fpu::Env env = make_env(s);
  const double x = to_double(a), y = to_double(b);
  const bool in_range = std::fabs(x) < 9223372036854775808.0;
  switch (modrm) {
    case 0xf0: r.st0 = from_double(std::exp2(x) - 1); break;
    case 0xf1:
      r.st1 = from_double(y * std::log2(x));
      r.pops = true;
      break;
    case 0xf2:
      if (!in_range) {
        r.st0 = a;
        r.conditions = C2;
      } else {
        r.st1 = from_double(std::tan(x));
        r.st0 = from_double(1.0);
        r.pushes = true;
      }
      break;
    case 0xf3:
      r.st1 = from_double(std::atan2(y, x));
      r.pops = true;
      break;
    case 0xf4: {  // FXTRACT
      r.pushes = true;
      if (is_zero(a)) {
        env.flags |= fpu::kDivByZero;
        r.st1 = {u64{1} << 63, 0xffff, {}};
        r.st0 = a;
        break;
      }
      if (fpu::is_nan(to_f80(a))) {
        r.st0 = r.st1 = from_f80(fpu::add(to_f80(a), to_f80(a), env));
        break;
      }
      if (is_inf(a)) {
        r.st1 = {u64{1} << 63, 0x7fff, {}};
        r.st0 = a;
        break;
      }
      u64 sig = a.significand;
      int e = a.sign_exponent & 0x7fff;
      if (e == 0) {
        e = 1;
        env.flags |= fpu::kDenormal;
      }
      while (!(sig >> 63)) {
        sig <<= 1;
        e--;
      }
      r.st1 = load_int(e - 16383);
      r.st0 = {sig, static_cast<u16>((a.sign_exponent & 0x8000) | 16383), {}};
      break;
    }
    case 0xf5: return remainder(s, a, b, true);
    case 0xf8: return remainder(s, a, b, false);
    case 0xf9:
      r.st1 = from_double(y * std::log1p(x) / std::log(2.0));
      r.pops = true;
      break;
    case 0xfa: r.st0 = from_f80(fpu::sqrt(to_f80(a), env)); break;
    case 0xfb:
      if (!in_range) {
        r.st0 = a;
        r.conditions = C2;
      } else {
        r.st1 = from_double(std::sin(x));
        r.st0 = from_double(std::cos(x));
        r.pushes = true;
      }
      break;
    case 0xfc: r.st0 = from_f80(fpu::round_to_integral(to_f80(a), env.rounding, true, env)); break;
    case 0xfd: r.st0 = scale(a, b, env); break;
    case 0xfe:
      if (!in_range) {
        r.st0 = a;
        r.conditions = C2;
      } else
        r.st0 = from_double(std::sin(x));
      break;
    case 0xff:
      if (!in_range) {
        r.st0 = a;
        r.conditions = C2;
      } else
        r.st0 = from_double(std::cos(x));
      break;
    default: r.st0 = a; break;
  }
  r.flags = env.flags & 0x3f;
  if (env.flags & fpu::kRoundedUp) r.conditions |= C1;
  return r;
}

}  // namespace

fpu::Env make_env(const X86State& s) {
  fpu::Env env;
  env.rounding = static_cast<fpu::Rounding>((s.fcw >> 10) & 3);
  env.nan = fpu::NanRule::X87;
  static constexpr u8 kPrecision[] = {24, 64, 53, 64};
  env.f80_precision = kPrecision[(s.fcw >> 8) & 3];
  env.unmasked = ~s.fcw & 0x3f;
  return env;
}

Outcome arithmetic(const X86State& s, Arith op, const X87Reg& left, const X87Reg& right) {
  const bool reversed = op == Arith::SubR || op == Arith::DivR;
  const X87Reg& a = reversed ? right : left;
  const X87Reg& b = reversed ? left : right;
  Outcome out;
  if (use_host(s)) {
    const HostControl control(host_cw(s));
    u16 sw = 0;
    switch (op) {
      case Arith::Add: sw = host_add(raw(out.value), raw(a), raw(b)); break;
      case Arith::Mul: sw = host_mul(raw(out.value), raw(a), raw(b)); break;
      case Arith::Sub:
      case Arith::SubR: sw = host_sub(raw(out.value), raw(a), raw(b)); break;
      case Arith::Div:
      case Arith::DivR: sw = host_div(raw(out.value), raw(a), raw(b)); break;
    }
    clean(out.value);
    out.flags = sw & 0x3f;
    out.c1 = sw & C1;
    return out;
  }
  fpu::Env env = make_env(s);
  fpu::f80 v;
  switch (op) {
    case Arith::Add: v = fpu::add(to_f80(a), to_f80(b), env); break;
    case Arith::Mul: v = fpu::mul(to_f80(a), to_f80(b), env); break;
    case Arith::Sub:
    case Arith::SubR: v = fpu::sub(to_f80(a), to_f80(b), env); break;
    default: v = fpu::div(to_f80(a), to_f80(b), env); break;
  }
  return {from_f80(v), env.flags & 0x3f, (env.flags & fpu::kRoundedUp) != 0};
}

Outcome load_f32(const X86State& s, u32 bits) {
  Outcome out;
  if (use_host(s)) {
    const HostControl control(0x37f);
    out.flags = host_load32(raw(out.value), bits) & 0x3f;
    clean(out.value);
    return out;
  }
  fpu::Env env = make_env(s);
  env.f80_precision = 64;
  out.value = from_f80(fpu::convert<fpu::f80>(fpu::f32{bits}, env));
  if ((bits & 0x7f800000) == 0 && (bits & 0x7fffff)) env.flags |= fpu::kDenormal;
  out.flags = env.flags & 0x3f;
  return out;
}

Outcome load_f64(const X86State& s, u64 bits) {
  Outcome out;
  if (use_host(s)) {
    const HostControl control(0x37f);
    out.flags = host_load64(raw(out.value), bits) & 0x3f;
    clean(out.value);
    return out;
  }
  fpu::Env env = make_env(s);
  env.f80_precision = 64;
  out.value = from_f80(fpu::convert<fpu::f80>(fpu::f64{bits}, env));
  if ((bits & 0x7ff0000000000000ull) == 0 && (bits & 0xfffffffffffffull)) env.flags |= fpu::kDenormal;
  out.flags = env.flags & 0x3f;
  return out;
}

X87Reg load_int(s64 value) {
  if (value == 0) return {};
  const bool negative = value < 0;
  const u64 magnitude = negative ? ~static_cast<u64>(value) + 1 : static_cast<u64>(value);
  const int shift = std::countl_zero(magnitude);
  return {magnitude << shift, static_cast<u16>((negative ? 0x8000 : 0) | (16383 + 63 - shift)), {}};
}

Narrow store_f32(const X86State& s, const X87Reg& v) {
  if (use_host(s)) {
    const HostControl control(host_cw(s));
    u32 bits = 0;
    const u16 sw = host_store32(bits, raw(v));
    return {bits, static_cast<u32>(sw & 0x3f), (sw & C1) != 0};
  }
  fpu::Env env = make_env(s);
  const u32 bits = fpu::convert<fpu::f32>(to_f80(v), env);
  return {bits, env.flags & 0x3f, (env.flags & fpu::kRoundedUp) != 0};
}

Narrow store_f64(const X86State& s, const X87Reg& v) {
  if (use_host(s)) {
    const HostControl control(host_cw(s));
    u64 bits = 0;
    const u16 sw = host_store64(bits, raw(v));
    return {bits, static_cast<u32>(sw & 0x3f), (sw & C1) != 0};
  }
  fpu::Env env = make_env(s);
  const u64 bits = fpu::convert<fpu::f64>(to_f80(v), env);
  return {bits, env.flags & 0x3f, (env.flags & fpu::kRoundedUp) != 0};
}

Narrow store_int(const X86State& s, const X87Reg& v, unsigned bits, bool truncate) {
  fpu::Env env = make_env(s);
  const s64 value = fpu::to_s64(to_f80(v), truncate ? fpu::Rounding::Zero : env.rounding, env);
  const u64 indefinite = u64{1} << (bits - 1);
  if (!(env.flags & fpu::kInvalid) && static_cast<s64>(sign_extend(static_cast<u64>(value), bits)) != value)
    env.flags = fpu::kInvalid;
  if (env.flags & fpu::kInvalid) return {indefinite, fpu::kInvalid, false};
  return {static_cast<u64>(value), env.flags & 0x3f, (env.flags & fpu::kRoundedUp) != 0};
}

Compared compare(const X86State& s, const X87Reg& a, const X87Reg& b, bool quiet) {
  if (use_host(s)) {
    const HostControl control(0x37f);
    const u16 sw = host_compare(raw(a), raw(b), quiet);
    return {static_cast<u16>(sw & (C0 | C2 | C3)), static_cast<u32>(sw & 0x3f)};
  }
  fpu::Env env = make_env(s);
  u16 conditions = 0;
  switch (fpu::compare(to_f80(a), to_f80(b), !quiet, env)) {
    case fpu::Relation::Less: conditions = C0; break;
    case fpu::Relation::Equal: conditions = C3; break;
    case fpu::Relation::Greater: break;
    case fpu::Relation::Unordered: conditions = C0 | C2 | C3; break;
  }
  return {conditions, env.flags & 0x3f};
}

Special special(const X86State& s, u8 modrm, const X87Reg& a, const X87Reg& b) {
  if (!kHostX87 || ((s.fcw & 0x3f) != 0x3f && (modrm == 0xfa || modrm == 0xfc || modrm == 0xfd)))
    return soft_special(s, modrm, a, b);
  Special r;
  Raw80 out[2];
  u16 sw;
  {
    const HostControl control(host_cw(s));
    sw = host_special(modrm, raw(a), raw(b), out);
  }
  const X87Reg first{out[0].significand, out[0].sign_exponent, {}},
      second{out[1].significand, out[1].sign_exponent, {}};
  r.flags = sw & 0x3f;
  r.conditions = static_cast<u16>(sw & C1);
  r.st0 = first;
  r.st1 = second;
  switch (modrm) {
    case 0xf1:
    case 0xf3:
    case 0xf9:
      r.pops = true;
      r.st1 = first;
      break;
    case 0xf2:
    case 0xfb:
      r.pushes = !(sw & C2);
      r.conditions = static_cast<u16>(sw & (C1 | C2));
      break;
    case 0xf4: r.pushes = true; break;
    case 0xf5:
    case 0xf8: r.conditions = static_cast<u16>(sw & kConditions); break;
    case 0xfe:
    case 0xff: r.conditions = static_cast<u16>(sw & (C1 | C2)); break;
    default: break;
  }
  return r;
}

}  // namespace doppel::x86::x87
