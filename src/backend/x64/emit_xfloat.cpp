// The guest's stack of 80-bit floats (ops xf_*) in the host's x87 registers. Between two xf_guards the host's x87 stack
// holds copies of some of the guest's registers, in any order (XCache); what is newer there, tags and top that have
// changed, and the status word go to the state when code leaves the region, calls, or takes a slow path. Outside of
// that the host's stack is empty. Source: SDM vol. 1, chapter 8; vol. 2, appendix A (encodings).
//
// Traps: instructions of our own (FXCH, FLD, FSTP of 80 bits) clear C1 and must not come between the one that stands
// for the guest's and the next read of the status word: they are emitted only right before the next op's. The host's
// sticky flags are a subset of the guest's, so that or-ing them in is right: what clears or loads the guest's status
// word clears the host's.
#include "backend/x64/bytes.h"
#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {

using ir::XFormat;
using ir::XUnary;

namespace {
constexpr u16 kSticky = 0x3f, kC1 = 0x200, kC2 = 0x400, kConditions = 0x4700;
constexpr u8 reg_bit(int r) { return static_cast<u8>(1u << r); }

struct MemCode {
  u8 opcode, field;
};
constexpr MemCode kLoad[] = {{0xd9, 0}, {0xdd, 0}, {0xdf, 0}, {0xdb, 0}, {0xdf, 5}};  // by XFormat
constexpr MemCode kStore[] = {{0xd9, 2}, {0xdd, 2}, {0xdf, 2}, {0xdb, 2}, {0xdf, 7}};
constexpr MemCode kTruncate[] = {{}, {}, {0xdf, 1}, {0xdb, 1}, {0xdd, 1}};
constexpr u8 kArith[] = {0xd8, 0xdc, 0xde, 0xda};
}  // namespace

// --- host instructions

void Emitter::x_op(u8 first, u8 second) {
  c.db(first);
  c.db(second);
}
void Emitter::x_frame(u8 opcode, u8 field, s32 at) { Bytes(c).rm(opcode, false, field, kRsp, at); }

// FLD (field 5) or FSTP (7) of 80 bits: the guest's register r. `base` holds 16 times the top at the guard; t is free.
void Emitter::x_reg_mem(u8 field, int r, int base, int t) {
  int index = base;
  if (r != 0) {
    index = t;
    c.lea(r32(t), mem(32, r64(base) + 16 * r));
    c.and_(r32(t), 0x70);
  }
  if (index >= 8) c.db(0x42);
  c.db(0xdb);
  c.db(0x84 | field << 3);
  c.db((index & 7) << 3 | kRbp);
  c.dd(static_cast<u32>(header_disp(layout_->xstack.regs)));
}

void Emitter::x_exchange(int n) {
  if (n == 0) return;
  x_op(0xd9, static_cast<u8>(0xc8 + n));
  std::swap(x_.at[0], x_.at[n]);
}
void Emitter::x_drop_top() {
  for (int i = 1; i < x_.depth; i++) x_.at[i - 1] = x_.at[i];
  x_.depth--;
}
void Emitter::x_pushed(int r) {
  for (int i = x_.depth; i > 0; i--) x_.at[i] = x_.at[i - 1];
  x_.at[0] = static_cast<s8>(r);
  x_.depth++;
}

// --- the cache

int Emitter::x_number(unsigned i) const { return static_cast<int>((x_.top + i) & 7); }
int Emitter::x_find(int r) const {
  for (int i = 0; i < x_.depth; i++) {
    if (x_.at[i] == r) return i;
  }
  return -1;
}
void Emitter::x_forget(int r) {
  if (const int p = x_find(r); p >= 0) x_.at[p] = -1;
  x_.dirty &= static_cast<u8>(~reg_bit(r));
}

int Emitter::x_base() {
  if (x_base_ < 0) {
    x_base_ = scratch();
    c.mov(r32(x_base_), stack_mem(32, kXTopOffset));
  }
  return x_base_;
}

