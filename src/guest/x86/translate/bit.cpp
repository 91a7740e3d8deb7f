// Single bits, bit scans and counts, SETcc, CMOVcc, BSWAP (SDM vol. 2).
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {

namespace {

// BT and its kin on memory with a register index reach any word: the index counts bits from the operand's address.
Addr bit_string_address(Translator& t, const Insn& in, bool write) {
  const unsigned size = in.op[0].size;
  const unsigned log2_bits = size == 2 ? 4 : size == 4 ? 5 : 6;
  const Value index = t.read(1);
  const Type at = in.addrsize == 8 ? Type::I64 : Type::I32;
  const Value words = t.b.sari(index, log2_bits);
  const Value bytes = t.b.shli(t.b.sext(at, words), log2_bits - 3);
  Value offset = t.b.add(t.effective_address(in.mem), bytes);
  if (in.addrsize == 2) offset = t.b.extract(offset, 0, 16);
  return t.segment_address(in.mem.seg, offset, 0, size, write);
}

Value changed_bit(Translator& t, Mnemonic m, Value a, Value mask) {
  switch (m) {
    case Mnemonic::BTS: return t.b.or_(a, mask);
    case Mnemonic::BTR: return t.b.bin(Opcode::andn, mask, a);
    default: return t.b.xor_(a, mask);
  }
}

Value cond_flags(Translator& t, Value old, Value bit) { return t.fl(Opcode::flags_cf, {old, bit}); }

}  // namespace

void tr_bit_test(Translator& t, const Insn& in) {
  const Operand& d = in.op[0];
  const unsigned bits = d.size * 8;
  const Type ty = int_type(d.size);
  const bool by_register = in.op[1].kind != OpKind::Imm;
  const bool modifies = in.mnemonic != Mnemonic::BT;
  const Value n =
      by_register ? t.b.andi(t.b.trunc(Type::I8, t.read(1)), bits - 1) : t.imm(Type::I8, in.imm & (bits - 1));
  Addr a;
  Value old;
  if (d.is_mem()) a = by_register ? bit_string_address(t, in, modifies) : t.address(d.size, modifies);
  if (!modifies) {
    old = d.is_mem() ? t.load(ty, a) : t.read(d);
    return t.set_flags(cond_flags(t, t.flags(), t.b.shr(old, n)));
  }
  const Value mask = t.b.shl(t.imm(ty, 1), n);
  if (in.lock) {
    using ir::AtomicOp;
    const AtomicOp op = in.mnemonic == Mnemonic::BTS   ? AtomicOp::Or
                        : in.mnemonic == Mnemonic::BTR ? AtomicOp::And
                                                       : AtomicOp::Xor;
    ir::MemInfo m;
    m.stack = a.stack;
    const Value arg = op == AtomicOp::And ? t.b.not_(mask) : mask;
    old = t.b.op(Opcode::atomic_rmw, ty, {a.base, arg}, static_cast<u8>(op), m.pack(), static_cast<u64>(a.disp));
  } else if (d.is_mem()) {
    old = t.load_rmw(ty, a);
    t.store(a, changed_bit(t, in.mnemonic, old, mask));
  } else {
    old = t.read(d);
    t.write(d, changed_bit(t, in.mnemonic, old, mask));
  }
  t.set_flags(cond_flags(t, t.flags(), t.b.shr(old, n)));
}

// With a source of 0 the destination keeps its value, as processors do.
void tr_bit_scan(Translator& t, const Insn& in) {
  const Value src = t.read(1);
  const Type ty = t.b.type(src);
  const unsigned bits = ir::type_bits(ty);
  Value found;
  if (in.mnemonic == Mnemonic::BSF)
    found = t.b.op(Opcode::ctz, ty, {src});
  else
    found = t.b.xor_(t.b.op(Opcode::clz, ty, {src}), t.imm(ty, bits - 1));
  const Value zero = t.b.cmp(Cond::Z, src, t.imm(ty, 0));
  if (in.opsize == 4 && t.is64()) {
    // The whole 64-bit destination keeps its value.
    const Value wide = t.b.select(zero, t.gpr(in.op[0].reg, 8), t.b.zext(Type::I64, found));
    t.set_gpr(in.op[0].reg, wide);
  } else {
    t.write(0, t.b.select(zero, t.read(0), found));
  }
  t.set_flags(t.fl(Opcode::flags_logic, {src}));
}

void tr_count_zeros(Translator& t, const Insn& in) {
  const Value src = t.read(1);
  const Type ty = t.b.type(src);
  const Value r = t.b.op(in.mnemonic == Mnemonic::TZCNT ? Opcode::ctz : Opcode::clz, ty, {src});
  const Value none = t.b.cmp(Cond::Z, src, t.imm(ty, 0));
  const Value zf =
      t.fl(Opcode::flags_merge, {t.imm(Type::Flags, ir::kFlagOne), t.fl(Opcode::flags_logic, {r})}, ir::kFlagZ);
  t.write(0, r);
  t.set_flags(cond_flags(t, zf, none));
}

void tr_popcnt(Translator& t, const Insn&) {
  const Value src = t.read(1);
  t.write(0, t.b.op(Opcode::popcnt, t.b.type(src), {src}));
  t.set_flags(
      t.fl(Opcode::flags_merge, {t.imm(Type::Flags, ir::kFlagOne), t.fl(Opcode::flags_logic, {src})}, ir::kFlagZ));
}

void tr_bswap(Translator& t, const Insn& in) {
  if (in.opsize == 2) return t.write(0, t.imm(Type::I16, 0));  // undefined; processors clear it
  t.write(0, t.b.op(Opcode::bswap, int_type(in.opsize), {t.read(0)}));
}

void tr_setcc(Translator& t, const Insn& in) { t.write(0, t.b.setcc(static_cast<Cond>(in.opcode & 15), t.flags())); }

void tr_cmov(Translator& t, const Insn& in) {
  const Value src = t.read(1);  // read, and faults, whatever the condition
  t.write(0, t.b.selcc(static_cast<Cond>(in.opcode & 15), t.flags(), src, t.read(0)));
}

}  // namespace doppel::x86
