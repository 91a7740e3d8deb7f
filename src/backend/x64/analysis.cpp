// The backward pass before emission: last uses, dead ops, pairs of ops that one host instruction does (an add and its
// flags), address expressions that fold into a memory operand or LEA, and which values may be computed right into a
// pinned register.
#include <algorithm>

#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {
namespace {

constexpr Value kPairWindow = 8;   // ops looked back for the other half of a pair
constexpr Value kFoldWindow = 64;  // an address expression isn't folded over a longer distance

bool same_args(const Op& a, const Op& b, bool commutes) {
  if (a.arg[0] == b.arg[0] && a.arg[1] == b.arg[1]) return a.arg[2] == b.arg[2];
  return commutes && a.arg[0] == b.arg[1] && a.arg[1] == b.arg[0] && a.arg[2] == b.arg[2];
}

// Does `v` compute the result whose flags `f` are? `is_one(x)`: 1 or -1 if x is that constant, else 0.
template <typename Const>
bool flags_match(const Op& f, const Op& v, Value v_index, Const constant) {
  if (f.type != v.type) return false;
  switch (f.code) {
    case Opcode::flags_add: return v.code == Opcode::add && same_args(f, v, true);
    case Opcode::flags_adc: return v.code == Opcode::adc && same_args(f, v, true);
    case Opcode::flags_sub:
      if (v.code == Opcode::neg) return f.arg[1] == v.arg[0] && constant(f.arg[0], 0);
      return v.code == Opcode::sub && same_args(f, v, false);
    case Opcode::flags_sbb: return v.code == Opcode::sbb && same_args(f, v, false);
    case Opcode::flags_logic:
      return f.arg[0] == v_index && (v.code == Opcode::and_ || v.code == Opcode::or_ || v.code == Opcode::xor_);
    case Opcode::flags_inc:
      return f.arg[0] == v.arg[0] && ((v.code == Opcode::add && constant(v.arg[1], 1)) ||
                                      (v.code == Opcode::sub && constant(v.arg[1], ~u64{0})));
    case Opcode::flags_dec:
      return f.arg[0] == v.arg[0] && ((v.code == Opcode::sub && constant(v.arg[1], 1)) ||
                                      (v.code == Opcode::add && constant(v.arg[1], ~u64{0})));
    case Opcode::flags_shl: return v.code == Opcode::shl && f.arg[0] == v.arg[0] && f.arg[1] == v.arg[1];
    case Opcode::flags_shr: return v.code == Opcode::shr && f.arg[0] == v.arg[0] && f.arg[1] == v.arg[1];
    case Opcode::flags_sar: return v.code == Opcode::sar && f.arg[0] == v.arg[0] && f.arg[1] == v.arg[1];
    default: return false;
  }
}

bool makes_flags(Opcode c) { return c >= Opcode::flags_add && c <= Opcode::flags_sar; }

}  // namespace

u16 Emitter::flags_of_cond(Cond cond) {
  constexpr u16 kNeed[8] = {ir::kFlagO,
                            ir::kFlagC,
                            ir::kFlagZ,
                            ir::kFlagC | ir::kFlagZ,
                            ir::kFlagS,
                            ir::kFlagP,
                            ir::kFlagS | ir::kFlagO,
                            ir::kFlagZ | ir::kFlagS | ir::kFlagO};
  return kNeed[static_cast<u8>(cond) >> 1];
}

bool Emitter::keeps_alive(const Op& op) const {
  if (op.code == Opcode::call) return op.type == Type::Void || helpers_->rows[op.aux].effects != ir::kHelperPure;
  return (ir::info(op.code).effects & (ir::WRITE_STATE | ir::MEM | ir::TRAP | ir::CONTROL)) != 0 ||
         ir::sets_fp_flags(op);
}

void Emitter::use_at(Value v, Value at) {
  if (v == 0) return;
  Val& w = vals_[v];
  if (w.last_use == 0) w.last_use = at;
  if (w.uses < 0xffff) w.uses++;
}

// Every argument of op `at` can be had at op `before`: it is older, a constant, or a read of a register that doesn't
// change between.
bool Emitter::args_ready(Value at, Value before) {
  const Op& op = op_of(at);
  for (int i = 0; i < op.nargs; i++) {
    const Value a = op.arg[i];
    if (a < before || is_const(a) || (op.code == Opcode::flags_logic && a == before)) continue;
    const Op& d = op_of(a);
    if (d.code != Opcode::get_reg || pins_.host_of_row[d.aux] >= 0) return false;
    for (Value k = before + 1; k < a; k++) {
      const Op& o = op_of(k);
      if (o.code == Opcode::call || (o.code == Opcode::set_reg && o.aux == d.aux)) return false;
    }
  }
  return true;
}

