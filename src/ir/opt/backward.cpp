// backward: one walk from the last op to the first, and one forward that closes the gaps.
// state: a set_reg that a later one overwrites goes when nothing in between can see it: no get_reg of it, no op that
// may fault, no helper that is not pure, no exit.
// dce: pure ops and get_regs whose value nobody uses go, and so do unused calls of pure helpers; what is left moves up
// and values are numbered anew. Loads stay (they may fault), and so do float ops (they set sticky flags).
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "ir/opt/passes.h"

namespace doppel::ir {
namespace {

enum class Kind : u8 { Pure, Get, Set, Call, Trap, Other };
constexpr Kind kind_of(Opcode code, u8 effects) {
  switch (code) {
    case Opcode::insn: return Kind::Other;
    case Opcode::get_reg: return Kind::Get;
    case Opcode::set_reg: return Kind::Set;
    case Opcode::call: return Kind::Call;
    default: return effects == PURE ? Kind::Pure : effects & (TRAP | CONTROL) ? Kind::Trap : Kind::Other;
  }
}
constexpr Kind kKind[static_cast<size_t>(Opcode::Count)] = {
#define OP(name, result, args, effects, doc) kind_of(Opcode::name, static_cast<u8>(effects)),
#include "ir/ops.def"
#undef OP
};

class Walk {
 public:
  Walk(Region& region, PassContext& c, const OptFlags& flags)
      : region_(region),
        c_(c),
        state_(flags.state && region.layout),
        dce_(flags.dce),
        count_(region.layout ? region.layout->count : 0) {
    c_.epoch++;
  }

  void run() {
    Op* ops = region_.ops.data();
    std::memset(c_.used, 0, region_.ops.size());
    for (size_t i = region_.ops.size(); i-- > 0;) {
      Op& op = ops[i];
      if (!needed(op, c_.used[i])) continue;
      c_.used[i] = true;
      for (const Value v : op.arg) c_.used[v] = true;  // 0, where there is none, is the first insn: it stays
    }
  }

 private:
  bool needed(Op& op, bool used) {
    switch (kKind[static_cast<size_t>(op.code)]) {
      case Kind::Pure: return used || !dce_ || sets_fp_flags(op);
      case Kind::Get:
        if (!used && dce_) return false;
        seen(op.aux);
        return true;
      case Kind::Set:
        if (overwritten(op.aux)) {
          remove_op(op);
          return false;
        }
        return true;
      case Kind::Call: return call(op, used);
      case Kind::Trap: break;
      case Kind::Other: return true;
    }
    c_.epoch++;
    return true;
  }
  bool call(const Op& op, bool used) {
    const u32 effects = helper_effects(region_, op);
    if (effects == kHelperPure) return used || !dce_;
    c_.epoch++;
    return true;
  }
  void seen(u32 row) {
    if (row < count_) c_.dead_stamp[row] = 0;
  }
  bool overwritten(u32 row) {
    if (row >= count_) return false;
    if (!state_) return false;
    return std::exchange(c_.dead_stamp[row], c_.epoch) == c_.epoch;
  }

  Region& region_;
  PassContext& c_;
  const bool state_, dce_;
  const u32 count_;
};

void close_gaps(Region& region, PassContext& c) {
  Op* ops = region.ops.data();
  const size_t n = region.ops.size();
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

}  // namespace

void pass_backward(Region& region, PassContext& c, const OptFlags& flags) {
  if (!flags.state && !flags.dce) return;
  if (region.layout) ASSERT(region.layout->count <= kMaxRegs);
  Walk(region, c, flags).run();
  if (flags.dce) close_gaps(region, c);
}

}  // namespace doppel::ir
