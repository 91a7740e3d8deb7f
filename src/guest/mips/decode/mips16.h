// MIPS16e (vol. IV-a, MD00076): instructions of 16 bits, most of which stand for one of MIPS32: those are given as its
// word, so that one table translates both. An address with bit 0 set is one of MIPS16e code.
#pragma once
#include "base/bits.h"

namespace doppel::mips {

// How an instruction's operands lie in it: what they are named by is what they become.
enum class Form16 : u8 {
  Reserved,
  Plain,    // none
  RxSp4,    // rx, an offset of 8 bits times 4 from SP
  RxPc4,    // the same from the pc: an address (0) or a load (1)
  RaSp4,    // RA stored so
  SpSp8,    // SP and a signed number of 8 bits times 8
  RyRx4,    // ry, rx, a signed number of 4 bits
  RxRx8,    // rx and a signed number of 8 bits
  T8Rx8,    // T8 = rx compared with 8 bits
  RxZero8,  // rx = 8 bits
  RyAt1,    // ry, an offset of 5 bits from rx
  RyAt2,    // times 2
  RyAt4,    // times 4
  Shift,    // rx = ry shifted by 1 to 8
  Mov32r,   // any register = rz
  Movr32,   // ry = any register
  RzRxRy,
  T8RxRy,
  RxRxRy,
  RyRyRx,  // ry = ry shifted by rx
  RxZeroRy,
  RxRy,  // to HI and LO
  RxFrom,
  RxMasked,    // rx = rx & the number given
  RxExtended,  // rx = rx sign-extended
  Break,
  // What has no single equivalent.
  SaveRestore,
  Branch11,  // always
  BranchRx,  // if rx is zero, or (1) not
  BranchT8,
  Jal,     // JAL, JALX: four bytes
  JumpRx,  // bit 0: links; bit 1: has no delay slot
  JumpRa,
};

struct Insn16 {
  Form16 form = Form16::Reserved;
  const char* name = "reserved";
  u32 word = 0;       // the MIPS32 instruction, or the row's number
  unsigned rx = 0;    // a general register
  s32 immediate = 0;  // scaled: of pc-relative forms and branches
};

// `word` with the EXTEND before it, if there is one.
Insn16 decode16(u32 word, bool extended, u32 extend);

constexpr bool is_extend(u32 word) { return word >> 11 == 30; }
constexpr bool is_jal16(u32 word) { return word >> 11 == 3; }

}  // namespace doppel::mips
