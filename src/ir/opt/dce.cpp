// dce: pure ops and get_regs whose value nobody uses go, and so do unused calls of pure helpers; what is left moves up
// and values are numbered anew. Loads stay (they may fault), and so do float ops (they set sticky flags). One walk
// back, one forward.
#include <cstring>

#include "ir/opt/passes.h"

namespace doppel::ir {
namespace {

bool removable(const Region& region, const Op& op) {
  if (effects(op.code) == PURE) return !sets_fp_flags(op);
  if (op.code == Opcode::call) return helper_effects(region, op) == kHelperPure;
  return op.code == Opcode::get_reg;
}

}  // namespace

void pass_dce(Region& region, PassContext& c) {
  Op* ops = region.ops.data();
  const size_t n = region.ops.size();
  std::memset(c.used, 0, n);
  for (size_t i = n; i-- > 0;) {
    if (!c.used[i] && removable(region, ops[i])) continue;
    c.used[i] = true;
    for (const Value v : ops[i].arg) c.used[v] = true;  // 0, where there is none, is the first insn: it stays
  }
  size_t to = 0;
  for (size_t i = 0; i < n; i++) {
    // Every op is moved, needed or not: a branch would be a coin toss for the host.
    Op op = ops[i];
    c.map[i] = static_cast<Value>(to);
    remap_args(op, c.map);
    ops[to] = op;
    to += c.used[i];
  }
  region.ops.resize(to);
}

}  // namespace doppel::ir
