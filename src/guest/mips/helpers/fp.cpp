// Floating point by src/fpu (vol. I-A, chapter 6): FCSR's causes, flags and traps exact. NaNs are those of FCSR.NAN2008
// = 0: a signalling NaN has the top bit of its fraction set, and every result that is a NaN is the default quiet one
// (IEEE 754-1985 leaves it open; as QEMU's CPUs have it).
#include "fpu/fpu.h"
#include "guest/mips/helpers/table.h"

namespace doppel::mips {
namespace {

constexpr u32 kDefaultNan32 = 0x7fbfffff;
constexpr u64 kDefaultNan64 = 0x7ff7ffffffffffff;

template <typename F>
struct Format;
template <>
struct Format<u32> {
  static constexpr u32 kExponent = 0x7f800000, kSign = 0x80000000, kQuiet = 0x00400000, kNan = kDefaultNan32;
};
template <>
struct Format<u64> {
  static constexpr u64 kExponent = 0x7ff0000000000000, kSign = u64{1} << 63, kQuiet = u64{1} << 51,
                       kNan = kDefaultNan64;
};

template <typename F>
bool is_nan(F a) {
  return static_cast<F>(a & ~Format<F>::kSign) > Format<F>::kExponent;
}
template <typename F>
bool is_signaling(F a) {
  return is_nan(a) && (a & Format<F>::kQuiet);
}

fpu::Env environment(const MipsState& s) {
  static constexpr fpu::Rounding kRounding[4] = {fpu::Rounding::Nearest, fpu::Rounding::Zero, fpu::Rounding::Up,
                                                 fpu::Rounding::Down};
  fpu::Env env;
  env.rounding = kRounding[s.fcr31 & FCSR_RM];
  env.ftz = env.daz = (s.fcr31 & FCSR_FS) != 0;
  if (s.fcr31 >> kFcsrEnables & FP_U) env.unmasked = fpu::kUnderflow;
  return env;
}

u32 causes(u32 flags) {
  return (flags & fpu::kInvalid ? u32{FP_V} : 0u) | (flags & fpu::kDivByZero ? u32{FP_Z} : 0u) |
         (flags & fpu::kOverflow ? u32{FP_O} : 0u) | (flags & fpu::kUnderflow ? u32{FP_U} : 0u) |
         (flags & fpu::kInexact ? u32{FP_I} : 0u);
}

// Causes of an operation that is over; traps if one of them is enabled.
void finish(MipsState& s, u32 cause) {
  s.fp_last = kFpNone;
  s.fcr31 = (s.fcr31 & ~(0x3fu << kFcsrCauses)) | cause << kFcsrCauses;
  if (cause & (s.fcr31 >> kFcsrEnables & 0x1f)) raise(s, EXC_FPE);
  s.fcr31 |= (cause & 0x1f) << kFcsrFlags;
}

// One operation: its result, and the causes it leaves in FCSR.
struct Outcome {
  u64 value = 0;
  u32 cause = 0;
};

// When an operand is a NaN.
template <typename F>
bool nan_result(std::initializer_list<F> operands, Outcome& out) {
  bool any = false, signaling = false;
  for (const F a : operands) {
    any |= is_nan(a);
    signaling |= is_signaling(a);
  }
  if (any) out = {Format<F>::kNan, signaling ? u32{FP_V} : 0};
  return any;
}

template <typename F>
Outcome outcome(F r, const fpu::Env& env) {  // a NaN is that of an invalid operation
  return {is_nan(r) ? Format<F>::kNan : r, causes(env.flags)};
}

template <typename F>
Outcome binary(fpu::Env env, u64 op, F a, F b) {
  Outcome out;
  if (nan_result({a, b}, out)) return out;
  switch (op) {
    case kFpAdd: return outcome(fpu::add(a, b, env), env);
    case kFpSub: return outcome(fpu::sub(a, b, env), env);
    case kFpMul: return outcome(fpu::mul(a, b, env), env);
    case kFpDiv: return outcome(fpu::div(a, b, env), env);
    default: break;
  }
  // The second half of NMADD and NMSUB.
  F r = op == kFpNegAdd ? fpu::add(a, b, env) : fpu::sub(a, b, env);
  if (!is_nan(r)) r ^= Format<F>::kSign;
  return outcome(r, env);
}

template <typename F>
F one() {
  fpu::Env env;
  return fpu::from_s32<F>(1, env);
}

template <typename F>
Outcome unary(fpu::Env env, u64 op, F a) {
  Outcome out;
  if (nan_result({a}, out)) return out;
  switch (op) {
    case kFpAbs: return {static_cast<F>(a & ~Format<F>::kSign), 0};
    case kFpNeg: return {static_cast<F>(a ^ Format<F>::kSign), 0};
    case kFpSqrt: return outcome(fpu::sqrt(a, env), env);
    case kFpRecip: return outcome(fpu::div(one<F>(), a, env), env);
    default: return outcome(fpu::div(one<F>(), fpu::sqrt(a, env), env), env);  // kFpRsqrt
  }
}

// a * b + c and its like, with a rounding between: release 2's are not fused. Both operations leave their causes.
template <typename F>
Outcome ternary(const fpu::Env& env, u64 op, F a, F b, F c) {
  static constexpr FpOp kSecond[4] = {kFpAdd, kFpSub, kFpNegAdd, kFpNegSub};
  const Outcome product = binary(env, kFpMul, a, b);
  const Outcome sum = binary(env, kSecond[op - kFpMadd], static_cast<F>(product.value), c);
  return {sum.value, product.cause | sum.cause};
}

// 4: by FCSR; 0 nearest, 1 to zero, 2 up, 3 down: in the order of ROUND, TRUNC, CEIL, FLOOR.
template <typename F>
Outcome to_int(fpu::Env env, u64 op, F a, u64 how) {
  static constexpr fpu::Rounding kHow[4] = {fpu::Rounding::Nearest, fpu::Rounding::Zero, fpu::Rounding::Up,
                                            fpu::Rounding::Down};
  const fpu::Rounding rounding = how < 4 ? kHow[how] : env.rounding;
  const u64 r =
      op == kFpToL ? static_cast<u64>(fpu::to_s64(a, rounding, env)) : static_cast<u32>(fpu::to_s32(a, rounding, env));
  if (env.flags & fpu::kInvalid) return {op == kFpToL ? 0x7fffffffffffffff : 0x7fffffff, FP_V};
  return {r, causes(env.flags)};
}

Outcome convert(fpu::Env env, u64 op, u64 a) {
  u64 r = 0;
  switch (op) {
    case kFpSFromD:
      if (is_nan(a)) return {kDefaultNan32, is_signaling(a) ? u32{FP_V} : 0};
      r = fpu::convert<u32>(a, env);
      break;
    case kFpDFromS:
      if (is_nan(static_cast<u32>(a))) return {kDefaultNan64, is_signaling(static_cast<u32>(a)) ? u32{FP_V} : 0};
      r = fpu::convert<u64>(static_cast<u32>(a), env);
      break;
    case kFpSFromW: r = fpu::from_s32<u32>(static_cast<s32>(a), env); break;
    case kFpSFromL: r = fpu::from_s64<u32>(static_cast<s64>(a), env); break;
    case kFpDFromW: r = fpu::from_s32<u64>(static_cast<s32>(a), env); break;
    default: r = fpu::from_s64<u64>(static_cast<s64>(a), env); break;
  }
  return {r, causes(env.flags)};
}

// Value: whether condition `cond` of C.cond holds.
template <typename F>
Outcome compare(fpu::Env env, u64 cond, F a, F b) {
  const bool unordered = is_nan(a) || is_nan(b);
  const bool invalid = is_signaling(a) || is_signaling(b) || (unordered && (cond & 8));
  bool less = false, equal = false;
  if (!unordered) {
    const fpu::Relation r = fpu::compare(a, b, false, env);
    less = r == fpu::Relation::Less;
    equal = r == fpu::Relation::Equal;
  }
  const bool holds = ((cond & 1) && unordered) || ((cond & 2) && equal) || ((cond & 4) && less);
  return {holds, invalid ? u32{FP_V} : 0};
}

// `what`: an FpOp, kFpDouble, and at bit 16 its detail: the condition of a comparison, the rounding of a conversion.
template <typename F>
Outcome perform(const fpu::Env& env, u64 what, F a, F b, F c) {
  const u64 op = what & 0xff, detail = what >> 16;
  switch (op) {
    case kFpAdd:
    case kFpSub:
    case kFpMul:
    case kFpDiv:
    case kFpNegAdd:
    case kFpNegSub: return binary(env, op, a, b);
    case kFpMadd:
    case kFpMsub:
    case kFpNmadd:
    case kFpNmsub: return ternary(env, op, a, b, c);
    case kFpToW:
    case kFpToL: return to_int(env, op, a, detail);
    case kFpCompare: return compare(env, detail, a, b);
    default: return unary(env, op, a);
  }
}

Outcome perform(const MipsState& s, u64 what, u64 a, u64 b, u64 c) {
  const fpu::Env env = environment(s);
  if ((what & 0xff) >= kFpSFromD && (what & 0xff) <= kFpDFromL) return convert(env, what & 0xff, a);
  if (what & kFpDouble) return perform<u64>(env, what, a, b, c);
  return perform<u32>(env, what, static_cast<u32>(a), static_cast<u32>(b), static_cast<u32>(c));
}

u64 finished(MipsState& s, const Outcome& out) {
  finish(s, out.cause);
  return out.value;
}

}  // namespace

void set_fcsr(MipsState& s, u32 value) {
  static constexpr u32 kRounding[4] = {0, 3, 2, 1};  // MXCSR.RC of nearest, zero, up, down
  const u32 writable = s.model->release >= 2 || s.model->is_64bit ? 0xff83ffffu : 0x0183ffffu;
  s.fcr31 = value & writable;
  s.fp_last = kFpNone;
  s.fp_invalid = 0;
  s.h.fp_env = 0x1f80 | kRounding[s.fcr31 & FCSR_RM] << 13;
  update_mode(s);
}

void sync_fcsr(MipsState& s) {
  if (s.fp_last != kFpNone) {
    const u32 cause = perform(s, s.fp_last, s.fp_a, s.fp_b, s.fp_c).cause;
    s.fp_last = kFpNone;
    s.fcr31 = (s.fcr31 & ~(0x3fu << kFcsrCauses)) | cause << kFcsrCauses | cause << kFcsrFlags;
  }
  // The host's Invalid and Denormal are not looked at: its NaNs are not this CPU's.
  const u32 sticky = s.h.fp_env;
  const u32 flags = (sticky & 4 ? u32{FP_Z} : 0u) | (sticky & 8 ? u32{FP_O} : 0u) | (sticky & 16 ? u32{FP_U} : 0u) |
                    (sticky & 32 ? u32{FP_I} : 0u) | (s.fp_invalid ? u32{FP_V} : 0u);
  s.fcr31 |= flags << kFcsrFlags;
  s.h.fp_env &= ~0x3fu;
  s.fp_invalid = 0;
}

u64 helper_fp_unary(MipsState* s, u64 what, u64 a) { return finished(*s, perform(*s, what, a, 0, 0)); }
u64 helper_fp_binary(MipsState* s, u64 what, u64 a, u64 b) { return finished(*s, perform(*s, what, a, b, 0)); }
u64 helper_fp_ternary(MipsState* s, u64 what, u64 a, u64 b, u64 c) { return finished(*s, perform(*s, what, a, b, c)); }

// For what the host's arithmetic is not right about: called from the midst of translated code.
u64 helper_fp_exact(MipsState* s, u64 what, u64 a, u64 b) {
  const Outcome out = perform(*s, what, a, b, 0);
  if (out.cause & FP_V) s->fp_invalid = 1;
  return out.value;
}

u64 helper_fp_compare(MipsState* s, u64 what, u64 cc, u64 a, u64 b) {
  const u64 holds = finished(*s, perform(*s, what, a, b, 0));
  const u32 bit = u32{1} << fcsr_condition_bit(static_cast<unsigned>(cc));
  s->fcr31 = holds ? s->fcr31 | bit : s->fcr31 & ~bit;
  return 0;
}

// FIR, FCCR, FEXR, FENR and FCSR (vol. I-A, 6.5).
u64 helper_cfc1(MipsState* s, u64 reg) {
  sync_fcsr(*s);
  const u32 f = s->fcr31;
  switch (reg) {
    case 0: return s->model->fir;
    case 25: return (f >> 23 & 1) | (f >> 24 & 0xfe);
    case 26: return f & (0x3fu << kFcsrCauses | 0x1fu << kFcsrFlags);
    case 28: return (f & (0x1fu << kFcsrEnables | FCSR_RM)) | (f & FCSR_FS ? 4 : 0);
    case 31: return f;
    default: return 0;
  }
}

u64 helper_ctc1(MipsState* s, u64 reg, u64 value) {
  sync_fcsr(*s);
  const u32 v = static_cast<u32>(value);
  const u32 f = s->fcr31;
  const auto put = [&](u32 mask, u32 bits) { set_fcsr(*s, (f & ~mask) | (bits & mask)); };
  switch (reg) {
    case 25: put(0xfe800000, (v & 1) << 23 | (v & 0xfe) << 24); break;
    case 26: put(0x3fu << kFcsrCauses | 0x1fu << kFcsrFlags, v); break;
    case 28: put(0x1fu << kFcsrEnables | FCSR_RM | FCSR_FS, (v & ~u32{FCSR_FS}) | (v & 4 ? u32{FCSR_FS} : 0)); break;
    case 31: set_fcsr(*s, v); break;
    default: break;
  }
  const u32 cause = s->fcr31 >> kFcsrCauses & 0x3f, enabled = (s->fcr31 >> kFcsrEnables & 0x1f) | FP_E;
  if (cause & enabled) raise(*s, EXC_FPE);
  return 0;
}

}  // namespace doppel::mips
