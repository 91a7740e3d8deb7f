// Runs one vector op in the interpreter on given operands.
#pragma once
#include "ir/ir_fixture.h"

namespace doppel::ir::test {

struct VectorResult {
  Vec v;      // a vector result
  u64 n = 0;  // an integer or flags result
  u32 fp_env = 0;
};
// Operands: up to three vectors in x0..x2, an integer in r0 for ops that take one.
inline VectorResult run_vector_op(Opcode code, Type type, Lane lane, u64 imm, const Vec& a, const Vec& b = {},
                                  const Vec& c = {}, u64 n = 0, u32 fp_env = 0x1f80) {
  Region r = new_region();
  raw_start(r);
  Op op{code, type, static_cast<u8>(lane), 0, 0, {}, imm};
  unsigned next = 0;
  for (const char* p = info(code).args; *p; p++) {
    if (*p == 'X')
      op.arg[op.nargs++] = raw(r, Opcode::get_reg, Type::V128, {}, 0, kX0 + next++);
    else
      op.arg[op.nargs++] = raw(r, Opcode::get_reg, type, {}, 0, kR0);
  }
  r.ops.push_back(op);
  const Type result = result_type(op);
  raw(r, Opcode::set_reg, result, {static_cast<Value>(r.ops.size() - 1)}, 0,
      result == Type::V128    ? kX0 + 3
      : result == Type::Flags ? kFlags
                              : 1);
  raw(r, Opcode::exit_loop, Type::Void, {});
  TestState s;
  TestMemory m;
  s.x[0] = a;
  s.x[1] = b;
  s.x[2] = c;
  s.r[0] = n;
  s.h.fp_env = fp_env;
  run(r, s, m);
  return {s.x[3], result == Type::Flags ? s.flags : s.r[1], s.h.fp_env};
}

template <typename T>
Vec vec(std::initializer_list<T> lanes) {
  Vec v;
  unsigned i = 0;
  for (const T lane : lanes) std::memcpy(v.b + sizeof(T) * i++, &lane, sizeof(T));
  return v;
}

}  // namespace doppel::ir::test
