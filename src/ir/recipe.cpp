#include "ir/recipe.h"

#include "base/assert.h"
#include "ir/evaluate.h"

namespace doppel::ir {
namespace {

u64 read_row(const RegRow& row, Type type, const u8* state) {
  const u8* p = state + row.offset;
  switch (std::min(type_bits(row.type), type_bits(type))) {
    case 8: return load_le<u8>(p);
    case 16: return load_le<u16>(p);
    case 32: return load_le<u32>(p);
    default: return load_le<u64>(p);
  }
}

}  // namespace

u16 evaluate_recipe(std::span<const RecipeOp> ops, const StateLayout& layout, const u8* state) {
  u64 value[kMaxRecipeOps] = {};
  ASSERT(!ops.empty() && ops.size() <= kMaxRecipeOps);
  for (size_t i = 0; i < ops.size(); i++) {
    const RecipeOp& r = ops[i];
    if (r.code == Opcode::konst) {
      value[i] = r.imm;
    } else if (r.code == Opcode::get_reg) {
      value[i] = read_row(layout.rows[r.aux], r.type, state);
    } else {
      const Op op{r.code, r.type, r.sub, 0, r.aux, {}, r.imm};
      const RecipeOp& first = ops[r.arg[0]];
      const Type from = result_type(Op{first.code, first.type});
      value[i] = evaluate(op, from, value[r.arg[0]], value[r.arg[1]], value[r.arg[2]]);
    }
  }
  return static_cast<u16>(value[ops.size() - 1]);
}

const FlagRecipe* recipe_at(std::span<const FlagRecipe> recipes, u32 insn) {
  for (const FlagRecipe& r : recipes) {
    if (r.first_insn <= insn && insn <= r.last_insn) return &r;
  }
  return nullptr;
}

void store_flags(const StateLayout& layout, u8* state, u16 flags) {
  store_le<u16>(state + layout.rows[layout.flags].offset, flags);
}

}  // namespace doppel::ir
