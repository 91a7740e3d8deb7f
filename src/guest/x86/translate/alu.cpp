// Integer arithmetic and logic (SDM vol. 2). Locked forms are one atomic op each; ADC and SBB add the carry to the
// source first. Undefined flags: what the plain result gives, or zero; the same on every host.
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {

using ir::AtomicOp;

namespace {

struct AluResult {
  Value value, flags;
};

AluResult alu(Translator& t, Mnemonic m, Value a, Value b) {
  ir::Builder& o = t.b;
  const Type ty = o.type(a);
  const auto flags2 = [&](Opcode code) { return t.fl(code, {a, b}); };
  switch (m) {
    case Mnemonic::ADD: return {o.add(a, b), flags2(Opcode::flags_add)};
    case Mnemonic::SUB:
    case Mnemonic::CMP: return {o.sub(a, b), flags2(Opcode::flags_sub)};
    case Mnemonic::ADC: {
      const Value f = t.flags();
      return {o.op(Opcode::adc, ty, {a, b, f}), t.fl(Opcode::flags_adc, {a, b, f})};
    }
    case Mnemonic::SBB: {
      const Value f = t.flags();
      return {o.op(Opcode::sbb, ty, {a, b, f}), t.fl(Opcode::flags_sbb, {a, b, f})};
    }
    default: break;
  }
  const Value r = m == Mnemonic::AND ? o.and_(a, b) : m == Mnemonic::OR ? o.or_(a, b) : o.xor_(a, b);
  return {r, t.fl(Opcode::flags_logic, {r})};
}

Value atomic_rmw(Translator& t, const Addr& a, AtomicOp op, Value v) {
  ir::MemInfo m;
  m.stack = a.stack;
  return t.b.op(Opcode::atomic_rmw, t.b.type(v), {a.base, v}, static_cast<u8>(op), m.pack(), static_cast<u64>(a.disp));
}

void locked_alu(Translator& t, const Insn& in) {
  const Value src = t.read(1);
  const Addr a = t.address(in.op[0].size, true);
  AtomicOp op = AtomicOp::Add;
  Value operand = src;
  const auto with_carry = [&] { return t.b.add(src, t.b.zext(t.b.type(src), t.b.setcc(Cond::C, t.flags()))); };
  switch (in.mnemonic) {
    case Mnemonic::ADD: break;
    case Mnemonic::ADC: operand = with_carry(); break;
    case Mnemonic::SUB: op = AtomicOp::Sub; break;
    case Mnemonic::SBB:
      op = AtomicOp::Sub;
      operand = with_carry();
      break;
    case Mnemonic::AND: op = AtomicOp::And; break;
    case Mnemonic::OR: op = AtomicOp::Or; break;
    default: op = AtomicOp::Xor; break;
  }
  const Value old = atomic_rmw(t, a, op, operand);
  t.set_flags(alu(t, in.mnemonic, old, src).flags);
}

// Read-modify-write of operand 0 by one argument, not locked.
template <typename Fn>
void modify(Translator& t, const Insn& in, Fn fn) {
  const Operand& d = in.op[0];
  if (!d.is_mem()) {
    const AluResult r = fn(t.read(d));
    t.write(d, r.value);
    if (r.flags) t.set_flags(r.flags);
    return;
  }
  const Addr a = t.address(d.size, true);
  const AluResult r = fn(t.load_rmw(int_type(d.size), a));
  t.store(a, r.value);
  if (r.flags) t.set_flags(r.flags);
}

// CF = OF = `overflow` (I8), the other flags 0: MUL and IMUL.
Value mul_flags(Translator& t, Value overflow) {
  const Value bits = t.b.mul(t.b.zext(Type::I32, overflow), t.k32(CF | OF));
  return t.fl(Opcode::flags_pack, {bits});
}

}  // namespace

void tr_alu(Translator& t, const Insn& in) {
  if (in.lock) return locked_alu(t, in);
  const Operand &d = in.op[0], &s = in.op[1];
  const Mnemonic m = in.mnemonic;
  if ((m == Mnemonic::XOR || m == Mnemonic::SUB) && d.is_reg() && d.kind == s.kind && d.reg == s.reg) {
    const Value zero = t.imm(int_type(d.size), 0);
    t.write(d, zero);
    return t.set_flags(t.fl(Opcode::flags_logic, {zero}));
  }
  if (m == Mnemonic::CMP) {
    const Value a = t.read(d);
    return t.set_flags(t.fl(Opcode::flags_sub, {a, t.read(s)}));
  }
  const Value b = t.read(s);
  modify(t, in, [&](Value a) { return alu(t, m, a, b); });
}

void tr_test(Translator& t, const Insn&) {
  const Value a = t.read(0), b = t.read(1);
  t.set_flags(t.fl(Opcode::flags_logic, {t.b.and_(a, b)}));
}

void tr_inc_dec(Translator& t, const Insn& in) {
  const bool inc = in.mnemonic == Mnemonic::INC;
  const Opcode code = inc ? Opcode::flags_inc : Opcode::flags_dec;
  const Value one = t.imm(int_type(in.op[0].size), 1);
  if (in.lock) {
    const Value old = atomic_rmw(t, t.address(in.op[0].size, true), inc ? AtomicOp::Add : AtomicOp::Sub, one);
    return t.set_flags(t.fl(code, {old, t.flags()}));
  }
  modify(t, in, [&](Value a) {
    return AluResult{inc ? t.b.add(a, one) : t.b.sub(a, one), t.fl(code, {a, t.flags()})};
  });
}

void tr_not(Translator& t, const Insn& in) {
  if (in.lock) {
    atomic_rmw(t, t.address(in.op[0].size, true), AtomicOp::Xor, t.imm(int_type(in.op[0].size), ~u64{0}));
    return;
  }
  modify(t, in, [&](Value a) { return AluResult{t.b.not_(a), 0}; });
}

void tr_neg(Translator& t, const Insn& in) {
  const auto flags = [&](Value a) { return t.fl(Opcode::flags_sub, {t.imm(t.b.type(a), 0), a}); };
  if (!in.lock) return modify(t, in, [&](Value a) { return AluResult{t.b.neg(a), flags(a)}; });
  // No atomic negation: compare and swap; on a lost race the instruction starts over.
  const Addr a = t.address(in.op[0].size, true);
  const Value old = t.load_rmw(int_type(in.op[0].size), a);
  ir::MemInfo m;
  m.stack = a.stack;
  const Value seen =
      t.b.op(Opcode::atomic_cas, t.b.type(old), {a.base, old, t.b.neg(old)}, 0, m.pack(), static_cast<u64>(a.disp));
  const Value lost = t.b.cmp(Cond::NZ, seen, old);
  t.b.exit_restart(lost, in.pc, t.same_page(in.pc));
  t.set_flags(flags(old));
}

// --- multiplication

void tr_mul(Translator& t, const Insn& in) {
  const bool is_signed = in.mnemonic == Mnemonic::IMUL;
  const unsigned size = in.op[0].size;
  const Value src = t.read(0);
  const auto widen = [&](Type ty, Value v) { return is_signed ? t.b.sext(ty, v) : t.b.zext(ty, v); };
  Value lo, hi;
  if (size == 8) {
    const Value a = t.gpr(RAX, 8);
    lo = t.b.mul(a, src);
    hi = t.b.bin(is_signed ? Opcode::mulhs : Opcode::mulhu, a, src);
  } else {
    const Type wide = size == 4 ? Type::I64 : Type::I32;
    const Value product = t.b.mul(widen(wide, t.gpr(RAX, size)), widen(wide, src));
    lo = t.b.trunc(int_type(size), product);
    hi = t.b.trunc(int_type(size), t.b.shri(product, size * 8));
  }
  const Value overflow =
      is_signed ? t.b.cmp(Cond::NZ, hi, t.b.sari(lo, size * 8 - 1)) : t.b.cmp(Cond::NZ, hi, t.imm(int_type(size), 0));
  if (size == 1) {
    t.set_gpr(RAX, lo);
    t.set_gpr_high(RAX, hi);
  } else {
    t.set_gpr(RAX, lo);
    t.set_gpr(RDX, hi);
  }
  t.set_flags(mul_flags(t, overflow));
}

void tr_imul_reg(Translator& t, const Insn& in) {
  const unsigned size = in.opsize;
  const bool three = in.op[2].kind != OpKind::None;
  const Value a = three ? t.read(1) : t.read(0);
  const Value b = three ? t.read(2) : t.read(1);
  const Value lo = t.b.mul(a, b);
  Value overflow;
  if (size == 2) {
    const Value full = t.b.mul(t.b.sext(Type::I32, a), t.b.sext(Type::I32, b));
    overflow = t.b.cmp(Cond::NZ, full, t.b.sext(Type::I32, lo));
  } else {
    overflow = t.b.cmp(Cond::NZ, t.b.bin(Opcode::mulhs, a, b), t.b.sari(lo, size * 8 - 1));
  }
  t.write(0, lo);
  t.set_flags(mul_flags(t, overflow));
}

// --- division. #DE comes from the helper form, which is taken when the instruction is the first of its region;
// elsewhere the checks are inline and send the rare bad case to such a region.

namespace {

void div_results(Translator& t, unsigned size, Value quotient, Value remainder) {
  if (size == 1) {
    t.set_gpr(RAX, t.b.trunc(Type::I8, quotient));
    t.set_gpr_high(RAX, t.b.trunc(Type::I8, remainder));
    return;
  }
  const Type ty = int_type(size);
  t.set_gpr(RAX, t.b.trunc(ty, quotient));
  t.set_gpr(RDX, t.b.trunc(ty, remainder));
}

void div_by_helper(Translator& t, const Insn& in, Value src) {
  const unsigned size = in.op[0].size;
  const bool is_signed = in.mnemonic == Mnemonic::IDIV;
  const Value lo = t.gpr(RAX, size == 1 ? 2 : size);
  const Value hi = size == 1 ? t.imm(Type::I8, 0) : t.gpr(RDX, size);
  const Value quotient = t.call(Helper::divide, {hi, lo, src, t.k32(size | (is_signed ? 16u : 0u))});
  const Value remainder = t.b.get_reg(Type::I64, kRegTemp0);
  div_results(t, size, quotient, remainder);
}

void div_unsigned(Translator& t, unsigned size, Value src) {
  const Type w = size == 8 ? Type::I64 : Type::I32;
  Value hi = t.imm(w, 0), lo, divisor = t.b.zext(w, src), bad;
  if (size >= 4) {
    hi = t.gpr(RDX, size);
    lo = t.gpr(RAX, size);
    bad = t.b.cmp(Cond::NC, hi, divisor);
  } else if (size == 2) {
    lo = t.b.deposit(t.b.zext(w, t.gpr(RAX, 2)), t.b.zext(w, t.gpr(RDX, 2)), 16, 16);
    bad = t.b.cmp(Cond::NC, t.b.shri(lo, 16), divisor);
  } else {
    lo = t.b.zext(w, t.gpr(RAX, 2));
    bad = t.b.cmp(Cond::NC, t.b.shri(lo, 8), divisor);
  }
  t.restart_if(bad);
  div_results(t, size, t.b.op(Opcode::udiv2, w, {hi, lo, divisor}), t.b.op(Opcode::urem2, w, {hi, lo, divisor}));
}

// Through magnitudes: |dividend| (hi:lo) by |divisor|, then the signs.
void div_signed(Translator& t, unsigned size, Value src) {
  ir::Builder& b = t.b;
  const Type w = size == 8 ? Type::I64 : Type::I32;
  const unsigned wbits = ir::type_bits(w);
  Value hi = t.imm(w, 0), lo, sign;  // sign: all ones when the dividend is negative
  if (size == 8) {
    const Value h = t.gpr(RDX, 8), l = t.gpr(RAX, 8);
    sign = b.sari(h, 63);
    lo = b.sub(b.xor_(l, sign), sign);
    // The carry into the high half: only when the low half became zero.
    const Value carry = b.and_(b.zext(w, b.cmp(Cond::Z, lo, t.imm(w, 0))), sign);
    hi = b.add(b.xor_(h, sign), b.andi(carry, 1));
  } else if (size == 4) {
    const Value n = b.or_(b.shli(b.zext(Type::I64, t.gpr(RDX, 4)), 32), b.zext(Type::I64, t.gpr(RAX, 4)));
    const Value s = b.sari(n, 63);
    const Value magnitude = b.sub(b.xor_(n, s), s);
    sign = b.trunc(w, s);
    lo = b.trunc(w, magnitude);
    hi = b.trunc(w, b.shri(magnitude, 32));
  } else {
    const Value n =
        size == 2 ? b.deposit(b.zext(w, t.gpr(RAX, 2)), b.zext(w, t.gpr(RDX, 2)), 16, 16) : b.sext(w, t.gpr(RAX, 2));
    sign = b.sari(n, 31);
    lo = b.sub(b.xor_(n, sign), sign);
  }
  const Value d = b.sext(w, src);
  const Value dsign = b.sari(d, wbits - 1);
  const Value divisor = b.sub(b.xor_(d, dsign), dsign);
  const Value qsign = b.xor_(sign, dsign);
  t.restart_if(b.cmp(Cond::NC, hi, divisor));  // also a divisor of 0
  const Value q = b.op(Opcode::udiv2, w, {hi, lo, divisor});
  const Value r = b.op(Opcode::urem2, w, {hi, lo, divisor});
  // Largest magnitude: 2^(bits-1) - 1, one more for a negative quotient.
  const Value most = b.add(t.imm(w, mask_bits(size * 8 - 1)), b.andi(qsign, 1));
  t.restart_if(b.cmp(Cond::A, q, most));
  div_results(t, size, b.sub(b.xor_(q, qsign), qsign), b.sub(b.xor_(r, sign), sign));
}

}  // namespace

void tr_div(Translator& t, const Insn& in) {
  const Value src = t.read(0);
  if (t.first_insn()) return div_by_helper(t, in, src);
  if (in.mnemonic == Mnemonic::DIV)
    div_unsigned(t, in.op[0].size, src);
  else
    div_signed(t, in.op[0].size, src);
}

// --- sign extension of the accumulator

void tr_cbw(Translator& t, const Insn& in) { t.set_gpr(RAX, t.b.sext(int_type(in.opsize), t.gpr(RAX, in.opsize / 2))); }

void tr_cwd(Translator& t, const Insn& in) { t.set_gpr(RDX, t.b.sari(t.gpr(RAX, in.opsize), in.opsize * 8 - 1)); }

// --- decimal adjustment

void tr_bcd(Translator& t, const Insn& in) {
  const u32 op = in.mnemonic == Mnemonic::DAA   ? 0
                 : in.mnemonic == Mnemonic::DAS ? 1
                 : in.mnemonic == Mnemonic::AAA ? 2
                                                : 3;
  const Value bits = t.b.op(Opcode::flags_bits, Type::I32, {t.flags()});
  const Value r = t.call(Helper::bcd, {t.k32(op), t.gpr(RAX, 2), bits});  // AX, and EFLAGS bits from bit 16
  t.set_gpr(RAX, t.b.trunc(Type::I16, r));
  t.set_flags(t.fl(Opcode::flags_pack, {t.b.shri(r, 16)}));
}

void tr_aam(Translator& t, const Insn& in) {
  if (in.imm == 0) return t.raise(DE);
  const Value al = t.b.zext(Type::I32, t.gpr(RAX, 1)), zero = t.k32(0), base = t.k32(in.imm);
  const Value q = t.b.op(Opcode::udiv2, Type::I32, {zero, al, base});
  const Value r = t.b.trunc(Type::I8, t.b.op(Opcode::urem2, Type::I32, {zero, al, base}));
  t.set_gpr_high(RAX, t.b.trunc(Type::I8, q));
  t.set_gpr(RAX, r);
  t.set_flags(t.fl(Opcode::flags_logic, {r}));
}

void tr_aad(Translator& t, const Insn& in) {
  const Value r = t.b.add(t.gpr(RAX, 1), t.b.mul(t.gpr_high(RAX), t.imm(Type::I8, in.imm)));
  t.set_gpr(RAX, t.b.zext(Type::I16, r));
  t.set_flags(t.fl(Opcode::flags_logic, {r}));
}

// --- ADCX, ADOX, CRC32

void tr_adx(Translator& t, const Insn& in) {
  const Value a = t.read(0), b = t.read(1), old = t.flags();
  const Type ty = t.b.type(a);
  if (in.mnemonic == Mnemonic::ADCX) {
    const Value f = t.fl(Opcode::flags_adc, {a, b, old});
    t.write(0, t.b.op(Opcode::adc, ty, {a, b, old}));
    return t.set_flags(t.fl(Opcode::flags_merge, {old, f}, ir::kFlagC));
  }
  const Value in_flags = t.fl(Opcode::flags_cf, {old, t.b.setcc(Cond::O, old)});
  const Value out = t.b.setcc(Cond::C, t.fl(Opcode::flags_adc, {a, b, in_flags}));
  const Value of = t.fl(Opcode::flags_pack, {t.b.shli(t.b.zext(Type::I32, out), 11)});
  t.write(0, t.b.op(Opcode::adc, ty, {a, b, in_flags}));
  t.set_flags(t.fl(Opcode::flags_merge, {old, of}, ir::kFlagO));
}

void tr_crc32(Translator& t, const Insn& in) {
  const Value crc = t.gpr(in.op[0].reg, 4);
  const Value r = t.call(Helper::crc32, {crc, t.read(1), t.k32(in.op[1].size)});
  t.write(0, t.b.zext(int_type(in.op[0].size), r));
}

}  // namespace doppel::x86
