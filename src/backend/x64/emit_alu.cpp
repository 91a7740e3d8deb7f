// Integer ops. 8- and 16-bit values are worked on in 32-bit registers, whose upper bits are then garbage; only ops that
// also make flags use the host's 8- and 16-bit forms. SDM vol. 2.
#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {

void Emitter::alu_imm(Alu k, const Xbyak::Operand& d, s32 imm) {
  const u32 i = static_cast<u32>(imm);
  switch (k) {
    case Alu::Add: c.add(d, i); break;
    case Alu::Or: c.or_(d, i); break;
    case Alu::Adc: c.adc(d, i); break;
    case Alu::Sbb: c.sbb(d, i); break;
    case Alu::And: c.and_(d, i); break;
    case Alu::Sub: c.sub(d, i); break;
    case Alu::Xor: c.xor_(d, i); break;
    case Alu::Cmp: c.cmp(d, i); break;
  }
}

void Emitter::alu_op(Alu k, const Xbyak::Operand& d, const Xbyak::Operand& s) {
  switch (k) {
    case Alu::Add: c.add(d, s); break;
    case Alu::Or: c.or_(d, s); break;
    case Alu::Adc: c.adc(d, s); break;
    case Alu::Sbb: c.sbb(d, s); break;
    case Alu::And: c.and_(d, s); break;
    case Alu::Sub: c.sub(d, s); break;
    case Alu::Xor: c.xor_(d, s); break;
    case Alu::Cmp: c.cmp(d, s); break;
  }
}

// result (0: not needed) = a op b, flags (0: not needed) of it. EFLAGS are free, or hold the carry input.
void Emitter::alu(Alu k, Value result, Value flags, Value a, Value b, Type t, bool commutes) {
  if (result && vals_[result].uses == 0) result = 0;
  const unsigned exact = ir::type_bits(t), bits = flags ? exact : op_bits(t);
  s32 imm = 0;
  if (commutes) {
    // The constant goes right; the operand whose register may be overwritten goes left.
    if (is_const(a))
      std::swap(a, b);
    else if (result && !is_const(b)) {
      auto reusable = [&](Value v) {
        const int r = vals_[v].reg;
        if (r < 0 || !all_dying(gpr_, r)) return false;
        return (gpr_.temps & bit(r)) != 0 || r == pinned_hint(result);
      };
      const int hint = pinned_hint(result);
      if (vals_[b].reg >= 0 && (vals_[b].reg == hint || (!reusable(a) && reusable(b))) && vals_[a].reg != hint)
        std::swap(a, b);
    }
  }
  const bool has_imm = imm32(b, bits, imm);
  if (!result && k == Alu::Sub) k = Alu::Cmp;
  if (!result && (k == Alu::Cmp || k == Alu::And)) {  // flags only: CMP, TEST
    if (has_imm && k == Alu::Cmp && imm == 0 && vals_[a].reg >= 0) {
      const int ra = use(a);
      c.test(reg(ra, bits), reg(ra, bits));
    } else if (has_imm) {
      const Src s = source(a, bits);
      with(s, bits, [&](const Xbyak::Operand& o) {
        k == Alu::Cmp ? c.cmp(o, static_cast<u32>(imm)) : c.test(o, static_cast<u32>(imm));
      });
    } else {
      const int ra = use(a);
      const Src s = source(b, bits);
      with(s, bits,
           [&](const Xbyak::Operand& o) { k == Alu::Cmp ? c.cmp(reg(ra, bits), o) : c.test(o, reg(ra, bits)); });
    }
    flags_result(flags);
    return;
  }
  Src s;
  if (!has_imm) s = source(b, bits);
  int d;
  u8 zx;
  if (result) {
    d = def_copy(result, a);
    zx = vals_[result].zx;
  } else {
    d = scratch();
    const Src from = source(a, bits);
    with(from, bits, [&](const Xbyak::Operand& o) { c.mov(reg(d, bits), o); });
    zx = 64;
  }
  const Xbyak::Reg dr = reg(d, bits);
  if (has_imm) {
    alu_imm(k, dr, imm);
  } else {
    with(s, bits, [&](const Xbyak::Operand& o) { alu_op(k, dr, o); });
  }
  if (result) {
    if (k == Alu::And && has_imm && imm >= 0) {
      const unsigned width = std::bit_width(static_cast<u32>(imm));
      set_zx(result, bits >= 32 ? width : std::max<unsigned>(zx, bits));
    } else {
      set_zx(result, bits >= 32 ? bits : std::max<unsigned>(zx, bits));
    }
  }
  if (flags) {
    flags_result(flags);
  } else {
    eflags_ = 0;
    ebool_ = 0;
  }
}

