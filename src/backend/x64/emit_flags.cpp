// Flags values and comparison results. The newest one lives in EFLAGS until something is about to change EFLAGS; if
// it's needed later and has no copy in the state, SETO AL; LAHF puts it into RAX (ops.def's FLAGS form). The way back
// is CMP AL,81h (OF set if AL = 1); SAHF. SDM vol. 1, 3.4.3.1 and 7.3.14. Trap: shifts leave AF as they like, ops.def
// says 0. No condition reads AF, so it is cleared only when a value is materialised, which costs EFLAGS.
#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {

using ir::Cond;

// --- jumps with 32-bit displacements, patched by hand (Xbyak's labels are too slow for this)

u32 Emitter::jcc(int cc) {
  c.db(0x0f);
  c.db(0x80 | cc);
  c.dd(0);
  return static_cast<u32>(c.getSize()) - 4;
}

u32 Emitter::jmp32() {
  c.db(0xe9);
  c.dd(0);
  return static_cast<u32>(c.getSize()) - 4;
}

void Emitter::patch_to(u32 at, u32 target) {
  if ((at < hot_size_) != (target < hot_size_)) {
    relocs_.push_back({at, Emitted::RelocKind::Part, target});
    return;
  }
  store_le<u32>(buffer_.get() + at, target - (at + 4));
}
void Emitter::patch_here(u32 at) { patch_to(at, static_cast<u32>(c.getSize())); }

void Emitter::set_cc(int cc, int d) {
  using F = void (Xbyak::CodeGenerator::*)(const Xbyak::Operand&);
  using G = Xbyak::CodeGenerator;
  static constexpr F kSet[16] = {&G::seto, &G::setno, &G::setb, &G::setnb, &G::setz, &G::setnz, &G::setbe, &G::setnbe,
                                 &G::sets, &G::setns, &G::setp, &G::setnp, &G::setl, &G::setnl, &G::setle, &G::setnle};
  (c.*kSet[cc])(r8(d));
}

void Emitter::mov_cc(int cc, int d, const Xbyak::Operand& s, unsigned bits) {
  using F = void (Xbyak::CodeGenerator::*)(const Xbyak::Reg&, const Xbyak::Operand&);
  using G = Xbyak::CodeGenerator;
  static constexpr F kMov[16] = {&G::cmovo,  &G::cmovno,  &G::cmovb,  &G::cmovnb, &G::cmovz, &G::cmovnz,
                                 &G::cmovbe, &G::cmovnbe, &G::cmovs,  &G::cmovns, &G::cmovp, &G::cmovnp,
                                 &G::cmovl,  &G::cmovnl,  &G::cmovle, &G::cmovnle};
  (c.*kMov[cc])(reg(d, bits), s);
}

// --- what EFLAGS hold

bool Emitter::flags_const(Value v, u16& out) const {
  if (!is_const(v)) return false;
  out = static_cast<u16>(op_of(v).imm);
  return true;
}

void Emitter::flags_result(Value flags) {
  eflags_ = flags;
  eflags_af_ = false;
  ebool_ = 0;
}

// EFLAGS into RAX, where the value then lives.
void Emitter::materialize(Value flags) {
  ASSERT(eflags_ == flags);
  vacate(gpr_, kRax);
  c.lahf();
  c.seto(r8(kRax));
  attach(gpr_, flags, kRax);
  vals_[flags].zx = 64;
  if (eflags_af_) {
    c.and_(r8h(kRax), 0xef);
    eflags_ = 0;
    eflags_af_ = false;
  }
}

// A value that is only in EFLAGS gets a register.
void Emitter::realize(Value v) {
  Val& w = vals_[v];
  if (w.reg >= 0 || w.slot >= 0 || w.home != 0) return;
  if (v == eflags_) {
    materialize(v);
  } else if (v == ebool_) {
    const int r = alloc(gpr_);
    set_cc(ebool_cc_, r);
    attach(gpr_, v, r);
    w.zx = 64;
  }
}

// Before anything that changes EFLAGS. An op that takes its flags argument from EFLAGS has done so before.
void Emitter::clobber_flags() {
  if (eflags_) {
    const Val& w = vals_[eflags_];
    const bool safe = w.reg >= 0 || w.slot >= 0 || w.home != 0;
    if (w.last_use >= cur_ && !safe) materialize(eflags_);
    eflags_ = 0;
    eflags_af_ = false;
  }
  if (ebool_) {
    if (vals_[ebool_].last_use >= cur_) {
      const u32 locked = gpr_.locked;
      realize(ebool_);
      gpr_.locked = locked;
    }
    ebool_ = 0;
  }
}

void Emitter::hoist(Value v) {
  if (v > cur_ && op_of(v).code == Opcode::get_reg && vals_[v].reg < 0) alias_home(v, static_cast<RegId>(op_of(v).aux));
}

