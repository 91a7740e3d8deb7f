// x87 instructions as IR ops (SDM vol. 1, 8.1 to 8.5). The ops take registers as valid or empty: one xf_guard before
// the first of them finds out, for all that the rest of the region needs; where it fails, the instruction is done
// alone, by its helper (kModeX87Step), and so are stack faults. Exceptions are masked: with one unmasked (kModeX87Exc)
// all goes by helpers. Trap: instructions that write memory check for write access before the op that sets flags and
// C1.
#include "guest/x86/translate/x87_stack.h"

#include <bit>

#include "guest/x86/helpers/x87.h"

namespace doppel::x86 {
namespace {

using Stack = Translator::X87Stack;
using ir::XFormat;
using ir::XUnary;

constexpr u8 kBelow = 0x80;  // ST(7): the one that a push makes ST(0)
constexpr u8 st(unsigned i) { return static_cast<u8>(1u << i); }

// A helper that changes registers behind our back ends what was known.
void look_at_calls(Translator& t) {
  const std::vector<ir::Op>& ops = t.b.region().ops;
  for (Stack& x = t.x87; x.scanned < ops.size(); ++x.scanned) {
    const ir::Op& op = ops[x.scanned];
    if (op.code != Opcode::call) continue;
    const bool x87 = op.aux >= static_cast<u32>(Helper::x87_load);  // x87.def comes last
    if (x87 || (kHelpers.rows[op.aux].effects & ir::kHelperWritesState)) x.known = false;
  }
}

// From here on these of ST(0) to ST(7) are valid, those empty. False: they are known not to be. The first thing an
// instruction does.
bool ready(Translator& t, u8 valid, u8 empty) {
  if (!x87_by_ops(t) || (valid & empty)) return false;
  look_at_calls(t);
  Stack& x = t.x87;
  if (!x.known) {
    x = {true, 0, 0, 0, t.b.region().ops.size(), x.scanned};
    t.b.op(Opcode::xf_guard, Type::Void, {}, 0, 0, t.insn->pc);
  }
  const u8 v = std::rotl(valid, x.top), e = std::rotl(empty, x.top);
  if ((v & x.empty) || (e & x.valid)) return false;
  const unsigned new_valid = v & ~x.valid, new_empty = e & ~x.empty;
  t.b.region().ops[x.guard].aux |= new_valid | new_empty | new_empty << 8;
  x.valid |= v;
  x.empty |= e;
  return true;
}

void mark(Stack& x, unsigned i, bool valid) {
  const u8 bit = std::rotl(st(i), x.top);
  x.valid = static_cast<u8>(valid ? x.valid | bit : x.valid & ~bit);
  x.empty = static_cast<u8>(valid ? x.empty & ~bit : x.empty | bit);
}
void pushed(Translator& t) {
  t.x87.top = (t.x87.top - 1) & 7;
  mark(t.x87, 0, true);
}
void popped(Translator& t) {
  mark(t.x87, 0, false);
  t.x87.top = (t.x87.top + 1) & 7;
}
void pop(Translator& t) {
  t.b.op(Opcode::xf_pop, Type::Void, {});
  popped(t);
}
void op(Translator& t, Opcode code, u32 aux = 0, u8 sub = 0) { t.b.op(code, Type::Void, {}, sub, aux); }

XFormat ir_format(X87Format f) {
  switch (f) {
    case X87Format::F32: return XFormat::F32;
    case X87Format::F64: return XFormat::F64;
    case X87Format::I16: return XFormat::I16;
    case X87Format::I32: return XFormat::I32;
    default: return XFormat::I64;
  }
}
Type type_of(X87Format f) {
  return f == X87Format::I16 ? Type::I16 : f == X87Format::F32 || f == X87Format::I32 ? Type::I32 : Type::I64;
}

}  // namespace

bool x87_op_arith(Translator& t, unsigned code, unsigned i, bool to_sti, bool pops) {
  if (!ready(t, st(0) | st(i), 0)) return false;
  op(t, Opcode::xf_arith, to_sti ? i : i << 4, static_cast<u8>(code));
  if (pops) pop(t);
  return true;
}

bool x87_op_arith_mem(Translator& t, unsigned code, X87Format format) {
  if (!ready(t, st(0), 0)) return false;
  t.b.op(Opcode::xf_arith_mem, Type::Void, {t.load_mem(type_of(format))}, static_cast<u8>(code),
         static_cast<u32>(ir_format(format)));
  return true;
}

bool x87_op_compare(Translator& t, unsigned i, unsigned pops, bool quiet) {
  if (!ready(t, st(0) | st(i), 0)) return false;
  op(t, Opcode::xf_compare, i | unsigned{quiet} << 4);
  for (; pops > 0; pops--) pop(t);
  return true;
}

bool x87_op_compare_mem(Translator& t, X87Format format, bool pops) {
  if (!ready(t, st(0), 0)) return false;
  t.b.op(Opcode::xf_compare_mem, Type::Void, {t.load_mem(type_of(format))}, 0, static_cast<u32>(ir_format(format)));
  if (pops) pop(t);
  return true;
}

bool x87_op_comi(Translator& t, unsigned i, bool pops, bool quiet) {
  if (!ready(t, st(0) | st(i), 0)) return false;
  const Value flags = t.b.op(Opcode::xf_compare_flags, Type::Flags, {}, 0, i | unsigned{quiet} << 4);
  if (pops) pop(t);
  t.set_flags(flags);
  return true;
}

bool x87_op_load(Translator& t, X87Format format) {
  if (format == X87Format::Bcd || !ready(t, 0, kBelow)) return false;
  if (format == X87Format::F80) {
    const Addr a = t.address(10, false);
    const Value significand = t.load(Type::I64, a), exponent = t.load(Type::I16, a, 8);
    t.b.op(Opcode::xf_push_raw, Type::Void, {significand, exponent});
  } else {
    t.b.op(Opcode::xf_push, Type::Void, {t.load_mem(type_of(format))}, 0, static_cast<u32>(ir_format(format)));
  }
  pushed(t);
  return true;
}

bool x87_op_load_st(Translator& t, unsigned i) {
  if (!ready(t, st(i), kBelow)) return false;
  op(t, Opcode::xf_push_reg, i);
  pushed(t);
  return true;
}

bool x87_op_store(Translator& t, X87Format format, bool pops, bool truncate) {
  if (format == X87Format::Bcd || !ready(t, st(0), 0)) return false;
  if (format == X87Format::F80) {
    const Addr a = t.address(10, true);
    t.probe_write(a, 10);
    const Value significand = t.b.op(Opcode::xf_raw, Type::I64, {}), exponent = t.b.op(Opcode::xf_raw, Type::I16, {});
    t.store(a, significand);
    t.store(a, exponent, 8);
  } else {
    const Type type = type_of(format);
    const Addr a = t.address(ir::type_bytes(type), true);
    t.probe_write(a, ir::type_bytes(type));
    const u32 aux = static_cast<u32>(ir_format(format)) | u32{truncate} << 4;
    t.store(a, t.b.op(Opcode::xf_to, type, {}, 0, aux));
  }
  if (pops) pop(t);
  return true;
}

bool x87_op_store_st(Translator& t, unsigned i, bool pops) {
  if (!ready(t, st(0), 0)) return false;
  op(t, Opcode::xf_move, i);
  mark(t.x87, i, true);
  if (pops) pop(t);
  return true;
}

bool x87_op_exchange(Translator& t, unsigned i) {
  if (!ready(t, st(0) | st(i), 0)) return false;
  op(t, Opcode::xf_swap, i);
  return true;
}

bool x87_op_cmov(Translator& t, unsigned i, Cond condition) {
  if (!ready(t, st(0) | st(i), 0)) return false;
  t.b.op(Opcode::xf_select, Type::Void, {t.flags()}, static_cast<u8>(condition), i);
  return true;
}

bool x87_op_constant(Translator& t, unsigned which) {
  if (!ready(t, 0, kBelow)) return false;
  op(t, Opcode::xf_push_const, which);
  pushed(t);
  return true;
}

// D9 F0 to D9 FF, but for FPTAN and FSINCOS, which push only if the operand is in range, and those that move the top
// alone.
static bool special(Translator& t, u8 modrm) {
  const unsigned code = modrm & 15;
  const bool pushes = code == static_cast<unsigned>(ir::XSpecial::Extract), pops = ir::kXSpecialPops >> code & 1;
  const bool two = ir::kXSpecialTwo >> code & 1;
  if (!ready(t, two ? st(0) | st(1) : st(0), pushes ? kBelow : 0)) return false;
  op(t, Opcode::xf_special, 0, static_cast<u8>(code));
  if (pushes) pushed(t);
  if (pops) popped(t);
  return true;
}

bool x87_op_unary(Translator& t, u8 modrm) {
  if (modrm >= 0xf0 && (ir::kXSpecials >> (modrm & 15) & 1)) return special(t, modrm);
  XUnary kind = XUnary::Neg;
  switch (modrm) {
    case 0xe0: break;
    case 0xe1: kind = XUnary::Abs; break;
    case 0xe4: kind = XUnary::Test; break;
    case 0xe5: break;  // FXAM
    case 0xfa: kind = XUnary::Sqrt; break;
    case 0xfc: kind = XUnary::Round; break;
    default: return false;
  }
  if (!ready(t, st(0), 0)) return false;
  if (modrm == 0xe5)
    op(t, Opcode::xf_examine);
  else
    op(t, Opcode::xf_unary, 0, static_cast<u8>(kind));
  return true;
}

// A control word that unmasks an exception is left to the helper.
bool x87_op_load_control(Translator& t) {
  if (!ready(t, 0, 0)) return false;
  const Value cw = t.load_mem(Type::I16);
  const Value unmasks = t.b.cmp(Cond::NZ, t.b.andi(cw, 0x3f), t.imm(Type::I16, 0x3f));
  t.b.op(Opcode::xf_step_if, Type::Void, {unmasks}, 0, 0, t.insn->pc);
  t.b.op(Opcode::xf_control, Type::Void, {t.b.or_(t.b.andi(cw, 0x1f3f), t.imm(Type::I16, 0x40))});
  return true;
}

bool x87_op_store_word(Translator& t, bool control) {
  if (!ready(t, 0, 0)) return false;
  const auto word = [&] { return t.b.op(Opcode::xf_word, Type::I16, {}, 0, control); };
  if (t.insn->mem_form()) {
    const Addr a = t.address(2, true);
    t.store(a, word());
  } else {
    t.set_gpr(RAX, word());
  }
  return true;
}

}  // namespace doppel::x86
