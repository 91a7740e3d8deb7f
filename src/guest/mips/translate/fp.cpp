// Floating-point arithmetic, moves and conversions (vol. II-A). While no trap is enabled and nothing is flushed to zero
// (kModeFpHost), by the host's own arithmetic: its results are this CPU's but for NaNs, which are told by a comparison
// and left to a helper; FCSR is put together when it is looked at (sync_fcsr). Otherwise by helpers that keep it exact.
#include "guest/mips/translate/translator.h"

namespace doppel::mips {
namespace {

using ir::Lane;

constexpr unsigned kFmtS = 16, kFmtD = 17, kFmtW = 20;

bool is_double(const Insn& in) { return in.fmt() == kFmtD; }
u64 with_format(u64 op, bool is_double) { return is_double ? op | kFpDouble : op; }

Value read(Translator& t, unsigned n, bool is_double) { return is_double ? t.fpr64(n) : t.fpr32(n); }

void write(Translator& t, unsigned n, bool is_double, Value v64) {
  if (is_double)
    t.set_fpr64(n, v64);
  else
    t.set_fpr32(n, t.b.trunc(Type::I32, v64));
}

// --- by the host

bool by_host(const Translator& t) { return (t.mode & kModeFpHost) != 0; }
Lane lane_of(bool is_double) { return is_double ? Lane::SD : Lane::SS; }
Value vector(Translator& t, Value bits) { return t.b.op(Opcode::vfromint, Type::V128, {bits}); }
Value bits_of(Translator& t, Value vector, bool is_double) {
  return is_double ? t.b.op(Opcode::vextract, Type::I64, {vector}, static_cast<u8>(Lane::D))
                   : t.b.op(Opcode::vextract, Type::I32, {vector}, static_cast<u8>(Lane::W));
}

// What sync_fcsr finds the causes by.
void record(Translator& t, u64 what, std::initializer_list<Value> operands) {
  t.b.set_reg(kRegFpLast, t.k32(what));
  ir::RegId row = kRegFpA;
  for (const Value v : operands) t.b.set_reg(row++, t.b.zext(Type::I64, v));
}

Value unordered(Translator& t, Value a, Value b, bool is_double) {
  return t.b.op(Opcode::vfcomi, Type::Flags, {a, b}, static_cast<u8>(lane_of(is_double)), 0, 1);
}

Value exact_if(Translator& t, Value flags, Cond cc, Value fast, u64 what, Value a, Value b) {
  return t.b.op(Opcode::call_if, t.b.type(fast), {flags, fast, a, b}, static_cast<u8>(cc),
                static_cast<u32>(Helper::fp_exact), what);
}

// `r` (a vector) unless it is a NaN.
Value unless_nan(Translator& t, Value r, bool is_double, u64 what, Value a, Value b) {
  const Value flags = unordered(t, r, r, is_double);
  return exact_if(t, flags, Cond::P, bits_of(t, r, is_double), what, a, b);
}

Value host_binary(Translator& t, Opcode code, bool d, u64 what, Value a, Value b) {
  return unless_nan(t, t.b.vec(code, lane_of(d), {vector(t, a), vector(t, b)}), d, what, a, b);
}

void write_bits(Translator& t, unsigned n, Value v) {
  if (t.b.type(v) == Type::I64)
    t.set_fpr64(n, v);
  else
    t.set_fpr32(n, v);
}

Value condition_bit(Translator& t, unsigned cc) {
  return t.b.andi(t.b.get_reg(Type::I32, kRegFcr31), u32{1} << fcsr_condition_bit(cc));
}

}  // namespace

void tr_move_fp(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const unsigned fs = in.fs();
  switch (in.rs()) {
    case 0: return t.set_gpr32(in.rt(), t.fpr32(fs));
    case 1: return t.set_gpr(in.rt(), t.fpr64(fs));
    case 2: return t.set_gpr32(in.rt(), t.call(Helper::cfc1, {t.k32(fs)}));
    case 3: return t.set_gpr32(in.rt(), t.b.trunc(Type::I32, t.b.shri(t.fpr64(fs), 32)));
    case 4: return t.set_fpr32(fs, t.gpr32(in.rt()));
    case 5: return t.set_fpr64(fs, t.gpr(in.rt()));
    case 6:
      t.call(Helper::ctc1, {t.k32(fs), t.gpr32(in.rt())});
      t.must_leave = true;  // the mode may be another one
      return;
    default: t.set_fpr64(fs, t.b.deposit(t.fpr64(fs), t.b.zext(Type::I64, t.gpr32(in.rt())), 32, 32)); return;
  }
}

void tr_movci(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const Value bit = condition_bit(t, in.word >> 18 & 7);
  const Value moves = t.b.cmp(in.word >> 16 & 1 ? Cond::NZ : Cond::Z, bit, t.k32(0));
  t.set_gpr(in.rd(), t.b.select(moves, t.gpr(in.rs()), t.gpr(in.rd())));
}

void tr_fp_binary(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool d = is_double(in);
  if (by_host(t)) {
    static constexpr Opcode kOps[4] = {Opcode::vfadd, Opcode::vfsub, Opcode::vfmul, Opcode::vfdiv};
    const Value a = read(t, in.fs(), d), b = read(t, in.ft(), d);
    const u64 what = with_format(kFpAdd + in.funct(), d);
    const Value r = host_binary(t, kOps[in.funct() & 3], d, what, a, b);
    record(t, what, {a, b});
    return write_bits(t, in.fd(), r);
  }
  const Value r =
      t.call(Helper::fp_binary, {t.k32(with_format(kFpAdd + in.funct(), d)), read(t, in.fs(), d), read(t, in.ft(), d)});
  write(t, in.fd(), d, r);
}

void tr_fp_unary(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool d = is_double(in);
  const Value a = read(t, in.fs(), d);
  u64 op = kFpSqrt;
  switch (in.funct()) {
    case 4: break;
    case 5: op = kFpAbs; break;
    case 6: return write(t, in.fd(), d, t.b.zext(Type::I64, a));
    case 7: op = kFpNeg; break;
    case 21: op = kFpRecip; break;
    default: op = kFpRsqrt; break;
  }
  if (by_host(t) && (op == kFpSqrt || op == kFpAbs || op == kFpNeg)) {
    const u64 what = with_format(op, d), sign = d ? u64{1} << 63 : u64{1} << 31;
    const Value x = vector(t, a);
    Value r;
    if (op == kFpSqrt)
      r = unless_nan(t, t.b.vec(Opcode::vfsqrt, lane_of(d), {x, x}), d, what, a, a);
    else
      r = exact_if(t, unordered(t, x, x, d), Cond::P,
                   op == kFpAbs ? t.b.andi(a, sign - 1) : t.b.xor_(a, t.imm(t.b.type(a), sign)), what, a, a);
    record(t, what, {a});
    return write_bits(t, in.fd(), r);
  }
  write(t, in.fd(), d, t.call(Helper::fp_unary, {t.k32(with_format(op, d)), a}));
}

void tr_fp_multiply_add(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool d = in.funct() & 1;
  const u64 op = kFpMadd + ((in.funct() - 32) >> 3);
  if (by_host(t)) {
    const Value a = read(t, in.fs(), d), b = read(t, in.ft(), d), c = read(t, in.fr(), d);
    const bool minus = op == kFpMsub || op == kFpNmsub, negated = op == kFpNmadd || op == kFpNmsub;
    const Value product = host_binary(t, Opcode::vfmul, d, with_format(kFpMul, d), a, b);
    const Value sum = t.b.vec(minus ? Opcode::vfsub : Opcode::vfadd, lane_of(d), {vector(t, product), vector(t, c)});
    const u64 second = negated ? (minus ? kFpNegSub : kFpNegAdd) : (minus ? kFpSub : kFpAdd);
    const Value flags = unordered(t, sum, sum, d);
    Value fast = bits_of(t, sum, d);
    if (negated) fast = t.b.xor_(fast, t.imm(t.b.type(fast), d ? u64{1} << 63 : u64{1} << 31));
    const Value r = exact_if(t, flags, Cond::P, fast, with_format(second, d), product, c);
    record(t, with_format(op, d), {a, b, c});
    return write_bits(t, in.fd(), r);
  }
  const Value r = t.call(Helper::fp_ternary,
                         {t.k32(with_format(op, d)), read(t, in.fs(), d), read(t, in.ft(), d), read(t, in.fr(), d)});
  write(t, in.fd(), d, r);
}

void tr_fp_to_int(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool d = is_double(in), by_fcsr = in.funct() >= 32;
  const bool wide = by_fcsr ? in.funct() == 37 : in.funct() < 12;
  const u64 how = by_fcsr ? 4 : in.funct() & 3;
  const u64 what = with_format(wide ? kFpToL : kFpToW, d) | how << 16;
  const Value a = read(t, in.fs(), d);
  if (by_host(t) && (how == 1 || how == 4)) {
    const Type type = wide ? Type::I64 : Type::I32;
    const Value fast = t.b.op(Opcode::vf_toint, type, {vector(t, a)}, static_cast<u8>(lane_of(d)), 0, how == 1 ? 1 : 0);
    // What the host gives for all that does not fit.
    const Value flags = t.b.op(Opcode::flags_sub, type, {fast, t.imm(type, wide ? u64{1} << 63 : u64{1} << 31)});
    const Value r = exact_if(t, flags, Cond::Z, fast, what, a, a);
    record(t, what, {a});
    return write_bits(t, in.fd(), r);
  }
  write(t, in.fd(), wide, t.call(Helper::fp_unary, {t.k32(what), a}));
}

void tr_fp_convert(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool to_double = in.funct() == 33;
  const unsigned from = in.fmt();
  const Value a = from == kFmtS || from == kFmtW ? t.fpr32(in.fs()) : t.fpr64(in.fs());
  u64 op;
  if (to_double)
    op = from == kFmtS ? kFpDFromS : from == kFmtW ? kFpDFromW : kFpDFromL;
  else
    op = from == kFmtD ? kFpSFromD : from == kFmtW ? kFpSFromW : kFpSFromL;
  if (by_host(t)) {
    const Lane to = lane_of(to_double);
    Value r;
    if (op == kFpDFromS || op == kFpSFromD) {
      const Value x = vector(t, a);
      r = unless_nan(t, t.b.vec(to_double ? Opcode::vf_s2d : Opcode::vf_d2s, lane_of(!to_double), {x, x}), to_double,
                     op, a, a);
    } else {
      r = bits_of(
          t, t.b.op(Opcode::vf_fromint, t.b.type(a), {t.b.op(Opcode::vzero, Type::V128, {}), a}, static_cast<u8>(to)),
          to_double);
    }
    record(t, op, {a});
    return write_bits(t, in.fd(), r);
  }
  write(t, in.fd(), to_double, t.call(Helper::fp_unary, {t.k32(op), a}));
}

void tr_fp_compare(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool d = is_double(in);
  const u64 cond = in.funct() & 15, what = with_format(kFpCompare, d) | cond << 16;
  const unsigned cc = in.word >> 8 & 7;
  const Value a = read(t, in.fs(), d), b = read(t, in.ft(), d);
  if (!by_host(t)) {
    t.call(Helper::fp_compare, {t.k32(what), t.k32(cc), a, b});
    return;
  }
  static constexpr Cond kHolds[4] = {Cond::Z, Cond::Z, Cond::C, Cond::BE};  // of UCOMIS's flags, by equal and less
  const Value flags = unordered(t, vector(t, a), vector(t, b), d);
  const Value fast = cond & 6 ? t.b.zext(Type::I32, t.b.setcc(kHolds[cond >> 1 & 3], flags)) : t.k32(0);
  const Value holds = exact_if(t, flags, Cond::P, fast, what, a, b);
  t.b.set_reg(kRegFcr31, t.b.deposit(t.b.get_reg(Type::I32, kRegFcr31), holds, fcsr_condition_bit(cc), 1));
  record(t, what, {a, b});
}

// MOVF, MOVT, MOVZ, MOVN on floating-point registers.
void tr_fp_move_if(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool d = is_double(in);
  Value moves;
  if (in.funct() == 17) {
    const Cond cc = in.word >> 16 & 1 ? Cond::NZ : Cond::Z;
    moves = t.b.cmp(cc, condition_bit(t, in.word >> 18 & 7), t.k32(0));
  } else {
    moves = t.b.cmp(in.funct() == 18 ? Cond::Z : Cond::NZ, t.gpr(in.rt()), t.imm(t.word(), 0));
  }
  write(t, in.fd(), d, t.b.zext(Type::I64, t.b.select(moves, read(t, in.fs(), d), read(t, in.fd(), d))));
}

}  // namespace doppel::mips
