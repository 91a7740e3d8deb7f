// Builder: appends ops to a Region. Folds constants and trivial identities as it goes (the cheapest place to do it).
#pragma once
#include <initializer_list>

#include "base/assert.h"
#include "ir/ir.h"

namespace doppel::ir {

class Builder {
 public:
  explicit Builder(Region& region) : r_(region) {}
  Region& region() { return r_; }
  Type type(Value v) const { return result_type(r_.ops[v]); }
  bool full() const { return r_.ops.size() + kMaxInsnOps > kMaxOps; }

  Value konst(Type t, u64 v);
  void insn(u64 pc, u32 length_so_far = 0);
  void set_insn_length(u32 length);  // of the latest insn op
  void insn_part(u64 pc);            // another part of that instruction: faults have this pc
  Value get_reg(Type t, RegId reg);
  void set_reg(RegId reg, Value v);

  // Generic: op of type t with arguments; folds when all arguments are constants.
  Value op(Opcode code, Type t, std::initializer_list<Value> args, u8 sub = 0, u32 aux = 0, u64 imm = 0);

  Value bin(Opcode code, Value a, Value b) { return op(code, type(a), {a, b}); }
  Value add(Value a, Value b) { return bin(Opcode::add, a, b); }
  Value addi(Value a, u64 imm) { return imm == 0 ? a : bin(Opcode::add, a, konst(type(a), imm)); }
  Value sub(Value a, Value b) { return bin(Opcode::sub, a, b); }
  Value mul(Value a, Value b) { return bin(Opcode::mul, a, b); }
  Value and_(Value a, Value b) { return bin(Opcode::and_, a, b); }
  Value andi(Value a, u64 imm) { return bin(Opcode::and_, a, konst(type(a), imm)); }
  Value or_(Value a, Value b) { return bin(Opcode::or_, a, b); }
  Value xor_(Value a, Value b) { return bin(Opcode::xor_, a, b); }
  Value not_(Value a) { return op(Opcode::not_, type(a), {a}); }
  Value neg(Value a) { return op(Opcode::neg, type(a), {a}); }
  Value shl(Value a, Value n) { return bin(Opcode::shl, a, n); }
  Value shr(Value a, Value n) { return bin(Opcode::shr, a, n); }
  Value shli(Value a, unsigned n) { return n == 0 ? a : bin(Opcode::shl, a, konst(Type::I8, n)); }
  Value shri(Value a, unsigned n) { return n == 0 ? a : bin(Opcode::shr, a, konst(Type::I8, n)); }
  Value sari(Value a, unsigned n) { return n == 0 ? a : bin(Opcode::sar, a, konst(Type::I8, n)); }
  // To type t whatever the widths: zext, sext or trunc, or the value itself.
  Value zext(Type t, Value a);
  Value sext(Type t, Value a);
  Value trunc(Type t, Value a);
  Value extract(Value a, unsigned lsb, unsigned width) {
    return op(Opcode::extract, type(a), {a}, 0, lsb | width << 8);
  }
  Value deposit(Value a, Value b, unsigned lsb, unsigned width) {
    return op(Opcode::deposit, type(a), {a, b}, 0, lsb | width << 8);
  }
  Value cmp(Cond c, Value a, Value b);
  Value select(Value bool8, Value a, Value b) { return op(Opcode::select, type(a), {bool8, a, b}); }
  Value selcc(Cond c, Value flags, Value a, Value b) {
    return op(Opcode::selcc, type(a), {flags, a, b}, static_cast<u8>(c));
  }
  Value setcc(Cond c, Value flags) { return op(Opcode::setcc, Type::I8, {flags}, static_cast<u8>(c)); }
  Value load(Type t, Value addr, MemInfo mem = {}, s64 disp = 0) {
    return op(Opcode::load, t, {addr}, 0, mem.pack(), static_cast<u64>(disp));
  }
  void store(Value addr, Value v, MemInfo mem = {}, s64 disp = 0) {
    op(Opcode::store, type(v), {addr, v}, 0, mem.pack(), static_cast<u64>(disp));
  }
  Value call(u16 helper, std::initializer_list<Value> args = {});
  Value vec(Opcode code, Lane lane, std::initializer_list<Value> args, u64 imm = 0) {
    return op(code, Type::V128, args, static_cast<u8>(lane), 0, imm);
  }

  void exit_cc(Cond c, Value flags, u64 pc, bool same_page) {
    op(Opcode::exit_cc, Type::Void, {flags}, static_cast<u8>(c), same_page, pc);
  }
  void exit_if(Value bool8, u64 pc, bool same_page) { op(Opcode::exit_if, Type::Void, {bool8}, 0, same_page, pc); }
  void exit_restart(Value bool8, u64 pc, bool same_page) {  // pc: the instruction under way
    op(Opcode::exit_if, Type::Void, {bool8}, 0, kExitRestarts | (same_page ? 1u : 0u), pc);
  }
  void exit_direct(u64 pc, bool same_page) { op(Opcode::exit_direct, Type::Void, {}, 0, same_page, pc); }
  void exit_indirect(Value pc) { op(Opcode::exit_indirect, Type::Void, {pc}); }
  void exit_loop() { op(Opcode::exit_loop, Type::Void, {}); }

 private:
  Value append(const Op& op) {
    r_.ops.push_back(op);
    return static_cast<Value>(r_.ops.size() - 1);
  }
  Region& r_;
  Value last_insn_ = 0;
};

}  // namespace doppel::ir
