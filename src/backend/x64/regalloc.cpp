// Register allocation during emission: linear scan with last uses known. See emitter.h for where a value may be.
// Nothing is freed explicitly: a register whose values have all had their last use is free. Registers named by the
// current op are locked. Trap: instructions emitted here must not change EFLAGS (mov_imm looks before it uses XOR).
#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {

u64 Emitter::const_value(Value v) const {
  const Op& op = region_->ops[v];
  return op.imm & mask_bits(ir::type_bits(op.type));
}

bool Emitter::imm32(Value v, unsigned bits, s32& out) const {
  if (!is_const(v)) return false;
  const s64 k = static_cast<s64>(sign_extend(region_->ops[v].imm, bits));
  out = static_cast<s32>(k);
  return k == out;
}

void Emitter::attach(RegFile& f, Value v, int r) {
  prune(f, r);
  vals_[v].reg = static_cast<s8>(r);
  vals_[v].next = f.first[r];
  f.first[r] = v;
}

void Emitter::detach(Value v) {
  Val& w = vals_[v];
  if (w.reg < 0) return;
  Value* p = &file_of(v).first[w.reg];
  while (*p != v) p = &vals_[*p].next;
  *p = w.next;
  w.next = 0;
  w.reg = kNoReg;
}

// Forgets values whose last use is past.
void Emitter::prune(RegFile& f, int r) {
  Value* p = &f.first[r];
  while (*p) {
    Val& w = vals_[*p];
    if (w.last_use >= cur_) {
      p = &w.next;
      continue;
    }
    *p = w.next;
    w.next = 0;
    w.reg = kNoReg;
  }
}

bool Emitter::all_dying(RegFile& f, int r) {
  for (Value v = f.first[r]; v; v = vals_[v].next) {
    if (vals_[v].last_use > cur_) return false;
  }
  return true;
}

int Emitter::find_free(RegFile& f) {
  for (int i = 0; i < f.count; i++) {
    const int r = f.order[i];
    if (f.locked & bit(r)) continue;
    if (f.first[r]) prune(f, r);
    if (f.first[r]) continue;
    lock(f, r);
    return r;
  }
  return -1;
}

int Emitter::alloc(RegFile& f) {
  if (const int r = find_free(f); r >= 0) return r;
  int best = -1;
  u32 best_score = 0;
  for (int i = 0; i < f.count; i++) {
    const int r = f.order[i];
    if (f.locked & bit(r)) continue;
    u32 score = 0x20000;
    for (Value v = f.first[r]; v; v = vals_[v].next) {
      const Val& w = vals_[v];
      const bool free_to_drop = w.home || w.slot >= 0 || is_const(v);
      score = std::min<u32>(score, w.last_use + (free_to_drop ? 0x10000u : 0u));
    }
    if (best < 0 || score > best_score) {
      best = r;
      best_score = score;
    }
  }
  ASSERT_MSG(best >= 0, "x64 backend: all temporaries are locked");
  for (Value v = f.first[best]; v; v = vals_[v].next) save(v, true);
  while (f.first[best]) detach(f.first[best]);
  lock(f, best);
  return best;
}

int Emitter::alloc_slot(bool xmm, Value v) {
  Value* owner = xmm ? xmm_slot_ : gpr_slot_;
  const int n = xmm ? kXmmSlots : kGprSlots;
  for (int i = 0; i < n; i++) {
    if (owner[i] != 0 && vals_[owner[i]].last_use >= cur_ && vals_[owner[i]].slot == i) continue;
    if (owner[i]) vals_[owner[i]].slot = -1;
    owner[i] = v;
    int& used = xmm ? xmm_slots_used_ : gpr_slots_used_;
    used = std::max(used, i + 1);
    return i;
  }
  ASSERT_MSG(false, "x64 backend: out of spill slots");
  return 0;
}

