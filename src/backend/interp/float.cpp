// Floating-point ops on src/fpu. Rounding, DAZ and FTZ come from fp_env (MXCSR form), sticky flags go back there.
// Source: SDM vol. 2, the pages of the SSE to SSE4.1 float instructions; vol. 1, 11.5 (exceptions).
#include <bit>

#include "backend/interp/frame.h"
#include "base/assert.h"
#include "fpu/fpu.h"

namespace doppel::backend::interp {
namespace {

using fpu::Env;
using fpu::f32;
using fpu::f64;
using fpu::Relation;
using ir::Lane;
using ir::Op;
using ir::Opcode;

template <typename F>
F& at(V128& v, unsigned i) {
  if constexpr (sizeof(F) == 4)
    return v.w[i];
  else
    return v.d[i];
}
template <typename F>
F at(const V128& v, unsigned i) {
  if constexpr (sizeof(F) == 4)
    return v.w[i];
  else
    return v.d[i];
}

// fn(a, b) on all lanes, or on the low lane with the rest of a.
template <typename F, typename Fn>
V128 each(const V128& a, const V128& b, bool scalar, Fn fn) {
  V128 r = a;
  for (unsigned i = 0; i < (scalar ? 1 : 16 / sizeof(F)); i++) at<F>(r, i) = fn(at<F>(a, i), at<F>(b, i));
  return r;
}
template <typename Fn>
V128 by_lane(u8 lane, const V128& a, const V128& b, Fn fn) {
  switch (static_cast<Lane>(lane)) {
    case Lane::PS: return each<f32>(a, b, false, fn);
    case Lane::SS: return each<f32>(a, b, true, fn);
    case Lane::PD: return each<f64>(a, b, false, fn);
    default: return each<f64>(a, b, true, fn);
  }
}

// CMPPS: EQ LT LE UNORD, then their opposites. LT, LE, NLT, NLE signal quiet NaNs.
template <typename F>
bool predicate(F a, F b, unsigned imm, Env& env) {
  const Relation r = fpu::compare(a, b, (imm & 3) == 1 || (imm & 3) == 2, env);
  bool holds = false;
  switch (imm & 3) {
    case 0: holds = r == Relation::Equal; break;
    case 1: holds = r == Relation::Less; break;
    case 2: holds = r == Relation::Less || r == Relation::Equal; break;
    case 3: holds = r == Relation::Unordered; break;
  }
  return holds != ((imm & 4) != 0);
}

template <typename F>
u64 compare_flags(F a, F b, bool quiet, Env& env) {
  switch (fpu::compare(a, b, !quiet, env)) {
    case Relation::Unordered: return ir::kFlagOne | ir::kFlagZ | ir::kFlagP | ir::kFlagC;
    case Relation::Less: return ir::kFlagOne | ir::kFlagC;
    case Relation::Equal: return ir::kFlagOne | ir::kFlagZ;
    default: return ir::kFlagOne;
  }
}

template <typename F>
F round(F a, u64 imm, Env& env) {
  const fpu::Rounding mode = imm & 4 ? env.rounding : static_cast<fpu::Rounding>(imm & 3);
  return fpu::round_to_integral(a, mode, !(imm & 8), env);
}

template <typename F>
V128 horizontal(const Op& op, const V128& a, const V128& b, Env& env) {
  V128 r{};
  constexpr unsigned half = 8 / sizeof(F);
  const auto one = [&](const V128& v, unsigned k) {
    const F x = at<F>(v, 2 * k), y = at<F>(v, 2 * k + 1);
    return op.code == Opcode::vhadd ? fpu::add(x, y, env) : fpu::sub(x, y, env);
  };
  for (unsigned k = 0; k < half; k++) at<F>(r, k) = one(a, k);
  for (unsigned k = 0; k < half; k++) at<F>(r, half + k) = one(b, k);
  return r;
}

template <typename F>
V128 add_sub(const V128& a, const V128& b, Env& env) {  // odd lanes add, even lanes subtract
  V128 r{};
  for (unsigned k = 0; k < 16 / sizeof(F); k++)
    at<F>(r, k) = k & 1 ? fpu::add(at<F>(a, k), at<F>(b, k), env) : fpu::sub(at<F>(a, k), at<F>(b, k), env);
  return r;
}

V128 convert(const Op& op, const V128& a, const V128& b, Env& env) {
  const Lane lane = static_cast<Lane>(op.sub);
  const auto mode = [&] { return op.imm & 1 ? fpu::Rounding::Zero : env.rounding; };
  V128 r{};
  switch (op.code) {
    case Opcode::vf_s2d:
      if (lane == Lane::SS) r = a;
      for (unsigned k = 0; k < (lane == Lane::SS ? 1 : 2); k++) r.d[k] = fpu::convert<f64>(f32{b.w[k]}, env);
      return r;
    case Opcode::vf_d2s:
      if (lane == Lane::SD) r = a;
      for (unsigned k = 0; k < (lane == Lane::SD ? 1 : 2); k++) r.w[k] = fpu::convert<f32>(f64{b.d[k]}, env);
      return r;
    case Opcode::vf_i2f:
      for (unsigned k = 0; k < (lane == Lane::PS ? 4 : 2); k++) {
        const s32 n = static_cast<s32>(b.w[k]);
        if (lane == Lane::PS)
          r.w[k] = fpu::from_s32<f32>(n, env);
        else
          r.d[k] = fpu::from_s32<f64>(n, env);
      }
      return r;
    default:  // vf_f2i
      for (unsigned k = 0; k < (lane == Lane::PS ? 4 : 2); k++)
        r.w[k] = static_cast<u32>(lane == Lane::PS ? fpu::to_s32(f32{b.w[k]}, mode(), env)
                                                   : fpu::to_s32(f64{b.d[k]}, mode(), env));
      return r;
  }
}

template <typename F>
F from_integer(const Op& op, u64 n, Env& env) {
  return op.type == ir::Type::I64 ? fpu::from_s64<F>(static_cast<s64>(n), env)
                                  : fpu::from_s32<F>(static_cast<s32>(n), env);
}
template <typename F>
u64 to_integer(const Op& op, F a, Env& env) {
  const fpu::Rounding mode = op.imm & 1 ? fpu::Rounding::Zero : env.rounding;
  return op.type == ir::Type::I64 ? static_cast<u64>(fpu::to_s64(a, mode, env))
                                  : static_cast<u32>(fpu::to_s32(a, mode, env));
}

}  // namespace

void run_float(Frame& f, const Op& op, unsigned i, u32& fp_env) {
  const V128 a = f.x[op.arg[0]], b = f.x[op.arg[1]];
  V128& r = f.x[i];
  Env env = Env::from_mxcsr(fp_env);
  const Lane lane = static_cast<Lane>(op.sub);
  const bool single = lane == Lane::PS || lane == Lane::SS;
  switch (op.code) {
    case Opcode::vfadd: r = by_lane(op.sub, a, b, [&](auto x, auto y) { return fpu::add(x, y, env); }); break;
    case Opcode::vfsub: r = by_lane(op.sub, a, b, [&](auto x, auto y) { return fpu::sub(x, y, env); }); break;
    case Opcode::vfmul: r = by_lane(op.sub, a, b, [&](auto x, auto y) { return fpu::mul(x, y, env); }); break;
    case Opcode::vfdiv: r = by_lane(op.sub, a, b, [&](auto x, auto y) { return fpu::div(x, y, env); }); break;
    case Opcode::vfmin: r = by_lane(op.sub, a, b, [&](auto x, auto y) { return fpu::min_sse(x, y, env); }); break;
    case Opcode::vfmax: r = by_lane(op.sub, a, b, [&](auto x, auto y) { return fpu::max_sse(x, y, env); }); break;
    case Opcode::vfsqrt: r = by_lane(op.sub, a, b, [&](auto, auto y) { return fpu::sqrt(y, env); }); break;
    case Opcode::vfcmp:
      r = by_lane(op.sub, a, b, [&](auto x, auto y) {
        return static_cast<decltype(x)>(predicate(x, y, static_cast<unsigned>(op.imm), env) ? ~u64{0} : 0);
      });
      break;
    case Opcode::vfround: r = by_lane(op.sub, a, b, [&](auto, auto y) { return round(y, op.imm, env); }); break;
    case Opcode::vfcomi:
      f.v[i] = single ? compare_flags(f32{a.w[0]}, f32{b.w[0]}, op.imm != 0, env)
                      : compare_flags(f64{a.d[0]}, f64{b.d[0]}, op.imm != 0, env);
      break;
    case Opcode::vf_rcp: r = each<f32>(a, b, lane == Lane::SS, [](f32, f32 y) { return approximate_rcp(y); }); break;
    case Opcode::vf_rsqrt:
      r = each<f32>(a, b, lane == Lane::SS, [](f32, f32 y) { return approximate_rsqrt(y); });
      break;
    case Opcode::vf_s2d:
    case Opcode::vf_d2s:
    case Opcode::vf_i2f:
    case Opcode::vf_f2i: r = convert(op, a, b, env); break;
    case Opcode::vf_fromint:
      r = a;
      if (single)
        r.w[0] = from_integer<f32>(op, f.v[op.arg[1]], env);
      else
        r.d[0] = from_integer<f64>(op, f.v[op.arg[1]], env);
      break;
    case Opcode::vf_toint: f.v[i] = single ? to_integer(op, f32{a.w[0]}, env) : to_integer(op, f64{a.d[0]}, env); break;
    case Opcode::vhadd:
    case Opcode::vhsub: r = single ? horizontal<f32>(op, a, b, env) : horizontal<f64>(op, a, b, env); break;
    case Opcode::vaddsub: r = single ? add_sub<f32>(a, b, env) : add_sub<f64>(a, b, env); break;
    default: UNREACHABLE();
  }
  fp_env |= env.flags & 0x3f;
}

}  // namespace doppel::backend::interp
