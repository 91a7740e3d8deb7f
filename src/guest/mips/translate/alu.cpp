// Integer arithmetic, shifts, multiplication and division, bit fields (vol. II-A).
#include "guest/mips/translate/translator.h"

namespace doppel::mips {
namespace {

Value overflow(Translator& t, Opcode flags, Value a, Value b) {
  return t.b.setcc(Cond::O, t.b.op(flags, t.b.type(a), {a, b}));
}

Value logic(Translator& t, unsigned which, Value a, Value b) {
  switch (which) {
    case 0: return t.b.and_(a, b);
    case 1: return t.b.or_(a, b);
    case 2: return t.b.xor_(a, b);
    default: return t.b.not_(t.b.or_(a, b));
  }
}

Value product(Translator& t, const Insn& in, bool is_signed) {
  const Value a = t.gpr32(in.rs()), b = t.gpr32(in.rt());
  return is_signed ? t.b.mul(t.b.sext(Type::I64, a), t.b.sext(Type::I64, b))
                   : t.b.mul(t.b.zext(Type::I64, a), t.b.zext(Type::I64, b));
}

void set_product(Translator& t, Value p) {
  t.set_hi_lo(t.b.trunc(Type::I32, t.b.shri(p, 32)), t.b.trunc(Type::I32, p));
}

struct Quotient {
  Value quotient, remainder;
};
// A division by zero gives what the manual leaves open: here as if by one. No trap.
Quotient divide(Translator& t, Value a, Value b, bool is_signed) {
  ir::Builder& x = t.b;
  const Type type = x.type(a);
  const Value zero = x.konst(type, 0), one = x.konst(type, 1);
  b = x.select(x.cmp(Cond::Z, b, zero), one, b);
  if (!is_signed) return {x.op(Opcode::udiv2, type, {zero, a, b}), x.op(Opcode::urem2, type, {zero, a, b})};
  const Value minus_a = x.cmp(Cond::L, a, zero), minus_b = x.cmp(Cond::L, b, zero);
  const Value abs_a = x.select(minus_a, x.neg(a), a), abs_b = x.select(minus_b, x.neg(b), b);
  const Value q = x.op(Opcode::udiv2, type, {zero, abs_a, abs_b});
  const Value r = x.op(Opcode::urem2, type, {zero, abs_a, abs_b});
  return {x.select(x.xor_(minus_a, minus_b), x.neg(q), q), x.select(minus_a, x.neg(r), r)};
}

Value shift(Translator& t, unsigned which, Value v, Value n) {
  switch (which) {
    case 0: return t.b.shl(v, n);
    case 2: return t.b.shr(v, n);
    default: return t.b.bin(Opcode::sar, v, n);
  }
}

Value shift_amount(Translator& t, unsigned n) { return t.imm(Type::I8, n); }

}  // namespace

void tr_nothing(Translator&, const Insn&) {}

void tr_add(Translator& t, const Insn& in) {
  const Value a = t.gpr32(in.rs()), b = t.gpr32(in.rt());
  t.set_gpr32(in.rd(), in.funct() == 33 ? t.b.add(a, b) : t.b.sub(a, b));
}

void tr_add_trapping(Translator& t, const Insn& in) {
  const Value a = t.gpr32(in.rs()), b = t.gpr32(in.rt());
  const bool plus = in.funct() == 32;
  t.raise_if(overflow(t, plus ? Opcode::flags_add : Opcode::flags_sub, a, b), EXC_OV);
  t.set_gpr32(in.rd(), plus ? t.b.add(a, b) : t.b.sub(a, b));
}

void tr_addi(Translator& t, const Insn& in) {
  const Value a = t.gpr32(in.rs()), b = t.k32(static_cast<u64>(in.simm()));
  t.raise_if(overflow(t, Opcode::flags_add, a, b), EXC_OV);
  t.set_gpr32(in.rt(), t.b.add(a, b));
}

void tr_addiu(Translator& t, const Insn& in) {
  t.set_gpr32(in.rt(), t.b.addi(t.gpr32(in.rs()), static_cast<u32>(in.simm())));
}

void tr_dadd(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  const Value a = t.gpr(in.rs()), b = t.gpr(in.rt());
  t.set_gpr(in.rd(), in.funct() == 45 ? t.b.add(a, b) : t.b.sub(a, b));
}

void tr_dadd_trapping(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  const Value a = t.gpr(in.rs()), b = t.gpr(in.rt());
  const bool plus = in.funct() == 44;
  t.raise_if(overflow(t, plus ? Opcode::flags_add : Opcode::flags_sub, a, b), EXC_OV);
  t.set_gpr(in.rd(), plus ? t.b.add(a, b) : t.b.sub(a, b));
}

void tr_daddi(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  const Value a = t.gpr(in.rs()), b = t.k64(static_cast<u64>(in.simm()));
  t.raise_if(overflow(t, Opcode::flags_add, a, b), EXC_OV);
  t.set_gpr(in.rt(), t.b.add(a, b));
}

void tr_daddiu(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  t.set_gpr(in.rt(), t.b.addi(t.gpr(in.rs()), static_cast<u64>(in.simm())));
}

void tr_slt(Translator& t, const Insn& in) {
  const Value less = t.b.cmp(in.funct() == 42 ? Cond::L : Cond::C, t.gpr(in.rs()), t.gpr(in.rt()));
  t.set_gpr(in.rd(), t.b.zext(t.word(), less));
}

void tr_slti(Translator& t, const Insn& in) {
  const Value b = t.imm(t.word(), static_cast<u64>(in.simm()));
  t.set_gpr(in.rt(), t.b.zext(t.word(), t.b.cmp(in.op() == 10 ? Cond::L : Cond::C, t.gpr(in.rs()), b)));
}

void tr_logic(Translator& t, const Insn& in) {
  const unsigned which = in.funct() & 3;
  if (which == 1 && (in.rs() == 0 || in.rt() == 0))  // MOVE
    return t.set_gpr(in.rd(), t.gpr(in.rs() == 0 ? in.rt() : in.rs()));
  t.set_gpr(in.rd(), logic(t, which, t.gpr(in.rs()), t.gpr(in.rt())));
}

void tr_logic_immediate(Translator& t, const Insn& in) {
  t.set_gpr(in.rt(), logic(t, in.op() & 3, t.gpr(in.rs()), t.imm(t.word(), in.uimm())));
}

void tr_lui(Translator& t, const Insn& in) {
  const u32 value = in.uimm() << 16;
  t.set_gpr(in.rt(), t.imm(t.word(), static_cast<u64>(static_cast<s64>(static_cast<s32>(value)))));
}

void tr_move_if(Translator& t, const Insn& in) {
  const Cond cc = in.funct() == 10 ? Cond::Z : Cond::NZ;
  const Value moves = t.b.cmp(cc, t.gpr(in.rt()), t.imm(t.word(), 0));
  t.set_gpr(in.rd(), t.b.select(moves, t.gpr(in.rs()), t.gpr(in.rd())));
}

// --- shifts

void tr_shift_immediate(Translator& t, const Insn& in) {
  if (in.word == 0) return;  // NOP
  const Value v = t.gpr32(in.rt());
  if (in.funct() == 2 && in.rs() == 1)
    t.set_gpr32(in.rd(), t.b.bin(Opcode::rotr, v, shift_amount(t, in.sa())));
  else
    t.set_gpr32(in.rd(), in.sa() == 0 ? v : shift(t, in.funct(), v, shift_amount(t, in.sa())));
}

void tr_shift_register(Translator& t, const Insn& in) {
  const Value v = t.gpr32(in.rt()), n = t.b.trunc(Type::I8, t.gpr32(in.rs()));
  const bool rotate = in.funct() == 6 && in.sa() == 1;
  t.set_gpr32(in.rd(), rotate ? t.b.bin(Opcode::rotr, v, n) : shift(t, in.funct() & 3, v, n));
}

void tr_dshift_immediate(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  const unsigned n = in.sa() + (in.funct() >= 60 ? 32 : 0), which = in.funct() & 3;
  const Value v = t.gpr(in.rt());
  if (which == 2 && in.rs() == 1)
    t.set_gpr(in.rd(), t.b.bin(Opcode::rotr, v, shift_amount(t, n)));
  else
    t.set_gpr(in.rd(), n == 0 ? v : shift(t, which, v, shift_amount(t, n)));
}

void tr_dshift_register(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  const Value v = t.gpr(in.rt()), n = t.b.trunc(Type::I8, t.gpr32(in.rs()));
  const bool rotate = in.funct() == 22 && in.sa() == 1;
  t.set_gpr(in.rd(), rotate ? t.b.bin(Opcode::rotr, v, n) : shift(t, in.funct() & 3, v, n));
}

// --- multiplication and division

void tr_move_hilo(Translator& t, const Insn& in) {
  const ir::RegId row = in.funct() < 18 ? kRegHi : kRegLo;
  if (in.funct() & 1)
    t.b.set_reg(row, t.gpr(in.rs()));
  else
    t.set_gpr(in.rd(), t.b.get_reg(t.word(), row));
}

void tr_multiply(Translator& t, const Insn& in) { set_product(t, product(t, in, in.funct() == 24)); }

void tr_multiply_add(Translator& t, const Insn& in) {
  const Value p = product(t, in, !(in.funct() & 1));
  const Value hi = t.b.zext(Type::I64, t.b.get_reg(Type::I32, kRegHi));
  const Value lo = t.b.zext(Type::I64, t.b.get_reg(Type::I32, kRegLo));
  const Value old = t.b.or_(t.b.shli(hi, 32), lo);
  set_product(t, in.funct() & 4 ? t.b.sub(old, p) : t.b.add(old, p));
}

void tr_mul(Translator& t, const Insn& in) { t.set_gpr32(in.rd(), t.b.mul(t.gpr32(in.rs()), t.gpr32(in.rt()))); }

void tr_divide(Translator& t, const Insn& in) {
  const Quotient r = divide(t, t.gpr32(in.rs()), t.gpr32(in.rt()), in.funct() == 26);
  t.set_hi_lo(r.remainder, r.quotient);
}

void tr_dmultiply(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  const Value a = t.gpr(in.rs()), b = t.gpr(in.rt());
  const Value hi = t.b.bin(in.funct() == 28 ? Opcode::mulhs : Opcode::mulhu, a, b), lo = t.b.mul(a, b);
  t.b.set_reg(kRegHi, hi);
  t.b.set_reg(kRegLo, lo);
}

void tr_ddivide(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  const Quotient r = divide(t, t.gpr(in.rs()), t.gpr(in.rt()), in.funct() == 30);
  t.b.set_reg(kRegHi, r.remainder);
  t.b.set_reg(kRegLo, r.quotient);
}

// --- bits

void tr_count(Translator& t, const Insn& in) {
  const Value v = t.gpr32(in.rs());
  t.set_gpr32(in.rd(), t.b.op(Opcode::clz, Type::I32, {in.funct() & 1 ? t.b.not_(v) : v}));
}

void tr_dcount(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  const Value v = t.gpr(in.rs());
  t.set_gpr(in.rd(), t.b.op(Opcode::clz, Type::I64, {in.funct() & 1 ? t.b.not_(v) : v}));
}

void tr_ext(Translator& t, const Insn& in) {
  const unsigned lsb = in.sa(), size = in.rd() + 1;
  if (lsb + size > 32) return;  // UNPREDICTABLE: nothing happens
  t.set_gpr32(in.rt(), t.b.extract(t.gpr32(in.rs()), lsb, size));
}

void tr_ins(Translator& t, const Insn& in) {
  const unsigned lsb = in.sa(), msb = in.rd();
  if (lsb > msb) return;
  t.set_gpr32(in.rt(), t.b.deposit(t.gpr32(in.rt()), t.gpr32(in.rs()), lsb, msb - lsb + 1));
}

void tr_dext(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  const unsigned lsb = in.sa() + (in.funct() == 2 ? 32 : 0), size = in.rd() + 1 + (in.funct() == 1 ? 32 : 0);
  if (lsb + size > 64) return;
  t.set_gpr(in.rt(), t.b.extract(t.gpr(in.rs()), lsb, size));
}

void tr_dins(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  const unsigned lsb = in.sa() + (in.funct() == 6 ? 32 : 0), msb = in.rd() + (in.funct() == 7 ? 0 : 32);
  if (lsb > msb || msb > 63) return;
  t.set_gpr(in.rt(), t.b.deposit(t.gpr(in.rt()), t.gpr(in.rs()), lsb, msb - lsb + 1));
}

void tr_bshfl(Translator& t, const Insn& in) {
  const Value v = t.gpr32(in.rt());
  switch (in.sa()) {
    case 16: return t.set_gpr32(in.rd(), t.b.sext(Type::I32, t.b.trunc(Type::I8, v)));
    case 24: return t.set_gpr32(in.rd(), t.b.sext(Type::I32, t.b.trunc(Type::I16, v)));
    default:  // WSBH: bytes swapped in each half
      return t.set_gpr32(in.rd(), t.b.bin(Opcode::rotr, t.b.op(Opcode::bswap, Type::I32, {v}), shift_amount(t, 16)));
  }
}

void tr_dbshfl(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  const Value v = t.gpr(in.rt());
  if (in.sa() == 2) {  // DSBH
    const Value odd = t.b.andi(t.b.shri(v, 8), 0x00ff00ff00ff00ff);
    const Value even = t.b.shli(t.b.andi(v, 0x00ff00ff00ff00ff), 8);
    return t.set_gpr(in.rd(), t.b.or_(odd, even));
  }
  // DSHD: halfwords in reverse order
  const Value halves = t.b.bin(Opcode::rotr, v, shift_amount(t, 32));
  const Value odd = t.b.andi(t.b.shri(halves, 16), 0x0000ffff0000ffff);
  const Value even = t.b.shli(t.b.andi(halves, 0x0000ffff0000ffff), 16);
  t.set_gpr(in.rd(), t.b.or_(odd, even));
}

}  // namespace doppel::mips
