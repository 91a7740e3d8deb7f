// Loads and stores (vol. II-A).
#include "guest/mips/translate/translator.h"

namespace doppel::mips {
namespace {

// LWL, LWR, LDL, LDR: the bytes of an aligned word from the address on, to the word's end, upwards or downwards.
Value load_part(Translator& t, const Insn& in, Type type, bool left, Value old) {
  ir::Builder& x = t.b;
  const Addr a = t.address(in.rs(), in.simm());
  const Value address = x.addi(a.base, static_cast<u64>(a.disp));
  const u64 size = ir::type_bytes(type);
  const Value memory = t.load(type, {x.andi(address, ~(size - 1)), 0});
  Value at = x.trunc(Type::I8, x.andi(address, size - 1));
  if (t.model.big_endian) at = x.xor_(at, x.konst(Type::I8, size - 1));
  // `at` is the significance of the addressed byte in the word.
  const Value ones = x.konst(type, ~u64{0});
  const Value n = left ? x.xor_(at, x.konst(Type::I8, size - 1)) : at;
  const Value bits = x.shli(n, 3);
  const Value mask = left ? x.shl(ones, bits) : x.shr(ones, bits);
  const Value moved = left ? x.shl(memory, bits) : x.shr(memory, bits);
  return x.or_(moved, x.op(Opcode::andn, type, {mask, old}));
}

struct Access {
  Type type;
  bool sign;
};
Access access_of(unsigned opcode) {
  switch (opcode) {
    case 32:
    case 40: return {Type::I8, true};
    case 33:
    case 41: return {Type::I16, true};
    case 36: return {Type::I8, false};
    case 37: return {Type::I16, false};
    case 39: return {Type::I32, false};
    case 55:
    case 63: return {Type::I64, true};
    default: return {Type::I32, true};
  }
}

void store_part(Translator& t, const Insn& in, Value value) {
  const Addr a = t.address(in.rs(), in.simm());
  t.call(Helper::store_part, {t.full_address(a), value, t.k32(in.op())});
}

}  // namespace

void tr_load(Translator& t, const Insn& in) {
  const Access access = access_of(in.op());
  if (in.op() == 39 || in.op() == 55) {
    if (!t.require_64bit()) return;
  }
  const Value v = t.load(access.type, t.address(in.rs(), in.simm()));
  t.set_gpr(in.rt(), access.sign ? t.b.sext(t.word(), v) : t.b.zext(t.word(), v));
}

void tr_store(Translator& t, const Insn& in) {
  const Access access = access_of(in.op());
  if (in.op() == 63 && !t.require_64bit()) return;
  t.store(t.address(in.rs(), in.simm()), t.b.trunc(access.type, t.gpr(in.rt())));
}

void tr_load_part(Translator& t, const Insn& in) {
  t.set_gpr32(in.rt(), load_part(t, in, Type::I32, in.op() == 34, t.gpr32(in.rt())));
}

void tr_load_part64(Translator& t, const Insn& in) {
  if (!t.require_64bit()) return;
  t.set_gpr(in.rt(), load_part(t, in, Type::I64, in.op() == 26, t.gpr(in.rt())));
}

void tr_store_part(Translator& t, const Insn& in) {
  if ((in.op() == 44 || in.op() == 45) && !t.require_64bit()) return;
  store_part(t, in, t.b.zext(Type::I64, t.gpr(in.rt())));
}

void tr_ll(Translator& t, const Insn& in) {
  const bool wide = in.op() == 52;
  if (wide && !t.require_64bit()) return;
  const Addr a = t.address(in.rs(), in.simm());
  const Value v = t.load(wide ? Type::I64 : Type::I32, a, true);
  t.b.set_reg(kRegLlAddress, t.full_address(a));
  t.b.set_reg(kRegLlValue, v);
  t.b.set_reg(kRegLlBit, t.imm(Type::I8, 1));
  t.set_gpr(in.rt(), wide ? v : t.widen(v));
}

void tr_sc(Translator& t, const Insn& in) {
  const bool wide = in.op() == 60;
  if (wide && !t.require_64bit()) return;
  const Value address = t.full_address(t.address(in.rs(), in.simm()));
  const Value done =
      t.call(Helper::store_conditional, {address, t.b.zext(Type::I64, t.gpr(in.rt())), t.k32(wide ? 8 : 4)});
  t.set_gpr(in.rt(), t.b.zext(t.word(), done));
}

void tr_sync(Translator& t, const Insn&) { t.b.op(Opcode::fence, Type::Void, {}); }

// Caches are not modelled: memory is always coherent with them.
void tr_cache(Translator& t, const Insn&) { static_cast<void>(t.require_cp0()); }

void tr_cop2(Translator& t, const Insn&) { t.raise(EXC_CPU, 2); }

// --- floating point

void tr_load_fp(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const Addr a = t.address(in.rs(), in.simm());
  if (in.op() == 49)
    t.set_fpr32(in.ft(), t.load(Type::I32, a));
  else
    t.set_fpr64(in.ft(), t.load(Type::I64, a));
}

void tr_store_fp(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const Addr a = t.address(in.rs(), in.simm());
  t.store(a, in.op() == 57 ? t.fpr32(in.ft()) : t.fpr64(in.ft()));
}

namespace {
// LUXC1 and SUXC1 leave the low three bits of the address out.
Addr indexed(Translator& t, const Insn& in, bool unaligned) {
  Addr a = t.address_sum(in.rs(), in.rt());
  if (unaligned) a.base = t.b.andi(a.base, ~u64{7});
  return a;
}
}  // namespace

void tr_load_fp_indexed(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const Addr a = indexed(t, in, in.funct() == 5);
  if (in.funct() == 0)
    t.set_fpr32(in.fd(), t.load(Type::I32, a, true));
  else
    t.set_fpr64(in.fd(), t.load(Type::I64, a, true));
}

void tr_store_fp_indexed(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const Addr a = indexed(t, in, in.funct() == 13);
  t.store(a, in.funct() == 8 ? t.fpr32(in.fs()) : t.fpr64(in.fs()), true);
}

void tr_fp_nothing(Translator& t, const Insn&) { static_cast<void>(t.require_fpu()); }

}  // namespace doppel::mips
