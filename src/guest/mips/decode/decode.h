// Decoding of MIPS instructions by one table (decode/*.inc): a row says which bits of the word are fixed, which
// architecture has it and which function translates it.
#pragma once
#include <vector>

#include "guest/mips/cpu_models.h"

namespace doppel::mips {

class Translator;
struct Insn;
using TranslateFn = void (*)(Translator&, const Insn&);

enum class Isa : u8 {
  R1,   // MIPS32 and MIPS64, release 1
  R2,   // release 2
  M64,  // MIPS64; 64-bit operations must be enabled
  M64R2,
  Fp,    // with floating point; Status.CU1 must be set
  FpR2,  // floating point of release 2, or of MIPS64
  Fp64,  // floating point with 64-bit integers: a unit of 64-bit registers
  Ps,    // paired single; Status.FR must be set
  M3d,   // MIPS-3D
  Dsp,   // the DSP module; Status.MX must be set
  DspR2,
  Mips16,
  Msa,  // the MSA module; Config5.MSAEn must be set
};
enum class Kind : u8 {
  Plain,
  Branch,        // has a delay slot
  BranchLikely,  // whose delay slot is nullified when it is not taken
};

struct Row {
  u32 mask, match;
  const char* name;
  Isa isa;
  Kind kind;
  TranslateFn translate;
};

struct Insn {
  u64 pc = 0;
  u32 word = 0;
  const Row* row = nullptr;  // null: reserved
  unsigned op() const { return word >> 26; }
  unsigned rs() const { return word >> 21 & 31; }
  unsigned rt() const { return word >> 16 & 31; }
  unsigned rd() const { return word >> 11 & 31; }
  unsigned sa() const { return word >> 6 & 31; }
  unsigned funct() const { return word & 63; }
  unsigned fs() const { return rd(); }
  unsigned ft() const { return rt(); }
  unsigned fd() const { return sa(); }
  unsigned fr() const { return rs(); }
  unsigned fmt() const { return rs(); }
  unsigned sel() const { return word & 7; }
  s64 simm() const { return static_cast<s16>(word); }
  u32 uimm() const { return word & 0xffff; }
};

class Decoder {
 public:
  explicit Decoder(const CpuModel& model);
  // The row of a word that the model has; null: a reserved instruction.
  const Row* find(u32 word) const {
    for (const Row* row : buckets_[(word >> 26) << 6 | (word & 63)])
      if ((word & row->mask) == row->match) return row;
    return nullptr;
  }

 private:
  std::vector<std::vector<const Row*>> buckets_;  // by opcode and the lowest six bits
};

size_t row_count();
const Row& row(size_t index);

}  // namespace doppel::mips
