// Guest memory that is the process's own: an access is one host instruction, with no check before it and EFLAGS left
// alone. One that fails makes the host fault; the executor looks the instruction up in the region's fault rows and goes
// on at its slow-path stub, where the state is exact (emit_memory.cpp). Trap: at such an instruction everything the
// stub needs must be where it was noted, and its own result not yet anywhere.
#include "backend/x64/bytes.h"
#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {

using ir::MemInfo;

namespace {
Xbyak::RegExp address(bool wide, int base, int index, unsigned scale, s32 disp) {
  const auto r = [&](int n) -> Xbyak::Reg { return wide ? static_cast<Xbyak::Reg>(r64(n)) : r32(n); };
  if (base < 0) return r(index) * (1 << scale) + disp;
  if (index < 0) return r(base) + disp;
  return r(base) + r(index) * (1 << scale) + disp;
}
}  // namespace

namespace {
template <typename Address>
Bytes::Place place(const Address& m) {
  return {m.wide, m.base, m.index, m.scale, m.offset};
}
}  // namespace

Xbyak::RegExp Emitter::MemAddress::direct_at() const { return address(wide, base, index, scale, offset); }

// 16 bytes that must be aligned: the host's own instruction looks.
bool Emitter::aligned_move(const Op& op, bool vector) const {
  return vector && MemInfo::unpack(op.aux).align_log2 == 4;
}

// The operand. With `check`, the alignment is looked at (clobber_flags before); then nothing may be allocated until the
// access.
Emitter::MemAddress Emitter::direct_address(const Op& op, bool check) {
  MemAddress m;
  m.direct = true;
  const Value a = op.arg[0];
  m.wide = vals_[a].type == Type::I64;
  s64 disp = static_cast<s64>(op.imm);
  if (const u16 expr = vals_[cur_].expr) {
    const AddressExpr& e = exprs_[expr - 1];
    disp += e.disp;
    if (e.base) m.base = static_cast<s8>(use(e.base));
    if (e.index) {
      m.index = static_cast<s8>(use(e.index));
      m.scale = e.scale;
    }
  } else if (is_const(a)) {
    u64 k = const_value(a) + op.imm;
    if (!m.wide) k &= 0xffffffffu;
    m.base = static_cast<s8>(scratch());
    mov_imm(m.base, k);
    disp = 0;
  } else {
    m.base = static_cast<s8>(use(a));
  }
  if (!m.wide) disp = static_cast<s32>(disp);
  m.offset = static_cast<s32>(disp);
  if (disp != m.offset) {
    const int t = scratch();
    c.mov(r64(t), static_cast<u64>(disp));
    if (m.base >= 0) c.lea(r64(t), mem(64, r64(t) + r64(m.base)));
    m.base = static_cast<s8>(t);
    m.offset = 0;
  }
  const u32 align_mask = (1u << MemInfo::unpack(op.aux).align_log2) - 1;
  if (!check || align_mask == 0) return m;
  int low = m.base;
  if (m.index >= 0 || (static_cast<u32>(m.offset) & align_mask) != 0) {
    low = scratch();
    c.lea(r32(low), mem(32, m.direct_at()));
  }
  c.test(r8(low), align_mask);
  m.jump = jcc(5);
  return m;
}

void Emitter::access_here() {
  if (direct_) faults_.push_back({static_cast<u32>(c.getSize()), static_cast<u32>(slow_.size() - 1)});
}

