// dead_flags: a write of the flags row that a later one in the region overwrites goes, when in between nothing reads
// the row: no get_reg, no helper that reads state, no exit whose target may read them (aux bit 1 of an exit: it does
// not). The ops that computed the value are left to dce.
//
// Where a fault or such an exit lies between the two writes, the row would be stale for who looks at it from outside: a
// fault handler, an interrupt. Then the write goes only if its value can be made again there (flag_recipe.h): the
// recipe is put beside the region, and the executor uses it when the fault comes. Else the write stays.
#include "ir/opt/flag_recipe.h"
#include "ir/opt/passes.h"

namespace doppel::ir {
namespace {

constexpr unsigned kMaxExits = 8;

// Who sees the row from outside between two writes of it.
struct Onlookers {
  bool faults = false;
  u32 last_fault = 0;         // number of the last instruction that may fault
  size_t first = 0, end = 0;  // ops
  size_t exit[kMaxExits];
  unsigned exits = 0;
  bool any() const { return faults || exits != 0; }
};

// The walk is back from the region's end.
class DeadFlags {
 public:
  DeadFlags(Region& region, RegId flags) : r_(region), flags_(flags), insn_(region.insn_count) {}

  void run() {
    for (size_t i = r_.ops.size(); i-- > 0;) step(i, r_.ops[i]);
    exact_at_exits(seen_);
  }

 private:
  void step(size_t i, Op& op) {
    switch (op.code) {
      case Opcode::insn:
        insn_--;
        fault_here_ = false;
        if (candidate_ != 0) decide(i);
        break;
      case Opcode::set_reg:
        if (op.aux == flags_) write(i);
        break;
      case Opcode::get_reg:
        if (op.aux == flags_) read();
        break;
      case Opcode::call: {
        const u32 effects = helper_effects(r_, op);
        if (effects & kHelperReadsState) read();
        if (effects & kHelperMayFault) fault(i);
        break;
      }
      case Opcode::xf_guard:
      case Opcode::xf_step_if:
      case Opcode::exit_indirect:
      case Opcode::exit_loop: read(); break;
      case Opcode::exit_cc:
      case Opcode::exit_if:
      case Opcode::exit_direct: leave(i, op); break;
      default:
        if (effects(op.code) & TRAP) fault(i);
        break;
    }
  }

  void read() {
    live_ = true;
    exact_at_exits(seen_);
    seen_ = {};
  }
  void fault(size_t i) {
    if (live_) return;
    if (!seen_.faults) seen_.last_fault = insn_ - 1;
    see(i);
    seen_.faults = fault_here_ = true;
  }
  void leave(size_t i, Op& op) {
    if (op.code == Opcode::exit_direct) live_ = false;  // the end of the region
    if (!(op.aux & 2) || seen_.exits == kMaxExits) read();
    if (live_) {
      op.aux &= ~2u;
      return;
    }
    seen_.exit[seen_.exits++] = i;
    see(i);
  }
  void see(size_t i) {
    seen_.first = i;
    seen_.end = std::max(seen_.end, i);
  }
  // No write before these exits goes: they are like all others.
  void exact_at_exits(const Onlookers& seen) {
    for (unsigned k = 0; k < seen.exits; k++) r_.ops[seen.exit[k]].aux &= ~2u;
  }

  void write(size_t i) {
    if (!live_ && !seen_.any()) {
      remove_op(r_.ops[i]);
      return;
    }
    // Not if a later op of the same instruction may fault: it has to see the row as it was before.
    if (!live_ && !fault_here_ && candidate_ == 0) {
      candidate_ = i;
      to_serve_ = seen_;
    } else {
      exact_at_exits(seen_);
    }
    live_ = fault_here_ = false;
    seen_ = {};
  }

  // At the beginning of the instruction of a write that may go.
  void decide(size_t begin) {
    RecipeMaker maker(r_, begin, candidate_, to_serve_.first, to_serve_.end);
    if (maker.make())
      replace_write(maker);
    else
      exact_at_exits(to_serve_);
    candidate_ = 0;
  }

  void replace_write(const RecipeMaker& maker) {
    const u16 first = static_cast<u16>(insn_ + 1), last = static_cast<u16>(to_serve_.last_fault);
    r_.recipes.push_back({first, last, static_cast<u16>(r_.recipe_ops.size()), maker.count});
    r_.recipe_ops.insert(r_.recipe_ops.end(), maker.ops, maker.ops + maker.count);
    const u32 number = static_cast<u32>(r_.recipes.size());
    for (unsigned k = 0; k < to_serve_.exits; k++) r_.ops[to_serve_.exit[k]].aux |= number << 16;
    Op& op = r_.ops[candidate_];
    if (maker.operand == 0) {
      remove_op(op);
      return;
    }
    op = Op{Opcode::set_reg, result_type(r_.ops[maker.operand]), 0, 1, r_.layout->flag_operand};
    op.arg[0] = maker.operand;
  }

  Region& r_;
  const RegId flags_;
  u32 insn_;                 // number of the instruction that the walk is in, counted from 1
  bool live_ = true;         // the row is read before the next write
  bool fault_here_ = false;  // a later op of this instruction may fault
  Onlookers seen_;           // until the next write
  size_t candidate_ = 0;     // a write of this instruction that may go if its recipe can be made
  Onlookers to_serve_;
};

}  // namespace

void pass_dead_flags(Region& region, PassContext&, const OptFlags& flags) {
  if (flags.dead_flags && region.layout) DeadFlags(region, region.layout->flags).run();
}

}  // namespace doppel::ir
