// SSE, SHA and SSE4A instructions done by helpers: vector operands go through the state's vector temporaries.
#include "guest/x86/translate/simd.h"

namespace doppel::x86 {
namespace {

struct HelperRow {
  Mnemonic mnemonic;
  Helper helper;
  bool imm;
};
constexpr HelperRow kRows[] = {
    {Mnemonic::PHMINPOSUW, Helper::phminposuw, false},
    {Mnemonic::MPSADBW, Helper::mpsadbw, true},
    {Mnemonic::PCLMULQDQ, Helper::pclmulqdq, true},
    {Mnemonic::AESIMC, Helper::aesimc, false},
    {Mnemonic::AESENC, Helper::aesenc, false},
    {Mnemonic::AESENCLAST, Helper::aesenclast, false},
    {Mnemonic::AESDEC, Helper::aesdec, false},
    {Mnemonic::AESDECLAST, Helper::aesdeclast, false},
    {Mnemonic::AESKEYGENASSIST, Helper::aeskeygenassist, true},
};

}  // namespace

void tr_vec_helper(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const HelperRow* row = kRows;
  while (row->mnemonic != in.mnemonic) ++row;
  const Value b = simd_read(t, in, 1);
  t.b.set_reg(kRegVtemp0, t.xmm(in.op[0].reg));
  t.b.set_reg(kRegVtemp0 + 1, b);
  if (row->imm)
    t.call(row->helper, {t.k32(in.imm & 0xff)});
  else
    t.call(row->helper);
  t.set_xmm(in.op[0].reg, t.b.get_reg(Type::V128, kRegVtemp0));
}

// Memory operands need no alignment. Lengths are EAX and EDX, with REX.W RAX and RDX.
void tr_pcmpstr(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const bool explicit_lengths = in.mnemonic == Mnemonic::PCMPESTRM || in.mnemonic == Mnemonic::PCMPESTRI;
  const bool to_mask = in.mnemonic == Mnemonic::PCMPESTRM || in.mnemonic == Mnemonic::PCMPISTRM;
  const Value b = t.read_xmm(1, false);
  t.b.set_reg(kRegVtemp0, t.xmm(in.op[0].reg));
  t.b.set_reg(kRegVtemp0 + 1, b);
  const unsigned size = in.rex_w() ? 8 : 4;
  const Value length1 = explicit_lengths ? t.b.sext(Type::I64, t.gpr(RAX, size)) : t.k64(0);
  const Value length2 = explicit_lengths ? t.b.sext(Type::I64, t.gpr(RDX, size)) : t.k64(0);
  const Value r = t.call(Helper::pcmpstr, {t.k32((in.imm & 0xff) | u64{explicit_lengths} << 8), length1, length2});
  if (to_mask)
    t.set_xmm(0, t.b.get_reg(Type::V128, kRegVtemp0));
  else
    t.set_gpr(RCX, t.b.shri(r, 16));
  t.set_flags(t.b.op(Opcode::flags_pack, Type::I32, {t.b.andi(r, 0xfff)}));
}

void tr_sha(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const Value b = simd_read(t, in, 1);
  t.b.set_reg(kRegVtemp0, t.xmm(in.op[0].reg));
  t.b.set_reg(kRegVtemp0 + 1, b);
  if (in.mnemonic == Mnemonic::SHA256RNDS2) t.b.set_reg(kRegVtemp0 + 2, t.xmm(0));
  t.call(Helper::sha, {t.k32(static_cast<u64>(in.mnemonic)), t.k32(in.imm & 0xff)});
  t.set_xmm(in.op[0].reg, t.b.get_reg(Type::V128, kRegVtemp0));
}

// SSE4A. The upper quadword of the result is undefined; here it is zero. Length and index are immediates, or bytes of
// the second operand: its first two for EXTRQ, bytes 8 and 9 for INSERTQ.
void tr_extrq(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  Value length = t.k64(in.imm & 0xff), index = t.k64((in.imm >> 8) & 0xff);
  if (in.op[1].kind == OpKind::Xmm) {
    const Value control = vec_low64(t, t.xmm(in.op[1].reg));
    length = t.b.extract(control, 0, 6);
    index = t.b.extract(control, 8, 6);
  }
  t.set_xmm(in.op[0].reg, vec_from_int(t, t.call(Helper::extrq, {vec_low64(t, t.xmm(in.op[0].reg)), length, index})));
}

void tr_insertq(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const Value source = t.xmm(in.op[1].reg);
  Value length = t.k64(in.imm & 0xff), index = t.k64((in.imm >> 8) & 0xff);
  if (in.op[2].kind != OpKind::Imm) {
    const Value control = vec_extract(t, Type::I64, Lane::D, source, 1);
    length = t.b.extract(control, 0, 6);
    index = t.b.extract(control, 8, 6);
  }
  const Value low = vec_low64(t, t.xmm(in.op[0].reg));
  t.set_xmm(in.op[0].reg, vec_from_int(t, t.call(Helper::insertq, {low, vec_low64(t, source), length, index})));
}

}  // namespace doppel::x86
