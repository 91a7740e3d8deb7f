// state: forward, a get_reg after a set_reg or get_reg of the same register becomes that value (narrower gets by trunc,
// wider ones by zext), and a set_reg of what the register already holds goes; backward, a set_reg that a later one
// overwrites goes when nothing in between can see it: no get_reg of it, no op that may fault, no helper that is not
// pure, no exit. Rows of a layout do not overlap; a helper that changes any row (a second result in a scratch row too)
// has kHelperWritesState.
#include "base/assert.h"
#include "ir/opt/passes.h"

namespace doppel::ir {
namespace {

// A get_reg of type `want` when the register's value is known. False: not known well enough.
bool forward(const PassContext::Known& known, Op& get, Value& alias) {
  if (get.type == known.type) {
    alias = known.value;
    return true;
  }
  if (!is_int(get.type) || !is_int(known.type)) return false;
  const bool narrower = type_bits(get.type) < type_bits(known.type);
  if (!narrower && !known.whole) return false;
  get.code = narrower ? Opcode::trunc : Opcode::zext;
  get.nargs = 1;
  get.arg[0] = known.value;
  get.aux = 0;
  return true;
}

void forward_walk(Region& region, PassContext& c) {
  const u32 count = region.layout->count;
  Op* ops = region.ops.data();
  const size_t n = region.ops.size();
  c.epoch++;
  for (size_t i = 0; i < n; i++) {
    Op& op = ops[i];
    c.map[i] = static_cast<Value>(i);
    remap_args(op, c.map);
    if (op.code == Opcode::get_reg) {
      if (op.aux >= count) continue;
      const u32 reg = op.aux;
      Value alias = 0;
      if (c.known_stamp[reg] == c.epoch && forward(c.known[reg], op, alias)) {
        if (alias) {
          c.map[i] = alias;
          remove_op(op);
        }
        continue;
      }
      c.known[reg] = {static_cast<Value>(i), op.type, op.type == region.layout->rows[reg].type};
      c.known_stamp[reg] = c.epoch;
    } else if (op.code == Opcode::set_reg) {
      if (op.aux >= count) continue;
      PassContext::Known& known = c.known[op.aux];
      if (c.known_stamp[op.aux] == c.epoch && known.whole && known.value == op.arg[0]) {
        remove_op(op);
        continue;
      }
      known = {op.arg[0], op.type, true};
      c.known_stamp[op.aux] = c.epoch;
    } else if (op.code == Opcode::call) {
      if (helper_effects(region, op) & kHelperWritesState) c.epoch++;
    }
  }
}

void backward_walk(Region& region, PassContext& c) {
  const u32 count = region.layout->count;
  c.epoch++;
  for (size_t i = region.ops.size(); i-- > 0;) {
    Op& op = region.ops[i];
    switch (op.code) {
      case Opcode::set_reg:
        if (op.aux >= count) break;
        if (c.dead_stamp[op.aux] == c.epoch)
          remove_op(op);
        else
          c.dead_stamp[op.aux] = c.epoch;
        break;
      case Opcode::get_reg:
        if (op.aux < count) c.dead_stamp[op.aux] = 0;
        break;
      case Opcode::insn: break;
      case Opcode::call:
        if (helper_effects(region, op) != kHelperPure) c.epoch++;
        break;
      default:
        if (effects(op.code) & (TRAP | CONTROL)) c.epoch++;
        break;
    }
  }
}

}  // namespace

void pass_state(Region& region, PassContext& c) {
  if (!region.layout) return;
  ASSERT(region.layout->count <= kMaxRegs);
  forward_walk(region, c);
  backward_walk(region, c);
}

}  // namespace doppel::ir
