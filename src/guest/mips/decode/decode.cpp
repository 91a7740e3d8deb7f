#include "guest/mips/decode/decode.h"

#include "guest/mips/translate/translator.h"

namespace doppel::mips {
namespace {

// Fixed fields: opcode; opcode with the function in the low six bits; and with more fields that must be zero.
constexpr u32 op(u32 opcode) { return opcode << 26; }
constexpr u32 kOp = 0xfc000000, kFunct = 0x3f, kRs = 31u << 21, kRt = 31u << 16, kRd = 31u << 11, kSa = 31u << 6;

#define INSN(mask, match, name, isa, kind, handler) {mask, match, name, Isa::isa, Kind::kind, handler},
constexpr Row kRows[] = {
#include "guest/mips/decode/cop0.inc"
#include "guest/mips/decode/cop1.inc"
#include "guest/mips/decode/dsp.inc"
#include "guest/mips/decode/main.inc"
#include "guest/mips/decode/msa.inc"
#include "guest/mips/decode/paired.inc"
#include "guest/mips/decode/special.inc"
};
#undef INSN

bool has(const CpuModel& m, Isa isa) {
  switch (isa) {
    case Isa::R1: return true;
    case Isa::R2: return m.release >= 2;
    case Isa::M64: return m.is_64bit;
    case Isa::M64R2: return m.is_64bit && m.release >= 2;
    case Isa::Fp: return m.fpu;
    case Isa::FpR2: return m.fpu && (m.release >= 2 || m.is_64bit);
    case Isa::Fp64: return m.fpu && m.fpu64;
    case Isa::Ps: return m.paired;
    case Isa::M3d: return m.mips3d;
    case Isa::Dsp: return m.dsp >= 1;
    case Isa::DspR2: return m.dsp >= 2;
    case Isa::Mips16: return m.mips16;
    case Isa::Msa: return m.msa;
  }
  return false;
}

}  // namespace

Decoder::Decoder(const CpuModel& model) : buckets_(64 * 64) {
  for (const Row& r : kRows) {
    // Without a unit its instructions are there to raise Coprocessor Unusable.
    const bool fp = r.isa == Isa::Fp || r.isa == Isa::FpR2 || r.isa == Isa::Fp64;
    if (!has(model, r.isa) && !(fp && !model.fpu)) continue;
    const u32 opcode = r.match >> 26;
    for (u32 low = 0; low < 64; low++)
      if ((low & r.mask) == (r.match & r.mask & kFunct)) buckets_[opcode << 6 | low].push_back(&r);
  }
}

size_t row_count() { return std::size(kRows); }
const Row& row(size_t index) { return kRows[index]; }

}  // namespace doppel::mips
