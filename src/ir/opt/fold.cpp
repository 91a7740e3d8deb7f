// fold: simplify() again, now that state forwarding has put values in the place of get_regs. One walk; an op that
// became another value stays behind as a constant nobody uses, for dce.
#include "ir/opt/passes.h"
#include "ir/simplify.h"

namespace doppel::ir {

void pass_fold(Region& region, PassContext& c) {
  Op* ops = region.ops.data();
  const size_t n = region.ops.size();
  for (size_t i = 0; i < n; i++) {
    Op& op = ops[i];
    c.map[i] = static_cast<Value>(i);
    if (op.nargs == 0) continue;
    remap_args(op, c.map);
    Value alias = 0;
    switch (simplify(ops, op, alias)) {
      case Simplified::Keep: break;
      case Simplified::Alias:
        c.map[i] = alias;
        remove_op(op);
        break;
      case Simplified::Drop: remove_op(op); break;
    }
  }
}

}  // namespace doppel::ir