// An op that may be paired with its flags op. `pair_` is the other one.
void Emitter::binary(const Op& op, Alu k, bool commutes) {
  clobber_flags();
  alu(k, cur_, pair_, op.arg[0], op.arg[1], op.type, commutes);
}

// The address as an operand of LEA; its registers are locked.
Xbyak::RegExp Emitter::expr_operand(const AddressExpr& e, s64 extra) {
  const int disp = static_cast<s32>(e.disp + extra);
  if (e.base == 0) return r64(use(e.index)) * (1 << e.scale) + disp;
  const int base = use(e.base);
  if (e.index == 0) return r64(base) + disp;
  const int index = use(e.index);
  return r64(base) + r64(index) * (1 << e.scale) + disp;
}

void Emitter::op_add(const Op& op) {
  const Val& v = vals_[cur_];
  if (v.expr) {
    const Xbyak::RegExp address = expr_operand(exprs_[v.expr - 1], 0);
    const unsigned bits = op_bits(op.type);
    c.lea(reg(def(cur_, true), bits), mem(bits, address));
    set_zx(cur_, bits);
    return;
  }
  if (pair_ && (op_of(pair_).code == Opcode::flags_inc || op_of(pair_).code == Opcode::flags_dec)) {
    inc_dec(op_of(pair_), cur_, pair_);
    return;
  }
  s32 imm;
  if (pair_ == 0 && !is_const(op.arg[0])) {
    // LEA leaves EFLAGS alone and needs no copy.
    const bool has_imm = imm32(op.arg[1], ir::type_bits(op.type), imm);
    const int ra = vals_[op.arg[0]].reg;
    const bool in_place = ra >= 0 && all_dying(gpr_, ra) && ((gpr_.temps & bit(ra)) || pinned_hint(cur_) == ra) &&
                          (vals_[cur_].hint == 0 || pinned_hint(cur_) == ra);
    if (!in_place && (has_imm || !is_const(op.arg[1])) && (has_imm || vals_[op.arg[1]].reg >= 0) && ra >= 0) {
      const unsigned bits = op_bits(op.type);
      const int a = use(op.arg[0]);
      const int b = has_imm ? -1 : use(op.arg[1]);
      const int d = def(cur_, true);
      has_imm ? c.lea(reg(d, bits), mem(bits, r64(a) + imm)) : c.lea(reg(d, bits), mem(bits, r64(a) + r64(b)));
      set_zx(cur_, bits);
      return;
    }
  }
  binary(op, Alu::Add, true);
}

void Emitter::op_sub(const Op& op) {
  if (pair_ && (op_of(pair_).code == Opcode::flags_inc || op_of(pair_).code == Opcode::flags_dec)) {
    inc_dec(op_of(pair_), cur_, pair_);
    return;
  }
  s32 imm;
  if (pair_ == 0 && !is_const(op.arg[0]) && imm32(op.arg[1], ir::type_bits(op.type), imm) && imm != INT32_MIN &&
      vals_[op.arg[0]].reg >= 0) {
    const unsigned bits = op_bits(op.type);
    const int a = use(op.arg[0]);
    c.lea(reg(def(cur_, true), bits), mem(bits, r64(a) - imm));
    set_zx(cur_, bits);
    return;
  }
  binary(op, Alu::Sub, false);
}

void Emitter::op_and_(const Op& op) {
  if (pair_ == 0 && is_const(op.arg[1]) && op_bits(op.type) == 32) {  // masks of 8 and 16 bits: MOVZX
    const u64 k = const_value(op.arg[1]);
    if (k == 0xff || (k == 0xffff && op.type == Type::I32)) {
      const unsigned w = k == 0xff ? 8 : 16;
      const Src s = source(op.arg[0], w);
      const int d = def(cur_, true);
      with(s, w, [&](const Xbyak::Operand& o) { c.movzx(r32(d), o); });
      set_zx(cur_, w);
      return;
    }
  }
  binary(op, Alu::And, true);
}
void Emitter::op_or_(const Op& op) { binary(op, Alu::Or, true); }
void Emitter::op_xor_(const Op& op) { binary(op, Alu::Xor, true); }