void Emitter::x_begin() {
  ASSERT_MSG(x_.active, "x64 backend: floating-point stack without a guard");
  clobber_flags();
  x_base_ = kNoReg;
  while (x_.depth > 0 && x_.at[0] < 0) {
    x_op(0xdd, 0xd8);
    x_drop_top();
  }
}

// Makes one of the eight host registers free; those of the registers in `keep` stay.
void Emitter::x_room(u8 keep) {
  if (x_.depth < 8) return;
  int n = 7;
  while (x_.at[n] >= 0 && (keep & reg_bit(x_.at[n]))) n--;
  x_exchange(n);
  const int r = x_.at[0];
  if (r >= 0 && (x_.dirty & reg_bit(r))) {
    const int base = x_base(), t = scratch();
    x_reg_mem(7, r, base, t);
    unlock(gpr_, t);
    x_.dirty &= static_cast<u8>(~reg_bit(r));
  } else {
    x_op(0xdd, 0xd8);
  }
  x_drop_top();
}

// Register r of the guest in a host register: where.
int Emitter::x_need(int r, u8 keep) {
  if (const int p = x_find(r); p >= 0) return p;
  x_room(keep);
  const int base = x_base(), t = scratch();
  x_reg_mem(5, r, base, t);
  unlock(gpr_, t);
  x_pushed(r);
  return 0;
}
void Emitter::x_need_top(int r) { x_exchange(x_need(r, 0)); }

void Emitter::x_argument(const Op& op) {
  for (int i = 0; i < op.nargs; i++) {
    const unsigned bits = ir::type_bits(vals_[op.arg[i]].type);
    c.mov(stack_mem(bits, kXAreaOffset + 8 * i), reg(use(op.arg[i]), bits));
  }
}

// The host's status word now has these bits of the guest's; the conditions in `zero` are 0.
void Emitter::x_status(u16 host, u16 zero) {
  x_.host = static_cast<u16>((x_.host & ~zero) | host);
  x_.zero = static_cast<u16>((x_.zero & ~host) | zero);
}
bool Emitter::x_pops_next(unsigned n) const {
  for (unsigned i = 1; i <= n; i++) {
    if (cur_ + i >= op_count_ || region_->ops[cur_ + i].code != Opcode::xf_pop) return false;
  }
  return true;
}

// --- write-back

void Emitter::x_write_status(const XCache& x, int t) {
  const u32 at = layout_->xstack.status;
  const u32 conditions = (x.host | x.zero) & kConditions;
  if (x.host) {
    c.fnstsw(stack_mem(16, kXStatusOffset));
    c.movzx(r32(t), stack_mem(16, kXStatusOffset));
    c.and_(r32(t), x.host);
  }
  if (conditions) c.and_(state_mem(16, at), ~conditions);
  if (x.host) c.or_(state_mem(16, at), r16(t));
}

// All that is newer than the state goes there; the host's stack is empty afterwards. RCX and t are free.
void Emitter::x_write_back(const XCache& x, int t) {
  const ir::XStack& at = layout_->xstack;
  x_write_status(x, t);
  if (x.dirty | x.valid | x.empty | x.moved) c.mov(r32(kRcx), stack_mem(32, kXTopOffset));
  for (int i = 0; i < x.depth; i++) {
    if (x.at[i] >= 0 && (x.dirty & reg_bit(x.at[i])))
      x_reg_mem(7, x.at[i], kRcx, t);
    else
      x_op(0xdd, 0xd8);
  }
  if (x.moved) {
    c.lea(r32(t), mem(32, r64(kRcx) + 16 * x.top));
    c.shr(r32(t), 4);
    c.and_(r32(t), 7);
    c.mov(state_mem(8, at.top), r8(t));
  }
  if (x.valid | x.empty) c.shr(r32(kRcx), 4);
  if (x.valid) {
    c.mov(r32(t), static_cast<u32>(~x.valid & 0xff));
    c.rol(r8(t), Xbyak::Reg8(kRcx));
    c.and_(state_mem(8, at.tags), r8(t));
  }
  if (x.empty) {
    c.mov(r32(t), u32{x.empty});
    c.rol(r8(t), Xbyak::Reg8(kRcx));
    c.or_(state_mem(8, at.tags), r8(t));
  }
}

