// Data movement, exchange, flag bytes and hints (SDM vol. 2).
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {

void tr_mov(Translator& t, const Insn&) { t.write(0, t.read(1)); }

void tr_movzx(Translator& t, const Insn& in) { t.write(0, t.b.zext(int_type(in.opsize), t.read(1))); }

void tr_movsx(Translator& t, const Insn& in) { t.write(0, t.b.sext(int_type(in.opsize), t.read(1))); }

void tr_movbe(Translator& t, const Insn& in) { t.write(0, t.b.op(Opcode::bswap, int_type(in.opsize), {t.read(1)})); }

void tr_lea(Translator& t, const Insn& in) {
  const Value ea = t.effective_address(in.mem);
  t.write(0, t.b.zext(int_type(in.opsize), ea));
}

void tr_xchg(Translator& t, const Insn& in) {
  const Operand &d = in.op[0], &s = in.op[1];
  if (in.map == Map::M1 && in.opcode == 0x90 && d.reg == RAX) return;  // NOP
  const Value v = t.read(s);
  if (d.is_mem()) {
    const Addr a = t.address(d.size, true);
    ir::MemInfo m;
    m.stack = a.stack;
    const Value old = t.b.op(Opcode::atomic_rmw, t.b.type(v), {a.base, v}, static_cast<u8>(ir::AtomicOp::Xchg),
                             m.pack(), static_cast<u64>(a.disp));
    return t.write(s, old);
  }
  const Value old = t.read(d);
  t.write(d, v);
  t.write(s, old);
}

void tr_xadd(Translator& t, const Insn& in) {
  const Operand &d = in.op[0], &s = in.op[1];
  const Value v = t.read(s);
  Value old;
  if (in.lock) {
    const Addr a = t.address(d.size, true);
    ir::MemInfo m;
    m.stack = a.stack;
    old = t.b.op(Opcode::atomic_rmw, t.b.type(v), {a.base, v}, static_cast<u8>(ir::AtomicOp::Add), m.pack(),
                 static_cast<u64>(a.disp));
    t.write(s, old);
  } else if (d.is_mem()) {
    const Addr a = t.address(d.size, true);
    old = t.load_rmw(t.b.type(v), a);
    t.store(a, t.b.add(old, v));
    t.write(s, old);
  } else {
    old = t.read(d);
    t.write(s, old);
    t.write(d, t.b.add(old, v));  // the sum wins when both are one register
  }
  t.set_flags(t.fl(Opcode::flags_add, {old, v}));
}

void tr_cmpxchg(Translator& t, const Insn& in) {
  const Operand &d = in.op[0], &s = in.op[1];
  const unsigned size = d.size;
  const Value acc = t.gpr(RAX, size), src = t.read(s);
  Value old;
  if (d.is_mem()) {
    const Addr a = t.address(size, true);
    ir::MemInfo m;
    m.stack = a.stack;
    old = t.b.op(Opcode::atomic_cas, int_type(size), {a.base, acc, src}, 0, m.pack(), static_cast<u64>(a.disp));
  } else {
    old = t.read(d);
  }
  const Value f = t.fl(Opcode::flags_sub, {acc, old});
  const Value equal = t.b.cmp(Cond::Z, acc, old);
  // Equal: the accumulator is not written, so a 32-bit form keeps its high half.
  if (size == 4 && t.is64())
    t.set_gpr(RAX, t.b.select(equal, t.gpr(RAX, 8), t.b.zext(Type::I64, old)));
  else
    t.set_gpr(RAX, t.b.select(equal, acc, old));
  if (!d.is_mem()) {
    if (size == 4 && t.is64()) {
      // Not equal: the destination is not written either. The accumulator itself is always equal.
      const Value whole =
          d.reg == RAX ? t.b.zext(Type::I64, src) : t.b.select(equal, t.b.zext(Type::I64, src), t.gpr(d.reg, 8));
      t.set_gpr(d.reg, whole);
    } else {
      t.write(d, t.b.select(equal, src, old));
    }
  }
  t.set_flags(f);
}

void tr_cmpxchg8b(Translator& t, const Insn& in) {
  if (in.rex_w()) {
    const Addr a = t.address(16, true);
    const Value equal = t.call(Helper::cmpxchg16b, {t.b.addi(a.base, static_cast<u64>(a.disp))});
    const Value zf = t.fl(Opcode::flags_pack, {t.b.shli(t.b.zext(Type::I32, equal), 6)});
    return t.set_flags(t.fl(Opcode::flags_merge, {t.flags(), zf}, ir::kFlagZ));
  }
  ir::Builder& b = t.b;
  const auto pair = [&](unsigned hi, unsigned lo) {
    return b.or_(b.shli(b.zext(Type::I64, t.gpr(hi, 4)), 32), b.zext(Type::I64, t.gpr(lo, 4)));
  };
  const Addr a = t.address(8, true);
  const Value expected = pair(RDX, RAX);
  ir::MemInfo m;
  m.stack = a.stack;
  const Value old =
      b.op(Opcode::atomic_cas, Type::I64, {a.base, expected, pair(RCX, RBX)}, 0, m.pack(), static_cast<u64>(a.disp));
  const Value equal = b.cmp(Cond::Z, old, expected);
  const Type whole = t.addr_type();  // an equal compare leaves the high halves alone
  const auto part = [&](Value v) { return b.zext(whole, b.trunc(Type::I32, v)); };
  const Value rax = b.select(equal, t.gpr(RAX, ir::type_bytes(whole)), part(old));
  const Value rdx = b.select(equal, t.gpr(RDX, ir::type_bytes(whole)), part(b.shri(old, 32)));
  t.set_gpr(RAX, rax);
  t.set_gpr(RDX, rdx);
  const Value zf = t.fl(Opcode::flags_pack, {b.shli(b.zext(Type::I32, equal), 6)});
  t.set_flags(t.fl(Opcode::flags_merge, {t.flags(), zf}, ir::kFlagZ));
}

void tr_xlat(Translator& t, const Insn& in) {
  MemOperand m;
  m.seg = in.seg == kNoReg ? static_cast<u8>(DS) : in.seg;
  m.base = RBX;
  const Type ty = in.addrsize == 8 ? Type::I64 : Type::I32;
  Value offset = t.b.add(t.effective_address(m), t.b.zext(ty, t.gpr(RAX, 1)));
  if (in.addrsize == 2) offset = t.b.extract(offset, 0, 16);
  t.set_gpr(RAX, t.load(Type::I8, t.segment_address(m.seg, offset, 0, 1, false)));
}

// --- flags

void tr_lahf(Translator& t, const Insn&) {
  const Value bits = t.b.op(Opcode::flags_bits, Type::I32, {t.flags()});
  t.set_gpr_high(RAX, t.b.trunc(Type::I8, t.b.or_(bits, t.k32(2))));
}

void tr_sahf(Translator& t, const Insn&) {
  const Value f = t.fl(Opcode::flags_pack, {t.b.zext(Type::I32, t.gpr_high(RAX))});
  t.set_flags(t.fl(Opcode::flags_merge, {t.flags(), f}, static_cast<u32>(ir::kFlagsAll & ~ir::kFlagO)));
}

void tr_carry(Translator& t, const Insn& in) {
  const Value f = t.flags();
  const Value c = in.mnemonic == Mnemonic::CMC ? t.b.setcc(Cond::NC, f) : t.imm(Type::I8, in.mnemonic == Mnemonic::STC);
  t.set_flags(t.fl(Opcode::flags_cf, {f, c}));
}

void tr_direction(Translator& t, const Insn& in) {
  const Value e = t.b.get_reg(Type::I32, kRegEflagsSys);
  t.b.set_reg(kRegEflagsSys, in.mnemonic == Mnemonic::CLD ? t.b.andi(e, ~u64{DF}) : t.b.or_(e, t.k32(DF)));
}

void tr_salc(Translator& t, const Insn&) { t.set_gpr(RAX, t.b.neg(t.b.setcc(Cond::C, t.flags()))); }

// --- hints and fences

void tr_nop(Translator&, const Insn&) {}

void tr_pause(Translator& t, const Insn& in) {
  if (in.rex & 1) return tr_xchg(t, in);
  t.call_and_leave(Helper::pause);
}

void tr_clflush(Translator& t, const Insn&) { t.load(Type::I8, t.address(1, false)); }

// Loads are never reordered with loads, nor stores with stores, in guest code run on any host; MFENCE is the one that
// costs.
void tr_fence(Translator& t, const Insn& in) {
  if (in.mnemonic == Mnemonic::MFENCE) t.b.op(Opcode::fence, Type::Void, {});
}

}  // namespace doppel::x86