void Emitter::op_adc(const Op& op) {
  need_carry(op.arg[2]);
  alu(Alu::Adc, cur_, pair_, op.arg[0], op.arg[1], op.type, true);
}
void Emitter::op_sbb(const Op& op) {
  need_carry(op.arg[2]);
  alu(Alu::Sbb, cur_, pair_, op.arg[0], op.arg[1], op.type, false);
}

void Emitter::op_flags_add(const Op& op) {
  clobber_flags();
  alu(Alu::Add, pair_, cur_, op.arg[0], op.arg[1], op.type, true);
}
void Emitter::op_flags_sub(const Op& op) {
  clobber_flags();
  alu(Alu::Sub, pair_, cur_, op.arg[0], op.arg[1], op.type, false);
}
void Emitter::op_flags_adc(const Op& op) {
  need_carry(op.arg[2]);
  alu(Alu::Adc, pair_, cur_, op.arg[0], op.arg[1], op.type, true);
}
void Emitter::op_flags_sbb(const Op& op) {
  need_carry(op.arg[2]);
  alu(Alu::Sbb, pair_, cur_, op.arg[0], op.arg[1], op.type, false);
}
void Emitter::op_flags_logic(const Op& op) {
  clobber_flags();
  const unsigned bits = ir::type_bits(op.type);
  const int a = use(op.arg[0]);
  c.test(reg(a, bits), reg(a, bits));
  flags_result(cur_);
}

// INC and DEC keep CF, so the carry of the older flags is brought into EFLAGS first (if anyone will look at it).
void Emitter::inc_dec(const Op& op, Value result, Value flags) {
  const bool dec = op.code == Opcode::flags_dec;
  const unsigned bits = ir::type_bits(op.type);
  if (result && vals_[result].uses == 0) result = 0;
  if (vals_[flags].flag_need & ir::kFlagC) {
    need_carry(op.arg[1]);
  } else {
    clobber_flags();
  }
  carry_ready_ = true;
  int d;
  if (result) {
    d = def_copy(result, op.arg[0]);
    set_zx(result, bits >= 32 ? bits : std::max<unsigned>(vals_[result].zx, bits));
  } else {
    d = scratch();
    const Src from = source(op.arg[0], bits);
    with(from, bits, [&](const Xbyak::Operand& o) { c.mov(reg(d, bits), o); });
  }
  dec ? c.dec(reg(d, bits)) : c.inc(reg(d, bits));
  flags_result(flags);
}
void Emitter::op_flags_inc(const Op& op) { inc_dec(op, pair_, cur_); }
void Emitter::op_flags_dec(const Op& op) { inc_dec(op, pair_, cur_); }

void Emitter::op_neg(const Op& op) {
  clobber_flags();
  const unsigned bits = pair_ ? ir::type_bits(op.type) : op_bits(op.type);
  if (vals_[cur_].uses == 0) {  // only its flags
    const int a = use(op.arg[0]);
    const int t = scratch();
    c.mov(r64(t), r64(a));
    c.neg(reg(t, bits));
  } else {
    const int d = def_copy(cur_, op.arg[0]);
    c.neg(reg(d, bits));
    set_zx(cur_, bits >= 32 ? bits : std::max<unsigned>(vals_[cur_].zx, bits));
  }
  if (pair_) flags_result(pair_);
}

void Emitter::op_not_(const Op& op) {  // leaves EFLAGS alone
  const unsigned bits = op_bits(op.type);
  carry_ready_ = true;
  const int d = def_copy(cur_, op.arg[0]);
  c.not_(reg(d, bits));
  set_zx(cur_, bits);
}