void Emitter::x_flush() {
  if (!x_.pending()) return;
  clobber_flags();
  const u32 locked = gpr_.locked;
  take(kRcx);
  x_write_back(x_, scratch());
  gpr_.locked = locked;
  x_.clean();
}

// Around the call of a slow path, where every register is in use.
void Emitter::x_before_slow_path(const XCache& x) {
  if (!x.pending()) return;
  c.mov(stack_mem(64, kXSaveOffset), r64(kRcx));
  c.mov(stack_mem(64, kXSaveOffset + 8), r64(kRdx));
  if (x.host & kConditions) x_frame(0xd9, 6, kXEnvOffset);  // FNSTENV
  x_write_back(x, kRdx);
  c.mov(r64(kRcx), stack_mem(64, kXSaveOffset));
  c.mov(r64(kRdx), stack_mem(64, kXSaveOffset + 8));
}
void Emitter::x_after_slow_path(const XCache& x) {
  const bool environment = x.host & kConditions;
  if (x.depth != 0) {
    c.mov(stack_mem(64, kXSaveOffset), r64(kRcx));
    c.mov(stack_mem(64, kXSaveOffset + 8), r64(kRdx));
    c.mov(r32(kRcx), stack_mem(32, kXTopOffset));
    for (int i = x.depth; i-- > 0;) {
      if (x.at[i] >= 0)
        x_reg_mem(5, x.at[i], kRcx, kRdx);
      else
        x_op(0xd9, 0xee);  // FLDZ
    }
    c.mov(r64(kRcx), stack_mem(64, kXSaveOffset));
    c.mov(r64(kRdx), stack_mem(64, kXSaveOffset + 8));
  }
  if (environment) x_frame(0xd9, 4, kXEnvOffset);  // FLDENV: the conditions
}

// --- guards

void Emitter::x_step(u32 jump, const Op& op) {
  exit_to(jump, op, false);
  exits_.back().step = true;
  exits_.back().insns--;  // the one it stands in will run later
}

void Emitter::op_xf_guard(const Op& op) {
  const ir::XStack& at = layout_->xstack;
  x_flush();
  for (const RegId row : x_rows_) drop_home(row);
  clobber_flags();
  take(kRcx);
  const int t = scratch();
  const unsigned mask = op.aux & 0xff, empty = (op.aux >> 8) & mask;
  c.movzx(r32(kRcx), state_mem(8, at.top));
  const int u = scratch();
  c.movzx(r32(u), state_mem(16, at.control));
  c.not_(r32(u));
  c.and_(r32(u), 0x3f);
  if (mask) {
    c.movzx(r32(t), state_mem(8, at.tags));
    c.ror(r8(t), Xbyak::Reg8(kRcx));
    if (empty) c.xor_(r32(t), empty);
    if (mask != 0xff) c.and_(r32(t), mask);
    c.or_(r32(u), r32(t));
  }
  x_step(jcc(5), op);
  c.shl(r32(kRcx), 4);
  c.mov(stack_mem(32, kXTopOffset), r32(kRcx));
  c.fldcw(state_mem(16, at.control));
  x_ = {};
  x_.active = true;
}

void Emitter::op_xf_step_if(const Op& op) {
  const int cc = prepare_bool(op.arg[0]);
  if (cc == -1) return;
  x_step(cc == -2 ? jmp32() : jcc(cc), op);
}

// --- words

void Emitter::op_xf_word(const Op& op) {
  clobber_flags();
  const int d = def(cur_);
  set_zx(cur_, 16);
  if (op.aux) {
    c.movzx(r32(d), state_mem(16, layout_->xstack.control));
    return;
  }
  x_write_status(x_, d);
  x_.host = x_.zero = 0;
  c.movzx(r32(d), state_mem(16, layout_->xstack.status));
  const int t = scratch();
  c.mov(r32(t), stack_mem(32, kXTopOffset));
  if (x_.top) {
    c.add(r32(t), 16u * x_.top);
    c.and_(r32(t), 0x70);
  }
  c.shl(r32(t), 7);
  c.or_(r32(d), r32(t));
}

