// dead_flags: a write of the flags row that a later one in the region overwrites goes, when in between nothing reads
// the row: no get_reg, no helper that reads state, no exit whose target may read them (aux bit 1 of an exit: it does
// not). Ops that may fault do not count as readers: see pipeline.h. The ops that computed the value are left to dce.
#include "ir/opt/passes.h"

namespace doppel::ir {

void pass_dead_flags(Region& region, PassContext&) {
  if (!region.layout) return;
  const RegId flags = region.layout->flags;
  bool live = true;
  for (size_t i = region.ops.size(); i-- > 0;) {
    Op& op = region.ops[i];
    switch (op.code) {
      case Opcode::set_reg:
        if (op.aux != flags) break;
        if (!live) remove_op(op);
        live = false;
        break;
      case Opcode::get_reg:
        if (op.aux == flags) live = true;
        break;
      case Opcode::call:
        if (helper_effects(region, op) & kHelperReadsState) live = true;
        break;
      case Opcode::xf_guard:
      case Opcode::xf_step_if: live = true; break;
      case Opcode::exit_direct:
      case Opcode::exit_indirect:
      case Opcode::exit_loop: live = !(op.aux & 2); break;
      case Opcode::exit_cc:
      case Opcode::exit_if:
        if (!(op.aux & 2)) live = true;
        break;
      default: break;
    }
  }
}

}  // namespace doppel::ir