void Emitter::direct_load(const Op& op) {
  const unsigned bits = ir::type_bits(op.type), size = bits / 8;
  const MemInfo info = MemInfo::unpack(op.aux);
  const bool vector = op.type == Type::V128, aligned = aligned_move(op, vector);
  const bool check = info.align_log2 != 0 && !aligned;
  if (check || (info.big_endian && bits == 16)) clobber_flags();
  const int hint = vector ? -1 : pinned_hint(cur_);
  int early = kNoReg;
  if (check && hint < 0) early = vector ? scratch_xmm() : scratch();
  const MemAddress m = direct_address(op, check);
  const size_t number = slow_.size();
  slow_path(m, info.rmw ? SlowKind::LoadRmw : SlowKind::Load, op, size);
  int d = early;
  if (early >= 0) {
    attach(vector ? xmm_ : gpr_, cur_, d);
  } else if (check) {  // hint: nothing is spilled for it
    d = hint;
    while (gpr_.first[d]) detach(gpr_.first[d]);
    pin_value_[d] = 0;
    lock(gpr_, d);
    attach(gpr_, cur_, d);
  } else {
    d = def(cur_, true);
  }
  access_here();
  if (vector) {
    const Xbyak::RegExp at = m.at();
    if (aligned)
      host_.avx ? c.vmovaps(Xbyak::Xmm(d), mem(128, at)) : c.movaps(Xbyak::Xmm(d), mem(128, at));
    else
      host_.avx ? c.vmovups(Xbyak::Xmm(d), mem(128, at)) : c.movups(Xbyak::Xmm(d), mem(128, at));
  } else {
    const bool escape = bits < 32;  // MOVZX
    Bytes(c).at_place(escape ? (bits == 8 ? 0xb6 : 0xb7) : 0x8b, escape, escape ? 4 : size, d, place(m));
  }
  SlowPath& s = slow_[number];
  s.vector = vector;
  s.result = static_cast<s8>(d);
  s.resume = static_cast<u32>(c.getSize());
  if (!vector) set_zx(cur_, bits);
  if (info.big_endian) vector ? swap_vector(d, d) : swap_bytes(d, bits);
}

void Emitter::direct_store(const Op& op) {
  const Value b = op.arg[1];
  const Type t = vals_[b].type;
  const unsigned bits = ir::type_bits(t), size = bits / 8;
  const MemInfo info = MemInfo::unpack(op.aux);
  const bool vector = t == Type::V128, aligned = aligned_move(op, vector);
  const bool check = info.align_log2 != 0 && !aligned, swap = info.big_endian && bits > 8;
  if (check || (swap && bits == 16)) clobber_flags();
  s32 imm = 0;
  const bool has_imm = !vector && imm32(b, bits, imm) && !info.big_endian;
  int r = kNoReg;
  if (!has_imm) {
    r = use(b);
    if (swap) {
      const int swapped = vector ? scratch_xmm() : scratch();
      if (vector) {
        swap_vector(swapped, r);
      } else {
        c.mov(r64(swapped), r64(r));
        swap_bytes(swapped, bits);
      }
      unlock(vector ? xmm_ : gpr_, r);
      r = swapped;
    }
  }
  const MemAddress m = direct_address(op, check);
  SlowPath& s = slow_path(m, SlowKind::Store, op, size);
  access_here();
  if (has_imm) {
    c.mov(mem(bits, m.at()), static_cast<u64>(static_cast<s64>(imm)) & (bits == 64 ? ~u64{0} : mask_bits(bits)));
    s.has_imm = true;
    s.imm = imm;
  } else if (vector) {
    const Xbyak::RegExp at = m.at();
    if (aligned)
      host_.avx ? c.vmovaps(mem(128, at), Xbyak::Xmm(r)) : c.movaps(mem(128, at), Xbyak::Xmm(r));
    else
      host_.avx ? c.vmovups(mem(128, at), Xbyak::Xmm(r)) : c.movups(mem(128, at), Xbyak::Xmm(r));
  } else {
    Bytes(c).at_place(bits == 8 ? 0x88 : 0x89, false, size, r, place(m));
  }
  s.vector = vector;
  if (!has_imm) s.value = static_cast<s8>(r);
  s.resume = static_cast<u32>(c.getSize());
}

// The virtual address into slow_va; every register and EFLAGS as they were.
void Emitter::direct_stub_begin(const SlowPath& s) {
  if (s.keeps_flags) {
    c.pushfq();
    c.pop(stack_mem(64, kStubOffset));
  }
  Bytes o(c);
  o.store(true, kRsp, kStubOffset + 8, kRax);
  o.at_place(0x8d, false, s.wide_address ? 8 : 4, kRax, {s.wide_address, s.base, s.index, s.scale, s.disp});  // LEA
  o.store(true, kRbp, header_disp(field::slow_va), kRax);
  o.load(true, kRax, kRsp, kStubOffset + 8);
}

void Emitter::direct_stub_end(const SlowPath& s) {
  if (!s.keeps_flags) return;
  c.push(stack_mem(64, kStubOffset));
  c.popfq();
}

}  // namespace doppel::backend::x64
