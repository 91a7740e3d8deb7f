// forward: one walk from the first op to the last.
// state: a get_reg after a set_reg or get_reg of the same register becomes that value (narrower gets by trunc, wider
// ones by zext), and a set_reg of what the register already holds goes. Rows of a layout do not overlap; a helper that
// changes any row (a second result in a scratch row too) has kHelperWritesState.
// fold: simplify() again where an argument is another value now. An op that became another value stays behind as a
// constant nobody uses, for dce. Without state, every op is looked at.
#include "base/assert.h"
#include "ir/opt/passes.h"
#include "ir/simplify.h"

namespace doppel::ir {
namespace {

// In PassContext::map: the op is not what it was when it was made, so simplify() may see more in those that use it.
constexpr Value kTouched = 0x8000;
static_assert(kMaxOps < kTouched);

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

// Arguments by the map; true if any is another value, or the same but touched.
bool remap(Op& op, const Value* map) {
  const u64 in = load_le<u64>(op.arg);
  const u64 out = u64{map[in & 0xffff]} | u64{map[(in >> 16) & 0xffff]} << 16 | u64{map[(in >> 32) & 0xffff]} << 32 |
                  u64{map[in >> 48]} << 48;
  store_le<u64>(op.arg, out & ~(kTouched * 0x0001000100010001ull));
  return out != in;
}

Value simplified(Op* ops, Value i) {
  Op& op = ops[i];
  const Opcode before = op.code;
  Value alias = 0;
  switch (simplify(ops, op, alias)) {
    case Simplified::Keep: return op.code == before ? i : i | kTouched;
    case Simplified::Alias: remove_op(op); return alias | kTouched;
    case Simplified::Drop: remove_op(op); break;
  }
  return i;
}

class Walk {
 public:
  Walk(Region& region, PassContext& c) : region_(region), c_(c), ops_(region.ops.data()), layout_(*region.layout) {
    c_.epoch++;
  }

  // What stands for op i from now on.
  Value get(Value i) {
    Op& op = ops_[i];
    if (op.aux >= layout_.count) return i;
    PassContext::Known& known = c_.known[op.aux];
    Value alias = 0;
    if (c_.known_stamp[op.aux] == c_.epoch && forward(known, op, alias)) {
      if (!alias) return i | kTouched;
      remove_op(op);
      return alias | kTouched;
    }
    known = {i, op.type, op.type == layout_.rows[op.aux].type};
    c_.known_stamp[op.aux] = c_.epoch;
    return i;
  }
  void set(Value i) {
    Op& op = ops_[i];
    if (op.aux >= layout_.count) return;
    PassContext::Known& known = c_.known[op.aux];
    if (c_.known_stamp[op.aux] == c_.epoch && known.whole && same(known.value, op.arg[0])) {
      remove_op(op);
      return;
    }
    known = {op.arg[0], op.type, true};
    c_.known_stamp[op.aux] = c_.epoch;
  }
  // One value, or constants that are equal when zero-extended.
  bool same(Value a, Value b) const {
    return a == b || (ops_[a].code == Opcode::konst && ops_[b].code == Opcode::konst && ops_[a].imm == ops_[b].imm);
  }
  void call(const Op& op) {
    if (helper_effects(region_, op) & kHelperWritesState) c_.epoch++;
  }

 private:
  Region& region_;
  PassContext& c_;
  Op* ops_;
  const StateLayout& layout_;
};

void forward_state(Region& region, PassContext& c, bool fold) {
  Walk walk(region, c);
  Op* ops = region.ops.data();
  const Value n = static_cast<Value>(region.ops.size());
  for (Value i = 0; i < n; i++) {
    Op& op = ops[i];
    c.map[i] = i;
    const bool changed = remap(op, c.map);
    switch (op.code) {
      case Opcode::get_reg: c.map[i] = walk.get(i); break;
      case Opcode::set_reg: walk.set(i); break;
      case Opcode::call: walk.call(op); break;
      default: break;
    }
    // A get_reg that became a conversion is an op like any other.
    if (fold && (changed || (c.map[i] == (i | kTouched) && op.nargs != 0))) c.map[i] = simplified(ops, i);
  }
}

void fold_all(Region& region, PassContext& c) {
  Op* ops = region.ops.data();
  const Value n = static_cast<Value>(region.ops.size());
  for (Value i = 0; i < n; i++) {
    c.map[i] = i;
    remap(ops[i], c.map);
    if (ops[i].nargs != 0) c.map[i] = simplified(ops, i);
  }
}

}  // namespace

void pass_forward(Region& region, PassContext& c, const OptFlags& flags) {
  if (flags.state && region.layout) {
    ASSERT(region.layout->count <= kMaxRegs);
    forward_state(region, c, flags.fold);
  } else if (flags.fold) {
    fold_all(region, c);
  }
}

}  // namespace doppel::ir
