// Guest memory: the soft TLB's fast path inline (one compare covers the page, a crossing into the next one and the
// alignment), slow paths out of line at the end of the region. Trap: between the check and the access nothing may be
// called.
#include "backend/x64/bytes.h"
#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {

using ir::MemInfo;

bool Emitter::any_xmm_live() const {
  for (int r = 0; r < 16; r++) {
    for (Value v = xmm_.first[r]; v; v = vals_[v].next) {
      if (vals_[v].last_use > cur_) return true;
    }
  }
  return false;
}

void Emitter::swap_bytes(int r, unsigned bits) {
  if (bits == 16) c.rol(r16(r), 8);
  if (bits == 32) c.bswap(r32(r));
  if (bits == 64) c.bswap(r64(r));
}

// d = the bytes of s in reverse, through memory.
void Emitter::swap_vector(int d, int s) {
  const int t = scratch();
  store_xmm(stack_mem(128, kAreaOffset), s, true);
  c.mov(r64(t), stack_mem(64, kAreaOffset));
  c.bswap(r64(t));
  c.mov(stack_mem(64, kAreaOffset + 24), r64(t));
  c.mov(r64(t), stack_mem(64, kAreaOffset + 8));
  c.bswap(r64(t));
  c.mov(stack_mem(64, kAreaOffset + 16), r64(t));
  unlock(gpr_, t);
  host_.avx ? c.vmovaps(Xbyak::Xmm(d), stack_mem(128, kAreaOffset + 16))
            : c.movaps(Xbyak::Xmm(d), stack_mem(128, kAreaOffset + 16));
}

// The virtual address in a register, then the TLB check. m.entry: the addend, if `keep_entry` (else it is only
// checked).
Emitter::MemAddress Emitter::address_of(const Op& op, unsigned size, bool write, bool keep_entry) {
  MemAddress m;
  s32 first = 0, end = static_cast<s32>(size);  // bytes to check, from the address
  if (const u16 number = vals_[cur_].group; number && keep_entry) {
    const AccessGroup& g = groups_[number - 1];
    if (g.leader != cur_) return group_member(g);
    m.group = &g;
    m.leader = true;
    first = g.lo;
    end = g.hi;
  }
  const Value a = op.arg[0];
  const bool wide = vals_[a].type == Type::I64;
  const unsigned bits = wide ? 64 : 32;
  const MemInfo info = MemInfo::unpack(op.aux);
  const u16 expr = vals_[cur_].expr;
  s64 disp = static_cast<s64>(op.imm);
  if (!wide) disp = static_cast<s32>(disp);
  Xbyak::RegExp where;  // the address, for LEA; or
  int base = -1;        // a register, and
  s32 base_disp = 0;
  const u32 locked = gpr_.locked;
  if (expr) {
    const AddressExpr& e = exprs_[expr - 1];
    const s64 total = e.disp + disp;
    if (!wide || total == static_cast<s32>(total)) {
      where = expr_operand(e, disp);
    } else {
      where = expr_operand(e, 0);
      m.va = static_cast<s8>(scratch());
      c.lea(r64(m.va), mem(64, where));
    }
    if (m.va >= 0) {
      gpr_.locked = locked | bit(m.va);  // base and index are done with
      const int t = scratch();
      c.mov(r64(t), static_cast<u64>(disp));
      c.add(r64(m.va), r64(t));
    }
  } else if (is_const(a)) {
    u64 k = const_value(a) + static_cast<u64>(disp);
    if (!wide) k &= 0xffffffffu;
    m.va = static_cast<s8>(scratch());
    mov_imm(m.va, k);
  } else if (disp == static_cast<s32>(disp)) {
    const int ra = use(a);
    base = ra;
    base_disp = static_cast<s32>(disp);
    if (disp == 0 && (wide || vals_[a].zx <= 32)) m.va = static_cast<s8>(ra);
  } else {
    const int ra = use(a);
    m.va = static_cast<s8>(scratch());
    c.mov(r64(m.va), static_cast<u64>(disp));
    c.add(r64(m.va), r64(ra));
  }
  const unsigned align_log2 = info.align_log2;
  const u64 align_mask = (u64{1} << align_log2) - 1;
  // May cross a page without being misaligned.
  const bool spans = first != 0 || end != static_cast<s32>(size) || (size > 1 && align_mask < size - 1);
  if (m.va < 0) {
    m.va = static_cast<s8>(scratch());
    if (base >= 0) {
      Bytes(c).lea(wide, m.va, base, base_disp);
    } else {
      c.lea(reg(m.va, bits), mem(bits, where));
    }
  }
  gpr_.locked = locked | bit(m.va);
  const int t = scratch(), u = scratch();
  gpr_.locked = locked | bit(m.va) | bit(t);
  m.entry = static_cast<s8>(t);
  if (m.leader) {
    attach(gpr_, m.group->host, t);
    m.host = static_cast<s8>(t);
    vals_[m.group->va].slot = static_cast<s16>(alloc_slot(false, m.group->va));
  }
  Bytes o(c);
  // u = page of the last byte (with the bits that must be zero for alignment)
  const u32 page_mask = static_cast<u32>(mem::kPageMask);
  if (spans) {
    o.lea(wide, u, m.va, end - 1);
    o.and_imm(wide, u, page_mask);
    if (align_mask) {  // both: the low bits of the first byte, the page of the last
      o.mov(false, t, m.va);
      o.and_imm(false, t, static_cast<u32>(align_mask));
      o.rr(0x0b, true, u, t);
    }
  } else {
    o.mov(wide, u, m.va);
    o.and_imm(wide, u, page_mask | static_cast<u32>(align_mask));
  }
  // The entry's index is where the access waits: from the guest's register itself if it stays until then.
  const bool direct = base >= 0 && !(kTempRegs & bit(base));
  const s32 from_base = direct ? static_cast<s32>(static_cast<u32>(base_disp) + static_cast<u32>(first)) : first;
  const int from = direct ? base : m.va;
  from_base == 0 ? o.mov(false, t, from) : o.lea(false, t, from, from_base);
  o.shr_imm(t, mem::kPageBits - 5);
  o.and_imm(false, t, static_cast<u32>((mem::kTlbEntries - 1) << 5));
  o.rm(0x03, true, t, kRbp, header_disp(field::tlb));
  const bool check_write = write || info.rmw;
  o.rm(0x3b, true, u, t, check_write ? offsetof(mem::TlbEntry, write) : offsetof(mem::TlbEntry, read));
  m.jump = o.jcc(5);
  if (keep_entry) o.load(true, t, t, offsetof(mem::TlbEntry, addend));
  if (m.leader) {
    o.rr(0x03, true, t, m.va);
    o.store(true, kRsp, kGprSlotOffset + vals_[m.group->va].slot * 8, m.va);
  }
  return m;
}