// Leaves a copy of v in memory. With `home_is_safe` false the state is about to change: its home doesn't count.
void Emitter::save(Value v, bool home_is_safe) {
  Val& w = vals_[v];
  if (w.last_use < cur_ || is_const(v) || w.slot >= 0 || (w.home && home_is_safe)) return;
  if (v == eflags_ && w.reg < 0) return;
  const bool xmm = w.type == Type::V128;
  if (w.reg < 0) use(v);
  const int slot = alloc_slot(xmm, v);
  w.slot = static_cast<s16>(slot);
  w.slot_zx = w.zx;
  if (xmm) {
    host_.avx ? c.vmovaps(stack_mem(128, kXmmSlotOffset + slot * 16), Xbyak::Xmm(w.reg))
              : c.movaps(stack_mem(128, kXmmSlotOffset + slot * 16), Xbyak::Xmm(w.reg));
  } else {
    c.mov(stack_mem(64, kGprSlotOffset + slot * 8), r64(w.reg));
  }
}

// Makes r free: what lives there moves to another register (for a pinned one perhaps one that holds the same) or to
// memory.
void Emitter::vacate(RegFile& f, int r) {
  prune(f, r);
  if (!f.first[r]) return;
  bool needed = false;
  for (Value v = f.first[r]; v; v = vals_[v].next) needed |= !is_const(v) && !vals_[v].home && vals_[v].slot < 0;
  if (!needed) {
    while (f.first[r]) detach(f.first[r]);
    return;
  }
  const u32 locked = f.locked;
  lock(f, r);
  const int to = find_free(f);
  f.locked = locked;
  if (to < 0) {
    for (Value v = f.first[r]; v; v = vals_[v].next) save(v, true);
    while (f.first[r]) detach(f.first[r]);
    return;
  }
  if (f.xmm) {
    xmov(to, r);
  } else {
    c.mov(r64(to), r64(r));
  }
  while (const Value v = f.first[r]) {
    detach(v);
    attach(f, v, to);
  }
}

void Emitter::mov_imm(int r, u64 imm) {
  if (imm == 0 && flags_free()) {
    c.xor_(r32(r), r32(r));
  } else if (imm <= 0xffffffffu) {
    c.mov(r32(r), static_cast<u32>(imm));
  } else {
    c.mov(r64(r), imm);
  }
}

// Loads a value that isn't in a register.
void Emitter::load_into(int r, Value v) {
  Val& w = vals_[v];
  if (w.type == Type::V128) {
    const Xbyak::Xmm x(r);
    if (w.slot >= 0) {
      host_.avx ? c.vmovaps(x, stack_mem(128, kXmmSlotOffset + w.slot * 16))
                : c.movaps(x, stack_mem(128, kXmmSlotOffset + w.slot * 16));
    } else {
      ASSERT(w.home != 0);
      host_.avx ? c.vmovups(x, state_mem(128, row_offset(w.home - 1)))
                : c.movups(x, state_mem(128, row_offset(w.home - 1)));
    }
    return;
  }
  if (is_const(v)) {
    mov_imm(r, const_value(v));
    w.zx = static_cast<u8>(ir::type_bits(w.type));
    return;
  }
  if (w.slot >= 0) {
    c.mov(r64(r), stack_mem(64, kGprSlotOffset + w.slot * 8));
    w.zx = w.slot_zx;
    return;
  }
  ASSERT_MSG(w.home != 0, "x64 backend: a value was lost");
  const unsigned bits = std::min(ir::type_bits(w.type), ir::type_bits(layout_->rows[w.home - 1].type));
  const u32 at = row_offset(w.home - 1);
  if (bits >= 32) {
    c.mov(reg(r, bits), state_mem(bits, at));
  } else {
    c.movzx(r32(r), state_mem(bits, at));
  }
  w.zx = static_cast<u8>(bits);
}

int Emitter::use(Value v) {
  Val& w = vals_[v];
  RegFile& f = file_of(v);
  realize(v);
  if (w.reg < 0) {
    const int r = alloc(f);
    load_into(r, v);
    attach(f, v, r);
  }
  lock(f, w.reg);
  return w.reg;
}

