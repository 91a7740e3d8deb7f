// The passes, one a file, and the scratch arrays they share. Every pass is one or two walks over the ops: O(n), no
// allocation. What has a switch of its own in --opt shares a walk with others: walks are what passes cost.
#pragma once
#include <memory>

#include "ir/ir.h"
#include "ir/opt/pipeline.h"

namespace doppel::ir {

constexpr size_t kMaxRegs = 512;

// One a thread, reused by all regions.
struct PassContext {
  Value map[kMaxOps + 1];  // value -> the value that stands for it
  bool used[kMaxOps + 1];
  // Registers: what is known of each. A row is valid when its stamp is `epoch`.
  struct Known {
    Value value;
    Type type;
    bool whole;
  };  // whole: `value` zero-extended is the entire register
  Known known[kMaxRegs];
  u64 known_stamp[kMaxRegs] = {};
  u64 dead_stamp[kMaxRegs] = {};
  u64 epoch = 0;
};
PassContext& pass_context();

// An op that does nothing, until dce takes it away.
inline void remove_op(Op& op) { op = Op{Opcode::konst, Type::I8}; }

// Arguments by the map: all four, since one that is not there is 0, which stands for itself. One load and one store:
// the number of arguments is no branch to mispredict, and reading the op again does not wait for narrow stores.
inline void remap_args(Op& op, const Value* map) {
  static_assert(sizeof op.arg == 8 && std::endian::native == std::endian::little);
  const u64 in = load_le<u64>(op.arg);
  store_le<u64>(op.arg, u64{map[in & 0xffff]} | u64{map[(in >> 16) & 0xffff]} << 16 |
                            u64{map[(in >> 32) & 0xffff]} << 32 | u64{map[in >> 48]} << 48);
}

inline u32 helper_effects(const Region& region, const Op& call) {
  return region.helpers && call.aux < region.helpers->count ? region.helpers->rows[call.aux].effects
                                                            : static_cast<u32>(kHelperAll);
}

void pass_dead_flags(Region& region, PassContext& context, const OptFlags& flags);
void pass_forward(Region& region, PassContext& context, const OptFlags& flags);
void pass_backward(Region& region, PassContext& context, const OptFlags& flags);

}  // namespace doppel::ir
