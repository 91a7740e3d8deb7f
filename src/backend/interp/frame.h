// The interpreter's values: integers and flags zero-extended to 64 bits, vectors as 16 bytes, both indexed by
// ir::Value.
#pragma once
#include "fpu/x87_special.h"
#include "ir/ir.h"

namespace doppel::backend::interp {

union alignas(16) V128 {
  u8 b[16];
  u16 h[8];
  u32 w[4];
  u64 d[2];
};
static_assert(sizeof(V128) == 16);

struct Frame {
  u64 v[ir::kMaxOps];
  V128 x[ir::kMaxOps];
};
Frame& thread_frame();  // one a thread; regions do not nest

// Vector ops (vector.cpp) and floating point (float.cpp): op number `i`. Float ops take rounding, DAZ and FTZ from
// `fp_env` (MXCSR form) and or their sticky flags into it.
void run_vector(Frame& f, const ir::Op& op, unsigned i);
void run_float(Frame& f, const ir::Op& op, unsigned i, u32& fp_env);
inline bool is_float_op(const ir::Op& op) {
  if (op.code >= ir::Opcode::vfadd) return true;
  if (op.code == ir::Opcode::vaddsub) return true;
  return (op.code == ir::Opcode::vhadd || op.code == ir::Opcode::vhsub) && op.sub >= static_cast<u8>(ir::Lane::PS);
}

// RCPPS and RSQRTPS of one lane (approx.cpp): the host's own approximation on x86, else rounded to 12 bits.
u32 approximate_rcp(u32 a);
u32 approximate_rsqrt(u32 a);

// An XSpecial (approx_x87.cpp): by the host's x87 where there is one, else by src/fpu.
fpu::X87Special x87_special(unsigned code, const fpu::f80& a, const fpu::f80& b, u16 control, fpu::Env& env);

}  // namespace doppel::backend::interp