void Emitter::op_xf_control(const Op& op) {
  c.mov(state_mem(16, layout_->xstack.control), r16(use(op.arg[0])));
  c.fldcw(state_mem(16, layout_->xstack.control));
}

// --- pushes

void Emitter::x_push_done(bool flags) {
  const int r = x_number(7);
  x_.top = static_cast<u8>(r);
  x_pushed(r);
  x_.moved = true;
  x_.dirty |= reg_bit(r);
  x_.valid |= reg_bit(r);
  x_.empty &= static_cast<u8>(~reg_bit(r));
  x_status(flags ? kSticky : 0, kC1);
}

void Emitter::op_xf_push(const Op& op) {
  x_begin();
  x_argument(op);
  x_room(0);
  const MemCode m = kLoad[op.aux & 15];
  x_frame(m.opcode, m.field, kXAreaOffset);
  x_push_done((op.aux & 15) <= static_cast<u32>(XFormat::F64));
}

void Emitter::op_xf_push_raw(const Op& op) {
  x_begin();
  x_argument(op);
  x_room(0);
  x_frame(0xdb, 5, kXAreaOffset);
  x_push_done(false);
}

void Emitter::op_xf_push_reg(const Op& op) {
  x_begin();
  const int s = x_number(op.aux);
  x_need(s, 0);
  x_room(reg_bit(s));
  x_op(0xd9, static_cast<u8>(0xc0 + x_find(s)));
  x_push_done(false);
}

void Emitter::op_xf_push_const(const Op& op) {
  x_begin();
  x_room(0);
  x_op(0xd9, static_cast<u8>(0xe8 + op.aux));
  x_push_done(false);
}

// --- values that leave

void Emitter::op_xf_to(const Op& op) {
  x_begin();
  const auto format = static_cast<XFormat>(op.aux & 15);
  const bool truncate = (op.aux & 16) != 0 && format >= XFormat::I16;
  const int r = x_number(0);
  x_need_top(r);
  const bool copy = truncate || format == XFormat::I64;  // these forms only pop
  if (copy) {
    x_room(reg_bit(r));
    x_exchange(x_find(r));
    x_op(0xd9, 0xc0);
  }
  const bool by_control = truncate && !host_.sse3;
  if (by_control) {
    const int t = scratch();
    c.movzx(r32(t), state_mem(16, layout_->xstack.control));
    c.or_(r32(t), 0xc00);
    c.mov(stack_mem(16, kXAreaOffset + 8), r16(t));
    c.fldcw(stack_mem(16, kXAreaOffset + 8));
    unlock(gpr_, t);
  }
  MemCode m = truncate && !by_control ? kTruncate[op.aux & 15] : kStore[op.aux & 15];
  if (by_control && format != XFormat::I64) m.field = 3;  // FISTP
  x_frame(m.opcode, m.field, kXAreaOffset);
  if (by_control) c.fldcw(state_mem(16, layout_->xstack.control));
  x_status(kSticky | kC1, 0);
  const unsigned bits = ir::type_bits(op.type);
  const int d = def(cur_);
  bits == 16 ? c.movzx(r32(d), stack_mem(16, kXAreaOffset)) : c.mov(reg(d, bits), stack_mem(bits, kXAreaOffset));
  set_zx(cur_, bits);
}

void Emitter::op_xf_raw(const Op& op) {
  x_begin();
  const Op& before = region_->ops[cur_ - 1];
  if (!(op.type == Type::I16 && before.code == Opcode::xf_raw)) {  // else the other part has brought both
    x_need_top(x_number(0));
    x_frame(0xdb, 7, kXAreaOffset);
    x_frame(0xdb, 5, kXAreaOffset);
  }
  x_status(0, kC1);
  const int d = def(cur_);
  if (op.type == Type::I64) {
    c.mov(r64(d), stack_mem(64, kXAreaOffset));
  } else {
    c.movzx(r32(d), stack_mem(16, kXAreaOffset + 8));
    set_zx(cur_, 16);
  }
}

// --- moves

void Emitter::op_xf_pop(const Op&) { x_pop(); }

