// Shifts and rotates (SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD). A count of zero, after masking,
// changes no flag.
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {
namespace {

unsigned count_mask(unsigned size) { return size == 8 ? 63 : 31; }

struct Result {
  Value value, flags;  // flags 0: unchanged
};

template <typename Fn>
void modify(Translator& t, const Insn& in, Fn fn) {
  const Operand& d = in.op[0];
  Result r;
  if (d.is_mem()) {
    const Addr a = t.address(d.size, true);
    r = fn(t.load_rmw(int_type(d.size), a));
    t.store(a, r.value);
  } else {
    r = fn(t.read(d));
    t.write(d, r.value);
  }
  if (r.flags) t.set_flags(r.flags);
}

// The masked count as a constant, or -1.
int constant_count(const Insn& in, unsigned operand) {
  const Operand& o = in.op[operand];
  return o.kind == OpKind::Imm ? static_cast<int>(in.imm & count_mask(in.op[0].size)) : -1;
}
// The old flags for flags_shl and its kin: not looked at when the count is a constant other than 0.
Value old_flags(Translator& t, int count) { return count > 0 ? t.imm(Type::Flags, ir::kFlagOne) : t.flags(); }

Value pack(Translator& t, Value bits) { return t.fl(Opcode::flags_pack, {bits}); }
Value bits_of(Translator& t, Value flags) { return t.b.op(Opcode::flags_bits, Type::I32, {flags}); }

// CF and OF (I8 each, 0 or 1) into the old flags; nothing when the count (I8, masked) is 0.
Value merge_cf_of(Translator& t, Value cf, Value of, Value count, int constant) {
  ir::Builder& b = t.b;
  const Value bits = b.or_(b.zext(Type::I32, cf), b.shli(b.zext(Type::I32, of), 11));
  if (constant > 0) return t.fl(Opcode::flags_merge, {t.flags(), pack(t, bits)}, ir::kFlagC | ir::kFlagO);
  const Value old = bits_of(t, t.flags());
  const Value changed = b.or_(b.andi(old, ~u64{CF | OF}), bits);
  return pack(t, b.select(b.cmp(Cond::NZ, count, t.imm(Type::I8, 0)), changed, old));
}

Value low_bit(Translator& t, Value v) { return t.b.trunc(Type::I8, t.b.andi(v, 1)); }
Value top_bit(Translator& t, Value v) { return t.b.trunc(Type::I8, t.b.shri(v, ir::type_bits(t.b.type(v)) - 1)); }

}  // namespace

void tr_shift(Translator& t, const Insn& in) {
  const int constant = constant_count(in, 1);
  const Value n = constant >= 0 ? t.imm(Type::I8, static_cast<u64>(constant)) : t.gpr(RCX, 1);
  Opcode op = Opcode::shl, fop = Opcode::flags_shl;
  if (in.mnemonic == Mnemonic::SHR) op = Opcode::shr, fop = Opcode::flags_shr;
  if (in.mnemonic == Mnemonic::SAR) op = Opcode::sar, fop = Opcode::flags_sar;
  modify(t, in, [&](Value a) {
    if (constant == 0) return Result{a, 0};
    return Result{t.b.bin(op, a, n), t.fl(fop, {a, n, old_flags(t, constant)})};
  });
}

void tr_rotate(Translator& t, const Insn& in) {
  const bool left = in.mnemonic == Mnemonic::ROL;
  const int constant = constant_count(in, 1);
  const Value n =
      constant >= 0 ? t.imm(Type::I8, static_cast<u64>(constant)) : t.b.andi(t.gpr(RCX, 1), count_mask(in.op[0].size));
  modify(t, in, [&](Value a) {
    if (constant == 0) return Result{a, 0};
    const Value r = t.b.bin(left ? Opcode::rotl : Opcode::rotr, a, n);
    const unsigned bits = in.op[0].size * 8;
    const Value top = top_bit(t, r);
    const Value cf = left ? low_bit(t, r) : top;
    const Value of = t.b.xor_(top, left ? cf : low_bit(t, t.b.shri(r, bits - 2)));
    return Result{r, merge_cf_of(t, cf, of, n, constant)};
  });
}

void tr_rotate_carry(Translator& t, const Insn& in) {
  const bool left = in.mnemonic == Mnemonic::RCL;
  const int constant = constant_count(in, 1);
  const unsigned size = in.op[0].size, bits = size * 8;
  ir::Builder& b = t.b;
  if (constant == 1) {
    return modify(t, in, [&](Value a) {
      const Value f = t.flags();
      const Value carry = b.setcc(Cond::C, f);
      Value r, cf, of;
      if (left) {
        r = b.or_(b.shli(a, 1), b.zext(b.type(a), carry));
        cf = top_bit(t, a);
        of = b.xor_(top_bit(t, r), cf);
      } else {
        r = b.or_(b.shri(a, 1), b.shli(b.zext(b.type(a), carry), bits - 1));
        cf = low_bit(t, a);
        of = b.xor_(top_bit(t, r), top_bit(t, a));
      }
      return Result{r, merge_cf_of(t, cf, of, 0, 1)};
    });
  }
  const Value n = constant >= 0 ? t.imm(Type::I8, static_cast<u64>(constant)) : t.gpr(RCX, 1);
  modify(t, in, [&](Value a) {
    if (constant == 0) return Result{a, 0};
    const Value old = bits_of(t, t.flags());
    const Value how = t.k32(size | (left ? 16u : 0u));
    const Value r = t.call(Helper::rotate_carry, {a, n, old, how});
    const Value f = t.call(Helper::rotate_carry_flags, {a, n, old, how});
    return Result{b.trunc(int_type(size), r), pack(t, f)};
  });
}

// --- double shifts

namespace {

// Result of a 16-bit double shift with any count below 32: bits shifted in go on with the first operand after the
// second, as processors do (the manual leaves counts over 16 undefined).
struct Double {
  Value value, cf;
};
Double double16(Translator& t, bool left, Value a, Value s, Value n) {
  ir::Builder& b = t.b;
  const Value a64 = b.zext(Type::I64, a), s64 = b.zext(Type::I64, s);
  const Value all = b.or_(b.or_(b.shli(a64, 32), b.shli(s64, 16)), a64);
  if (left) {
    const Value r = b.trunc(Type::I16, b.shri(b.shl(all, n), 32));
    const Value cf = low_bit(t, b.shr(all, b.sub(t.imm(Type::I8, 48), n)));
    return {r, cf};
  }
  const Value r = b.trunc(Type::I16, b.shr(all, n));
  const Value cf = low_bit(t, b.shr(all, b.sub(n, t.imm(Type::I8, 1))));
  return {r, cf};
}
Double double_wide(Translator& t, bool left, Value a, Value s, Value n, unsigned bits) {
  ir::Builder& b = t.b;
  const Value back = b.xor_(n, t.imm(Type::I8, bits - 1));  // bits - 1 - n
  if (left) {
    const Value r = b.or_(b.shl(a, n), b.shr(b.shri(s, 1), back));
    return {r, low_bit(t, b.shr(a, b.addi(back, 1)))};
  }
  const Value r = b.or_(b.shr(a, n), b.shl(b.shli(s, 1), back));
  return {r, low_bit(t, b.shr(a, b.sub(n, t.imm(Type::I8, 1))))};
}

}  // namespace

void tr_shift_double(Translator& t, const Insn& in) {
  const bool left = in.mnemonic == Mnemonic::SHLD;
  const int constant = constant_count(in, 2);
  const unsigned size = in.op[0].size;
  const Value n =
      constant >= 0 ? t.imm(Type::I8, static_cast<u64>(constant)) : t.b.andi(t.gpr(RCX, 1), count_mask(size));
  const Value s = t.read(1);
  modify(t, in, [&](Value a) {
    if (constant == 0) return Result{a, 0};
    ir::Builder& b = t.b;
    const Double d = size == 2 ? double16(t, left, a, s, n) : double_wide(t, left, a, s, n, size * 8);
    const Value logic = t.fl(Opcode::flags_logic, {d.value});
    const Value of = b.xor_(top_bit(t, d.value), top_bit(t, a));
    const Value bits = b.or_(b.or_(bits_of(t, logic), b.zext(Type::I32, d.cf)), b.shli(b.zext(Type::I32, of), 11));
    if (constant > 0) return Result{d.value, pack(t, bits)};
    const Value old = bits_of(t, t.flags());
    return Result{d.value, pack(t, b.select(b.cmp(Cond::NZ, n, t.imm(Type::I8, 0)), bits, old))};
  });
}

}  // namespace doppel::x86
