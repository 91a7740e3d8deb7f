// SSE float operations while MXCSR leaves an exception unmasked (SDM vol. 1, 11.5.2 and 11.5.3): soft float, then #XM
// before anything is written. An unmasked pre-computation exception (invalid, denormal, divide by zero) of any lane
// hides the post-computation ones.
#include "fpu/fpu.h"
#include "guest/x86/helpers/table.h"

namespace doppel::x86 {
namespace {

using fpu::f32;
using fpu::f64;
using ir::Lane;
using ir::Opcode;

template <typename F>
F lane_of(const Xmm& v, unsigned i) {
  if constexpr (sizeof(F) == 4)
    return v.w[i];
  else
    return v.d[i];
}
template <typename F>
void set_lane(Xmm& v, unsigned i, F value) {
  if constexpr (sizeof(F) == 4)
    v.w[i] = value;
  else
    v.d[i] = value;
}

bool predicate_holds(unsigned predicate, fpu::Relation r) {
  using fpu::Relation;
  bool holds = false;
  switch (predicate & 3) {
    case 0: holds = r == Relation::Equal; break;
    case 1: holds = r == Relation::Less; break;
    case 2: holds = r == Relation::Less || r == Relation::Equal; break;
    case 3: holds = r == Relation::Unordered; break;
  }
  return holds != ((predicate & 4) != 0);
}

template <typename F>
F one_lane(Opcode op, unsigned imm, F a, F b, fpu::Env& env) {
  switch (op) {
    case Opcode::vfadd: return fpu::add(a, b, env);
    case Opcode::vfsub: return fpu::sub(a, b, env);
    case Opcode::vfmul: return fpu::mul(a, b, env);
    case Opcode::vfdiv: return fpu::div(a, b, env);
    case Opcode::vfmin: return fpu::min_sse(a, b, env);
    case Opcode::vfmax: return fpu::max_sse(a, b, env);
    case Opcode::vfsqrt: return fpu::sqrt(b, env);
    case Opcode::vfround:
      return fpu::round_to_integral(b, imm & 4 ? env.rounding : static_cast<fpu::Rounding>(imm & 3), !(imm & 8), env);
    case Opcode::vfcmp: {
      const bool signals = (imm & 3) == 1 || (imm & 3) == 2;
      return predicate_holds(imm, fpu::compare(a, b, signals, env)) ? static_cast<F>(~F{0}) : F{0};
    }
    default: return a;
  }
}

struct Operation {
  Opcode op;
  Lane lane;
  unsigned imm;
  bool wide;
  u64 integer;
};

// Arithmetic: `n` lanes of F, or the lowest.
template <typename F>
void arithmetic(const Operation& o, Xmm& a, const Xmm& b, fpu::Env& env) {
  const unsigned n = o.lane == Lane::SS || o.lane == Lane::SD ? 1 : 16 / sizeof(F);
  Xmm r = a;
  for (unsigned i = 0; i < n; ++i) {
    F v;
    if (o.op == Opcode::vhadd || o.op == Opcode::vhsub) {
      const Xmm& from = i < n / 2 ? a : b;
      const unsigned k = i * 2 % n;
      v = one_lane<F>(o.op == Opcode::vhadd ? Opcode::vfadd : Opcode::vfsub, 0, lane_of<F>(from, k),
                      lane_of<F>(from, k + 1), env);
    } else if (o.op == Opcode::vaddsub) {
      v = one_lane<F>(i & 1 ? Opcode::vfadd : Opcode::vfsub, 0, lane_of<F>(a, i), lane_of<F>(b, i), env);
    } else {
      v = one_lane<F>(o.op, o.imm, lane_of<F>(a, i), lane_of<F>(b, i), env);
    }
    set_lane<F>(r, i, v);
  }
  a = r;
}

template <typename F>
u64 compare_flags(const Operation& o, const Xmm& a, const Xmm& b, fpu::Env& env) {
  switch (fpu::compare(lane_of<F>(a, 0), lane_of<F>(b, 0), o.imm == 0, env)) {
    case fpu::Relation::Less: return CF;
    case fpu::Relation::Equal: return ZF;
    case fpu::Relation::Greater: return 0;
    case fpu::Relation::Unordered: return CF | PF | ZF;
  }
  return 0;
}
template <typename F>
u64 to_integer(const Operation& o, const Xmm& a, fpu::Env& env) {
  const fpu::Rounding mode = o.imm & 1 ? fpu::Rounding::Zero : env.rounding;
  if (o.wide) return static_cast<u64>(fpu::to_s64(lane_of<F>(a, 0), mode, env));
  return static_cast<u32>(fpu::to_s32(lane_of<F>(a, 0), mode, env));
}
template <typename F>
void from_integer(const Operation& o, Xmm& a, fpu::Env& env) {
  set_lane<F>(a, 0,
              o.wide ? fpu::from_s64<F>(static_cast<s64>(o.integer), env)
                     : fpu::from_s32<F>(static_cast<s32>(static_cast<u32>(o.integer)), env));
}

// CVTPS2PD and the like: lanes of b to lanes of a.
void convert(const Operation& o, Xmm& a, const Xmm& b, fpu::Env& env) {
  const fpu::Rounding mode = o.imm & 1 ? fpu::Rounding::Zero : env.rounding;
  const bool single = o.lane == Lane::PS || o.lane == Lane::SS;
  Xmm r = {};
  switch (o.op) {
    case Opcode::vf_s2d:
      if (o.lane == Lane::SS) r = a;
      for (unsigned i = 0; i < (o.lane == Lane::PS ? 2u : 1u); ++i) r.d[i] = fpu::convert<f64>(f32{b.w[i]}, env);
      break;
    case Opcode::vf_d2s:
      if (o.lane == Lane::SD) r = a;
      for (unsigned i = 0; i < (o.lane == Lane::PD ? 2u : 1u); ++i) r.w[i] = fpu::convert<f32>(f64{b.d[i]}, env);
      break;
    case Opcode::vf_i2f:
      for (unsigned i = 0; i < (single ? 4u : 2u); ++i) {
        if (single)
          r.w[i] = fpu::from_s32<f32>(static_cast<s32>(b.w[i]), env);
        else
          r.d[i] = fpu::from_s32<f64>(static_cast<s32>(b.w[i]), env);
      }
      break;
    default:  // vf_f2i
      for (unsigned i = 0; i < (single ? 4u : 2u); ++i)
        r.w[i] = static_cast<u32>(single ? fpu::to_s32(f32{b.w[i]}, mode, env) : fpu::to_s32(f64{b.d[i]}, mode, env));
      break;
  }
  a = r;
}

u64 perform(const Operation& o, Xmm& a, const Xmm& b, fpu::Env& env) {
  const bool single = o.lane == Lane::PS || o.lane == Lane::SS;
  switch (o.op) {
    case Opcode::vfcomi: return single ? compare_flags<f32>(o, a, b, env) : compare_flags<f64>(o, a, b, env);
    case Opcode::vf_toint: return single ? to_integer<f32>(o, a, env) : to_integer<f64>(o, a, env);
    case Opcode::vf_fromint:
      if (single)
        from_integer<f32>(o, a, env);
      else
        from_integer<f64>(o, a, env);
      return 0;
    case Opcode::vf_s2d:
    case Opcode::vf_d2s:
    case Opcode::vf_i2f:
    case Opcode::vf_f2i: convert(o, a, b, env); return 0;
    default:
      if (single)
        arithmetic<f32>(o, a, b, env);
      else
        arithmetic<f64>(o, a, b, env);
      return 0;
  }
}

}  // namespace

u64 helper_simd_float(X86State* s, u64 what, u64 integer) {
  const Operation o{static_cast<Opcode>(what & 0xff), static_cast<Lane>((what >> 8) & 0xff),
                    static_cast<unsigned>((what >> 16) & 0xff), ((what >> 24) & 1) != 0, integer};
  const u32 unmasked = ~(s->mxcsr >> 7) & 0x3f;
  fpu::Env env = fpu::Env::from_mxcsr(s->h.fp_env);
  env.unmasked = unmasked;
  Xmm result = s->vtemp[0];
  const u64 value = perform(o, result, s->vtemp[1], env);
  constexpr u32 before = fpu::kInvalid | fpu::kDenormal | fpu::kDivByZero;
  const u32 flags = env.flags & 0x3f & (env.flags & before & unmasked ? before : ~0u);
  s->h.fp_env |= flags;
  if (flags & unmasked) raise(*s, s->cr4 & CR4_OSXMMEXCPT ? XM : UD);
  s->vtemp[0] = result;
  return value;
}

}  // namespace doppel::x86