int Emitter::use_zx(Value v, unsigned bits) {
  Val& w = vals_[v];
  const unsigned own = ir::type_bits(w.type);
  const int r = use(v);
  if (w.zx <= own || own >= bits) return r;
  if ((gpr_.temps & bit(r)) && gpr_.first[r] == v && w.next == 0) {  // its upper bits are garbage: clear them in place
    own == 32 ? c.mov(r32(r), r32(r)) : c.movzx(r32(r), reg(r, own));
    w.zx = static_cast<u8>(own);
    return r;
  }
  const int d = scratch();
  own == 32 ? c.mov(r32(d), r32(r)) : c.movzx(r32(d), reg(r, own));
  return d;
}

int Emitter::use_in(Value v, int r) {
  Val& w = vals_[v];
  realize(v);
  if (w.reg == r) {
    if (!all_dying(gpr_, r) && !(gpr_.locked & bit(r))) {
      vacate(gpr_, r);  // the value lives on elsewhere; its bits are still in r
    }
    lock(gpr_, r);
    return r;
  }
  take(r);
  if (w.reg >= 0) {
    ir::type_bits(w.type) == 64 ? c.mov(r64(r), r64(w.reg)) : c.mov(r32(r), r32(w.reg));
  } else {
    load_into(r, v);
  }
  return r;
}

Emitter::Src Emitter::source(Value v, unsigned bits) {
  Val& w = vals_[v];
  realize(v);
  if (w.reg < 0 && !is_const(v)) {
    // Memory serves for a last use; a value used again is better in a register.
    if (w.slot >= 0 && !live_after(v)) return {kNoReg, true, static_cast<u32>(kGprSlotOffset + w.slot * 8)};
    if (w.slot < 0 && w.home && !live_after(v) && ir::type_bits(layout_->rows[w.home - 1].type) >= bits &&
        ir::type_bits(w.type) >= bits) {
      return {kNoReg, false, row_offset(w.home - 1)};
    }
  }
  return {static_cast<s8>(use(v))};
}

// The pinned register that v may be computed into now: nothing that lives there is needed any more.
int Emitter::pinned_hint(Value v) {
  const Value s = vals_[v].hint;
  if (s == 0) return -1;
  const int host = pins_.host_of_row[op_of(s).aux];
  return all_dying(gpr_, host) ? host : -1;
}

int Emitter::def(Value v, bool overlap) {
  RegFile& f = file_of(v);
  int r = vals_[v].type == Type::V128 ? -1 : pinned_hint(v);
  if (r >= 0 && (overlap || !(f.locked & bit(r)))) {
    while (f.first[r]) detach(f.first[r]);
    pin_value_[r] = 0;
  } else {
    r = -1;
    if (overlap) {
      for (int i = 0; i < f.count && r < 0; i++) {
        const int t = f.order[i];
        if ((f.locked & bit(t)) && f.first[t] && all_dying(f, t)) r = t;
      }
      if (r >= 0)
        while (f.first[r]) detach(f.first[r]);
    }
    if (r < 0) r = alloc(f);
  }
  lock(f, r);
  attach(f, v, r);
  vals_[v].zx = 64;
  return r;
}

int Emitter::def_copy(Value v, Value a) {
  Val& wa = vals_[a];
  realize(a);
  const unsigned bits = op_bits(vals_[v].type);
  const int ra = wa.reg;
  const int hint = pinned_hint(v);
  const bool a_is_temp = ra >= 0 && (gpr_.temps & bit(ra)) != 0;
  int r = -1;
  if (hint >= 0 && (hint == ra || !(gpr_.locked & bit(hint)))) {
    r = hint;
  } else if (a_is_temp && all_dying(gpr_, ra)) {
    r = ra;
  }
  u8 zx = wa.zx;
  if (r >= 0 && r == ra) {
    while (gpr_.first[r]) detach(gpr_.first[r]);
  } else {
    if (r < 0) {
      if (ra >= 0) lock(gpr_, ra);
      r = alloc(gpr_);
    } else {
      while (gpr_.first[r]) detach(gpr_.first[r]);
    }
    lock(gpr_, r);
    if (wa.reg >= 0) {
      c.mov(reg(r, bits), reg(wa.reg, bits));
      if (bits == 32 && zx > 32) zx = 32;
    } else {
      load_into(r, a);
      zx = wa.zx;
    }
  }
  if (pins_.row_of_host[r] >= 0) pin_value_[r] = 0;
  lock(gpr_, r);
  attach(gpr_, v, r);
  vals_[v].zx = zx;
  return r;
}

