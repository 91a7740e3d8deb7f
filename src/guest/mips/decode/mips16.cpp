#include "guest/mips/decode/mips16.h"

namespace doppel::mips {
namespace {

constexpr u32 op(u32 opcode) { return opcode << 26; }

struct Row16 {
  u32 mask, match;
  const char* name;
  Form16 form;
  u32 word;
};
#define INSN16(mask, match, name, form, word) {mask, match, name, Form16::form, word},
constexpr Row16 kRows[] = {
#include "guest/mips/decode/mips16.inc"
};
#undef INSN16

constexpr unsigned kT8 = 24, kSp = 29, kRa = 31;
constexpr unsigned general(u32 three_bits) {
  constexpr u8 kRegs[8] = {16, 17, 2, 3, 4, 5, 6, 7};
  return kRegs[three_bits & 7];
}
constexpr s32 sign_extended(u32 v, unsigned bits) { return static_cast<s32>(v << (32 - bits)) >> (32 - bits); }

struct Fields {
  u32 word;
  bool extended;
  u32 extend;
  unsigned rx() const { return general(word >> 8); }
  unsigned ry() const { return general(word >> 5); }
  unsigned rz() const { return general(word >> 2); }
  // The 16 bits that EXTEND makes of an immediate; the instruction's own `bits`, scaled, without it.
  u32 wide() const { return (extend & 0x1f) << 11 | (extend & 0x7e0) | (word & 0x1f); }
  s32 number(unsigned bits, unsigned scale, bool is_signed) const {
    if (extended) return sign_extended(wide(), 16);
    const u32 own = word & ((1u << bits) - 1);
    return (is_signed ? sign_extended(own, bits) : static_cast<s32>(own)) << scale;
  }
};

constexpr u32 imm(u32 base, unsigned rs, unsigned rt, s32 value) {
  return base | rs << 21 | rt << 16 | (static_cast<u32>(value) & 0xffff);
}
constexpr u32 reg(u32 base, unsigned rs, unsigned rt, unsigned rd) { return base | rs << 21 | rt << 16 | rd << 11; }

s32 four_bits(const Fields& f) {
  if (!f.extended) return sign_extended(f.word & 15, 4);
  return sign_extended((f.extend & 15) << 11 | (f.extend & 0x7f0) | (f.word & 15), 15);
}

u32 word_of(const Row16& r, const Fields& f) {
  const u32 w = f.word;
  switch (r.form) {
    case Form16::RxSp4: return imm(r.word, kSp, f.rx(), f.number(8, 2, false));
    case Form16::RaSp4: return imm(r.word, kSp, kRa, f.number(8, 2, false));
    case Form16::SpSp8: return imm(r.word, kSp, kSp, f.number(8, 3, true));
    case Form16::RyRx4: return imm(r.word, f.rx(), f.ry(), four_bits(f));
    case Form16::RxRx8: return imm(r.word, f.rx(), f.rx(), f.number(8, 0, true));
    case Form16::T8Rx8: return imm(r.word, f.rx(), kT8, f.number(8, 0, false));
    case Form16::RxZero8: return imm(r.word, 0, f.rx(), f.number(8, 0, false));
    case Form16::RyAt1: return imm(r.word, f.rx(), f.ry(), f.number(5, 0, false));
    case Form16::RyAt2: return imm(r.word, f.rx(), f.ry(), f.number(5, 1, false));
    case Form16::RyAt4: return imm(r.word, f.rx(), f.ry(), f.number(5, 2, false));
    case Form16::Shift: {
      const u32 own = w >> 2 & 7, amount = f.extended ? f.extend >> 6 & 31 : own == 0 ? 8 : own;
      return reg(r.word, 0, f.ry(), f.rx()) | amount << 6;
    }
    case Form16::Mov32r: return reg(r.word, general(w), 0, (w >> 5 & 7) | (w & 0x18));
    case Form16::Movr32: return reg(r.word, w & 31, 0, f.ry());
    case Form16::RzRxRy: return reg(r.word, f.rx(), f.ry(), f.rz());
    case Form16::T8RxRy: return reg(r.word, f.rx(), f.ry(), kT8);
    case Form16::RxRxRy: return reg(r.word, f.rx(), f.ry(), f.rx());
    case Form16::RyRyRx: return reg(r.word, f.rx(), f.ry(), f.ry());
    case Form16::RxZeroRy: return reg(r.word, 0, f.ry(), f.rx());
    case Form16::RxRy: return reg(r.word, f.rx(), f.ry(), 0);
    case Form16::RxFrom: return reg(r.word, 0, 0, f.rx());
    case Form16::RxMasked: return imm(op(12), f.rx(), f.rx(), static_cast<s32>(r.word));
    case Form16::RxExtended: return reg(r.word, 0, f.rx(), f.rx());
    case Form16::Break: return r.word | (w >> 5 & 63) << 6;
    default: return r.word;
  }
}

// Of what has no single equivalent; EXTEND's immediates are not scaled but in branches.
s32 immediate_of(const Row16& r, const Fields& f) {
  switch (r.form) {
    case Form16::RxPc4: return f.number(8, 2, false);
    case Form16::Branch11: return f.extended ? f.number(0, 0, true) * 2 : f.number(11, 1, true);
    case Form16::BranchRx:
    case Form16::BranchT8: return f.extended ? f.number(0, 0, true) * 2 : f.number(8, 1, true);
    default: return 0;
  }
}

// Instructions that EXTEND may stand before.
bool may_be_extended(Form16 form) {
  switch (form) {
    case Form16::RxSp4:
    case Form16::RxPc4:
    case Form16::RaSp4:
    case Form16::SpSp8:
    case Form16::RyRx4:
    case Form16::RxRx8:
    case Form16::T8Rx8:
    case Form16::RxZero8:
    case Form16::RyAt1:
    case Form16::RyAt2:
    case Form16::RyAt4:
    case Form16::Shift:
    case Form16::SaveRestore:
    case Form16::Branch11:
    case Form16::BranchRx:
    case Form16::BranchT8: return true;
    default: return false;
  }
}

}  // namespace

Insn16 decode16(u32 word, bool extended, u32 extend) {
  const Fields f{word, extended, extend};
  for (const Row16& r : kRows) {
    if ((word & r.mask) != r.match) continue;
    if (extended && !may_be_extended(r.form)) break;
    Insn16 in{r.form, r.name, word_of(r, f), f.rx(), immediate_of(r, f)};
    if (r.form == Form16::BranchT8) in.rx = kT8;
    if (r.form == Form16::JumpRa) in.rx = kRa;
    return in;
  }
  return {};
}

}  // namespace doppel::mips