// Reloads EFLAGS from a flags value; what they held is preserved if it is needed.
void Emitter::flags_to_eflags(Value flags) {
  if (eflags_ == flags) return;
  clobber_flags();
  Val& w = vals_[flags];
  if (w.reg != kRax) {
    if (w.reg < 0) {
      vacate(gpr_, kRax);
      load_into(kRax, flags);
      if (!is_const(flags)) attach(gpr_, flags, kRax);
    } else {
      vacate(gpr_, kRax);
      c.mov(r32(kRax), r32(w.reg));
    }
  }
  c.cmp(r8(kRax), static_cast<u32>(-127));
  c.sahf();
  eflags_ = is_const(flags) ? 0 : flags;
  eflags_af_ = false;
}

// CF of EFLAGS = the carry of a flags value; the other flags are lost.
void Emitter::need_carry(Value flags) {
  u16 k;
  hoist(flags);
  if (eflags_ == flags && !is_const(flags)) {
    // Others may need it after this op changes EFLAGS.
    const Val& w = vals_[flags];
    if (w.last_use > cur_ && w.reg < 0 && w.slot < 0 && w.home == 0) {
      const bool af = eflags_af_;
      materialize(flags);
      if (af) {
        c.bt(r32(w.reg), 8);
      }
    }
    eflags_ = 0;
  } else {
    clobber_flags();
    const Val& w = vals_[flags];
    if (flags_const(flags, k)) {
      (k & ir::kFlagC) ? c.stc() : c.clc();
    } else if (w.reg < 0 && w.slot < 0 && w.home) {
      c.bt(state_mem(16, row_offset(w.home - 1)), 8);
    } else {
      c.bt(r32(use(flags)), 8);
    }
  }
  carry_ready_ = true;
}

int Emitter::prepare_cond(Value flags, Cond cond) {
  const int cc = static_cast<int>(cond);
  u16 k;
  if (flags_const(flags, k)) return ir::cond_holds(cond, k) ? -2 : -1;
  if (eflags_ == flags) return cc;
  const int group = cc >> 1;
  if (group >= 6) {  // L, LE and their inverses
    flags_to_eflags(flags);
    return cc;
  }
  clobber_flags();
  const u16 mask = flags_of_cond(cond);
  const Val& w = vals_[flags];
  if (w.reg < 0 && w.slot < 0 && w.home) {
    const u32 at = row_offset(w.home - 1);
    mask == ir::kFlagO ? c.test(state_mem(8, at), 1) : c.test(state_mem(8, at + 1), static_cast<u32>(mask >> 8));
  } else {
    const int r = use(flags);
    if (mask == ir::kFlagO) {
      c.test(r8(r), 1);
    } else if (r <= kRbx) {
      c.test(r8h(r), static_cast<u32>(mask >> 8));
    } else {
      c.test(r32(r), static_cast<u32>(mask));
    }
  }
  return (cc & 1) ? 4 : 5;  // Z if the condition is an inverted one, else NZ
}

// Host condition under which the I8 value b is not zero; -1 never, -2 always.
int Emitter::prepare_bool(Value b) {
  if (is_const(b)) return const_value(b) ? -2 : -1;
  if (ebool_ == b) return ebool_cc_;
  clobber_flags();
  const Src s = source(b, 8);
  if (s.reg >= 0) {
    c.test(r8(s.reg), r8(s.reg));
  } else {
    with(s, 8, [&](const Xbyak::Operand& m) { c.cmp(m, 0); });
  }
  return 5;
}

// --- ops

void Emitter::op_setcc(const Op& op) {
  const int cc = prepare_cond(op.arg[0], static_cast<Cond>(op.sub));
  const int r = def(cur_);
  if (cc < 0) {
    c.mov(r32(r), cc == -2);
  } else {
    set_cc(cc, r);
    c.movzx(r32(r), r8(r));
  }
  set_zx(cur_, 8);
}

void Emitter::op_selcc(const Op& op) {
  const unsigned bits = op_bits(op.type);
  const int cc = prepare_cond(op.arg[0], static_cast<Cond>(op.sub));
  if (cc < 0) {
    carry_ready_ = true;
    def_copy(cur_, op.arg[cc == -2 ? 1 : 2]);
    return;
  }
  carry_ready_ = true;  // EFLAGS are needed until the CMOV
  const int b = use(op.arg[1]);
  const int d = def_copy(cur_, op.arg[2]);
  mov_cc(cc, d, reg(b, bits), bits);
  set_zx(cur_, bits == 32 ? 32 : 64);
}

