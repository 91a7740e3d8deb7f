// Vector registers in IR, for the functions that translate MSA instructions.
#pragma once
#include "guest/mips/helpers/msa.h"
#include "guest/mips/translate/translator.h"

namespace doppel::mips {

using ir::Lane;

inline ir::RegId low_row(unsigned n) { return static_cast<ir::RegId>(kRegFpr0 + n); }
inline ir::RegId high_row(unsigned n) { return static_cast<ir::RegId>(kRegMsaHigh0 + n); }

// The rows of a register.
struct Halves {
  Value low, high;
};
inline Halves halves_of(Translator& t, unsigned n) {
  return {t.b.get_reg(Type::I64, low_row(n)), t.b.get_reg(Type::I64, high_row(n))};
}
inline void set_halves(Translator& t, unsigned n, Halves v) {
  t.b.set_reg(low_row(n), v.low);
  t.b.set_reg(high_row(n), v.high);
}

inline Value joined(Translator& t, Halves v) {
  const Value low = t.b.op(Opcode::vfromint, Type::V128, {v.low}),
              high = t.b.op(Opcode::vfromint, Type::V128, {v.high});
  return t.b.vec(Opcode::vunpacklo, Lane::D, {low, high});
}
inline Value vector(Translator& t, unsigned n) { return joined(t, halves_of(t, n)); }
inline void set_vector(Translator& t, unsigned n, Value v) {
  const auto half = [&](u64 i) { return t.b.op(Opcode::vextract, Type::I64, {v}, static_cast<u8>(Lane::D), 0, i); };
  set_halves(t, n, {half(0), half(1)});
}
inline Value splat(Translator& t, unsigned format, u64 v) {
  const unsigned bits = 8u << format;
  u64 r = bits == 64 ? v : v & ((u64{1} << bits) - 1);
  for (unsigned at = bits; at < 64; at *= 2) r |= r << at;
  const Value half = t.k64(r);
  return joined(t, {half, half});
}

inline Lane lane_of(unsigned format) { return static_cast<Lane>(format); }

// Operations with more than one vector op, and those that move lanes; false: a helper does it.
bool msa_lanes(Translator& t, const Insn& in, unsigned format);

}  // namespace doppel::mips