void Emitter::op_andn(const Op& op) {
  clobber_flags();
  const unsigned bits = op_bits(op.type);
  if (host_.bmi1) {
    const int a = use(op.arg[0]);
    const Src s = source(op.arg[1], bits);
    const int d = def(cur_, true);
    with(s, bits, [&](const Xbyak::Operand& o) { bits == 64 ? c.andn(r64(d), r64(a), o) : c.andn(r32(d), r32(a), o); });
  } else {
    const int b = use(op.arg[1]);
    const int d = def_copy(cur_, op.arg[0]);
    if (d == b) {  // ~a & a
      c.xor_(r32(d), r32(d));
    } else {
      c.not_(reg(d, bits));
      c.and_(reg(d, bits), reg(b, bits));
    }
  }
  set_zx(cur_, bits);
}

// --- multiplication and division

void Emitter::op_mul(const Op& op) {
  clobber_flags();
  const unsigned bits = op_bits(op.type);
  Value a = op.arg[0], b = op.arg[1];
  if (is_const(a)) std::swap(a, b);
  s32 imm;
  if (imm32(b, bits, imm)) {
    const Src s = source(a, bits);
    const int d = def(cur_, true);
    with(s, bits, [&](const Xbyak::Operand& o) { c.imul(reg(d, bits), o, imm); });
  } else {
    const Src s = source(b, bits);
    const int d = def_copy(cur_, a);
    with(s, bits, [&](const Xbyak::Operand& o) { c.imul(reg(d, bits), o); });
  }
  set_zx(cur_, bits);
}

void Emitter::mul_high(const Op& op, bool is_signed) {
  clobber_flags();
  const unsigned bits = ir::type_bits(op.type);
  if (bits == 64) {
    take(kRdx);
    use_in(op.arg[0], kRax);
    const Src s = source(op.arg[1], 64);
    with(s, 64, [&](const Xbyak::Operand& o) { is_signed ? c.imul(o) : c.mul(o); });
    while (gpr_.first[kRax]) detach(gpr_.first[kRax]);
    attach(gpr_, cur_, kRdx);
    set_zx(cur_, 64);
    return;
  }
  // Both extended into twice the width (64 bits for I32), multiplied, shifted down.
  const unsigned wide = bits == 32 ? 64 : 32;
  auto extend = [&](int d, int s) {
    if (is_signed) {
      bits == 32 ? c.movsxd(r64(d), r32(s)) : c.movsx(r32(d), reg(s, bits));
    } else {
      bits == 32 ? c.mov(r32(d), r32(s)) : c.movzx(r32(d), reg(s, bits));
    }
  };
  const int a = use(op.arg[0]), b = use(op.arg[1]);
  const int t = scratch();
  extend(t, b);
  const int d = def(cur_);
  extend(d, a);
  c.imul(reg(d, wide), reg(t, wide));
  is_signed ? c.sar(reg(d, wide), bits) : c.shr(reg(d, wide), bits);
  set_zx(cur_, is_signed ? 64 : bits);
}
void Emitter::op_mulhu(const Op& op) { mul_high(op, false); }
void Emitter::op_mulhs(const Op& op) { mul_high(op, true); }

void Emitter::divide(const Op& op) {
  clobber_flags();
  const unsigned bits = ir::type_bits(op.type);
  const Value quotient = op.code == Opcode::udiv2 ? cur_ : pair_, remainder = op.code == Opcode::udiv2 ? pair_ : cur_;
  take(kRdx);
  unlock(gpr_, kRdx);
  use_in(op.arg[1], kRax);
  if (is_const(op.arg[0]) && const_value(op.arg[0]) == 0) {
    take(kRdx);
    c.xor_(r32(kRdx), r32(kRdx));
  } else {
    use_in(op.arg[0], kRdx);
  }
  // The divisor may share a register that was just overwritten by a copy of something else only if it was moved away:
  // use() knows.
  const int divisor = use(op.arg[2]);
  c.div(reg(divisor, bits));
  while (gpr_.first[kRax]) detach(gpr_.first[kRax]);
  while (gpr_.first[kRdx]) detach(gpr_.first[kRdx]);
  if (quotient && vals_[quotient].uses) {
    attach(gpr_, quotient, kRax);
    set_zx(quotient, bits);
  }
  if (remainder && vals_[remainder].uses) {
    attach(gpr_, remainder, kRdx);
    set_zx(remainder, bits);
  }
}
void Emitter::op_udiv2(const Op& op) { divide(op); }
void Emitter::op_urem2(const Op& op) { divide(op); }

