// The helpers that translated MIPS code calls. One row each in helpers/{system,fp,dsp,msa}.def:
//   HELPER(name, nargs, ret, effects)   ->   u64 helper_name(MipsState*, u64...), defined in the file of that part.
#pragma once
#include "guest/mips/state.h"
#include "ir/ir.h"

namespace doppel::mips {

enum class Helper : u16 {
#define HELPER(name, nargs, ret, effects) name,
#include "guest/mips/helpers/dsp.def"
#include "guest/mips/helpers/fp.def"
#include "guest/mips/helpers/msa.def"
#include "guest/mips/helpers/system.def"
#undef HELPER
  Count
};

#define HELPER_ARGS_0
#define HELPER_ARGS_1 , u64
#define HELPER_ARGS_2 , u64, u64
#define HELPER_ARGS_3 , u64, u64, u64
#define HELPER_ARGS_4 , u64, u64, u64, u64
#define HELPER(name, nargs, ret, effects) u64 helper_##name(MipsState* HELPER_ARGS_##nargs);
#include "guest/mips/helpers/dsp.def"
#include "guest/mips/helpers/fp.def"
#include "guest/mips/helpers/msa.def"
#include "guest/mips/helpers/system.def"
#undef HELPER

// Operations of the floating-point helpers; kFpDouble is or-ed for operands of 64 bits, kFpPaired for pairs of singles.
enum FpOp : u64 {
  kFpAdd,
  kFpSub,
  kFpMul,
  kFpDiv,
  kFpSqrt,
  kFpAbs,
  kFpNeg,
  kFpRecip,
  kFpRsqrt,
  kFpMadd,
  kFpMsub,
  kFpNmadd,
  kFpNmsub,
  kFpToW,
  kFpToL,
  kFpSFromD,
  kFpSFromW,
  kFpSFromL,
  kFpDFromS,
  kFpDFromW,
  kFpDFromL,
  kFpNegAdd,  // -(a + b), -(a - b): NaNs keep their sign
  kFpNegSub,
  kFpCompare,
  kFpRecip2,
  kFpRsqrt2,
  kFpDouble = 0x100,
  kFpPaired = 0x200,  // two singles
};

constexpr u64 kFpAbsolute = 16;  // a comparison's detail: of absolute values

extern const ir::HelperTable kHelpers;

}  // namespace doppel::mips
