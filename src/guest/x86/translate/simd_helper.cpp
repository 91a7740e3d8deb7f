// SSE instructions done by helpers: operands go through the state's vector temporaries.
#include "guest/x86/translate/simd.h"

namespace doppel::x86 {
namespace {

struct HelperRow { Mnemonic mnemonic; Helper helper; bool imm; };
constexpr HelperRow kRows[] = {
    {Mnemonic::PHMINPOSUW, Helper::phminposuw, false}, {Mnemonic::MPSADBW, Helper::mpsadbw, true},
    {Mnemonic::PCLMULQDQ, Helper::pclmulqdq, true},    {Mnemonic::AESIMC, Helper::aesimc, false},
    {Mnemonic::AESENC, Helper::aesenc, false},         {Mnemonic::AESENCLAST, Helper::aesenclast, false},
    {Mnemonic::AESDEC, Helper::aesdec, false},         {Mnemonic::AESDECLAST, Helper::aesdeclast, false},
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
  if (row->imm) t.call(row->helper, {t.k32(in.imm & 0xff)});
  else t.call(row->helper);
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
  if (to_mask) t.set_xmm(0, t.b.get_reg(Type::V128, kRegVtemp0));
  else t.set_gpr(RCX, t.b.shri(r, 16));
  t.set_flags(t.b.op(Opcode::flags_pack, Type::I32, {t.b.andi(r, 0xfff)}));
}

}  // namespace doppel::x86
