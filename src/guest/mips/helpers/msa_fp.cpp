// Floating point of the MSA module (MD00868, 3.5 and chapter 4): lanes by src/fpu, NaNs as IEEE 754-2008 has them. What
// a lane's exceptions do: those that are enabled trap, or, with MSACSR.NX, put their causes into a signalling NaN.
#include <algorithm>
#include <bit>
#include <type_traits>

#include "guest/mips/helpers/float16.h"
#include "guest/mips/helpers/msa.h"

namespace doppel::mips {
namespace {

constexpr u32 MSACSR_NX = 1 << 18, kWritable = 0x0107ffff;

FpUnit unit_of(u32 msacsr) {
  static constexpr fpu::Rounding kRounding[4] = {fpu::Rounding::Nearest, fpu::Rounding::Zero, fpu::Rounding::Up,
                                                 fpu::Rounding::Down};
  FpUnit unit;
  unit.env.rounding = kRounding[msacsr & FCSR_RM];
  unit.env.ftz = unit.env.daz = (msacsr & FCSR_FS) != 0;
  if (msacsr >> kFcsrEnables & FP_U) unit.env.unmasked = fpu::kUnderflow;
  unit.nan2008 = true;
  return unit;
}

// The lanes of one instruction: their results, and the causes that gather in MSACSR.
class Lanes {
 public:
  explicit Lanes(MipsState& s) : unit(unit_of(s.msacsr)), s_(s), csr_(s.msacsr & ~(0x3fu << kFcsrCauses)) {}
  const FpUnit unit;
  Vector result;

  template <typename T>
  void put(unsigned i, Outcome out) {
    const u32 enabled = csr_ >> kFcsrEnables & 0x1f;
    u32 c = out.cause;
    if ((c & FP_O) && !(enabled & FP_O)) c |= FP_I;
    if ((c & FP_U) && !(enabled & FP_U) && !(c & FP_I)) c &= ~u32{FP_U};
    if (!(c & enabled) || !(csr_ & MSACSR_NX)) csr_ |= c << kFcsrCauses;
    result.set<T>(i, static_cast<T>(c & enabled ? signalling<T>() | c : out.value));
  }
  // Traps, or writes the register.
  void finish(unsigned wd) {
    s_.msacsr = csr_;
    if (csr_ >> kFcsrCauses & csr_ >> kFcsrEnables & 0x1f) raise(s_, EXC_MSAFPE);
    s_.msacsr |= (csr_ >> kFcsrCauses & 0x1f) << kFcsrFlags;
    set_vector(s_, wd, result);
  }