// The earlier op that is emitted together with op `at`; 0: none.
Value Emitter::find_pair(Value at) {
  const Op& op = op_of(at);
  auto constant = [&](Value v, u64 want) {
    return is_const(v) && ((const_value(v) ^ want) & mask_bits(ir::type_bits(op_of(v).type))) == 0;
  };
  const bool flags = makes_flags(op.code);
  const bool value =
      (op.code >= Opcode::add && op.code <= Opcode::sar) || op.code == Opcode::adc || op.code == Opcode::sbb;
  if (!flags && !value) return 0;
  const bool shift_flags = op.code >= Opcode::flags_shl && op.code <= Opcode::flags_sar;
  if (shift_flags && !host_.shift_flags) return 0;  // made by a call
  const Value first = at > kPairWindow ? at - kPairWindow : 1;
  for (Value k = at - 1; k >= first && k > 0; k--) {
    const Op& o = op_of(k);
    if (vals_[k].pair) continue;
    bool match = false;
    if (flags) {
      match = flags_match(op, o, k, constant);
    } else if (makes_flags(o.code)) {
      match = flags_match(o, op, at, constant) && o.code != Opcode::flags_logic &&
              (host_.shift_flags || o.code < Opcode::flags_shl);
    } else if (op.code == Opcode::urem2 || op.code == Opcode::udiv2) {
      match = (o.code == Opcode::urem2 || o.code == Opcode::udiv2) && o.code != op.code && o.type == op.type &&
              same_args(o, op, false);
    }
    if (match) return args_ready(at, k) ? k : 0;
    if (o.code == Opcode::call || o.code == Opcode::insn) break;
  }
  return 0;
}

// Keep the hint only if no one can see the guest register between the value's op and the set_reg.
void Emitter::decide_hint(Value v) {
  Val& w = vals_[v];
  if (w.hint == 0) return;
  const int host = pins_.host_of_row[op_of(w.hint).aux];
  if (next_set_[host] != w.hint) {
    w.hint = 0;
    return;
  }
  const Op& op = op_of(v);
  if (op.code == Opcode::zext && vals_[op.arg[0]].type == Type::I32 && vals_[op.arg[0]].hint == 0)
    vals_[op.arg[0]].hint = w.hint;
}

bool Emitter::match_address(Value address, Value at) {
  const Type t = vals_[address].type;
  auto foldable = [&](Value x, Opcode code) {
    return op_of(x).code == code && vals_[x].type == t && vals_[x].uses == 0 && vals_[x].pair == 0 &&
           x + kFoldWindow > at;
  };
  AddressExpr e;
  bool folded = false;
  auto strip = [&](Value x) {
    for (;;) {
      const bool plus = foldable(x, Opcode::add), minus = !plus && foldable(x, Opcode::sub);
      if ((!plus && !minus) || !is_const(op_of(x).arg[1]) || is_const(op_of(x).arg[0])) return x;
      const s64 k = static_cast<s64>(sign_extend(const_value(op_of(x).arg[1]), ir::type_bits(t)));
      const s64 d = plus ? e.disp + k : e.disp - k;
      if (t == Type::I64 && d != static_cast<s32>(d)) return x;
      e.disp = static_cast<s32>(d);
      folded = true;
      x = op_of(x).arg[0];
    }
  };
  Value x = address, y = 0;
  if (address == at) {  // a root `add`, not yet counted itself
    x = op_of(at).arg[0];
    y = op_of(at).arg[1];
    if (is_const(y)) {
      const s64 k = static_cast<s64>(sign_extend(const_value(y), ir::type_bits(t)));
      if (is_const(x) || k != static_cast<s32>(k)) return false;
      e.disp = k;
      y = 0;
    } else if (is_const(x)) {
      return false;
    }
  }
  x = strip(x);
  if (y == 0 && foldable(x, Opcode::add) && !is_const(op_of(x).arg[0]) && !is_const(op_of(x).arg[1])) {
    y = op_of(x).arg[1];
    x = strip(op_of(x).arg[0]);
    folded = true;
  }
  auto scaled = [&](Value s) {
    if (!foldable(s, Opcode::shl) || !is_const(op_of(s).arg[1])) return false;
    const u64 k = const_value(op_of(s).arg[1]) & (t == Type::I64 ? 63 : 31);
    return k >= 1 && k <= 3;
  };
  if (y == 0 && address != at && scaled(x)) std::swap(x, y);  // an index alone
  if (y != 0) {
    if (x != 0 && !scaled(y) && scaled(x)) std::swap(x, y);
    if (scaled(y)) {
      e.scale = const_value(op_of(y).arg[1]) & 31;
      y = op_of(y).arg[0];
      folded = true;
    } else {
      y = strip(y);
    }
    if (is_const(y)) return false;
  }
  if (!folded || (x != 0 && is_const(x))) return false;
  e.base = x;
  e.index = y;
  exprs_.push_back(e);
  vals_[at].expr = static_cast<u16>(exprs_.size());
  use_at(e.base, at);
  use_at(e.index, at);
  return true;
}