void Emitter::define_alias(Value v, Value a) {
  Val& w = vals_[v];
  Val& wa = vals_[a];
  realize(a);
  if (is_const(a)) {
    const int r = def(v);
    const u64 k = const_value(a) & mask_bits(ir::type_bits(w.type));
    mov_imm(r, k);
    w.zx = static_cast<u8>(ir::type_bits(w.type));
    return;
  }
  if (wa.reg < 0 && wa.home && wa.slot < 0 && w.type != Type::V128 && ir::type_bits(w.type) <= ir::type_bits(wa.type)) {
    alias_home(v, static_cast<RegId>(wa.home - 1));
    return;
  }
  const int r = use(a);
  attach(file_of(v), v, r);
  w.zx = wa.zx;
}

void Emitter::bind_rax(Value v) {
  while (gpr_.first[kRax]) detach(gpr_.first[kRax]);
  attach(gpr_, v, kRax);
  vals_[v].zx = 64;
}

void Emitter::alias_home(Value v, RegId row) {
  if (vals_[v].home) return;  // one is enough
  vals_[v].home = static_cast<u16>(row + 1);
  vals_[v].home_next = home_first_[row];
  home_first_[row] = v;
}

void Emitter::drop_home(RegId row) {
  for (Value v = home_first_[row]; v;) {
    Val& w = vals_[v];
    const Value next = w.home_next;
    if (w.last_use > cur_ && w.reg < 0 && w.slot < 0 && v != eflags_ && !is_const(v)) {
      const u32 locked = (w.type == Type::V128 ? xmm_ : gpr_).locked;
      use(v);
      (w.type == Type::V128 ? xmm_ : gpr_).locked = locked;
    }
    w.home = 0;
    w.home_next = 0;
    v = next;
  }
  home_first_[row] = 0;
}

void Emitter::drop_all_homes() {
  for (size_t i = 0; i < home_first_.size(); i++) {
    if (home_first_[i]) drop_home(static_cast<RegId>(i));
  }
}

// Before a call: every value needed after it gets a copy that the call can't change.
void Emitter::flush_for_call(bool writes_state) {
  for (RegFile* f : {&gpr_, &xmm_}) {
    for (int r = 0; r < 16; r++) {
      const bool pinned = !f->xmm && !(f->temps & bit(r));
      if (pinned && !writes_state) continue;
      for (Value v = f->first[r]; v;) {
        const Value next = vals_[v].next;
        if (vals_[v].last_use > cur_) save(v, !writes_state);
        v = next;
      }
    }
  }
  if (!writes_state) return;
  for (size_t i = 0; i < home_first_.size(); i++) {
    for (Value v = home_first_[i]; v;) {
      const Value next = vals_[v].home_next;
      if (vals_[v].last_use > cur_) save(v, false);
      v = next;
    }
  }
}

// After a call: registers that it changed hold nothing.
void Emitter::forget_temps(bool writes_state) {
  for (RegFile* f : {&gpr_, &xmm_}) {
    for (int r = 0; r < 16; r++) {
      const bool pinned = !f->xmm && !(f->temps & bit(r));
      if (pinned && !writes_state) continue;
      while (f->first[r]) detach(f->first[r]);
    }
  }
  gpr_.locked = xmm_.locked = 0;
  if (!writes_state) return;
  for (size_t i = 0; i < home_first_.size(); i++) {
    for (Value v = home_first_[i]; v;) {
      const Value next = vals_[v].home_next;
      vals_[v].home = 0;
      vals_[v].home_next = 0;
      v = next;
    }
    home_first_[i] = 0;
  }
  for (int r = 0; r < 16; r++) {
    pin_zx_[r] = 64;
    pin_value_[r] = 0;
  }
}

}  // namespace doppel::backend::x64
