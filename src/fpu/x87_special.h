// The x87's transcendental and partial instructions, for hosts without an x87: those that approximate are done in
// double and cut to 53 bits; FXTRACT, FSCALE, FPREM and FPREM1 are exact but for what the SDM leaves to the processor.
// SDM vol. 2.
#pragma once
#include "fpu/fpu.h"

namespace doppel::fpu {

struct X87Special {
  f80 st0, st1;  // afterwards; when it pops, st1 is the result
  bool pushes = false, pops = false;
  u16 conditions = 0;  // C0 to C3, as in the status word
};
// `code`: the low half of the second opcode byte, D9 F0 to D9 FF. a is ST(0), b ST(1). Flags go to env.
X87Special x87_special(unsigned code, const f80& a, const f80& b, Env& env);

}  // namespace doppel::fpu
