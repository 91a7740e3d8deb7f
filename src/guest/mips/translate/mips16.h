// MIPS16 instructions that no single MIPS32 instruction stands for (MD00076).
#pragma once
#include "guest/mips/decode/mips16.h"
#include "guest/mips/translate/translator.h"

namespace doppel::mips {

// An instruction as it was fetched: of two halfwords `first` is EXTEND or the first of JAL.
struct Half {
  u32 word = 0, first = 0, bytes = 2;
  bool extended = false;
};

// ADDIU and LW of an address near the pc: that of the instruction, or of the jump whose delay slot it is in.
void tr_pc_relative16(Translator& t, const Insn16& in, u64 pc);
void tr_save_restore16(Translator& t, const Half& half);
// Where JAL (MIPS16 code) or JALX (MIPS32 code) at `pc` goes.
u64 jal_target16(const Half& half, u64 pc);

}  // namespace doppel::mips
