// What the translate functions of MMX and SSE instructions share. An MMX value is a V128 whose low 64 bits count; the
// upper ones may hold anything.
#pragma once
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {

// An IR op with its lane, for a mnemonic.
struct VecOp {
  Mnemonic mnemonic = Mnemonic::INVALID;
  Opcode op = Opcode::insn;
  Lane lane = Lane::B;
  u8 imm = 0;
};
// Rows by mnemonic in O(1).
class VecOpTable {
 public:
  template <size_t N>
  constexpr explicit VecOpTable(const VecOp (&rows)[N]) {
    for (const VecOp& r : rows) rows_[static_cast<size_t>(r.mnemonic)] = r;
  }
  const VecOp& operator[](Mnemonic m) const { return rows_[static_cast<size_t>(m)]; }

 private:
  VecOp rows_[static_cast<size_t>(Mnemonic::Count)] = {};
};

// #UD and #NM by CR0 and CR4: the MMX rule if no operand is an XMM register. False: the exception was emitted, return.
bool simd_require(Translator& t, const Insn& in);
// Operand i as a V128: MMX and XMM registers, memory of 16 bytes (which must be aligned) and of 8, 4 or 2 bytes
// (zero-extended).
Value simd_read(Translator& t, const Insn& in, unsigned i);
// Writes the destination, an MMX register (lane `lane64` of v; enters MMX state) or an XMM register.
void simd_write(Translator& t, const Insn& in, Value v, unsigned lane64 = 0);
// True for the MMX form: the first operand (or the second of a move to a general register or memory) is an MMX
// register.
inline bool is_mmx(const Operand& o) { return o.kind == OpKind::Mmx; }

// MMX registers (mmx.cpp). simd_require does begin_mmx for instructions with an MMX operand.
void begin_mmx(Translator& t);
Value read_mmx(Translator& t, unsigned reg);
void write_mmx(Translator& t, unsigned reg, Value i64);
void enter_mmx(
    Translator& t);  // TOP = 0, all tags valid: every MMX instruction but EMMS, after its last op that may fault

// --- pieces
inline Value vec_const(Translator& t, u64 lo, u64 hi) {
  const Value low = t.b.op(Opcode::vfromint, Type::I64, {t.k64(lo)});
  if (hi == 0) return low;
  return t.b.vec(Opcode::vunpacklo, Lane::D, {low, t.b.op(Opcode::vfromint, Type::I64, {t.k64(hi)})});
}
inline Value vec_from_int(Translator& t, Value v) { return t.b.op(Opcode::vfromint, t.b.type(v), {v}); }
inline Value vec_extract(Translator& t, Type type, Lane lane, Value v, unsigned index) {
  return t.b.op(Opcode::vextract, type, {v}, static_cast<u8>(lane), 0, index);
}
inline Value vec_insert(Translator& t, Lane lane, Value v, unsigned index, Value element) {
  return t.b.op(Opcode::vinsert, t.b.type(element), {v, element}, static_cast<u8>(lane), 0, index);
}
inline Value vec_low64(Translator& t, Value v) { return vec_extract(t, Type::I64, Lane::D, v, 0); }

// A float op: the IR's own, or the checking helper while MXCSR has an unmasked exception (simd_float.cpp).
Value float_op(Translator& t, Opcode op, Lane lane, Value a, Value b, u64 imm = 0);
Value float_from_int(Translator& t, Lane lane, Value a, Value integer);
Value float_to_int(Translator& t, Lane lane, Type type, Value a, bool truncate);

}  // namespace doppel::x86
