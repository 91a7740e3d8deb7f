// Constants, marks and guest registers. A read of an unpinned register costs nothing until its value is used; a write
// goes to the state at once. A read of a pinned one is its host register; a write first moves older values away that
// are still needed.
#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {

void Emitter::op_konst(const Op&) {}  // an immediate, or loaded where it is used

void Emitter::op_insn(const Op& op) {
  insn_pc_ = op.imm;
  if (op.sub == 0) insn_ = insns_begun_++;
}

void Emitter::op_get_reg(const Op& op) {
  const Val& w = vals_[cur_];
  if (w.home || w.reg >= 0) return;  // done early, for a paired op
  const RegId row = static_cast<RegId>(op.aux);
  const int host = pins_.host_of_row[row];
  if (host < 0) {
    // Another value that is known to equal the register and is at hand.
    for (Value v = home_first_[row]; v; v = vals_[v].home_next) {
      const Val& o = vals_[v];
      if (o.reg >= 0 && o.last_use >= cur_ && o.type == w.type && v != cur_) {
        attach(file_of(cur_), cur_, o.reg);
        vals_[cur_].zx = o.zx;
        break;
      }
    }
    alias_home(cur_, row);
    return;
  }
  attach(gpr_, cur_, host);
  vals_[cur_].zx = pin_zx_[host];
  if (ir::type_bits(op.type) >= 32) pin_value_[host] = cur_;
}

void Emitter::op_set_reg(const Op& op) {
  const RegId row = static_cast<RegId>(op.aux);
  const int host = pins_.host_of_row[row];
  if (host >= 0) {
    set_pinned(op.arg[0], host, ir::type_bits(layout_->rows[row].type));
  } else {
    set_state(op.arg[0], row);
  }
}

// Values that live in pinned register `host` and are needed after this op go elsewhere: to a pinned register known to
// hold the same, else to a temporary or memory.
void Emitter::evict_pinned(int host, Value keep) {
  prune(gpr_, host);
  for (Value v = gpr_.first[host]; v;) {
    const Value next = vals_[v].next;
    if (v != keep) {
      if (vals_[v].last_use <= cur_) {
        detach(v);
      } else {
        for (int r = 0; r < 16; r++) {
          if (r != host && pin_value_[r] == v) {
            detach(v);
            attach(gpr_, v, r);
            break;
          }
        }
      }
    }
    v = next;
  }
  if (keep == 0) {
    vacate(gpr_, host);
    return;
  }
  // Rare: `keep` stays, the others get copies.
  for (Value v = gpr_.first[host]; v;) {
    const Value next = vals_[v].next;
    if (v != keep) {
      save(v, true);
      detach(v);
    }
    v = next;
  }
}

void Emitter::set_pinned(Value a, int host, unsigned row_bits) {
  Val& w = vals_[a];
  const unsigned bits = std::min(ir::type_bits(w.type), row_bits);
  realize(a);
  if (is_const(a)) {
    evict_pinned(host, 0);
    const u64 k = const_value(a) & mask_bits(bits);
    mov_imm(host, k);
    pin_zx_[host] = static_cast<u8>(bits);
    pin_value_[host] = 0;
    return;
  }
  const bool clean = bits >= 64 || w.zx <= bits;
  if (w.reg == host) {
    if (!clean) {
      evict_pinned(host, a);
      bits == 32 ? c.mov(r32(host), r32(host)) : c.movzx(r32(host), reg(host, bits));
      w.zx = static_cast<u8>(bits);
    }
  } else {
    if (w.reg >= 0) lock(gpr_, w.reg);
    evict_pinned(host, 0);
    if (w.reg >= 0) {
      if (bits == 64 || (clean && bits < 32))
        c.mov(reg(host, bits == 64 ? 64 : 32), reg(w.reg, bits == 64 ? 64 : 32));
      else if (bits == 32)
        c.mov(r32(host), r32(w.reg));
      else
        c.movzx(r32(host), reg(w.reg, bits));
      const bool temp = (gpr_.temps & bit(w.reg)) != 0;
      if (temp && live_after(a)) {  // later uses read the pinned register; the temporary is free
        detach(a);
        attach(gpr_, a, host);
      }
      if (w.reg == host) w.zx = static_cast<u8>(std::min<unsigned>(w.zx, bits));
    } else {
      load_into(host, a);
      if (w.zx > bits && bits < 64) bits == 32 ? c.mov(r32(host), r32(host)) : c.movzx(r32(host), reg(host, bits));
      if (live_after(a)) {
        attach(gpr_, a, host);
        w.zx = static_cast<u8>(std::min<unsigned>(w.zx, bits));
      }
    }
  }
  pin_zx_[host] = static_cast<u8>(std::min<unsigned>(bits, w.zx));
  pin_value_[host] = bits >= 32 ? a : 0;
}

void Emitter::set_state(Value a, RegId row) {
  Val& w = vals_[a];
  const ir::RegRow& r = layout_->rows[row];
  const unsigned row_bits = ir::type_bits(r.type), bits = ir::type_bits(w.type);
  if (w.home == row + 1 && bits >= row_bits && !is_const(a)) return;  // it is what the row holds
  if (w.type == Type::V128) {
    const int x = use(a);
    drop_home(row);
    store_xmm(state_mem(128, r.offset), x, r.offset % 16 == 0);
    alias_home(a, row);
    return;
  }
  if (is_const(a)) {
    const u64 k = const_value(a) & mask_bits(row_bits);
    if (row_bits < 64 || static_cast<s64>(k) == static_cast<s32>(k)) {
      drop_home(row);
      c.mov(state_mem(row_bits, r.offset), k);
      return;
    }
  }
  const bool in_eflags = a == eflags_;
  const int s = bits < row_bits ? use_zx(a, row_bits) : use(a);
  drop_home(row);
  c.mov(state_mem(row_bits, r.offset), reg(s, row_bits));
  if (bits <= row_bits) alias_home(a, row);
  if (in_eflags && eflags_ == a && w.home == row + 1) detach(a);  // EFLAGS still hold it: RAX is free again
}

}  // namespace doppel::backend::x64
