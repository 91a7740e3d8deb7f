// Instructions that move data between lanes: packs, horizontal adds, unpacks, shuffles, blends, extensions. The MMX
// forms first join both operands (or take the right half of the 128-bit result).
#include "guest/x86/translate/simd.h"

namespace doppel::x86 {
namespace {

using enum Mnemonic;
constexpr VecOp kRows[] = {
    {PACKSSWB, Opcode::vpackss, Lane::H},    {PACKSSDW, Opcode::vpackss, Lane::W},
    {PACKUSWB, Opcode::vpackus, Lane::H},    {PACKUSDW, Opcode::vpackus, Lane::W},
    {PHADDW, Opcode::vhadd, Lane::H},        {PHADDD, Opcode::vhadd, Lane::W},
    {PHADDSW, Opcode::vhadds, Lane::H},      {PHSUBW, Opcode::vhsub, Lane::H},
    {PHSUBD, Opcode::vhsub, Lane::W},        {PHSUBSW, Opcode::vhsubs, Lane::H},
    {PUNPCKLBW, Opcode::vunpacklo, Lane::B}, {PUNPCKLWD, Opcode::vunpacklo, Lane::H},
    {PUNPCKLDQ, Opcode::vunpacklo, Lane::W}, {PUNPCKLQDQ, Opcode::vunpacklo, Lane::D},
    {PUNPCKHBW, Opcode::vunpackhi, Lane::B}, {PUNPCKHWD, Opcode::vunpackhi, Lane::H},
    {PUNPCKHDQ, Opcode::vunpackhi, Lane::W}, {PUNPCKHQDQ, Opcode::vunpackhi, Lane::D},
    {UNPCKLPS, Opcode::vunpacklo, Lane::W},  {UNPCKLPD, Opcode::vunpacklo, Lane::D},
    {UNPCKHPS, Opcode::vunpackhi, Lane::W},  {UNPCKHPD, Opcode::vunpackhi, Lane::D},
    {PSHUFW, Opcode::vshuf_hl, Lane::H},     {PSHUFD, Opcode::vshuf_w, Lane::W},
    {PSHUFHW, Opcode::vshuf_hh, Lane::H},    {PSHUFLW, Opcode::vshuf_hl, Lane::H},
    {SHUFPS, Opcode::vshuf_ps, Lane::W},     {SHUFPD, Opcode::vshuf_pd, Lane::D},
    {BLENDPS, Opcode::vblendi, Lane::W},     {BLENDPD, Opcode::vblendi, Lane::D},
    {PBLENDW, Opcode::vblendi, Lane::H},     {BLENDVPS, Opcode::vblendv, Lane::W},
    {BLENDVPD, Opcode::vblendv, Lane::D},    {PBLENDVB, Opcode::vblendv, Lane::B},
    {PMOVSXBW, Opcode::vsext, Lane::B, 16},  {PMOVSXBD, Opcode::vsext, Lane::B, 32},
    {PMOVSXBQ, Opcode::vsext, Lane::B, 64},  {PMOVSXWD, Opcode::vsext, Lane::H, 32},
    {PMOVSXWQ, Opcode::vsext, Lane::H, 64},  {PMOVSXDQ, Opcode::vsext, Lane::W, 64},
    {PMOVZXBW, Opcode::vzext, Lane::B, 16},  {PMOVZXBD, Opcode::vzext, Lane::B, 32},
    {PMOVZXBQ, Opcode::vzext, Lane::B, 64},  {PMOVZXWD, Opcode::vzext, Lane::H, 32},
    {PMOVZXWQ, Opcode::vzext, Lane::H, 64},  {PMOVZXDQ, Opcode::vzext, Lane::W, 64},
};
constexpr VecOpTable kOps{kRows};

// Two 64-bit operands as one: `low` below `high`.
Value join(Translator& t, Value low, Value high) { return t.b.vec(Opcode::vunpacklo, Lane::D, {low, high}); }

}  // namespace

// Packs and horizontal operations: the results of the destination's lanes, then those of the source's.
void tr_vec_pack(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const VecOp& row = kOps[in.mnemonic];
  const Value b = simd_read(t, in, 1);
  const Value a = simd_read(t, in, 0);
  if (is_mmx(in.op[0])) {
    const Value ab = join(t, a, b);
    simd_write(t, in, t.b.vec(row.op, row.lane, {ab, ab}));
  } else {
    simd_write(t, in, t.b.vec(row.op, row.lane, {a, b}));
  }
}

void tr_vec_unpack(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const VecOp& row = kOps[in.mnemonic];
  const Value b = simd_read(t, in, 1);
  const Value a = simd_read(t, in, 0);
  // Interleaving whole MMX registers gives the low form in the lower half, the high form in the upper.
  if (is_mmx(in.op[0]))
    simd_write(t, in, t.b.vec(Opcode::vunpacklo, row.lane, {a, b}), row.op == Opcode::vunpackhi);
  else
    simd_write(t, in, t.b.vec(row.op, row.lane, {a, b}));
}

void tr_vec_shuffle(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const VecOp& row = kOps[in.mnemonic];
  simd_write(t, in, t.b.vec(row.op, row.lane, {simd_read(t, in, 1)}, in.imm & 0xff));
}

void tr_vec_shuffle2(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const VecOp& row = kOps[in.mnemonic];
  const Value b = simd_read(t, in, 1);
  t.set_xmm(in.op[0].reg, t.b.vec(row.op, row.lane, {t.xmm(in.op[0].reg), b}, in.imm & 0xff));
}

void tr_pshufb(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  Value b = simd_read(t, in, 1);
  const Value a = simd_read(t, in, 0);
  if (is_mmx(in.op[0])) b = t.b.vec(Opcode::vand, Lane::D, {b, vec_const(t, 0x8787878787878787, 0)});
  simd_write(t, in, t.b.vec(Opcode::vshuf_b, Lane::B, {a, b}));
}

void tr_palignr(Translator& t, const Insn& in) {
  if (!simd_require(t, in)) return;
  const Value b = simd_read(t, in, 1);
  const Value a = simd_read(t, in, 0);
  if (is_mmx(in.op[0]))
    simd_write(t, in, t.b.vec(Opcode::vshrb, Lane::D, {join(t, b, a)}, in.imm & 0xff));
  else
    simd_write(t, in, t.b.vec(Opcode::valign, Lane::B, {a, b}, in.imm & 0xff));
}

void tr_vec_blendv(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const VecOp& row = kOps[in.mnemonic];
  const Value b = simd_read(t, in, 1);
  t.set_xmm(in.op[0].reg, t.b.vec(row.op, row.lane, {t.xmm(in.op[0].reg), b, t.xmm(0)}));
}

void tr_vec_extend(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const VecOp& row = kOps[in.mnemonic];
  t.set_xmm(in.op[0].reg, t.b.vec(row.op, row.lane, {simd_read(t, in, 1)}, row.imm));
}

void tr_ptest(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const Value b = simd_read(t, in, 1);
  t.set_flags(t.b.op(Opcode::vptest, Type::V128, {t.xmm(in.op[0].reg), b}));
}

}  // namespace doppel::x86