// --- shifts. kind: 0 SHL, 1 SHR, 2 SAR

void Emitter::shift(const Op& op, int kind) {
  if (pair_) {
    shift_flags(op_of(pair_), kind, cur_, pair_);
    return;
  }
  const unsigned type_bits = ir::type_bits(op.type), bits = op_bits(op.type);
  const Value a = op.arg[0], n = op.arg[1];
  auto operand = [&](int d, int s) {  // d = a, with the bits that get shifted in right
    if (kind == 0 || type_bits >= 32) {
      if (d != s) c.mov(reg(d, bits), reg(s, bits));
    } else {
      kind == 1 ? c.movzx(r32(d), reg(s, type_bits)) : c.movsx(r32(d), reg(s, type_bits));
    }
  };
  const bool narrow = kind != 0 && type_bits < 32;
  if (is_const(n)) {
    clobber_flags();
    const u8 k = static_cast<u8>(const_value(n) & (bits - 1));
    int d;
    if (narrow) {
      const int s = use(a);
      d = def(cur_, true);
      operand(d, s);
    } else {
      d = def_copy(cur_, a);
    }
    const Xbyak::Reg dr = reg(d, bits);
    kind == 0 ? c.shl(dr, k) : kind == 1 ? c.shr(dr, k) : c.sar(dr, k);
    set_zx(cur_, kind == 1 ? (type_bits > k ? type_bits - k : 1) : bits);
  } else if (host_.bmi2 && !narrow) {
    const int count = use(n);
    const Src s = source(a, bits);
    const int d = def(cur_, true);
    with(s, bits, [&](const Xbyak::Operand& o) {
      if (bits == 64) {
        kind == 0   ? c.shlx(r64(d), o, r64(count))
        : kind == 1 ? c.shrx(r64(d), o, r64(count))
                    : c.sarx(r64(d), o, r64(count));
      } else {
        kind == 0   ? c.shlx(r32(d), o, r32(count))
        : kind == 1 ? c.shrx(r32(d), o, r32(count))
                    : c.sarx(r32(d), o, r32(count));
      }
    });
    set_zx(cur_, bits);
  } else {
    clobber_flags();
    use_in(n, kRcx);
    int d;
    if (narrow) {
      const int s = use(a);
      d = def(cur_);
      operand(d, s);
    } else {
      d = def_copy(cur_, a);
      if (d == kRcx) {  // a is the count as well and dies here
        const int t = scratch();
        c.mov(r64(t), r64(kRcx));
        detach(cur_);
        attach(gpr_, cur_, t);
        d = t;
      }
    }
    const Xbyak::Reg dr = reg(d, bits);
    kind == 0 ? c.shl(dr, c.cl) : kind == 1 ? c.shr(dr, c.cl) : c.sar(dr, c.cl);
    set_zx(cur_, bits);
  }
}
void Emitter::op_shl(const Op& op) { shift(op, 0); }
void Emitter::op_shr(const Op& op) { shift(op, 1); }
void Emitter::op_sar(const Op& op) { shift(op, 2); }

// The shift and its flags (op is the flags op).
void Emitter::shift_flags(const Op& op, int kind, Value result, Value flags) {
  const unsigned bits = ir::type_bits(op.type);
  const Value a = op.arg[0], n = op.arg[1], old = op.arg[2];
  if (result && vals_[result].uses == 0) result = 0;
  auto dest = [&]() {
    if (!result) {
      const int s = use(a);
      const int t = scratch();
      c.mov(r64(t), r64(s));
      return t;
    }
    int d = def_copy(result, a);
    if (d == kRcx && !is_const(n)) {  // a is the count as well, and ends here
      d = scratch();
      c.mov(r64(d), r64(kRcx));
      detach(result);
      attach(gpr_, result, d);
    }
    set_zx(result, bits >= 32 ? bits : std::max<unsigned>(vals_[result].zx, bits));
    return d;
  };
  auto apply = [&](const Xbyak::Reg& d, auto count) {
    kind == 0 ? c.shl(d, count) : kind == 1 ? c.shr(d, count) : c.sar(d, count);
  };
  if (is_const(n)) {
    const int k = static_cast<int>(const_value(n) & (bits == 64 ? 63 : 31));
    if (k == 0) {  // the flags are the older ones
      hoist(old);
      define_alias(flags, old);
      if (result) def_copy(result, a);
      return;
    }
    clobber_flags();
    apply(reg(dest(), bits), k);
    flags_result(flags);
    eflags_af_ = true;
    return;
  }
  // Count 0 keeps the older flags (AF too): chosen by a CMOV.
  hoist(old);
  clobber_flags();
  take(kRax);
  use_in(n, kRcx);
  const int before = use(old);
  apply(reg(dest(), bits), c.cl);
  c.lahf();
  c.seto(r8(kRax));
  c.and_(r8h(kRax), 0xef);
  c.test(r8(kRcx), bits == 64 ? 63u : 31u);
  c.cmovz(r32(kRax), r32(before));
  attach(gpr_, flags, kRax);
  set_zx(flags, 32);
}