 private:
  template <typename T>
  static constexpr u64 signalling() {  // positive, without fraction: causes make it a NaN
    return sizeof(T) == 8 ? 0x7ff0000000000000 : sizeof(T) == 4 ? 0x7f800000 : 0x7c00;
  }
  MipsState& s_;
  u32 csr_;
};

template <typename F>
constexpr bool kWide = sizeof(F) == 8;
template <typename F>
u64 with_width(u64 op) {
  return kWide<F> ? op | kFpDouble : op;
}
template <typename F>
F absolute(F a) {
  return static_cast<F>(a & ~FpFormat<F>::kSign);
}
template <typename F>
bool is_infinite(F a) {
  return absolute(a) == FpFormat<F>::kExponent;
}

template <typename F>
Outcome fused(const FpUnit& unit, F a, F b, F c, bool minus) {
  const bool infinity_times_zero = (is_infinite(a) && absolute(b) == 0) || (is_infinite(b) && absolute(a) == 0);
  Outcome out;
  if (nan_result(unit, {c, a, b}, out)) {
    if (infinity_times_zero) out.cause |= FP_V;
    return out;
  }
  fpu::Env env = unit.env;
  const F factor = minus ? static_cast<F>(a ^ FpFormat<F>::kSign) : a;
  return outcome(unit, fpu::mul_add(factor, b, c, env), env);
}

template <typename F>
bool is_quiet(const FpUnit& unit, F a) {
  return is_nan(a) && !is_signaling(unit, a);
}

// FMIN, FMAX: a number rather than a quiet NaN; -0 is less than 0. `by_magnitude`: FMIN_A, FMAX_A.
template <typename F>
Outcome extreme(const FpUnit& unit, F a, F b, bool largest, bool by_magnitude) {
  if (!is_nan(a) && is_quiet(unit, b)) return {a, 0};
  if (is_quiet(unit, a) && !is_nan(b)) return {b, 0};
  Outcome out;
  if (nan_result(unit, {a, b}, out)) return out;
  if (by_magnitude && absolute(a) != absolute(b)) return {(absolute(a) > absolute(b)) == largest ? a : b, 0};
  fpu::Env env = unit.env;
  const fpu::Relation r = fpu::compare(a, b, false, env);
  if (r == fpu::Relation::Equal) return {largest ? a & b : a | b, 0};
  return {(r == fpu::Relation::Greater) == largest ? a : b, 0};
}

// a * 2^n with one rounding: in a wider format the product is exact.
Outcome scaled(const FpUnit& unit, u32 a, s64 n) {
  Outcome out;
  if (nan_result(unit, {a}, out)) return out;
  fpu::Env env = unit.env, exact;
  n = std::clamp<s64>(n, -512, 512);
  const u64 factor = static_cast<u64>(1023 + n) << 52;
  const u64 product = fpu::mul(fpu::convert<u64>(a, exact), factor, exact);
  return outcome(unit, fpu::convert<u32>(product, env), env);
}
Outcome scaled(const FpUnit& unit, u64 a, s64 n) {
  Outcome out;
  if (nan_result(unit, {a}, out)) return out;
  fpu::Env env = unit.env, exact;
  fpu::f80 wide = fpu::convert<fpu::f80>(a, exact);
  if (absolute(a) == 0 || is_infinite(a)) return {a, 0};
  wide.sign_exponent = static_cast<u16>(wide.sign_exponent + std::clamp<s64>(n, -4096, 4096));
  return outcome(unit, fpu::convert<u64>(wide, env), env);
}

template <typename F>
using Signed = std::conditional_t<sizeof(F) == 8, s64, s32>;

// --- three registers

template <typename F>
Outcome binary(const FpUnit& unit, u64 op, F d, F a, F b) {
  switch (op) {
    case FADD: return fp_perform(unit, with_width<F>(kFpAdd), a, b, 0);
    case FSUB: return fp_perform(unit, with_width<F>(kFpSub), a, b, 0);
    case FMUL: return fp_perform(unit, with_width<F>(kFpMul), a, b, 0);
    case FDIV: return fp_perform(unit, with_width<F>(kFpDiv), a, b, 0);
    case FMADD: return fused(unit, a, b, d, false);
    case FMSUB: return fused(unit, a, b, d, true);
    case FEXP2: return scaled(unit, a, static_cast<Signed<F>>(b));
    default: return extreme(unit, a, b, op >= FMAX, op == FMIN_A || op == FMAX_A);
  }
}

// Comparisons: FCAF to FSULE by the conditions of C.cond; FCOR, FCUNE, FCNE and their signalling forms are negations.
template <typename F>
Outcome compared(const FpUnit& unit, u64 word, F a, F b) {
  const u64 which = word >> 22 & 15;
  u64 cond = which;
  const bool negated = (word & 63) == 0x1c;
  if (negated) cond = (which & 8) | ((which & 3) == 1 ? 1 : (which & 3) == 2 ? 2 : 3);
  Outcome out = fp_perform(unit, with_width<F>(kFpCompare | cond << 16), a, b, 0);
  out.value = (out.value != 0) != negated ? ~u64{0} : 0;
  return out;
}

// FTQ: a fraction of 16 or 32 bits, saturated.
template <typename F>
Outcome to_fraction(const FpUnit& unit, F a) {
  constexpr unsigned bits = sizeof(F) * 4;
  if (is_nan(a)) return {0, FP_V};
  const Outcome product = scaled(unit, a, bits - 1);
  const u64 largest = (u64{1} << (bits - 1)) - 1, limit = a & FpFormat<F>::kSign ? largest + 1 : largest;
  if (product.cause & FP_O) return {limit, FP_O | FP_I};
  const Outcome r = fp_perform(unit, with_width<F>(kFpToL | u64{4} << 16), product.value, 0, 0);
  const s64 v = static_cast<s64>(r.value);
  if ((r.cause & FP_V) || v > static_cast<s64>(largest) || v < -static_cast<s64>(largest) - 1)
    return {limit, FP_O | FP_I};
  return {r.value, (product.cause | r.cause) & ~u32{FP_U}};
}

// Two registers to one of lanes of half the size: those of ws above those of wt.
template <typename F, typename H, typename Fn>
void narrowed(Lanes& lanes, const Vector& a, const Vector& b, Fn fn) {
  constexpr unsigned n = 16 / sizeof(F);
  for (unsigned i = 0; i < n; i++) {
    lanes.put<H>(i + n, fn(a.get<F>(i)));
    lanes.put<H>(i, fn(b.get<F>(i)));
  }
}

void exchange_down(Lanes& lanes, const Vector& a, const Vector& b, bool wide) {  // FEXDO
  const FpUnit& unit = lanes.unit;
  if (wide)
    narrowed<u64, u32>(lanes, a, b, [&](u64 v) { return fp_perform(unit, kFpSFromD, v, 0, 0); });
  else
    narrowed<u32, u16>(lanes, a, b, [&](u32 v) { return single_to_half(unit, v); });
}
void fractions(Lanes& lanes, const Vector& a, const Vector& b, bool wide) {  // FTQ
  const FpUnit& unit = lanes.unit;
  if (wide)
    narrowed<u64, u32>(lanes, a, b, [&](u64 v) { return to_fraction(unit, v); });
  else
    narrowed<u32, u16>(lanes, a, b, [&](u32 v) { return to_fraction(unit, v); });
}

template <typename F>
void three_registers(Lanes& lanes, u64 word, const Vector& d, const Vector& a, const Vector& b) {
  const bool arithmetic = (word & 63) == 0x1b;
  const u64 op = msa_op_fp(word);
  for (unsigned i = 0; i < 16 / sizeof(F); i++) {
    const F x = a.get<F>(i), y = b.get<F>(i);
    lanes.put<F>(i, arithmetic ? binary(lanes.unit, op, d.get<F>(i), x, y) : compared(lanes.unit, word, x, y));
  }
}

// --- two registers

template <typename F>
u64 class_of(const FpUnit& unit, F a) {  // FCLASS
  const bool negative = a & FpFormat<F>::kSign;
  if (is_nan(a)) return is_signaling(unit, a) ? 1 : 2;
  const F magnitude = absolute(a);
  const unsigned which = is_infinite(a) ? 0 : magnitude == 0 ? 3 : (magnitude & FpFormat<F>::kExponent) == 0 ? 2 : 1;
  return u64{1} << (which + (negative ? 2 : 6));
}

template <typename F>
Outcome integral(const FpUnit& unit, F a) {  // FRINT
  Outcome out;
  if (nan_result(unit, {a}, out)) return out;
  fpu::Env env = unit.env;
  return outcome(unit, fpu::round_to_integral(a, env.rounding, true, env), env);
}

// To an unsigned number: FTINT_U, FTRUNC_U.
template <typename F>
Outcome to_unsigned(const FpUnit& unit, F a, bool truncates) {
  if (is_nan(a)) return {0, FP_V};
  fpu::Env env = unit.env;
  const F whole = fpu::round_to_integral(a, truncates ? fpu::Rounding::Zero : env.rounding, true, env);
  if (absolute(whole) == 0) return {0, fp_causes(env.flags)};
  if (a & FpFormat<F>::kSign) return {0, FP_V};
  constexpr unsigned fraction_bits = kWide<F> ? 52 : 23;
  const int exponent = static_cast<int>(whole >> fraction_bits) - (kWide<F> ? 1023 : 127);
  if (exponent >= static_cast<int>(sizeof(F) * 8)) return {~u64{0}, FP_V};
  const u64 significand = (whole & ((F{1} << fraction_bits) - 1)) | F{1} << fraction_bits;
  const int up = exponent - static_cast<int>(fraction_bits);
  return {up >= 0 ? significand << up : significand >> -up, fp_causes(env.flags)};
}

template <typename F>
Outcome from_unsigned(const FpUnit& unit, F a) {
  const u64 op = kWide<F> ? kFpDFromL : kFpSFromL;
  if (!(u64{a} >> 63)) return fp_perform(unit, op, a, 0, 0);
  Outcome half = fp_perform(unit, op, u64{a} >> 1 | (a & 1), 0, 0);
  half.value += u64{1} << 52;  // twice
  return half;
}

// FRCP, FRSQRT: inexact, whatever was computed, unless invalid or a division by zero.
template <typename F>
Outcome reciprocal(const FpUnit& unit, u64 op, F a) {
  Outcome out = fp_perform(unit, with_width<F>(op), a, 0, 0);
  const bool plain = is_infinite(a) || is_nan(static_cast<F>(out.value));
  if (!plain && !(out.cause & (FP_V | FP_Z))) out.cause = FP_I;
  return out;
}

template <typename F>
Outcome logarithm(const FpUnit& unit, F a) {  // FLOG2: of the number's exponent
  Outcome out;
  if (nan_result(unit, {a}, out)) return out;
  if (absolute(a) == 0) return {FpFormat<F>::kSign | FpFormat<F>::kExponent, FP_Z};
  if (a & FpFormat<F>::kSign) return {default_nan<F>(unit), FP_V};
  if (is_infinite(a)) return {a, 0};
  constexpr int fraction_bits = kWide<F> ? 52 : 23, bias = kWide<F> ? 1023 : 127;
  int exponent = static_cast<int>(a >> fraction_bits);
  if (exponent == 0) exponent = static_cast<int>(sizeof(F) * 8) - fraction_bits - std::countl_zero(a);
  return fp_perform(unit, kWide<F> ? kFpDFromW : kFpSFromW, static_cast<u32>(exponent - bias), 0, 0);
}

// FEXUPL, FEXUPR: to twice the size; FFQL, FFQR: of fractions.
Outcome widened(const FpUnit& unit, const Vector& a, unsigned i, bool wide, bool fraction) {
  if (!wide)
    return fraction
               ? scaled(unit,
                        static_cast<u32>(fp_perform(unit, kFpSFromW, static_cast<u32>(a.get<s16>(i)), 0, 0).value), -15)
               : half_to_single(a.get<u16>(i));
  return fraction ? scaled(unit, fp_perform(unit, kFpDFromW, a.get<u32>(i), 0, 0).value, -31)
                  : fp_perform(unit, kFpDFromS, a.get<u32>(i), 0, 0);
}

template <typename F>
Outcome unary(const FpUnit& unit, unsigned op, F a) {
  constexpr u64 to_int = kWide<F> ? kFpToL : kFpToW;
  switch (op) {
    case FTRUNC_S: return fp_perform(unit, with_width<F>(to_int | u64{1} << 16), a, 0, 0);
    case FTRUNC_U: return to_unsigned(unit, a, true);
    case FSQRT: return fp_perform(unit, with_width<F>(kFpSqrt), a, 0, 0);
    case FRSQRT: return reciprocal(unit, kFpRsqrt, a);
    case FRCP: return reciprocal(unit, kFpRecip, a);
    case FRINT: return integral(unit, a);
    case FLOG2: return logarithm(unit, a);
    case FTINT_S: return fp_perform(unit, with_width<F>(to_int | u64{4} << 16), a, 0, 0);
    case FTINT_U: return to_unsigned(unit, a, false);
    case FFINT_S: return fp_perform(unit, kWide<F> ? kFpDFromL : kFpSFromW, a, 0, 0);
    default: return from_unsigned(unit, a);  // FFINT_U
  }
}

template <typename F>
void two_registers(Lanes& lanes, u64 word, const Vector& a) {
  const unsigned op = word >> 17 & 15;
  constexpr unsigned n = 16 / sizeof(F);
  for (unsigned i = 0; i < n; i++) {
    if (op == FEXUPL || op == FEXUPR)
      lanes.put<F>(i, widened(lanes.unit, a, op == FEXUPR ? i : i + n, kWide<F>, false));
    else
      lanes.put<F>(i, unary(lanes.unit, op, a.get<F>(i)));
  }
}

// FFQL, FFQR: exact, MSACSR stays as it is.
void from_fractions(MipsState& s, u64 word) {
  const Vector a = vector_of(s, msa_ws(word));
  const FpUnit unit = unit_of(s.msacsr);
  const bool wide = word >> 16 & 1;
  const unsigned n = wide ? 2 : 4, first = (word >> 17 & 15) == FFQL ? n : 0;
  Vector r;
  for (unsigned i = 0; i < n; i++) {
    const Outcome out = widened(unit, a, first + i, wide, true);
    if (wide)
      r.set<u64>(i, out.value);
    else
      r.set<u32>(i, static_cast<u32>(out.value));
  }
  set_vector(s, msa_wd(word), r);
}

void classify(MipsState& s, u64 word) {
  const Vector a = vector_of(s, msa_ws(word));
  const FpUnit unit = unit_of(s.msacsr);
  Vector r;
  for (unsigned i = 0; i < 2; i++) r.set<u64>(i, class_of(unit, a.get<u64>(i)));
  if (!(word >> 16 & 1))
    for (unsigned i = 0; i < 4; i++) r.set<u32>(i, static_cast<u32>(class_of(unit, a.get<u32>(i))));
  set_vector(s, msa_wd(word), r);
}

}  // namespace

void set_msacsr(MipsState& s, u32 value) { s.msacsr = value & kWritable; }

u64 helper_msa_fp(MipsState* s, u64 word) {
  const Vector a = vector_of(*s, msa_ws(word)), b = vector_of(*s, msa_wt(word)), d = vector_of(*s, msa_wd(word));
  Lanes lanes(*s);
  if ((word & 63) == 0x1e) {
    const unsigned op = word >> 17 & 15;
    if (op == FCLASS || op == FFQL || op == FFQR) {
      op == FCLASS ? classify(*s, word) : from_fractions(*s, word);
      return 0;
    }
    if (word >> 16 & 1)
      two_registers<u64>(lanes, word, a);
    else
      two_registers<u32>(lanes, word, a);
  } else {
    const bool wide = word >> 21 & 1;
    const u64 op = msa_op_fp(word);
    if (op == FEXDO)
      exchange_down(lanes, a, b, wide);
    else if (op == FTQ)
      fractions(lanes, a, b, wide);
    else if (wide)
      three_registers<u64>(lanes, word, d, a, b);
    else
      three_registers<u32>(lanes, word, d, a, b);
  }
  lanes.finish(msa_wd(word));
  return 0;
}

// --- MSAIR and MSACSR

u64 helper_cfcmsa(MipsState* s, u64 reg) { return reg == 0 ? s->model->msair : reg == 1 ? s->msacsr : 0; }

u64 helper_ctcmsa(MipsState* s, u64 reg, u64 value) {
  if (reg != 1) return 0;
  set_msacsr(*s, static_cast<u32>(value));
  const u32 enabled = (s->msacsr >> kFcsrEnables & 0x1f) | FP_E;
  if (s->msacsr >> kFcsrCauses & enabled) raise(*s, EXC_MSAFPE);
  return 0;
}

}  // namespace doppel::mips
