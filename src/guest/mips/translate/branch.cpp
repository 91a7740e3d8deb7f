// Branches, jumps and traps (vol. II-A). A branch says where it goes; its delay slot and the exits are the frontend's.
#include "guest/mips/translate/translator.h"

namespace doppel::mips {
namespace {

void link(Translator& t, const Insn& in, unsigned reg) { t.set_gpr(reg, t.imm(t.word(), t.wrap_pc(in.pc + 8))); }

void to(Translator& t, const Insn& in) { t.branch.target = t.wrap_pc(in.pc + 4 + static_cast<u64>(in.simm() * 4)); }

void when(Translator& t, Cond cc, Value a, Value b) {
  t.branch.conditional = true;
  t.branch.cc = cc;
  t.branch.a = a;
  t.branch.b = b;
}

}  // namespace

void tr_jump(Translator& t, const Insn& in) {
  t.branch.target = ((in.pc + 4) & ~u64{0x0fffffff}) | u64{in.word & 0x03ffffff} << 2;
  if (in.op() != 2) link(t, in, RA);
  if (in.op() == 29) t.branch.target |= 1;  // JALX: to MIPS16
}

void tr_jump_register(Translator& t, const Insn& in) {
  t.branch.to = t.gpr(in.rs());
  if (in.funct() == 9) link(t, in, in.rd());
}

void tr_branch_equal(Translator& t, const Insn& in) {
  to(t, in);
  const bool equal = in.op() == 4 || in.op() == 20;
  if (in.rs() == in.rt()) {
    if (equal) return;  // B: always
    when(t, Cond::NZ, t.k32(0), t.k32(0));
    return;
  }
  when(t, equal ? Cond::Z : Cond::NZ, t.gpr(in.rs()), t.gpr(in.rt()));
}

void tr_branch_less_equal(Translator& t, const Insn& in) {
  to(t, in);
  when(t, in.op() == 6 || in.op() == 22 ? Cond::LE : Cond::G, t.gpr(in.rs()), t.imm(t.word(), 0));
}

void tr_branch_zero(Translator& t, const Insn& in) {
  to(t, in);
  when(t, in.rt() & 1 ? Cond::GE : Cond::L, t.gpr(in.rs()), t.imm(t.word(), 0));
  if (in.rt() & 16) link(t, in, RA);
}

void tr_branch_fp(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  to(t, in);
  const u32 bit = u32{1} << fcsr_condition_bit(in.word >> 18 & 7);
  when(t, in.word >> 16 & 1 ? Cond::NZ : Cond::Z, t.b.andi(t.b.get_reg(Type::I32, kRegFcr31), bit), t.k32(0));
}

// --- traps

namespace {
// The condition of a trap by its number: GE GEU LT LTU EQ - NE.
void trap(Translator& t, unsigned which, Value a, Value b) {
  static constexpr Cond kCond[8] = {Cond::GE, Cond::NC, Cond::L, Cond::C, Cond::Z, Cond::Z, Cond::NZ, Cond::NZ};
  t.raise_if(t.b.cmp(kCond[which & 7], a, b), EXC_TR);
}
}  // namespace

void tr_trap(Translator& t, const Insn& in) { trap(t, in.funct() & 7, t.gpr(in.rs()), t.gpr(in.rt())); }

void tr_trap_immediate(Translator& t, const Insn& in) {
  trap(t, in.rt() & 7, t.gpr(in.rs()), t.imm(t.word(), static_cast<u64>(in.simm())));
}

void tr_syscall(Translator& t, const Insn&) { t.raise(EXC_SYS); }
void tr_break(Translator& t, const Insn&) { t.raise(EXC_BP); }
void tr_sdbbp(Translator& t, const Insn&) { t.raise(EXC_RI); }  // no EJTAG

}  // namespace doppel::mips