void Emitter::op_flags_shl(const Op& op) { host_.shift_flags ? shift_flags(op, 0, pair_, cur_) : fallback(op); }
void Emitter::op_flags_shr(const Op& op) { host_.shift_flags ? shift_flags(op, 1, pair_, cur_) : fallback(op); }
void Emitter::op_flags_sar(const Op& op) { host_.shift_flags ? shift_flags(op, 2, pair_, cur_) : fallback(op); }

void Emitter::rotate(const Op& op, bool left) {
  const unsigned bits = ir::type_bits(op.type);
  const Value a = op.arg[0], n = op.arg[1];
  if (is_const(n)) {
    const u8 k = static_cast<u8>(const_value(n) & (bits - 1));
    if (host_.bmi2 && bits >= 32) {
      const Src s = source(a, bits);
      const int d = def(cur_, true);
      const u8 right = static_cast<u8>(left ? (bits - k) & (bits - 1) : k);
      with(s, bits, [&](const Xbyak::Operand& o) { bits == 64 ? c.rorx(r64(d), o, right) : c.rorx(r32(d), o, right); });
    } else {
      clobber_flags();
      const int d = def_copy(cur_, a);
      left ? c.rol(reg(d, bits), k) : c.ror(reg(d, bits), k);
    }
  } else {
    clobber_flags();
    use_in(n, kRcx);
    int d = def_copy(cur_, a);
    if (d == kRcx) {
      const int t = scratch();
      c.mov(r64(t), r64(kRcx));
      detach(cur_);
      attach(gpr_, cur_, t);
      d = t;
    }
    left ? c.rol(reg(d, bits), c.cl) : c.ror(reg(d, bits), c.cl);
  }
  set_zx(cur_, bits >= 32 ? bits : 64);
}
void Emitter::op_rotl(const Op& op) { rotate(op, true); }
void Emitter::op_rotr(const Op& op) { rotate(op, false); }

// --- bit counts

void Emitter::bit_scan(const Op& op, bool leading) {
  clobber_flags();
  const unsigned type_bits = ir::type_bits(op.type), bits = op_bits(op.type);
  const int a = use_zx(op.arg[0], 32);
  const int d = def(cur_);
  const Xbyak::Reg dr = reg(d, bits), ar = reg(a, bits);
  if (!leading && type_bits < 32) {  // a one bit above the type ends the scan
    c.mov(r32(d), r32(a));
    c.or_(r32(d), 1u << type_bits);
    host_.bmi1 ? c.tzcnt(dr, dr) : c.bsf(dr, dr);
  } else if (!leading) {
    if (host_.bmi1) {
      c.tzcnt(dr, ar);
    } else {
      const int t = scratch();
      c.mov(r32(t), bits);
      c.bsf(dr, ar);
      mov_cc(4, d, reg(t, bits), bits);
    }
  } else if (host_.lzcnt) {
    c.lzcnt(dr, ar);
    if (type_bits < 32) c.sub(r32(d), 32 - type_bits);
  } else {
    const int t = scratch();
    c.mov(r32(t), 2 * type_bits - 1);  // becomes `bits` by the XOR
    c.bsr(dr, ar);
    mov_cc(4, d, reg(t, bits), bits);
    c.xor_(r32(d), type_bits - 1);
  }
  set_zx(cur_, 8);
}
void Emitter::op_clz(const Op& op) { bit_scan(op, true); }
void Emitter::op_ctz(const Op& op) { bit_scan(op, false); }

