// Paired single and MIPS-3D (vol. II-A; MD00099): two singles in a register of 64 bits, the upper one first in names.
// Moves by IR, arithmetic by helpers that keep FCSR exact.
#include "guest/mips/translate/translator.h"

namespace doppel::mips {
namespace {

constexpr unsigned kFmtS = 16, kFmtD = 17;

Value lower(Translator& t, unsigned n) { return t.fpr32(n); }
Value upper(Translator& t, unsigned n) { return t.b.trunc(Type::I32, t.b.shri(t.fpr64(n), 32)); }
Value pair(Translator& t, Value high, Value low) {
  return t.b.or_(t.b.shli(t.b.zext(Type::I64, high), 32), t.b.zext(Type::I64, low));
}

Value condition(Translator& t, unsigned cc) {
  return t.b.andi(t.b.get_reg(Type::I32, kRegFcr31), u32{1} << fcsr_condition_bit(cc));
}

}  // namespace

void tr_ps_binary(Translator& t, const Insn& in) {
  if (!t.require_pairs()) return;
  const u64 what = (kFpAdd + in.funct()) | kFpPaired;
  t.set_fpr64(in.fd(), t.call(Helper::fp_binary, {t.k32(what), t.fpr64(in.fs()), t.fpr64(in.ft())}));
}

void tr_ps_unary(Translator& t, const Insn& in) {
  if (!t.require_pairs()) return;
  const Value a = t.fpr64(in.fs());
  if (in.funct() == 6) return t.set_fpr64(in.fd(), a);
  t.set_fpr64(in.fd(), t.call(Helper::fp_unary, {t.k32((in.funct() == 5 ? kFpAbs : kFpNeg) | kFpPaired), a}));
}

void tr_ps_multiply_add(Translator& t, const Insn& in) {
  if (!t.require_pairs()) return;
  const u64 what = (kFpMadd + ((in.funct() - 32) >> 3)) | kFpPaired;
  t.set_fpr64(in.fd(), t.call(Helper::fp_ternary, {t.k32(what), t.fpr64(in.fs()), t.fpr64(in.ft()), t.fpr64(in.fr())}));
}

// C.cond.PS sets two conditions; CABS.cond of MIPS-3D compares absolute values, in any format.
void tr_ps_compare(Translator& t, const Insn& in) {
  const bool single = in.fmt() == kFmtS, wide = in.fmt() == kFmtD, paired = !single && !wide;
  if (!(paired ? t.require_pairs() : t.require_fpu())) return;
  const u64 cond = (in.funct() & 15) | (in.word & 0x40 ? kFpAbsolute : 0);
  const u64 what = kFpCompare | cond << 16 | (paired ? u64{kFpPaired} : 0) | (wide ? u64{kFpDouble} : 0);
  const unsigned cc = in.word >> 8 & (paired ? 6 : 7);
  const Value a = single ? t.fpr32(in.fs()) : t.fpr64(in.fs()), b = single ? t.fpr32(in.ft()) : t.fpr64(in.ft());
  t.call(Helper::fp_compare, {t.k32(what), t.k32(cc), a, b});
}

// MOVF and MOVT look at a condition for each half, MOVZ and MOVN at a general register for both.
void tr_ps_move_if(Translator& t, const Insn& in) {
  if (!t.require_pairs()) return;
  if (in.funct() != 17) {
    const Value moves = t.b.cmp(in.funct() == 18 ? Cond::Z : Cond::NZ, t.gpr(in.rt()), t.imm(t.word(), 0));
    return t.set_fpr64(in.fd(), t.b.select(moves, t.fpr64(in.fs()), t.fpr64(in.fd())));
  }
  const Cond cc = in.word >> 16 & 1 ? Cond::NZ : Cond::Z;
  const unsigned first = in.word >> 18 & 6;
  const Value low = t.b.select(t.b.cmp(cc, condition(t, first), t.k32(0)), lower(t, in.fs()), lower(t, in.fd()));
  const Value high = t.b.select(t.b.cmp(cc, condition(t, first + 1), t.k32(0)), upper(t, in.fs()), upper(t, in.fd()));
  t.set_fpr64(in.fd(), pair(t, high, low));
}

// CVT.PS.S, PLL, PLU, PUL, PUU.
void tr_ps_pair(Translator& t, const Insn& in) {
  if (!t.require_pairs()) return;
  const unsigned which = in.funct() == 38 ? 0 : in.funct() & 3;
  const Value high = which & 2 ? upper(t, in.fs()) : lower(t, in.fs());
  const Value low = which & 1 ? upper(t, in.ft()) : lower(t, in.ft());
  t.set_fpr64(in.fd(), pair(t, high, low));
}

// CVT.S.PU, CVT.S.PL.
void tr_ps_half(Translator& t, const Insn& in) {
  if (!t.require_pairs()) return;
  t.set_fpr32(in.fd(), in.funct() == 32 ? upper(t, in.fs()) : lower(t, in.fs()));
}

// The pair that begins at byte `rs & 7` of two in memory's order: 0 or 4; else UNPREDICTABLE: as 4.
void tr_alnv_ps(Translator& t, const Insn& in) {
  if (!t.require_pairs()) return;
  const Value at = t.b.andi(t.gpr32(in.rs()), 7);
  const Value aligned = t.b.cmp(Cond::Z, at, t.k32(0));
  const Value moved = t.model.big_endian ? pair(t, lower(t, in.fs()), upper(t, in.ft()))
                                         : pair(t, lower(t, in.ft()), upper(t, in.fs()));
  t.set_fpr64(in.fd(), t.b.select(aligned, t.fpr64(in.fs()), moved));
}

// --- MIPS-3D

// ADDR.PS, MULR.PS: the halves of fs give the upper single, those of ft the lower one.
void tr_ps_reduce(Translator& t, const Insn& in) {
  if (!t.require_pairs()) return;
  const u64 what = (in.funct() == 24 ? kFpAdd : kFpMul) | u64{kFpPaired};
  const Value a = pair(t, lower(t, in.fs()), lower(t, in.ft())), b = pair(t, upper(t, in.fs()), upper(t, in.ft()));
  t.set_fpr64(in.fd(), t.call(Helper::fp_binary, {t.k32(what), a, b}));
}

namespace {
void by_helper(Translator& t, const Insn& in, u64 op, bool binary) {
  const bool single = in.fmt() == kFmtS, wide = in.fmt() == kFmtD;
  if (!(single || wide ? t.require_fpu() : t.require_pairs())) return;
  const Value what = t.k32(op | (single ? 0 : wide ? u64{kFpDouble} : u64{kFpPaired}));
  const Value a = single ? t.fpr32(in.fs()) : t.fpr64(in.fs());
  Value r;
  if (binary)
    r = t.call(Helper::fp_binary, {what, a, single ? t.fpr32(in.ft()) : t.fpr64(in.ft())});
  else
    r = t.call(Helper::fp_unary, {what, a});
  if (single)
    t.set_fpr32(in.fd(), t.b.trunc(Type::I32, r));
  else
    t.set_fpr64(in.fd(), r);
}
}  // namespace

void tr_3d_binary(Translator& t, const Insn& in) { by_helper(t, in, in.funct() == 28 ? kFpRecip2 : kFpRsqrt2, true); }

// RECIP1 and RSQRT1 give the exact value where the manual allows an estimate.
void tr_3d_unary(Translator& t, const Insn& in) {
  switch (in.funct()) {
    case 29: return by_helper(t, in, kFpRecip, false);
    case 30: return by_helper(t, in, kFpRsqrt, false);
    case 36: return by_helper(t, in, kFpToW | u64{4} << 16, false);
    default: return by_helper(t, in, kFpSFromW, false);
  }
}

// BC1ANY2, BC1ANY4: one of the conditions from cc on is false, or true.
void tr_branch_any(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool four = in.rs() == 10, wanted = in.word >> 16 & 1;
  u32 mask = 0;
  for (unsigned i = 0; i < (four ? 4u : 2u); i++)
    mask |= u32{1} << fcsr_condition_bit((in.word >> 18 & (four ? 4 : 6)) + i);
  t.branch.target = t.wrap_pc(in.pc + 4 + static_cast<u64>(in.simm() * 4));
  t.branch.conditional = true;
  t.branch.cc = Cond::NZ;
  t.branch.a = t.b.andi(t.b.get_reg(Type::I32, kRegFcr31), mask);
  t.branch.b = t.k32(wanted ? 0 : mask);
}

}  // namespace doppel::mips
