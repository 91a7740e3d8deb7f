// Packed integer and bitwise instructions that work lane by lane: the MMX form is the low half of the XMM form.
#include "guest/x86/translate/simd.h"

namespace doppel::x86 {
namespace {

using enum Mnemonic;
constexpr VecOp kRows[] = {
    {ANDPS, Opcode::vand},
    {ANDPD, Opcode::vand},
    {PAND, Opcode::vand},
    {ANDNPS, Opcode::vandn},
    {ANDNPD, Opcode::vandn},
    {PANDN, Opcode::vandn},
    {ORPS, Opcode::vor},
    {ORPD, Opcode::vor},
    {POR, Opcode::vor},
    {XORPS, Opcode::vxor},
    {XORPD, Opcode::vxor},
    {PXOR, Opcode::vxor},
    {PADDB, Opcode::vadd, Lane::B},
    {PADDW, Opcode::vadd, Lane::H},
    {PADDD, Opcode::vadd, Lane::W},
    {PADDQ, Opcode::vadd, Lane::D},
    {PSUBB, Opcode::vsub, Lane::B},
    {PSUBW, Opcode::vsub, Lane::H},
    {PSUBD, Opcode::vsub, Lane::W},
    {PSUBQ, Opcode::vsub, Lane::D},
    {PADDSB, Opcode::vadds, Lane::B},
    {PADDSW, Opcode::vadds, Lane::H},
    {PADDUSB, Opcode::vaddus, Lane::B},
    {PADDUSW, Opcode::vaddus, Lane::H},
    {PSUBSB, Opcode::vsubs, Lane::B},
    {PSUBSW, Opcode::vsubs, Lane::H},
    {PSUBUSB, Opcode::vsubus, Lane::B},
    {PSUBUSW, Opcode::vsubus, Lane::H},
    {PMULLW, Opcode::vmullo, Lane::H},
    {PMULLD, Opcode::vmullo, Lane::W},
    {PMULHW, Opcode::vmulhs, Lane::H},
    {PMULHUW, Opcode::vmulhu, Lane::H},
    {PMULHRSW, Opcode::vmulhrs, Lane::H},
    {PMULUDQ, Opcode::vmuludq, Lane::W},
    {PMULDQ, Opcode::vmuldq, Lane::W},
    {PMADDWD, Opcode::vmaddwd, Lane::H},
    {PMADDUBSW, Opcode::vmaddubsw, Lane::B},
    {PSADBW, Opcode::vsadbw, Lane::B},
    {PAVGB, Opcode::vavg, Lane::B},
    {PAVGW, Opcode::vavg, Lane::H},
    {PMINSB, Opcode::vmins, Lane::B},
    {PMINSW, Opcode::vmins, Lane::H},
    {PMINSD, Opcode::vmins, Lane::W},
    {PMINUB, Opcode::vminu, Lane::B},
    {PMINUW, Opcode::vminu, Lane::H},
    {PMINUD, Opcode::vminu, Lane::W},
    {PMAXSB, Opcode::vmaxs, Lane::B},
    {PMAXSW, Opcode::vmaxs, Lane::H},
    {PMAXSD, Opcode::vmaxs, Lane::W},
    {PMAXUB, Opcode::vmaxu, Lane::B},
    {PMAXUW, Opcode::vmaxu, Lane::H},
    {PMAXUD, Opcode::vmaxu, Lane::W},
    {PCMPEQB, Opcode::vcmpeq, Lane::B},
    {PCMPEQW, Opcode::vcmpeq, Lane::H},
    {PCMPEQD, Opcode::vcmpeq, Lane::W},
    {PCMPEQQ, Opcode::vcmpeq, Lane::D},
    {PCMPGTB, Opcode::vcmpgt, Lane::B},
    {PCMPGTW, Opcode::vcmpgt, Lane::H},
    {PCMPGTD, Opcode::vcmpgt, Lane::W},
    {PCMPGTQ, Opcode::vcmpgt, Lane::D},
    {PSIGNB, Opcode::vsign, Lane::B},
    {PSIGNW, Opcode::vsign, Lane::H},
    {PSIGND, Opcode::vsign, Lane::W},
    {PABSB, Opcode::vabs, Lane::B},
    {PABSW, Opcode::vabs, Lane::H},
    {PABSD, Opcode::vabs, Lane::W},
    {PSRLW, Opcode::vshr, Lane::H},
    {PSRLD, Opcode::vshr, Lane::W},
    {PSRLQ, Opcode::vshr, Lane::D},
    {PSRAW, Opcode::vsar, Lane::H},
    {PSRAD, Opcode::vsar, Lane::W},
    {PSLLW, Opcode::vshl, Lane::H},
    {PSLLD, Opcode::vshl, Lane::W},
    {PSLLQ, Opcode::vshl, Lane::D},
    {PSRLDQ, Opcode::vshrb, Lane::D},
    {PSLLDQ, Opcode::vshlb, Lane::D},
};
constexpr VecOpTable kOps{kRows};

bool zero_when_same(Opcode op) {
  return op == Opcode::vxor || op == Opcode::vsub || op == Opcode::vandn || op == Opcode::vcmpgt;
}

}  // namespace

void tr_vec_lanes(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const VecOp& row = kOps[in.mnemonic];
  if (in.op[0].kind == in.op[1].kind && in.op[0].reg == in.op[1].reg && zero_when_same(row.op)) {
    simd_write(t, in, t.b.vec(Opcode::vzero, Lane::D, {}));
    return;
  }
  const Value b = simd_read(t, in, 1);
  const Value a = simd_read(t, in, 0);
  simd_write(t, in, t.b.vec(row.op, row.lane, {a, b}));
}

void tr_vec_abs(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const VecOp& row = kOps[in.mnemonic];
  simd_write(t, in, t.b.vec(row.op, row.lane, {simd_read(t, in, 1)}));
}

void tr_vec_shift(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const VecOp& row = kOps[in.mnemonic];
  if (in.op[1].kind != OpKind::Imm) {
    const Value count = simd_read(t, in, 1);
    simd_write(t, in, t.b.vec(row.op, row.lane, {simd_read(t, in, 0), count}));
    return;
  }
  Opcode op = row.op;
  if (op == Opcode::vshr)
    op = Opcode::vshri;
  else if (op == Opcode::vsar)
    op = Opcode::vsari;
  else if (op == Opcode::vshl)
    op = Opcode::vshli;
  simd_write(t, in, t.b.vec(op, row.lane, {simd_read(t, in, 0)}, in.imm & 0xff));
}

}  // namespace doppel::x86
