// Floating-point arithmetic, moves and conversions (vol. II-A), by helpers that keep FCSR exact.
#include "guest/mips/translate/translator.h"

namespace doppel::mips {
namespace {

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
    case 6: t.call(Helper::ctc1, {t.k32(fs), t.gpr32(in.rt())}); return;
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
  write(t, in.fd(), d, t.call(Helper::fp_unary, {t.k32(with_format(op, d)), a}));
}

void tr_fp_multiply_add(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool d = in.funct() & 1;
  const u64 op = kFpMadd + ((in.funct() - 32) >> 3);
  const Value r = t.call(Helper::fp_ternary,
                         {t.k32(with_format(op, d)), read(t, in.fs(), d), read(t, in.ft(), d), read(t, in.fr(), d)});
  write(t, in.fd(), d, r);
}

void tr_fp_to_int(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool d = is_double(in), by_fcsr = in.funct() >= 32;
  const bool wide = by_fcsr ? in.funct() == 37 : in.funct() < 12;
  const Value r = t.call(Helper::fp_to_int, {t.k32(with_format(wide ? kFpToL : kFpToW, d)), read(t, in.fs(), d),
                                             t.k32(by_fcsr ? 4 : in.funct() & 3)});
  write(t, in.fd(), wide, r);
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
  write(t, in.fd(), to_double, t.call(Helper::fp_convert, {t.k32(op), a}));
}

void tr_fp_compare(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool d = is_double(in);
  const u64 what = (in.funct() & 15) | (in.word >> 8 & 7) << 4;
  t.call(Helper::fp_compare, {t.k32(what), read(t, in.fs(), d), read(t, in.ft(), d), t.k32(d)});
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
