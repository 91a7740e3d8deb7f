// x87 arithmetic: on the host's x87 when all exceptions are masked (the common case), in src/fpu otherwise and on other
// hosts. The two agree bit for bit (tests/guest/x86/x87_test.cpp) but for the transcendental instructions, which only
// approximate on other hosts.
#include "fpu/x87_special.h"
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

Special soft_special(const X86State& s, u8 modrm, const X87Reg& a, const X87Reg& b) {
  fpu::Env env = make_env(s);
  const fpu::X87Special v = fpu::x87_special(modrm & 15, to_f80(a), to_f80(b), env);
  Special r;
  r.st0 = from_f80(v.st0);
  r.st1 = from_f80(v.st1);
  r.pushes = v.pushes;
  r.pops = v.pops;
  r.conditions = v.conditions;
  r.flags = env.flags & 0x3f;
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
