// Builder: see builder.h. Value 0 (the first `insn`) stands for "no value".
#include "ir/builder.h"

#include "ir/simplify.h"

namespace doppel::ir {

Value Builder::konst(Type t, u64 v) {
  Op op{Opcode::konst, t};
  op.imm = v & mask_bits(type_bits(t));
  // The latest constant is often the same one (an immediate used by an arithmetic op and by its flags).
  for (size_t i = r_.ops.size(), stop = i > 6 ? i - 6 : 0; i-- > stop;) {
    const Op& before = r_.ops[i];
    if (before.code == Opcode::konst && before.type == t && before.imm == op.imm) return static_cast<Value>(i);
  }
  return append(op);
}

void Builder::insn(u64 pc, u32 length_so_far) {
  Op op{Opcode::insn};
  op.aux = length_so_far;
  op.imm = pc;
  last_insn_ = append(op);
}

void Builder::insn_part(u64 pc) {
  Op op{Opcode::insn};
  op.sub = 1;
  op.imm = pc;
  append(op);
}

void Builder::set_insn_length(u32 length) { r_.ops[last_insn_].aux = length; }

Value Builder::get_reg(Type t, RegId reg) {
  Op op{Opcode::get_reg, t};
  op.aux = reg;
  return append(op);
}

void Builder::set_reg(RegId reg, Value v) {
  Op op{Opcode::set_reg, type(v), 0, 1, reg};
  op.arg[0] = v;
  append(op);
}

Value Builder::op(Opcode code, Type t, std::initializer_list<Value> args, u8 sub, u32 aux, u64 imm) {
  ASSERT(args.size() <= 4);
  Op op{code, t, sub, 0, aux};
  op.imm = imm;
  for (const Value a : args) op.arg[op.nargs++] = a;
  Value alias = 0;
  switch (simplify(r_.ops.data(), op, alias)) {
    case Simplified::Alias: return alias;
    case Simplified::Drop: return 0;
    case Simplified::Keep: break;
  }
  return op.code == Opcode::konst ? konst(op.type, op.imm) : append(op);
}

Value Builder::zext(Type t, Value a) {
  const unsigned from = type_bits(type(a)), to = type_bits(t);
  return from == to ? a : op(from < to ? Opcode::zext : Opcode::trunc, t, {a});
}

Value Builder::sext(Type t, Value a) {
  const unsigned from = type_bits(type(a)), to = type_bits(t);
  return from == to ? a : op(from < to ? Opcode::sext : Opcode::trunc, t, {a});
}

Value Builder::trunc(Type t, Value a) { return zext(t, a); }

Value Builder::cmp(Cond c, Value a, Value b) { return op(Opcode::cmp, type(a), {a, b}, static_cast<u8>(c)); }

Value Builder::call(u16 helper, std::initializer_list<Value> args) {
  const Type result = r_.helpers && helper < r_.helpers->count ? r_.helpers->rows[helper].result : Type::Void;
  return op(Opcode::call, result, args, 0, helper);
}

}  // namespace doppel::ir