void Emitter::op_popcnt(const Op& op) {
  if (!host_.popcnt) {
    fallback(op);
    return;
  }
  clobber_flags();
  const unsigned bits = op_bits(op.type);
  const int a = use_zx(op.arg[0], 32);
  const int d = def(cur_, true);
  c.popcnt(reg(d, bits), reg(a, bits));
  set_zx(cur_, 8);
}

void Emitter::op_bswap(const Op& op) {
  if (op.type == Type::I16) {
    clobber_flags();
    const int d = def_copy(cur_, op.arg[0]);
    c.rol(r16(d), 8);
    set_zx(cur_, 64);
    return;
  }
  const int d = def_copy(cur_, op.arg[0]);
  op.type == Type::I64 ? c.bswap(r64(d)) : c.bswap(r32(d));
  set_zx(cur_, ir::type_bits(op.type));
}

// --- widths and fields

void Emitter::op_zext(const Op& op) {
  const Value a = op.arg[0];
  const unsigned from = ir::type_bits(vals_[a].type);
  realize(a);
  if (vals_[a].reg >= 0 && vals_[a].zx <= from) {
    define_alias(cur_, a);
    return;
  }
  if (is_const(a)) {
    define_alias(cur_, a);
    return;
  }
  const Src s = source(a, from);
  const int d = def(cur_, true);
  with(s, from, [&](const Xbyak::Operand& o) { from == 32 ? c.mov(r32(d), o) : c.movzx(r32(d), o); });
  set_zx(cur_, from);
}

void Emitter::op_sext(const Op& op) {
  const unsigned from = ir::type_bits(vals_[op.arg[0]].type), bits = op_bits(op.type);
  const Src s = source(op.arg[0], from);
  const int d = def(cur_, true);
  with(s, from, [&](const Xbyak::Operand& o) { from == 32 ? c.movsxd(r64(d), o) : c.movsx(reg(d, bits), o); });
  set_zx(cur_, bits);
}

void Emitter::op_trunc(const Op& op) { define_alias(cur_, op.arg[0]); }

void Emitter::op_extract(const Op& op) {
  const unsigned lsb = op.aux & 0xff, width = op.aux >> 8, bits = op_bits(op.type);
  const Value a = op.arg[0];
  const bool round = width == 8 || width == 16 || width == 32;
  const Val& w = vals_[a];
  realize(a);
  if (round && lsb % 8 == 0 && w.reg < 0 && w.slot < 0 && w.home &&
      lsb + width <= ir::type_bits(layout_->rows[w.home - 1].type)) {
    const u32 at = row_offset(w.home - 1) + lsb / 8;
    const int d = def(cur_);
    width == 32 ? c.mov(r32(d), state_mem(32, at)) : c.movzx(r32(d), state_mem(width, at));
    set_zx(cur_, width);
    return;
  }
  if (!round || lsb != 0) clobber_flags();
  const int s = use(a);
  if (round && lsb == 0) {
    const int d = def(cur_, true);
    width == 32 ? c.mov(r32(d), r32(s)) : c.movzx(r32(d), reg(s, width));
    set_zx(cur_, width);
    return;
  }
  if (lsb == 8 && width == 8 && s <= kRbx) {
    const int d = def(cur_, true);
    if (d < kRsp || d == kRsi || d == kRdi) {  // no REX prefix: AH BH CH DH can be named
      c.movzx(r32(d), r8h(s));
      set_zx(cur_, 8);
      return;
    }
    c.mov(r32(d), r32(s));
    c.shr(r32(d), 8);
    c.movzx(r32(d), r8(d));
    set_zx(cur_, 8);
    return;
  }
  const int d = def_copy(cur_, a);
  if (lsb) c.shr(reg(d, bits), static_cast<int>(lsb));
  if (width == 8 || width == 16) {
    if (lsb + width < bits) c.movzx(r32(d), reg(d, width));
  } else if (width <= 31) {
    if (lsb + width < bits) c.and_(r32(d), static_cast<u32>(mask_bits(width)));
  } else if (width == 32) {
    c.mov(r32(d), r32(d));
  } else if (lsb + width < bits) {
    c.shl(r64(d), static_cast<int>(64 - width));
    c.shr(r64(d), static_cast<int>(64 - width));
  }
  set_zx(cur_, width);
}

