// Floating point by src/fpu (vol. I-A, chapter 6): FCSR's causes, flags and traps exact. NaNs are those of FCSR.NAN2008
// = 0: a signalling NaN has the top bit of its fraction set, and an invalid operation gives the default quiet NaN.
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
  s.fcr31 = (s.fcr31 & ~(0x3fu << kFcsrCauses)) | cause << kFcsrCauses;
  if (cause & (s.fcr31 >> kFcsrEnables & 0x1f)) raise(s, EXC_FPE);
  s.fcr31 |= (cause & 0x1f) << kFcsrFlags;
}

// The result when an operand is a NaN.
template <typename F>
bool nan_result(MipsState& s, std::initializer_list<F> operands, F& out) {
  bool any = false, signaling = false;
  F quiet = 0;
  for (const F a : operands) {
    if (!is_nan(a)) continue;
    signaling |= is_signaling(a);
    if (!any) quiet = a;
    any = true;
  }
  if (!any) return false;
  out = signaling ? Format<F>::kNan : quiet;
  finish(s, signaling ? u32{FP_V} : 0);
  return true;
}

template <typename F>
F own_nan(F a) {  // of an invalid operation
  return is_nan(a) ? Format<F>::kNan : a;
}

template <typename F>
F binary(MipsState& s, u64 op, F a, F b) {
  F r = 0;
  if (nan_result(s, {a, b}, r)) return r;
  fpu::Env env = environment(s);
  switch (op) {
    case kFpAdd: r = fpu::add(a, b, env); break;
    case kFpSub: r = fpu::sub(a, b, env); break;
    case kFpMul: r = fpu::mul(a, b, env); break;
    default: r = fpu::div(a, b, env); break;
  }
  finish(s, causes(env.flags));
  return own_nan(r);
}

template <typename F>
F one() {
  fpu::Env env;
  return fpu::from_s32<F>(1, env);
}

template <typename F>
F unary(MipsState& s, u64 op, F a) {
  F r = 0;
  if (nan_result(s, {a}, r)) return r;
  fpu::Env env = environment(s);
  switch (op) {
    case kFpAbs: r = a & ~Format<F>::kSign; break;
    case kFpNeg: r = a ^ Format<F>::kSign; break;
    case kFpSqrt: r = fpu::sqrt(a, env); break;
    case kFpRecip: r = fpu::div(one<F>(), a, env); break;
    default: r = fpu::div(one<F>(), fpu::sqrt(a, env), env); break;  // kFpRsqrt
  }
  finish(s, causes(env.flags));
  return own_nan(r);
}

// a * b + c and its like, with a rounding between: release 2's are not fused.
template <typename F>
F ternary(MipsState& s, u64 op, F a, F b, F c) {
  F r = 0;
  if (nan_result(s, {a, b, c}, r)) return r;
  fpu::Env env = environment(s);
  const F product = fpu::mul(a, b, env);
  const bool minus = op == kFpMsub || op == kFpNmsub;
  r = minus ? fpu::sub(product, c, env) : fpu::add(product, c, env);
  if (op == kFpNmadd || op == kFpNmsub) r ^= Format<F>::kSign;
  finish(s, causes(env.flags));
  return own_nan(r);
}

// 4: by FCSR; 0 nearest, 1 to zero, 2 up, 3 down: in the order of ROUND, TRUNC, CEIL, FLOOR.
template <typename F>
u64 to_int(MipsState& s, u64 op, F a, u64 how) {
  static constexpr fpu::Rounding kHow[4] = {fpu::Rounding::Nearest, fpu::Rounding::Zero, fpu::Rounding::Up,
                                            fpu::Rounding::Down};
  fpu::Env env = environment(s);
  const fpu::Rounding rounding = how < 4 ? kHow[how] : env.rounding;
  u64 r =
      op == kFpToL ? static_cast<u64>(fpu::to_s64(a, rounding, env)) : static_cast<u32>(fpu::to_s32(a, rounding, env));
  if (env.flags & fpu::kInvalid) {
    env.flags = fpu::kInvalid;
    r = op == kFpToL ? 0x7fffffffffffffff : 0x7fffffff;
  }
  finish(s, causes(env.flags));
  return r;
}

