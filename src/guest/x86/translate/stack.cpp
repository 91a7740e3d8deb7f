// The stack (SDM vol. 1, 6.2; vol. 2, PUSH, POP, ENTER, LEAVE, PUSHA, POPA, PUSHF, POPF). rSP changes after the last
// access.
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {

void tr_push(Translator& t, const Insn& in) {
  Value v = t.read(0);
  if (ir::type_bytes(t.b.type(v)) != in.opsize) v = t.b.zext(int_type(in.opsize), v);
  t.push(v);
}

void tr_push_seg(Translator& t, const Insn& in) { t.push(t.b.zext(int_type(in.opsize), t.read(0))); }

void tr_pop(Translator& t, const Insn& in) {
  const Operand& d = in.op[0];
  const Value v = t.stack_load(int_type(in.opsize), 0);
  if (d.is_mem()) {
    // The address is computed with rSP already advanced.
    MemOperand m = in.mem;
    if (m.base == RSP) m.disp += in.opsize;
    t.store(t.address(m, in.opsize, true), v);
    return t.add_sp(in.opsize);
  }
  t.add_sp(in.opsize);
  t.write(d, v);
}

void tr_pop_seg(Translator& t, const Insn& in) {
  const Operand& d = in.op[0];
  const Value v = t.stack_load(Type::I16, 0);
  // The stack is as wide as it was before SS changes.
  const Value sp = t.b.addi(t.gpr(RSP, t.stack_size()), in.opsize);
  if (d.reg == SS) t.b.set_reg(kRegRip, t.imm(t.addr_type(), t.next_pc()));
  const Value changed = t.call(Helper::load_seg, {t.k32(d.reg), v});
  t.set_gpr(RSP, sp);
  t.after_segment_load(d.reg, changed);
}

void tr_pusha(Translator& t, const Insn& in) {
  const unsigned n = in.opsize;
  for (unsigned r = RAX; r <= RDI; r++) t.stack_store(t.gpr(r, n), -static_cast<s64>((r + 1) * n));
  t.add_sp(-static_cast<s64>(8 * n));
}

void tr_popa(Translator& t, const Insn& in) {
  const unsigned n = in.opsize;
  Value v[8];
  for (unsigned r = RAX; r <= RDI; r++) v[r] = r == RSP ? Value{0} : t.stack_load(int_type(n), (7 - r) * n);
  t.add_sp(8 * n);
  for (unsigned r = RAX; r <= RDI; r++)
    if (r != RSP) t.set_gpr(r, v[r]);
}

void tr_pushf(Translator& t, const Insn& in) {
  const Type ty = int_type(in.opsize);
  if ((t.mode & kModeVm86) && !(t.mode & kModeIoplOk))
    return t.push(t.b.zext(ty, t.call(Helper::pushf_image, {t.k32(in.opsize)})));
  const Value sys = t.b.andi(t.b.get_reg(Type::I32, kRegEflagsSys), ~u64{VM | RF});
  const Value bits = t.b.op(Opcode::flags_bits, Type::I32, {t.flags()});
  t.push(t.b.zext(ty, t.b.or_(t.b.or_(sys, bits), t.k32(2))));
}

void tr_popf(Translator& t, const Insn& in) {
  const Value v = t.stack_load(int_type(in.opsize), 0);
  t.call(Helper::popf, {v, t.k32(in.opsize)});
  t.add_sp(in.opsize);
  t.end_direct(t.next_pc());
}

void tr_enter(Translator& t, const Insn& in) {
  const unsigned n = in.opsize, ss = t.stack_size();
  const unsigned level = in.imm2 & 31;
  const s64 locals = static_cast<s64>(in.imm & 0xffff);
  t.stack_store(t.gpr(RBP, n), -static_cast<s64>(n));
  const Value frame = t.b.addi(t.gpr(RSP, ss), static_cast<u64>(-static_cast<s64>(n)) & mask_bits(ss * 8));
  s64 down = -static_cast<s64>(n);
  for (unsigned i = 1; i < level; i++) {
    // Copies of the outer frame pointers, found below the old rBP.
    Value bp = t.b.addi(t.gpr(RBP, ss), static_cast<u64>(-static_cast<s64>(i * n)) & mask_bits(ss * 8));
    if (ss == 2) bp = t.b.zext(Type::I32, bp);
    const Value link = t.load(int_type(n), t.segment_address(SS, bp, 0, n, false));
    down -= n;
    t.stack_store(link, down);
  }
  if (level > 0) {
    down -= n;
    t.stack_store(t.b.zext(int_type(n), frame), down);
  }
  t.probe_write(t.stack_address(down - locals, n, true), n);
  t.add_sp(down - locals);
  t.set_gpr(RBP, n >= ss ? t.b.zext(int_type(n), frame) : t.b.trunc(int_type(n), frame));
}

void tr_leave(Translator& t, const Insn& in) {
  const unsigned n = in.opsize, ss = t.stack_size();
  const Value bp = t.gpr(RBP, ss);
  const Value offset = ss == 2 ? t.b.zext(Type::I32, bp) : bp;
  const Value v = t.load(int_type(n), t.segment_address(SS, offset, 0, n, false));
  t.set_gpr(RSP, t.b.addi(bp, n));
  t.set_gpr(RBP, v);
}

}  // namespace doppel::x86