void Emitter::op_sextract(const Op& op) {
  const unsigned lsb = op.aux & 0xff, width = op.aux >> 8, bits = op_bits(op.type);
  if (lsb == 0 && (width == 8 || width == 16)) {
    const int s = use(op.arg[0]);
    const int d = def(cur_, true);
    c.movsx(reg(d, bits), reg(s, width));
    set_zx(cur_, bits);
    return;
  }
  clobber_flags();
  const int d = def_copy(cur_, op.arg[0]);
  if (width >= bits) return;  // all of it
  if (lsb + width < bits) c.shl(reg(d, bits), static_cast<int>(bits - lsb - width));
  c.sar(reg(d, bits), static_cast<int>(bits - width));
  set_zx(cur_, bits);
}

void Emitter::op_deposit(const Op& op) {
  const unsigned lsb = op.aux & 0xff, width = op.aux >> 8, type_bits = ir::type_bits(op.type), bits = op_bits(op.type);
  const Value a = op.arg[0], b = vals_[cur_].alt;
  if (width >= type_bits) {
    define_alias(cur_, b);
    return;
  }
  if (lsb == 0 && (width == 8 || width == 16)) {
    carry_ready_ = true;
    s32 imm;
    const bool has_imm = imm32(b, width, imm);
    const int s = has_imm ? -1 : use(b);
    const int d = def_copy(cur_, a);
    has_imm ? c.mov(reg(d, width), static_cast<u64>(static_cast<s64>(imm)) & mask_bits(width))
            : c.mov(reg(d, width), reg(s, width));
    set_zx(cur_, std::max<unsigned>(vals_[cur_].zx, width));
    return;
  }
  clobber_flags();
  if (lsb == 8 && width == 8) {
    const int hint = pinned_hint(cur_);
    const int ra = vals_[a].reg;
    const int home = hint >= 0 ? hint : ra;
    if (home >= 0 && home <= kRbx && !is_const(b)) {
      int s = use(b);
      if (s >= kRsp) {  // needs REX: can't be combined with AH BH CH DH
        int t = -1;
        for (int r : {kRax, kRcx, kRdx}) {
          if (t < 0 && r != home && !(gpr_.locked & bit(r))) t = r;
        }
        if (t >= 0) {
          take(t);
          c.mov(r32(t), r32(s));
          s = t;
        }
      }
      if (s < kRsp) {
        const int d = def_copy(cur_, a);
        if (d <= kRbx) {
          c.mov(r8h(d), r8(s));
          set_zx(cur_, std::max<unsigned>(vals_[cur_].zx, 16));
          return;
        }
        insert_field(d, s, lsb, width, bits);
        return;
      }
    }
  }
  if (is_const(b) && type_bits <= 32) {
    const u32 mask = static_cast<u32>(mask_bits(width)) << lsb, k = static_cast<u32>(const_value(b) << lsb) & mask;
    const int d = def_copy(cur_, a);
    if (k != mask) c.and_(r32(d), ~mask);
    if (k) c.or_(r32(d), k);
    set_zx(cur_, 32);
    return;
  }
  const int s = use(b);
  const int d = def_copy(cur_, a);
  insert_field(d, s, lsb, width, bits);
}

// d's bits [lsb, lsb+width) = the low bits of s, by d ^= ((d >> lsb ^ s) & mask) << lsb.
void Emitter::insert_field(int d, int s, unsigned lsb, unsigned width, unsigned bits) {
  const int t = scratch();
  const Xbyak::Reg tr = reg(t, bits), dr = reg(d, bits);
  c.mov(tr, dr);
  if (lsb) c.shr(tr, static_cast<int>(lsb));
  c.xor_(tr, reg(s, bits));
  c.shl(tr, static_cast<int>(bits - width));
  if (bits - width != lsb) c.shr(tr, static_cast<int>(bits - width - lsb));
  c.xor_(dr, tr);
  set_zx(cur_, bits);
}

}  // namespace doppel::backend::x64