Emitter::MemAddress Emitter::group_member(const AccessGroup& g) {
  MemAddress m;
  m.group = &g;
  m.delta = static_cast<s32>(static_cast<u32>(vals_[cur_].root_disp) - static_cast<u32>(vals_[g.leader].root_disp));
  m.host = static_cast<s8>(use(g.host));
  Bytes o(c);
  o.rr(0x85, true, m.host, m.host);
  m.jump = o.jcc(4);
  return m;
}

Emitter::SlowPath& Emitter::slow_path(const MemAddress& m, SlowKind kind, const Op& op, unsigned size) {
  const MemInfo info = MemInfo::unpack(op.aux);
  SlowPath s{};
  s.jump = m.jump;
  s.desc = {kind,
            static_cast<u8>(std::countr_zero(size)),
            info.stack,
            info.align_log2,
            info.big_endian,
            op.sub,
            info.probe_bytes};
  s.va = m.va;
  s.value = s.extra = s.result = s.host = kNoReg;
  if (m.group) {
    const AccessGroup& g = *m.group;
    s.member = !m.leader;
    s.wide = vals_[op.arg[0]].type == Type::I64;
    s.va_slot = vals_[g.va].slot;
    s.delta = m.delta;
    s.host = m.host;
    s.lo = g.lo;
    s.hi = g.hi;
    s.group_write = g.write;
  }
  s.xmm_live = any_xmm_live();
  if (m.direct) {
    s.direct = true;
    s.keeps_flags = eflags_ != 0 || ebool_ != 0;
    s.wide_address = m.wide;
    s.base = m.base;
    s.index = m.index;
    s.scale = m.scale;
    s.disp = m.offset;
  }
  s.insn = insn_;
  s.pc = insn_pc_;
  s.x = x_;
  slow_.push_back(s);
  return slow_.back();
}

