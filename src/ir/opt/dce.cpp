// dce: pure ops and get_regs whose value nobody uses go, and so do unused calls of pure helpers; what is left moves up and values
// are numbered anew. Loads stay (they may fault), and so do float ops (they set sticky flags). One walk back, one forward.
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
    for (unsigned k = 0; k < ops[i].nargs; k++) c.used[ops[i].arg[k]] = true;
  }
  size_t to = 0;
  for (size_t i = 0; i < n; i++) {
    if (!c.used[i]) continue;
    c.map[i] = static_cast<Value>(to);
    if (to != i) ops[to] = ops[i];
    for (unsigned k = 0; k < ops[to].nargs; k++) ops[to].arg[k] = c.map[ops[to].arg[k]];
    to++;
  }
  region.ops.resize(to);
}

}  // namespace doppel::ir
