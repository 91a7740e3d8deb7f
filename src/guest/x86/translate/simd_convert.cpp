// SSE conversions (SDM vol. 1, 11.4.4). CVTDQ2PD and CVTPI2PD are exact and raise nothing.
#include "guest/x86/translate/simd.h"

namespace doppel::x86 {
namespace {

using enum Mnemonic;
constexpr VecOp kRows[] = {
    {CVTSS2SD, Opcode::vf_s2d, Lane::SS}, {CVTPS2PD, Opcode::vf_s2d, Lane::PS},
    {CVTSD2SS, Opcode::vf_d2s, Lane::SD}, {CVTPD2PS, Opcode::vf_d2s, Lane::PD},
    {CVTDQ2PS, Opcode::vf_i2f, Lane::PS}, {CVTDQ2PD, Opcode::vf_i2f, Lane::PD},
    {CVTPS2DQ, Opcode::vf_f2i, Lane::PS}, {CVTTPS2DQ, Opcode::vf_f2i, Lane::PS, 1},
    {CVTPD2DQ, Opcode::vf_f2i, Lane::PD}, {CVTTPD2DQ, Opcode::vf_f2i, Lane::PD, 1},
    {CVTPS2PI, Opcode::vf_f2i, Lane::PS}, {CVTTPS2PI, Opcode::vf_f2i, Lane::PS, 1},
    {CVTPD2PI, Opcode::vf_f2i, Lane::PD}, {CVTTPD2PI, Opcode::vf_f2i, Lane::PD, 1},
    {CVTPI2PS, Opcode::vf_i2f, Lane::PS}, {CVTPI2PD, Opcode::vf_i2f, Lane::PD},
};
constexpr VecOpTable kOps{kRows};

}  // namespace

void tr_vec_convert(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const VecOp& row = kOps[in.mnemonic];
  const bool scalar = row.lane == Lane::SS || row.lane == Lane::SD;
  const Value b = simd_read(t, in, 1);
  t.set_xmm(in.op[0].reg, float_op(t, row.op, row.lane, scalar ? t.xmm(in.op[0].reg) : b, b, row.imm));
}

void tr_cvtsi2f(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const Value integer = t.read(1);
  t.set_xmm(in.op[0].reg,
            float_from_int(t, in.mnemonic == CVTSI2SS ? Lane::SS : Lane::SD, t.xmm(in.op[0].reg), integer));
}

void tr_cvtf2si(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const bool single = in.mnemonic == CVTSS2SI || in.mnemonic == CVTTSS2SI;
  const bool truncate = in.mnemonic == CVTTSS2SI || in.mnemonic == CVTTSD2SI;
  const Value a = simd_read(t, in, 1);
  t.set_gpr(in.op[0].reg, float_to_int(t, single ? Lane::SS : Lane::SD, int_type(in.op[0].size), a, truncate));
}

// Two int32 of an MMX register or memory. CVTPI2PD from memory does not enter MMX state (SDM vol. 2).
void tr_cvtpi2f(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const VecOp& row = kOps[in.mnemonic];
  if (row.lane == Lane::PS && in.op[1].is_mem()) begin_mmx(t);
  const Value b = simd_read(t, in, 1);
  if (row.lane == Lane::PS || is_mmx(in.op[1])) enter_mmx(t);  // even when #XM follows
  const Value r = float_op(t, row.op, row.lane, b, b);
  t.set_xmm(in.op[0].reg, row.lane == Lane::PS ? t.b.vec(Opcode::vmovlow, Lane::SD, {t.xmm(in.op[0].reg), r}) : r);
}

void tr_cvtf2pi(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const VecOp& row = kOps[in.mnemonic];
  Value b = simd_read(t, in, 1);
  if (row.lane == Lane::PS && !in.op[1].is_mem())
    b = vec_from_int(t, vec_low64(t, b));  // the upper lanes must not set flags
  enter_mmx(t);                            // even when #XM follows
  simd_write(t, in, float_op(t, row.op, row.lane, b, b, row.imm));
}

}  // namespace doppel::x86
