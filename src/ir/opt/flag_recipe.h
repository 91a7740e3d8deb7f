// Finds out whether the value of a flags write that is to go can be made again from guest registers, at each place in a
// stretch of ops: for dead_flags. Costs one walk over the stretch, and at most kMaxRecipeOps ops of expression.
#pragma once
#include "ir/ir.h"
#include "ir/recipe.h"

namespace doppel::ir {

class RecipeMaker {
 public:
  // For the write of the flags row at `set`, in the instruction that begins at op `begin`; the recipe has to hold at
  // every op from `first` to `end`.
  RecipeMaker(const Region& region, size_t begin, size_t set, size_t first, size_t end);
  // True: `ops`, `count` are the recipe, and when `operand` is not 0, the layout's flag_operand row must get that value
  // at `set`. False: the write has to stay.
  bool make();
  RecipeOp ops[kMaxRecipeOps];
  u16 count = 0;
  Value operand = 0;

 private:
  static constexpr unsigned kMaxSets = 24, kMaxDepth = 8;
  static constexpr size_t kLookBack = 64;  // ops
  struct Set {
    RegId reg;
    Value value;
    size_t at;
  };
  void collect();
  void collect_before();
  bool writes_state(const Op& call) const;
  bool written(RegId reg, const Set* sets, unsigned count) const;
  int held_in(Value v, const Set& set);
  bool build_all(bool with_operand);
  int build(Value v);  // the number of the recipe op that makes it, or -1
  int expression(Value v);
  int inverse(Value v);
  int held(Value v);  // by a register that was written before
  int leaf(Value v);  // a register that is not written after it was read
  int stored(Value v);
  int emit(const RecipeOp& op, Value from);
  int read(RegId reg, Type type, unsigned lsb, Value from);
  // Where in the register value `x` the bits of `v` are; -1: not known to be there.
  int position(Value x, Value v) const;
  // The op of v's type whose value is at the bottom of `x`.
  Value bottom(Value x, Type type) const;
  const Op& op(Value v) const { return r_.ops[v]; }

  const Region& r_;
  const size_t begin_, set_, first_, end_;
  Set sets_[kMaxSets], before_[kMaxSets];  // in the stretch, and before it: the last write of each register
  unsigned set_count_ = 0, before_count_ = 0, depth_ = 0;
  size_t before_from_ = 0;  // the op from which `before_` knows all
  bool usable_ = true, with_operand_ = false;
  Value from_[kMaxRecipeOps];  // the value a recipe op stands for; 0: none
  Value busy_[kMaxDepth];
};

}  // namespace doppel::ir