// Anything allocated between the check's jump and the end of the access could spill there, and the slow path would skip
// the spill. So registers are found before: `early` is for results that can't take the place of the entry.
void Emitter::op_load(const Op& op) {
  if (direct_) return direct_load(op);
  clobber_flags();
  const unsigned bits = ir::type_bits(op.type), size = bits / 8;
  const MemInfo info = MemInfo::unpack(op.aux);
  const bool vector = op.type == Type::V128;
  const int hint = vector ? -1 : pinned_hint(cur_);
  int early = kNoReg;
  if (vector)
    early = scratch_xmm();
  else if (vals_[cur_].group && hint < 0)
    early = scratch();
  const MemAddress m = address_of(op, size, false, true);
  SlowPath& s = slow_path(m, info.rmw ? SlowKind::LoadRmw : SlowKind::Load, op, size);
  const Xbyak::RegExp host = m.at();
  if (vector) {
    attach(xmm_, cur_, early);
    host_.avx ? c.vmovups(Xbyak::Xmm(early), mem(128, host)) : c.movups(Xbyak::Xmm(early), mem(128, host));
    s.vector = true;
    s.result = static_cast<s8>(early);
    s.resume = static_cast<u32>(c.getSize());
    if (info.big_endian) swap_vector(early, early);
    return;
  }
  const int d = hint >= 0 ? hint : early >= 0 ? early : m.entry;  // the entry is a scratch register, free from here
  if (hint >= 0) {
    while (gpr_.first[d]) detach(gpr_.first[d]);
    pin_value_[d] = 0;
  }
  lock(gpr_, d);
  attach(gpr_, cur_, d);
  switch (bits) {
    case 8: c.movzx(r32(d), mem(8, host)); break;
    case 16: c.movzx(r32(d), mem(16, host)); break;
    case 32: c.mov(r32(d), mem(32, host)); break;
    default: c.mov(r64(d), mem(64, host)); break;
  }
  s.result = static_cast<s8>(d);
  s.resume = static_cast<u32>(c.getSize());
  set_zx(cur_, bits);
  if (info.big_endian) swap_bytes(d, bits);
}

void Emitter::op_store(const Op& op) {
  if (direct_) return direct_store(op);
  clobber_flags();
  const Value b = op.arg[1];
  const Type t = vals_[b].type;
  const unsigned bits = ir::type_bits(t), size = bits / 8;
  const MemInfo info = MemInfo::unpack(op.aux);
  if (t == Type::V128) {
    int x = use(b);
    if (info.big_endian) {
      const int swapped = scratch_xmm();
      swap_vector(swapped, x);
      x = swapped;
    }
    const MemAddress m = address_of(op, size, true, true);
    SlowPath& s = slow_path(m, SlowKind::Store, op, size);
    const Xbyak::RegExp host = m.at();
    host_.avx ? c.vmovups(mem(128, host), Xbyak::Xmm(x)) : c.movups(mem(128, host), Xbyak::Xmm(x));
    s.vector = true;
    s.value = static_cast<s8>(x);
    s.resume = static_cast<u32>(c.getSize());
    return;
  }
  s32 imm = 0;
  const bool has_imm = imm32(b, bits, imm) && !info.big_endian;
  int r = kNoReg;
  if (!has_imm) {
    r = use(b);
    if (info.big_endian && bits > 8) {
      const int swapped = scratch();
      c.mov(r64(swapped), r64(r));
      swap_bytes(swapped, bits);
      unlock(gpr_, r);
      r = swapped;
    }
  }
  const MemAddress m = address_of(op, size, true, true);
  SlowPath& s = slow_path(m, SlowKind::Store, op, size);
  const Xbyak::RegExp host = m.at();
  if (has_imm) {
    c.mov(mem(bits, host), static_cast<u64>(static_cast<s64>(imm)) & (bits == 64 ? ~u64{0} : mask_bits(bits)));
    s.has_imm = true;
    s.imm = imm;
  } else {
    c.mov(mem(bits, host), reg(r, bits));
    s.value = static_cast<s8>(r);
  }
  s.resume = static_cast<u32>(c.getSize());
}