void Emitter::x_pop() {
  const int r = x_number(0);
  x_forget(r);
  x_.empty |= reg_bit(r);
  x_.valid &= static_cast<u8>(~reg_bit(r));
  x_.top = static_cast<u8>(x_number(1));
  x_.moved = true;
}

void Emitter::op_xf_move(const Op& op) {
  x_begin();
  const int s = x_number(0), d = x_number(op.aux);
  x_status(0, kC1);
  if (d == s) return;
  x_need(s, 0);
  x_forget(d);
  if (x_pops_next(1)) {
    x_.at[x_find(s)] = static_cast<s8>(d);
  } else {
    x_room(reg_bit(s));
    x_op(0xd9, static_cast<u8>(0xc0 + x_find(s)));
    x_pushed(d);
  }
  x_.dirty |= reg_bit(d);
  x_.valid |= reg_bit(d);
  x_.empty &= static_cast<u8>(~reg_bit(d));
}

void Emitter::op_xf_swap(const Op& op) {
  x_begin();
  const int a = x_number(0), b = x_number(op.aux);
  x_status(0, kC1);
  if (a == b) return;
  x_need(a, 0);
  x_need(b, reg_bit(a));
  std::swap(x_.at[x_find(a)], x_.at[x_find(b)]);
  x_.dirty |= reg_bit(a) | reg_bit(b);
}

void Emitter::op_xf_select(const Op& op) {
  x_begin();
  const int d = x_number(0), s = x_number(op.aux);
  x_status(0, kC1);
  if (d == s) return;
  x_need(s, 0);
  x_exchange(x_need(d, reg_bit(s)));
  const int p = x_find(s);
  const int cc = prepare_cond(op.arg[0], static_cast<Cond>(op.sub));
  if (cc == -1) return;
  if (cc >= 0) x_op(static_cast<u8>(0x70 | (cc ^ 1)), 4);  // over two instructions
  x_op(0xdd, 0xd8);
  x_op(0xd9, static_cast<u8>(0xc0 + p - 1));
  x_.dirty |= reg_bit(d);
}

// --- arithmetic

void Emitter::op_xf_arith(const Op& op) {
  x_begin();
  const int d = x_number(op.aux & 7), s = x_number((op.aux >> 4) & 7);
  x_need(d, 0);
  x_need(s, reg_bit(d));
  if (x_find(d) != 0 && x_find(s) != 0) x_exchange(x_find(d));
  const int pd = x_find(d), ps = x_find(s);
  if (pd == 0) {
    x_op(0xd8, static_cast<u8>(0xc0 | op.sub << 3 | ps));
  } else {
    const unsigned field = op.sub < 4 ? op.sub : op.sub ^ 1u;
    const bool pop = s == x_number(0) && x_pops_next(1);
    x_op(pop ? 0xde : 0xdc, static_cast<u8>(0xc0 | field << 3 | pd));
    if (pop) {
      x_forget(s);
      x_drop_top();
    }
  }
  x_.dirty |= reg_bit(d);
  x_status(kSticky | kC1, 0);
}

void Emitter::op_xf_arith_mem(const Op& op) {
  x_begin();
  const int r = x_number(0);
  x_argument(op);
  x_need_top(r);
  x_frame(kArith[op.aux & 15], op.sub, kXAreaOffset);
  x_.dirty |= reg_bit(r);
  x_status(kSticky | kC1, 0);
}

void Emitter::op_xf_unary(const Op& op) {
  static constexpr u8 kCodes[] = {0xe0, 0xe1, 0xfa, 0xfc, 0xe4};
  x_begin();
  const int r = x_number(0);
  x_need_top(r);
  x_op(0xd9, kCodes[op.sub]);
  const auto kind = static_cast<XUnary>(op.sub);
  if (kind == XUnary::Test) {
    x_status(kSticky | kConditions, 0);
    return;
  }
  x_.dirty |= reg_bit(r);
  kind <= XUnary::Abs ? x_status(0, kC1) : x_status(kSticky | kC1, 0);
}