// Which bits of flags `a` an op needs that isn't a condition.
void Emitter::need_flags(const Op& op, const Val& result, Value a) {
  if (vals_[a].type != Type::Flags) return;
  const bool carry =
      op.code == Opcode::adc || op.code == Opcode::sbb || op.code == Opcode::flags_adc || op.code == Opcode::flags_sbb;
  const bool inc = op.code == Opcode::flags_inc || op.code == Opcode::flags_dec;
  vals_[a].flag_need |= carry ? ir::kFlagC : inc ? (result.flag_need & ir::kFlagC) : ir::kFlagsAll;
}

// Forward: what each address is an offset from, and which loads and stores can share one check. A load may follow a
// load or a store, a store only a store (or a load that checked for write access).
void Emitter::find_roots_and_groups() {
  constexpr s32 kSpan = 256;
  constexpr unsigned kOpen = 3;
  const auto& ops = region_->ops;
  u16 open[kOpen] = {};  // indexes + 1, the newest first
  groups_.clear();
  has_fp_ = false;
  for (size_t at = 1; at < op_count_; at++) {
    const Op& op = ops[at];
    Val& v = vals_[at];
    has_fp_ |= op.code >= Opcode::vand && ir::sets_fp_flags(op);
    if (direct_) continue;  // nothing is checked, so there is nothing to share
    if (op.code == Opcode::call) {
      std::fill(std::begin(open), std::end(open), u16{0});
      continue;
    }
    if ((op.code == Opcode::add || op.code == Opcode::sub) && op.type >= Type::I32 && is_const(op.arg[1])) {
      const Val& a = vals_[op.arg[0]];
      const s64 k = static_cast<s64>(sign_extend(const_value(op.arg[1]), ir::type_bits(op.type)));
      const s64 d = (op.code == Opcode::add ? k : -k) + (a.root ? a.root_disp : 0);
      if (op.type == Type::I32 || d == static_cast<s32>(d)) {
        v.root = a.root ? a.root : op.arg[0];
        v.root_disp = static_cast<s32>(d);
      }
      continue;
    }
    if (op.code != Opcode::load && op.code != Opcode::store) continue;
    const Value address = op.arg[0];
    const Val& a = vals_[address];
    if (is_const(address)) continue;
    const Value root = a.root ? a.root : address;
    const bool wide = a.type == Type::I64;
    const s64 total = (a.root ? a.root_disp : 0) + (wide ? static_cast<s64>(op.imm) : static_cast<s32>(op.imm));
    const s32 disp = static_cast<s32>(total);
    if (wide && total != disp) continue;
    const ir::MemInfo info = ir::MemInfo::unpack(op.aux);
    const s32 size = static_cast<s32>(ir::type_bytes(op.code == Opcode::store ? vals_[op.arg[1]].type : op.type));
    const bool write = op.code == Opcode::store || info.rmw;
    v.root_disp = disp;
    unsigned slot = 0;
    bool joined = false;
    for (; slot < kOpen && open[slot]; slot++) {
      AccessGroup& g = groups_[open[slot] - 1];
      if (g.root != root || (write && !g.write) || info.align_log2 > g.align_log2) continue;
      // Addresses are modulo 2^32 or 2^64: the distance is what counts.
      const s32 from = vals_[g.leader].root_disp;
      const s64 delta =
          wide ? s64{disp} - from : s64{static_cast<s32>(static_cast<u32>(disp) - static_cast<u32>(from))};
      const s64 lo = std::min<s64>(g.lo, delta), hi = std::max<s64>(g.hi, delta + size);
      if (hi - lo > kSpan || (delta & static_cast<s64>(mask_bits(info.align_log2))) != 0) continue;
      g.lo = static_cast<s32>(lo);
      g.hi = static_cast<s32>(hi);
      g.last = static_cast<Value>(at);
      v.group = open[slot];
      joined = true;
      break;
    }
    if (!joined) {
      slot = std::min(slot, kOpen - 1);
      groups_.push_back({static_cast<Value>(at), 0, root, 0, size, write, info.align_log2, 0, 0, true});
      open[slot] = static_cast<u16>(groups_.size());
      v.group = open[slot];
    }
    std::rotate(std::begin(open), open + slot, open + slot + 1);
  }
  for (AccessGroup& g : groups_) {
    if (g.last == 0) {
      vals_[g.leader].group = 0;
      continue;
    }
    for (Value* p : {&g.host, &g.va}) {
      *p = static_cast<Value>(vals_.size());
      vals_.emplace_back();
      vals_.back().type = Type::I64;
      vals_.back().last_use = g.last;
      vals_.back().uses = 2;
    }
  }
}