void Emitter::op_select(const Op& op) {
  const unsigned bits = op_bits(op.type);
  const int cc = prepare_bool(op.arg[0]);
  carry_ready_ = true;
  if (cc < 0) {
    def_copy(cur_, op.arg[cc == -2 ? 1 : 2]);
    return;
  }
  const int b = use(op.arg[1]);
  const int d = def_copy(cur_, op.arg[2]);
  mov_cc(cc, d, reg(b, bits), bits);
  set_zx(cur_, bits == 32 ? 32 : 64);
}

void Emitter::op_cmp(const Op& op) {
  clobber_flags();
  const unsigned bits = ir::type_bits(op.type);
  s32 k;
  int cc = op.sub;
  Value a = op.arg[0], b = op.arg[1];
  if (is_const(a) && !is_const(b)) {  // a constant is an operand only on the right
    static constexpr u8 kSwap[16] = {0, 1, 7, 6, 4, 5, 3, 2, 8, 9, 10, 11, 15, 14, 13, 12};
    std::swap(a, b);
    cc = kSwap[cc];
  }
  if (imm32(b, bits, k)) {
    const Src s = source(a, bits);
    if (k == 0 && s.reg >= 0) {
      c.test(reg(s.reg, bits), reg(s.reg, bits));
    } else {
      with(s, bits, [&](const Xbyak::Operand& o) { c.cmp(o, static_cast<u32>(k)); });
    }
  } else {
    const int ra = use(a);
    const Src s = source(b, bits);
    with(s, bits, [&](const Xbyak::Operand& o) { c.cmp(reg(ra, bits), o); });
  }
  if (vals_[cur_].uses == 1) {
    ebool_ = cur_;
    ebool_cc_ = static_cast<u8>(cc);
    return;
  }
  const int r = def(cur_);
  set_cc(cc, r);
  c.movzx(r32(r), r8(r));
  set_zx(cur_, 8);
}

void Emitter::op_flags_merge(const Op& op) {
  u16 kb;
  const u32 mask = op.aux & ir::kFlagsAll;
  clobber_flags();
  if (flags_const(op.arg[1], kb)) {
    const int d = def_copy(cur_, op.arg[0]);
    c.and_(r32(d), static_cast<u32>(~mask) & 0xffff);
    if (kb & mask) c.or_(r32(d), kb & mask);
    c.or_(r32(d), ir::kFlagOne);
  } else {
    const int b = use(op.arg[1]);
    const int d = def_copy(cur_, op.arg[0]);  // a ^ ((a ^ b) & mask)
    const int t = scratch();
    c.mov(r32(t), r32(d));
    c.xor_(r32(t), r32(b));
    c.and_(r32(t), mask);
    c.xor_(r32(d), r32(t));
  }
  set_zx(cur_, 64);
}

void Emitter::op_flags_pack(const Op& op) {
  clobber_flags();
  const int a = use(op.arg[0]);
  const int d = def(cur_);
  const int t = scratch();
  c.mov(r32(d), r32(a));
  c.mov(r32(t), r32(d));
  c.and_(r32(d), 0xd5);
  c.shl(r32(d), 8);
  c.shr(r32(t), 11);
  c.and_(r32(t), 1);
  c.lea(r32(d), mem(32, r64(d) + r64(t) + ir::kFlagOne));
  set_zx(cur_, 16);
}

void Emitter::op_flags_bits(const Op& op) {
  u16 k;
  if (flags_const(op.arg[0], k)) {
    c.mov(r32(def(cur_)), ir::flags_to_eflags(k));
    set_zx(cur_, 32);
    return;
  }
  clobber_flags();
  const int a = use(op.arg[0]);
  const int d = def(cur_);
  const int t = scratch();
  c.mov(r32(d), r32(a));
  c.mov(r32(t), r32(d));
  c.shr(r32(d), 8);
  c.and_(r32(d), 0xd5);
  c.and_(r32(t), 1);
  c.shl(r32(t), 11);
  c.or_(r32(d), r32(t));
  set_zx(cur_, 32);
}

void Emitter::op_flags_cf(const Op& op) {
  clobber_flags();
  const Value b = op.arg[1];
  if (is_const(b)) {
    const int d = def_copy(cur_, op.arg[0]);
    (const_value(b) & 1) ? c.or_(r32(d), ir::kFlagC) : c.and_(r32(d), 0xffff & ~u32{ir::kFlagC});
  } else {
    const int rb = use(b);
    const int d = def_copy(cur_, op.arg[0]);
    const int t = scratch();
    c.mov(r32(t), r32(rb));
    c.and_(r32(t), 1);
    c.shl(r32(t), 8);
    c.and_(r32(d), 0xffff & ~u32{ir::kFlagC});
    c.or_(r32(d), r32(t));
  }
  set_zx(cur_, 64);
}

}  // namespace doppel::backend::x64
