// Evaluates a flag recipe (ir.h) on a guest's state: what a fault handler, or an interrupt taken at a loop's edge, sees
// of the flags.
#pragma once
#include <span>

#include "ir/ir.h"

namespace doppel::ir {

constexpr unsigned kMaxRecipeOps = 16;

// The value of the flags row. `state` is the start of the guest's state.
u16 evaluate_recipe(std::span<const RecipeOp> ops, const StateLayout& layout, const u8* state);
// The recipe for a fault at instruction `insn`, or null: the row is exact there.
const FlagRecipe* recipe_at(std::span<const FlagRecipe> recipes, u32 insn);
// The number of an exit op's recipe, counted from 1; 0: the row is exact there.
constexpr u32 exit_recipe(const Op& exit) { return exit.aux >> 16; }
void store_flags(const StateLayout& layout, u8* state, u16 flags);

}  // namespace doppel::ir