void Emitter::analyze() {
  const auto& ops = region_->ops;
  const size_t n = op_count_ = ops.size();
  vals_.assign(n, Val{});
  exprs_.clear();
  for (size_t i = 0; i < n; i++) vals_[i].type = ir::result_type(ops[i]);
  find_roots_and_groups();
  std::fill(std::begin(next_set_), std::end(next_set_), Value{0});
  for (size_t at = n; at-- > 1;) {
    const Value i = static_cast<Value>(at);
    const Op& op = ops[i];
    Val& v = vals_[i];
    if (v.uses == 0 && v.pair == 0 && !keeps_alive(op)) {
      v.dead = true;
      continue;
    }
    if (v.uses != 0 && v.pair == 0) {
      if (const Value k = find_pair(i)) {
        v.pair = k;  // its arguments are used, and its hint is decided, at k
        vals_[k].pair = i;
        continue;
      }
    }
    if (op.code == Opcode::konst) continue;
    decide_hint(i);
    if (v.pair != 0) {
      decide_hint(v.pair);
      const Op& other = ops[v.pair];
      for (int a = 0; a < other.nargs; a++) {
        if (other.arg[a] == i) continue;
        use_at(other.arg[a], i);
        need_flags(other, vals_[v.pair], other.arg[a]);
      }
    }
    const u8 effects = ir::info(op.code).effects;
    if (op.code != Opcode::insn && (effects & (ir::MEM | ir::TRAP | ir::CONTROL)) != 0) {
      std::fill(std::begin(next_set_), std::end(next_set_), Value{0});
    }
    switch (op.code) {
      case Opcode::get_reg:
        if (const int host = pins_.host_of_row[op.aux]; host >= 0) next_set_[host] = 0;
        break;
      case Opcode::set_reg:
        if (const int host = pins_.host_of_row[op.aux]; host >= 0) {
          next_set_[host] = i;
          if (ir::type_bits(vals_[op.arg[0]].type) >= 32) vals_[op.arg[0]].hint = i;
        }
        vals_[op.arg[0]].flag_need = ir::kFlagsAll;
        use_at(op.arg[0], i);
        break;
      case Opcode::load:
      case Opcode::store:
      case Opcode::atomic_rmw:
      case Opcode::atomic_cas:
      case Opcode::probe_write:
        for (int a = 1; a < op.nargs; a++) use_at(op.arg[a], i);
        if (v.group && groups_[v.group - 1].leader != i) break;  // goes by the leader's address
        if (!match_address(op.arg[0], i)) use_at(op.arg[0], i);
        break;
      case Opcode::add:
        if (v.pair == 0 && match_address(i, i)) break;
        use_at(op.arg[0], i);
        use_at(op.arg[1], i);
        break;
      case Opcode::deposit: {
        Value b = op.arg[1];
        const unsigned width = op.aux >> 8;
        while ((op_of(b).code == Opcode::zext || op_of(b).code == Opcode::sext) &&
               width <= ir::type_bits(vals_[op_of(b).arg[0]].type))
          b = op_of(b).arg[0];
        v.alt = b;
        use_at(op.arg[0], i);
        use_at(b, i);
        break;
      }
      case Opcode::vfromint: {
        const Op& from = op_of(op.arg[0]);
        const bool low = from.code == Opcode::vextract && from.type == Type::I64 && from.imm == 0;
        if (low) v.alt = from.arg[0];  // from one xmm register to another, not through a general one
        use_at(low ? v.alt : op.arg[0], i);
        break;
      }
      case Opcode::exit_cc:
      case Opcode::selcc:
      case Opcode::setcc:
        vals_[op.arg[0]].flag_need |= flags_of_cond(static_cast<Cond>(op.sub));
        for (int a = 0; a < op.nargs; a++) use_at(op.arg[a], i);
        break;
      default:
        for (int a = 0; a < op.nargs; a++) {
          use_at(op.arg[a], i);
          need_flags(op, v, op.arg[a]);
        }
        break;
    }
  }
}

}  // namespace doppel::backend::x64