// Some processors leave conditions alone where an operand is a NaN: to have them 0 then, a comparison of 1 with 0.
void Emitter::x_clear_conditions() {
  x_room(0);
  x_op(0xd9, 0xe8);
  x_op(0xd9, 0xe4);
  x_op(0xdd, 0xd8);
}

void Emitter::op_xf_special(const Op& op) {
  const auto kind = static_cast<ir::XSpecial>(op.sub);
  x_begin();
  const int a = x_number(0), b = x_number(1);
  const bool remainder = kind == ir::XSpecial::Remainder || kind == ir::XSpecial::RemainderIeee;
  const u16 conditions = remainder ? kConditions : kind >= ir::XSpecial::Sin ? kC1 | kC2 : kC1;
  if (conditions != kC1) {
    if (x_.host & kConditions & ~conditions) {  // others are to be had from the host yet
      const int t = scratch();
      x_write_status(x_, t);
      unlock(gpr_, t);
      x_.host = x_.zero = 0;
    }
    x_clear_conditions();
  }
  if (ir::kXSpecialTwo >> op.sub & 1) {
    x_need(b, 0);
    x_exchange(x_need(a, reg_bit(b)));
    if (const int p = x_find(b); p != 1) {  // three exchanges bring it below the top
      x_exchange(p);
      x_exchange(1);
      x_exchange(p);
    }
  } else {
    x_need_top(a);
  }
  if (kind == ir::XSpecial::Extract) {
    x_room(reg_bit(a));
    x_exchange(x_find(a));
  }
  x_op(0xd9, 0xf0 | op.sub);
  x_.dirty |= reg_bit(a);
  if (ir::kXSpecialPops >> op.sub & 1) {
    x_forget(a);
    x_drop_top();
    x_.dirty |= reg_bit(b);
    x_pop();
  } else if (kind == ir::XSpecial::Extract) {
    x_push_done(true);
  }
  x_status(kSticky | conditions, 0);
}

// --- comparisons

void Emitter::op_xf_compare(const Op& op) {
  x_begin();
  const int a = x_number(0), b = x_number(op.aux & 7);
  const bool quiet = (op.aux & 16) != 0;
  x_need(b, 0);
  x_exchange(x_need(a, reg_bit(b)));
  const int p = x_find(b);
  x_status(kSticky | kConditions, 0);
  if (p == 1 && b == x_number(1) && x_pops_next(2)) {
    quiet ? x_op(0xda, 0xe9) : x_op(0xde, 0xd9);
    x_forget(a);
    x_forget(b);
    x_drop_top();
    x_drop_top();
    return;
  }
  const bool pop = x_pops_next(1);
  const unsigned code = pop ? 8 : 0;
  quiet ? x_op(0xdd, static_cast<u8>(0xe0 + code + p)) : x_op(0xd8, static_cast<u8>(0xd0 + code + p));
  if (pop) {
    x_forget(a);
    x_drop_top();
  }
}

void Emitter::op_xf_compare_mem(const Op& op) {
  x_begin();
  const int r = x_number(0);
  x_argument(op);
  x_need_top(r);
  const bool pop = x_pops_next(1);
  x_frame(kArith[op.aux & 15], pop ? 3 : 2, kXAreaOffset);
  x_status(kSticky | kConditions, 0);
  if (pop) {
    x_forget(r);
    x_drop_top();
  }
}

void Emitter::op_xf_examine(const Op&) {
  x_begin();
  x_need_top(x_number(0));
  x_op(0xd9, 0xe5);
  x_status(kConditions, 0);
}

void Emitter::op_xf_compare_flags(const Op& op) {
  x_begin();
  const int a = x_number(0), b = x_number(op.aux & 7);
  const bool quiet = (op.aux & 16) != 0;
  x_need(b, 0);
  x_exchange(x_need(a, reg_bit(b)));
  const int p = x_find(b);
  const bool pop = x_pops_next(1);
  x_op(pop ? 0xdf : 0xdb, static_cast<u8>((quiet ? 0xe8 : 0xf0) + p));
  if (pop) {
    x_forget(a);
    x_drop_top();
  }
  x_status(kSticky, kC1);
  flags_result(cur_);
}

}  // namespace doppel::backend::x64
