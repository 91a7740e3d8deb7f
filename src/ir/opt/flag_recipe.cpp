// RecipeMaker: see flag_recipe.h. In this order: a register that still has the value; the expression again; one operand
// of an addition or the like from its result and the other operand; and one value of the expression stored beside the
// guest's registers, which is a store where the flags would have cost LAHF, SETO and a store.
#include "ir/opt/flag_recipe.h"

#include "ir/evaluate.h"

namespace doppel::ir {

RecipeMaker::RecipeMaker(const Region& region, size_t begin, size_t set, size_t first, size_t end)
    : r_(region), begin_(begin), set_(set), first_(first), end_(end) {
  collect();
  if (usable_) collect_before();
}

bool RecipeMaker::writes_state(const Op& call) const {
  const bool known = r_.helpers && call.aux < r_.helpers->count;
  return ((known ? r_.helpers->rows[call.aux].effects : u32{kHelperAll}) & kHelperWritesState) != 0;
}

// The last write of each register; `at` tells which reads came before it.
void RecipeMaker::collect() {
  for (size_t i = begin_; i < end_; i++) {
    const Op& o = r_.ops[i];
    if (o.code == Opcode::call && writes_state(o)) usable_ = false;
    if (o.code != Opcode::set_reg || i == set_) continue;
    unsigned k = 0;
    while (k < set_count_ && sets_[k].reg != o.aux) k++;
    if (k == kMaxSets) {
      usable_ = false;
      return;
    }
    sets_[k] = {static_cast<RegId>(o.aux), o.arg[0], i};
    set_count_ = std::max(set_count_, k + 1);
  }
}

// What registers hold at the begin of the stretch and all through it.
void RecipeMaker::collect_before() {
  for (before_from_ = begin_; before_from_ > 0 && begin_ - before_from_ < kLookBack; before_from_--) {
    const Op& o = r_.ops[before_from_ - 1];
    if (o.code == Opcode::call && writes_state(o)) break;
    if (o.code != Opcode::set_reg) continue;
    const RegId reg = static_cast<RegId>(o.aux);
    if (written(reg, sets_, set_count_) || written(reg, before_, before_count_)) continue;
    if (before_count_ == kMaxSets) break;
    before_[before_count_++] = {reg, o.arg[0], before_from_ - 1};
  }
}

bool RecipeMaker::written(RegId reg, const Set* sets, unsigned n) const {
  for (unsigned i = 0; i < n; i++) {
    if (sets[i].reg == reg) return true;
  }
  return false;
}

bool RecipeMaker::make() {
  if (!usable_) return false;
  return build_all(false) || (r_.layout->flag_operand != kNoRow && build_all(true));
}

bool RecipeMaker::build_all(bool with_operand) {
  count = 0;
  operand = 0;
  depth_ = 0;
  with_operand_ = with_operand;
  const int last = build(op(static_cast<Value>(set_)).arg[0]);
  return last >= 0 && last == count - 1;
}

int RecipeMaker::build(Value v) {
  for (int i = 0; i < count; i++) {
    if (from_[i] == v) return i;
  }
  const Op& o = op(v);
  if (o.code == Opcode::konst) return emit({Opcode::konst, o.type, 0, {}, 0, o.imm}, v);
  if (depth_ == kMaxDepth) return -1;
  for (unsigned i = 0; i < depth_; i++) {
    if (busy_[i] == v) return -1;
  }
  busy_[depth_++] = v;
  const u16 before = count;
  const Value operand_before = operand;
  int at = -1;
  for (auto way : {&RecipeMaker::leaf, &RecipeMaker::held, &RecipeMaker::expression, &RecipeMaker::inverse,
                   &RecipeMaker::stored}) {
    if ((at = (this->*way)(v)) >= 0) break;
    count = before;
    operand = operand_before;
  }
  depth_--;
  return at;
}

int RecipeMaker::leaf(Value v) {
  const Op& o = op(v);
  if (o.code != Opcode::get_reg || v < before_from_ || o.type == Type::V128) return -1;
  for (unsigned i = 0; i < set_count_; i++) {
    if (sets_[i].reg == o.aux && sets_[i].at > v) return -1;
  }
  for (unsigned i = 0; i < before_count_; i++) {
    if (before_[i].reg == o.aux && before_[i].at > v) return -1;
  }
  return read(static_cast<RegId>(o.aux), o.type, 0, v);
}

int RecipeMaker::held(Value v) {
  if (!is_int(result_type(op(v)))) return -1;
  int at = -1;
  for (unsigned i = 0; i < set_count_ && at < 0; i++) {
    if (sets_[i].at < first_) at = held_in(v, sets_[i]);
  }
  for (unsigned i = 0; i < before_count_ && at < 0; i++) at = held_in(v, before_[i]);
  return at;
}

int RecipeMaker::held_in(Value v, const Set& set) {
  const Type type = result_type(op(v)), row = r_.layout->rows[set.reg].type;
  if (!is_int(row)) return -1;
  const int lsb = position(set.value, v);
  if (lsb < 0 || lsb + type_bits(type) > type_bits(row)) return -1;
  return read(set.reg, type, static_cast<unsigned>(lsb), v);
}

int RecipeMaker::expression(Value v) {
  const Op& o = op(v);
  if (!is_scalar_op(o.code)) return -1;
  RecipeOp r{o.code, o.type, o.sub, {}, static_cast<u16>(o.aux), o.imm};
  for (unsigned i = 0; i < o.nargs && i < 3; i++) {
    const int a = build(o.arg[i]);
    if (a < 0) return -1;
    r.arg[i] = static_cast<u8>(a);
  }
  return emit(r, v);
}

// v from a sum, difference or the like that a register holds.
int RecipeMaker::inverse(Value v) {
  const Type type = result_type(op(v));
  if (!is_int(type)) return -1;
  for (unsigned i = 0; i < set_count_; i++) {
    if (sets_[i].at >= first_ || !is_int(r_.layout->rows[sets_[i].reg].type)) continue;
    const Value y = bottom(sets_[i].value, type);
    const Op& o = op(y);
    if (y == 0 || (o.arg[0] != v) == (o.nargs < 2 || o.arg[1] != v)) continue;  // it has to be one of the two
    Opcode code;
    switch (o.code) {
      case Opcode::add: code = Opcode::sub; break;
      case Opcode::sub: code = o.arg[0] == v ? Opcode::add : Opcode::sub; break;
      case Opcode::xor_:
      case Opcode::neg:
      case Opcode::not_: code = o.code; break;
      default: continue;
    }
    const u16 before = count;
    const Value operand_before = operand;
    RecipeOp r{code, type, 0, {}, 0, 0};
    const int result = read(sets_[i].reg, type, 0, y);
    const int other = o.nargs < 2 ? result : build(o.arg[0] == v ? o.arg[1] : o.arg[0]);
    if (result >= 0 && other >= 0) {
      const bool swapped = o.code == Opcode::sub && o.arg[1] == v;  // v = other - result
      r.arg[0] = static_cast<u8>(swapped ? other : result);
      r.arg[1] = static_cast<u8>(swapped ? result : other);
      return emit(r, v);
    }
    count = before;
    operand = operand_before;
  }
  return -1;
}

int RecipeMaker::stored(Value v) {
  const Op& o = op(v);
  if (!with_operand_ || operand != 0 || v >= set_ || !is_int(result_type(o)) || is_scalar_op(o.code)) return -1;
  operand = v;
  return read(r_.layout->flag_operand, result_type(o), 0, v);
}

int RecipeMaker::emit(const RecipeOp& o, Value from) {
  if (count == kMaxRecipeOps) return -1;
  ops[count] = o;
  from_[count] = from;
  return count++;
}

int RecipeMaker::read(RegId reg, Type type, unsigned lsb, Value from) {
  if (lsb == 0) return emit({Opcode::get_reg, type, 0, {}, reg, 0}, from);
  const Type whole = r_.layout->rows[reg].type;
  const int all = emit({Opcode::get_reg, whole, 0, {}, reg, 0}, 0);
  if (all < 0) return -1;
  const u8 arg = static_cast<u8>(all);
  const int field = emit({Opcode::extract, whole, 0, {arg}, static_cast<u16>(lsb | type_bits(type) << 8), 0}, 0);
  if (field < 0) return -1;
  return type == whole ? field : emit({Opcode::trunc, type, 0, {static_cast<u8>(field)}, 0, 0}, from);
}

int RecipeMaker::position(Value x, Value v) const {
  const unsigned bits = type_bits(result_type(op(v)));
  const Value whole = op(v).code == Opcode::trunc ? op(v).arg[0] : v;
  int lsb = 0;
  for (unsigned steps = 0; x != v && x != whole; steps++) {
    const Op& o = op(x);
    if (steps == 4) return -1;
    if (o.code == Opcode::trunc && o.arg[0] == whole && type_bits(result_type(o)) >= bits) return lsb;
    if (o.code == Opcode::zext && type_bits(result_type(op(o.arg[0]))) >= bits) {
      x = o.arg[0];
    } else if (o.code == Opcode::deposit && (o.aux >> 8) >= bits && lsb == 0) {
      lsb = static_cast<int>(o.aux & 0xff);
      x = o.arg[1];
    } else {
      return -1;
    }
  }
  return lsb;
}

Value RecipeMaker::bottom(Value x, Type type) const {
  for (unsigned steps = 0; steps < 4; steps++) {
    const Op& o = op(x);
    if (result_type(o) == type && o.code != Opcode::deposit) return x;
    if (o.code == Opcode::zext)
      x = o.arg[0];
    else if (o.code == Opcode::deposit && (o.aux & 0xff) == 0 && (o.aux >> 8) >= type_bits(type))
      x = o.arg[1];
    else
      return 0;
  }
  return 0;
}

}  // namespace doppel::ir
