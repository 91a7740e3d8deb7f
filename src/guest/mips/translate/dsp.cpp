// The DSP module (MD00374, chapter 6). What IR has no ops for is done by helpers/dsp.cpp and dsp_acc.cpp.
#include "guest/mips/helpers/dsp.h"

#include "guest/mips/translate/translator.h"

namespace doppel::mips {
namespace {

u64 dsp_op(const Insn& in) { return in.word & 0x7ff; }
unsigned target_ac(const Insn& in) { return in.word >> 11 & 3; }

Value packed(Translator& t, const Insn& in, Value a, Value b) {
  const u64 op = dsp_op(in);
  return t.call(dsp_is_pure(op) ? Helper::dsp_pure : Helper::dsp, {t.k32(op), a, b});
}

// Every accumulator but number 0, which is HI and LO, belongs to the module.
bool may_use(Translator& t, unsigned ac) { return ac == 0 || t.require_dsp(); }

// The bits of DSPControl that a mask of RDDSP and WRDSP names: pos scount C ouflag ccond EFI.
u32 control_bits(u32 mask) {
  static constexpr u32 kFields[6] = {0x3f, 0x3f << 7, DSP_C, 0xff << kDspOuFlag, 0xfu << kDspCcond, DSP_EFI};
  u32 bits = 0;
  for (unsigned i = 0; i < 6; i++)
    if (mask >> i & 1) bits |= kFields[i];
  return bits;
}

Value control(Translator& t) { return t.b.get_reg(Type::I32, kRegDspControl); }

}  // namespace

void tr_dsp_binary(Translator& t, const Insn& in) {
  if (!t.require_dsp()) return;
  t.set_gpr32(in.rd(), packed(t, in, t.gpr32(in.rs()), t.gpr32(in.rt())));
}

void tr_dsp_compare(Translator& t, const Insn& in) {
  if (!t.require_dsp()) return;
  packed(t, in, t.gpr32(in.rs()), t.gpr32(in.rt()));
}

void tr_dsp_unary(Translator& t, const Insn& in) {
  if (!t.require_dsp()) return;
  t.set_gpr32(in.rd(), packed(t, in, t.k32(0), t.gpr32(in.rt())));
}

void tr_dsp_shift(Translator& t, const Insn& in) {  // by an immediate in the place of rs
  if (!t.require_dsp()) return;
  t.set_gpr32(in.rd(), packed(t, in, t.k32(in.rs()), t.gpr32(in.rt())));
}

void tr_dsp_repl(Translator& t, const Insn& in) {  // REPL.QB, REPL.PH
  if (!t.require_dsp()) return;
  const u32 immediate = in.word >> 16 & 0x3ff, extended = (immediate ^ 0x200) - 0x200;
  t.set_gpr32(in.rd(), t.k32(dsp_op(in) == REPL_QB ? (immediate & 0xff) * 0x01010101 : halves(extended, extended)));
}

// APPEND, PREPEND, BALIGN, PRECR_SRA.PH.W, PRECR_SRA_R.PH.W: rt of rt, rs and an immediate.
void tr_dsp_to_rt(Translator& t, const Insn& in) {
  if (!t.require_dsp()) return;
  ir::Builder& x = t.b;
  const Value a = t.gpr32(in.rs()), b = t.gpr32(in.rt());
  const unsigned n = in.rd();
  switch (dsp_op(in)) {
    case APPEND:
      if (n != 0) t.set_gpr32(in.rt(), x.or_(x.shli(b, n), x.extract(a, 0, n)));
      return;
    case PREPEND:
      if (n != 0) t.set_gpr32(in.rt(), x.or_(x.shri(b, n), x.shli(a, 32 - n)));
      return;
    case BALIGN:  // by 0 and 2 bytes: UNPREDICTABLE, nothing happens
      if (n & 1) t.set_gpr32(in.rt(), x.or_(x.shli(b, 8 * (n & 3)), x.shri(a, 32 - 8 * (n & 3))));
      return;
    default: break;
  }
  const bool round = dsp_op(in) == PRECR_SRA_R_PH_W && n != 0;
  const auto low = [&](Value v) {
    v = x.sari(v, round ? n - 1 : n);
    return x.extract(round ? x.shri(x.addi(v, 1), 1) : v, 0, 16);
  };
  t.set_gpr32(in.rt(), x.or_(x.shli(low(b), 16), low(a)));
}

void tr_insv(Translator& t, const Insn& in) {
  if (!t.require_dsp()) return;
  t.set_gpr32(in.rt(), t.call(Helper::dsp, {t.k32(INSV), t.gpr32(in.rs()), t.gpr32(in.rt())}));
}

void tr_load_indexed(Translator& t, const Insn& in) {  // LWX, LHX, LBUX
  if (!t.require_dsp()) return;
  const Type type = in.sa() == 0 ? Type::I32 : in.sa() == 4 ? Type::I16 : Type::I8;
  const Value v = t.load(type, t.address_sum(in.rs(), in.rt()));
  t.set_gpr32(in.rd(), type == Type::I8 ? t.b.zext(Type::I32, v) : t.b.sext(Type::I32, v));
}

void tr_bposge32(Translator& t, const Insn& in) {
  if (!t.require_dsp()) return;
  t.branch.target = t.wrap_pc(in.pc + 4 + static_cast<u64>(in.simm() * 4));
  t.branch.conditional = true;
  t.branch.cc = Cond::NZ;
  t.branch.a = t.b.andi(control(t), 0x20);
  t.branch.b = t.k32(0);
}

// --- accumulators

void tr_dsp_accumulate(Translator& t, const Insn& in) {
  if (!t.require_dsp()) return;
  t.call(Helper::dsp_accumulate, {t.k32(dsp_op(in) | target_ac(in) << 16), t.gpr32(in.rs()), t.gpr32(in.rt())});
}

void tr_dsp_shilo(Translator& t, const Insn& in) {  // SHILO, SHILOV, MTHLIP
  if (!t.require_dsp()) return;
  const Value a = dsp_op(in) == SHILO ? t.k32(in.word >> 20 & 63) : t.gpr32(in.rs());
  t.call(Helper::dsp_accumulate, {t.k32(dsp_op(in) | target_ac(in) << 16), a, t.k32(0)});
}

void tr_dsp_extract(Translator& t, const Insn& in) {  // the second of two takes its amount from a register
  if (!t.require_dsp()) return;
  const Value a = in.word & 0x40 ? t.gpr32(in.rs()) : t.k32(in.rs());
  t.set_gpr32(in.rt(), t.call(Helper::dsp_extract, {t.k32(dsp_op(in) | target_ac(in) << 16), a}));
}

void tr_dsp_move_acc(Translator& t, const Insn& in) {  // MFHI MTHI MFLO MTLO
  const bool to = in.funct() & 1;
  const unsigned ac = to ? target_ac(in) : in.rs() & 3;
  if (!may_use(t, ac)) return;
  const ir::RegId row = in.funct() < 18 ? t.hi_row(ac) : t.lo_row(ac);
  if (to)
    t.b.set_reg(row, t.gpr(in.rs()));
  else
    t.set_gpr(in.rd(), t.b.get_reg(t.word(), row));
}

void tr_dsp_multiply(Translator& t, const Insn& in) {  // MULT MULTU MADD MADDU MSUB MSUBU
  const unsigned ac = target_ac(in);
  if (!may_use(t, ac)) return;
  ir::Builder& x = t.b;
  const bool is_signed = !(in.funct() & 1);
  const auto wide = [&](unsigned n) {
    return is_signed ? x.sext(Type::I64, t.gpr32(n)) : x.zext(Type::I64, t.gpr32(n));
  };
  Value r = x.mul(wide(in.rs()), wide(in.rt()));
  if (in.op() != 0) {
    const Value hi = x.zext(Type::I64, x.get_reg(Type::I32, t.hi_row(ac)));
    const Value old = x.or_(x.shli(hi, 32), x.zext(Type::I64, x.get_reg(Type::I32, t.lo_row(ac))));
    r = in.funct() & 4 ? x.sub(old, r) : x.add(old, r);
  }
  x.set_reg(t.hi_row(ac), t.widen(x.trunc(Type::I32, x.shri(r, 32))));
  x.set_reg(t.lo_row(ac), t.widen(x.trunc(Type::I32, r)));
}

// --- DSPControl

void tr_rddsp(Translator& t, const Insn& in) {
  if (!t.require_dsp()) return;
  t.set_gpr32(in.rd(), t.b.andi(control(t), control_bits(in.word >> 16 & 0x3ff)));
}

void tr_wrdsp(Translator& t, const Insn& in) {
  if (!t.require_dsp()) return;
  const u32 bits = control_bits(in.word >> 11 & 0x3ff);
  const Value kept = t.b.andi(control(t), ~bits), put = t.b.andi(t.gpr32(in.rs()), bits);
  t.b.set_reg(kRegDspControl, t.b.or_(kept, put));
}

}  // namespace doppel::mips