// With direct memory the store itself tells; what came before it is done again then, to the same effect.
void Emitter::op_probe_write(const Op& op) {
  if (direct_) return;
  clobber_flags();
  const unsigned size = std::max<unsigned>(MemInfo::unpack(op.aux).probe_bytes, 1);
  const MemAddress m = address_of(op, size, true, false);
  SlowPath& s = slow_path(m, SlowKind::Probe, op, 1);
  s.resume = static_cast<u32>(c.getSize());
}

// --- atomics. Big-endian ones (but exchanges) always take the slow path's C++ loop, through a jump that is always
// taken.

void Emitter::op_atomic_rmw(const Op& op) {
  clobber_flags();
  const unsigned bits = ir::type_bits(op.type), size = bits / 8;
  const MemInfo info = MemInfo::unpack(op.aux);
  const auto kind = static_cast<ir::AtomicOp>(op.sub);
  const bool loop = kind == ir::AtomicOp::And || kind == ir::AtomicOp::Or || kind == ir::AtomicOp::Xor;
  const bool unused = vals_[cur_].uses == 0;
  if (loop && !unused) take(kRax);  // the old value, for CMPXCHG
  const int b = use(op.arg[1]);
  const int d = unused && loop ? kNoReg : scratch();  // before the check: see op_load
  const MemAddress m = direct_ ? direct_address(op, true) : address_of(op, size, true, true);
  SlowPath* s = &slow_path(m, SlowKind::Rmw, op, size);
  s->value = static_cast<s8>(b);
  const Xbyak::RegExp host = m.at();
  const Xbyak::Address at = mem(bits, host);
  if (info.big_endian && bits > 8) {
    s->jump = jmp32();  // the check's own jump lands here as well: both go to the slow path
    if (m.jump) patch_to(m.jump, s->jump - 1);
    if (d >= 0) attach(gpr_, cur_, d);
    s->result = static_cast<s8>(d);
    s->resume = static_cast<u32>(c.getSize());
    return;
  }
  if (loop && unused) {
    access_here();
    c.lock();
    kind == ir::AtomicOp::And  ? c.and_(at, reg(b, bits))
    : kind == ir::AtomicOp::Or ? c.or_(at, reg(b, bits))
                               : c.xor_(at, reg(b, bits));
    s->resume = static_cast<u32>(c.getSize());
    return;
  }
  if (loop) {
    const int t = d;
    access_here();
    bits < 32 ? c.movzx(r32(kRax), at) : c.mov(reg(kRax, bits), at);
    const size_t again = c.getSize();
    c.mov(r64(t), r64(kRax));
    alu_op(kind == ir::AtomicOp::And ? Alu::And : kind == ir::AtomicOp::Or ? Alu::Or : Alu::Xor, r64(t), r64(b));
    access_here();
    c.lock();
    c.cmpxchg(at, reg(t, bits));
    patch_to(jcc(5), static_cast<u32>(again));
    bind_rax(cur_);
    set_zx(cur_, 64);
    s->result = kRax;
    s->resume = static_cast<u32>(c.getSize());
    return;
  }
  // XCHG and XADD leave the old value in the source register.
  c.mov(r64(d), r64(b));
  if (kind == ir::AtomicOp::Sub) c.neg(reg(d, bits));
  access_here();
  if (kind == ir::AtomicOp::Xchg) {
    c.xchg(at, reg(d, bits));
  } else {
    c.lock();
    c.xadd(at, reg(d, bits));
  }
  attach(gpr_, cur_, d);
  set_zx(cur_, 64);
  s->result = static_cast<s8>(d);
  s->resume = static_cast<u32>(c.getSize());
}

// 16 bytes: always by C++ (CMPXCHG16B wants RBX, which is pinned). The new value goes through the frame's area.
void Emitter::cas_vector(const Op& op) {
  const int expected = use(op.arg[1]), desired = use(op.arg[2]);
  store_xmm(stack_mem(128, kAreaOffset), desired, true);
  const int result = scratch_xmm();
  const MemAddress m = direct_ ? direct_address(op, true) : address_of(op, 16, true, false);
  SlowPath& s = slow_path(m, SlowKind::Cas, op, 16);
  s.jump = jmp32();
  if (m.jump) patch_to(m.jump, s.jump - 1);
  s.vector = true;
  s.value = static_cast<s8>(expected);
  attach(xmm_, cur_, result);
  s.result = static_cast<s8>(result);
  s.resume = static_cast<u32>(c.getSize());
}

