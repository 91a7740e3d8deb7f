// Moves of MMX and XMM registers, lane insertion and extraction, masks, MXCSR (SDM vol. 2). Stores come before the
// change to MMX state, since they may fault.
#include "guest/x86/translate/simd.h"

namespace doppel::x86 {
namespace {

void move_whole(Translator& t, const Insn& in, unsigned align_log2) {
  if (!t.require_sse()) return;
  if (in.op[0].is_mem())
    t.store_mem(t.xmm(in.op[1].reg), align_log2);
  else if (in.op[1].is_mem())
    t.set_xmm(in.op[0].reg, t.load_mem(Type::V128, align_log2));
  else
    t.set_xmm(in.op[0].reg, t.xmm(in.op[1].reg));
}

// The lanes that PINSR and PEXTR address.
struct LaneShape {
  Type type;
  Lane lane;
};
LaneShape lane_shape(const Insn& in) {
  switch (in.mnemonic) {
    case Mnemonic::PINSRB:
    case Mnemonic::PEXTRB: return {Type::I8, Lane::B};
    case Mnemonic::PINSRW:
    case Mnemonic::PEXTRW: return {Type::I16, Lane::H};
    case Mnemonic::PINSRD:
    case Mnemonic::PEXTRD:
      if (in.rex_w()) return {Type::I64, Lane::D};
      [[fallthrough]];
    default: return {Type::I32, Lane::W};
  }
}
unsigned lane_index(const Insn& in, const LaneShape& shape, bool mmx) {
  return static_cast<unsigned>(in.imm) & ((mmx ? 8 : 16) / ir::type_bytes(shape.type) - 1);
}

}  // namespace

void tr_vec_mov(Translator& t, const Insn& in) { move_whole(t, in, 0); }
void tr_vec_mov_aligned(Translator& t, const Insn& in) { move_whole(t, in, 4); }

void tr_vec_mov_scalar(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const bool single = in.mnemonic == Mnemonic::MOVSS || in.mnemonic == Mnemonic::MOVNTSS;
  if (in.op[0].is_mem()) {
    const Value v = t.xmm(in.op[1].reg);
    t.store_mem(single ? vec_extract(t, Type::I32, Lane::W, v, 0) : vec_low64(t, v));
  } else if (in.op[1].is_mem()) {
    t.set_xmm(in.op[0].reg, t.read_xmm(1));
  } else {
    t.set_xmm(in.op[0].reg,
              t.b.vec(Opcode::vmovlow, single ? Lane::SS : Lane::SD, {t.xmm(in.op[0].reg), t.xmm(in.op[1].reg)}));
  }
}

void tr_vec_mov_half(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const bool high = in.mnemonic == Mnemonic::MOVHPS || in.mnemonic == Mnemonic::MOVHPD;
  if (in.op[0].is_mem()) {
    t.store_mem(vec_extract(t, Type::I64, Lane::D, t.xmm(in.op[1].reg), high));
    return;
  }
  const Value b = t.read_xmm(1);
  const Value a = t.xmm(in.op[0].reg);
  Value r;
  if (in.mnemonic == Mnemonic::MOVHLPS)
    r = t.b.vec(Opcode::vunpackhi, Lane::D, {b, a});
  else if (high || in.mnemonic == Mnemonic::MOVLHPS)
    r = t.b.vec(Opcode::vunpacklo, Lane::D, {a, b});
  else
    r = t.b.vec(Opcode::vmovlow, Lane::SD, {a, b});
  t.set_xmm(in.op[0].reg, r);
}

void tr_vec_mov_dup(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const Value b = simd_read(t, in, 1);
  Value r;
  if (in.mnemonic == Mnemonic::MOVDDUP)
    r = t.b.vec(Opcode::vunpacklo, Lane::D, {b, b});
  else
    r = t.b.vec(Opcode::vshuf_w, Lane::W, {b}, in.mnemonic == Mnemonic::MOVSLDUP ? 0xa0 : 0xf5);
  t.set_xmm(in.op[0].reg, r);
}

void tr_vec_movd(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const bool to_vector = in.op[0].kind == OpKind::Mmx || in.op[0].kind == OpKind::Xmm;
  if (to_vector) {
    const Value v = t.read(1);
    if (is_mmx(in.op[0]))
      write_mmx(t, in.op[0].reg, t.b.zext(Type::I64, v));
    else
      t.set_xmm(in.op[0].reg, vec_from_int(t, v));
    return;
  }
  const bool mmx = is_mmx(in.op[1]);
  const Value v = mmx ? read_mmx(t, in.op[1].reg) : vec_low64(t, t.xmm(in.op[1].reg));
  t.write(0, t.b.trunc(int_type(in.op[0].size), v));
  if (mmx) enter_mmx(t);
}

// MOVQ between vector registers of one kind or memory, MOVQ2DQ, MOVDQ2Q, MOVNTQ: 64 bits, zero-extended in an XMM
// register.
void tr_vec_movq(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const Operand& from = in.op[1];
  const bool from_mmx = is_mmx(from);
  const Value v = from.is_mem() ? t.load_mem(Type::I64)
                  : from_mmx    ? read_mmx(t, from.reg)
                                : vec_low64(t, t.xmm(from.reg));
  if (in.op[0].is_mem()) {
    t.store_mem(v);
    if (from_mmx) enter_mmx(t);
  } else if (is_mmx(in.op[0])) {
    write_mmx(t, in.op[0].reg, v);
  } else {
    if (from_mmx) enter_mmx(t);
    t.set_xmm(in.op[0].reg, vec_from_int(t, v));
  }
}

void tr_vec_insert(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const LaneShape shape = lane_shape(in);
  const Value element = t.b.trunc(shape.type, t.read(1));
  const Value a = simd_read(t, in, 0);
  simd_write(t, in, vec_insert(t, shape.lane, a, lane_index(in, shape, is_mmx(in.op[0])), element));
}

void tr_vec_insertps(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const unsigned imm = static_cast<unsigned>(in.imm);
  const Value element =
      in.op[1].is_mem() ? t.load_mem(Type::I32) : vec_extract(t, Type::I32, Lane::W, t.xmm(in.op[1].reg), imm >> 6);
  Value r = vec_insert(t, Lane::W, t.xmm(in.op[0].reg), (imm >> 4) & 3, element);
  if (imm & 15) {
    u64 keep[2] = {~u64{0}, ~u64{0}};
    for (unsigned i = 0; i < 4; ++i)
      if (imm & (1u << i)) keep[i / 2] &= ~(u64{0xffffffff} << (i % 2 * 32));
    r = (keep[0] | keep[1]) == 0 ? t.b.vec(Opcode::vzero, Lane::D, {})
                                 : t.b.vec(Opcode::vand, Lane::D, {r, vec_const(t, keep[0], keep[1])});
  }
  t.set_xmm(in.op[0].reg, r);
}

void tr_vec_extract(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const LaneShape shape = lane_shape(in);
  const bool mmx = is_mmx(in.op[1]);
  const Value v = vec_extract(t, shape.type, shape.lane, simd_read(t, in, 1), lane_index(in, shape, mmx));
  if (in.op[0].is_mem())
    t.store_mem(v);
  else
    t.set_gpr(in.op[0].reg, ir::type_bytes(shape.type) < 4 ? t.b.zext(Type::I32, v) : v);
  if (mmx) enter_mmx(t);
}

void tr_vec_mask(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const Lane lane = in.mnemonic == Mnemonic::MOVMSKPS ? Lane::W : in.mnemonic == Mnemonic::MOVMSKPD ? Lane::D : Lane::B;
  const bool mmx = is_mmx(in.op[1]);
  Value m = t.b.op(Opcode::vmovmsk, Type::I32, {simd_read(t, in, 1)}, static_cast<u8>(lane));
  if (mmx) m = t.b.andi(m, 0xff);
  t.set_gpr(in.op[0].reg, m);
  if (mmx) enter_mmx(t);
}

// [DS:rDI], DS may be overridden.
void tr_vec_maskmov(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const bool mmx = is_mmx(in.op[0]);
  const unsigned bytes = mmx ? 8 : 16;
  t.b.set_reg(kRegVtemp0, simd_read(t, in, 0));
  t.b.set_reg(kRegVtemp0 + 1, simd_read(t, in, 1));
  const Value rdi = t.gpr(RDI, in.addrsize);
  const Value offset = in.addrsize == 8 ? rdi : t.b.zext(Type::I32, rdi);
  const Addr a = t.segment_address(in.seg == kNoReg ? static_cast<unsigned>(DS) : in.seg, offset, 0, bytes, true);
  const Value linear = t.b.zext(Type::I64, t.b.addi(a.base, static_cast<u64>(a.disp)));
  t.call(Helper::maskmov, {linear, t.k32(bytes)});
  if (mmx) enter_mmx(t);
}

void tr_ldmxcsr(Translator& t, const Insn&) {
  if (!t.require_sse()) return;
  t.call_and_leave(Helper::ldmxcsr, {t.load_mem(Type::I32)});
}

void tr_stmxcsr(Translator& t, const Insn&) {
  if (!t.require_sse()) return;
  t.store_mem(t.call(Helper::stmxcsr));
}

}  // namespace doppel::x86