template <typename F>
void compare(MipsState& s, u64 what, F a, F b) {
  const unsigned cond = what & 15, cc = what >> 4 & 7;
  const bool unordered = is_nan(a) || is_nan(b);
  const bool invalid = is_signaling(a) || is_signaling(b) || (unordered && (cond & 8));
  bool less = false, equal = false;
  if (!unordered) {
    fpu::Env env = environment(s);
    const fpu::Relation r = fpu::compare(a, b, false, env);
    less = r == fpu::Relation::Less;
    equal = r == fpu::Relation::Equal;
  }
  finish(s, invalid ? u32{FP_V} : 0);
  const bool holds = ((cond & 1) && unordered) || ((cond & 2) && equal) || ((cond & 4) && less);
  const u32 bit = u32{1} << fcsr_condition_bit(cc);
  s.fcr31 = holds ? s.fcr31 | bit : s.fcr31 & ~bit;
}

}  // namespace

void set_fcsr(MipsState& s, u32 value) {
  const u32 writable = s.model->release >= 2 || s.model->is_64bit ? 0xff83ffffu : 0x0183ffffu;
  s.fcr31 = value & writable;
}

u64 helper_fp_unary(MipsState* s, u64 op, u64 a) {
  return op & kFpDouble ? unary<u64>(*s, op & 0xff, a) : unary<u32>(*s, op, static_cast<u32>(a));
}
u64 helper_fp_binary(MipsState* s, u64 op, u64 a, u64 b) {
  return op & kFpDouble ? binary<u64>(*s, op & 0xff, a, b)
                        : binary<u32>(*s, op, static_cast<u32>(a), static_cast<u32>(b));
}
u64 helper_fp_ternary(MipsState* s, u64 op, u64 a, u64 b, u64 c) {
  return op & kFpDouble ? ternary<u64>(*s, op & 0xff, a, b, c)
                        : ternary<u32>(*s, op, static_cast<u32>(a), static_cast<u32>(b), static_cast<u32>(c));
}
u64 helper_fp_to_int(MipsState* s, u64 op, u64 a, u64 rounding) {
  return op & kFpDouble ? to_int<u64>(*s, op & 0xff, a, rounding) : to_int<u32>(*s, op, static_cast<u32>(a), rounding);
}

u64 helper_fp_convert(MipsState* s, u64 op, u64 a) {
  fpu::Env env = environment(*s);
  u64 r = 0;
  switch (op) {
    case kFpSFromD:
      if (is_nan(a)) {
        finish(*s, is_signaling(a) ? u32{FP_V} : 0);
        return kDefaultNan32;
      }
      r = fpu::convert<u32>(a, env);
      break;
    case kFpDFromS:
      if (is_nan(static_cast<u32>(a))) {
        finish(*s, is_signaling(static_cast<u32>(a)) ? u32{FP_V} : 0);
        return kDefaultNan64;
      }
      r = fpu::convert<u64>(static_cast<u32>(a), env);
      break;
    case kFpSFromW: r = fpu::from_s32<u32>(static_cast<s32>(a), env); break;
    case kFpSFromL: r = fpu::from_s64<u32>(static_cast<s64>(a), env); break;
    case kFpDFromW: r = fpu::from_s32<u64>(static_cast<s32>(a), env); break;
    default: r = fpu::from_s64<u64>(static_cast<s64>(a), env); break;
  }
  finish(*s, causes(env.flags));
  return r;
}

u64 helper_fp_compare(MipsState* s, u64 what, u64 a, u64 b, u64 is_double) {
  if (is_double)
    compare<u64>(*s, what, a, b);
  else
    compare<u32>(*s, what, static_cast<u32>(a), static_cast<u32>(b));
  return 0;
}

// FIR, FCCR, FEXR, FENR and FCSR (vol. I-A, 6.5).
u64 helper_cfc1(MipsState* s, u64 reg) {
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