void Emitter::op_atomic_cas(const Op& op) {
  clobber_flags();
  const unsigned bits = ir::type_bits(op.type), size = bits / 8;
  if (op.type == Type::V128) {
    cas_vector(op);
    return;
  }
  const MemInfo info = MemInfo::unpack(op.aux);
  take(kRax);
  use_in(op.arg[1], kRax);
  while (gpr_.first[kRax]) {  // the instruction overwrites it
    const Value v = gpr_.first[kRax];
    if (live_after(v)) save(v, true);
    detach(v);
  }
  const int n = use(op.arg[2]);
  const MemAddress m = direct_ ? direct_address(op, true) : address_of(op, size, true, true);
  SlowPath& s = slow_path(m, SlowKind::Cas, op, size);
  s.value = kRax;
  s.extra = static_cast<s8>(n);
  s.result = kRax;
  if (info.big_endian && bits > 8) {
    s.jump = jmp32();
    if (m.jump) patch_to(m.jump, s.jump - 1);
  } else {
    access_here();
    c.lock();
    c.cmpxchg(mem(bits, m.at()), reg(n, bits));
  }
  bind_rax(cur_);
  set_zx(cur_, 64);
  s.resume = static_cast<u32>(c.getSize());
}

void Emitter::op_fence(const Op&) {
  clobber_flags();
  c.lock();
  c.or_(stack_mem(32, kAreaOffset), 0);  // cheaper than MFENCE
}

// --- the slow paths

void Emitter::emit_slow_paths() {
  constexpr s32 kVa = header_disp(field::slow_va), kValue = header_disp(field::slow_value),
                kExtra = header_disp(field::slow_extra);
  size_t row = 0;
  for (size_t number = 0; number < slow_.size(); number++) {
    const SlowPath& s = slow_[number];
    if (s.desc.kind == SlowKind::Call) {
      call_stub(s);
      continue;
    }
    for (; row < faults_.size() && faults_[row].slow == number; row++)
      faults_[row].slow = static_cast<u32>(c.getSize());
    if (s.jump) patch_here(s.jump);
    if (s.direct) direct_stub_begin(s);
    x_before_slow_path(s.x);
    const bool leader = s.host >= 0 && !s.member;
    if (s.vector && s.value >= 0) c.movups(state_mem(128, field::slow_value), Xbyak::Xmm(s.value));
    {
      Bytes o(c);
      if (s.member) {  // its own register is 0 now: it may be used, and must be 0 again
        o.load(true, s.host, kRsp, kGprSlotOffset + s.va_slot * 8);
        if (s.delta) o.lea(s.wide, s.host, s.host, s.delta);
        o.store(true, kRbp, kVa, s.host);
        o.rr(0x33, false, s.host, s.host);
      } else if (!s.direct) {
        o.store(true, kRbp, kVa, s.va);
      }
      if (leader) {  // members want to know the host address; their common slot the virtual one
        o.store(true, kRsp, kGprSlotOffset + s.va_slot * 8, s.va);
        o.store_imm(false, kRbp, kExtra + 4, static_cast<u32>(static_cast<u16>(s.lo)) | static_cast<u32>(s.hi) << 16);
      }
      if (!s.vector && s.value >= 0) o.store(true, kRbp, kValue, s.value);
      if (s.has_imm) o.store_imm(true, kRbp, kValue, static_cast<u32>(s.imm));
      if (s.extra >= 0) o.store(true, kRbp, kValue + 8, s.extra);
      o.store_imm(false, kRbp, kExtra,
                  s.desc.pack() | (leader ? 1u << 10 : 0) | (leader && s.group_write ? 1u << 11 : 0));
      add_thunk_reloc(o.call(), thunks_.slow[s.xmm_live]);
      pc_map_.push_back({o.at(), s.insn, s.pc});
      if (leader) o.load(true, s.host, kRbp, kVa);
      if (s.result >= 0 && !s.vector) o.load(true, s.result, kRbp, kValue);
    }
    if (s.result >= 0 && s.vector) c.movups(Xbyak::Xmm(s.result), state_mem(128, field::slow_value));
    x_after_slow_path(s.x);
    if (s.direct) direct_stub_end(s);
    patch_to(jmp32(), s.resume);
  }
}

}  // namespace doppel::backend::x64
