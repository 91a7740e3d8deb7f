// See simplify.h. Rules never split an arithmetic op from the flags op with the same arguments: a pair `add a, b` and
// `flags_add a, b` is changed in both or in neither, so that backends can fuse them.
#include "ir/simplify.h"

#include <utility>

#include "ir/evaluate.h"

namespace doppel::ir {
namespace {

struct Context {
  const Op* ops;
  Op& op;
  Value& alias;

  const Op& arg(unsigned i) const { return ops[op.arg[i]]; }
  Type arg_type(unsigned i) const { return result_type(arg(i)); }
  bool is_const(unsigned i) const { return arg(i).code == Opcode::konst; }
  u64 value(unsigned i) const { return arg(i).imm; }
  bool is_const(unsigned i, u64 v) const { return is_const(i) && value(i) == v; }
  bool same(unsigned i, unsigned j) const { return op.arg[i] == op.arg[j]; }
  u64 mask() const { return mask_bits(type_bits(op.type)); }

  Simplified use(Value v) {
    alias = v;
    return Simplified::Alias;
  }
  Simplified constant(Type t, u64 v) {
    op = Op{Opcode::konst, t, 0, 0, 0, {}, v & mask_bits(type_bits(t))};
    return Simplified::Keep;
  }
  // Rewrites into a one- or two-argument op and looks at it again.
  Simplified become(Opcode code, std::initializer_list<Value> args, u8 sub = 0, u32 aux = 0) {
    op.code = code;
    op.sub = sub;
    op.aux = aux;
    op.nargs = 0;
    for (Value& a : op.arg) a = 0;
    for (const Value a : args) op.arg[op.nargs++] = a;
    return simplify(ops, op, alias);
  }
};

bool commutative(Opcode code) {
  switch (code) {
    case Opcode::add:
    case Opcode::mul:
    case Opcode::mulhu:
    case Opcode::mulhs:
    case Opcode::and_:
    case Opcode::or_:
    case Opcode::xor_:
    case Opcode::flags_add:
    case Opcode::flags_adc:
    case Opcode::adc: return true;
    default: return false;
  }
}

Simplified binary(Context& c) {
  const Value a = c.op.arg[0];
  const Type t = c.op.type;
  switch (c.op.code) {
    case Opcode::add:
    case Opcode::shl:
    case Opcode::shr:
    case Opcode::sar:
    case Opcode::rotl:
    case Opcode::rotr:
      if (c.is_const(1, 0)) return c.use(a);
      break;
    case Opcode::sub:
      if (c.is_const(1, 0)) return c.use(a);
      if (c.same(0, 1)) return c.constant(t, 0);
      break;
    case Opcode::mul:
      if (c.is_const(1, 1)) return c.use(a);
      if (c.is_const(1, 0)) return c.constant(t, 0);
      break;
    case Opcode::mulhu:
    case Opcode::mulhs:
      if (c.is_const(1, 0)) return c.constant(t, 0);
      break;
    case Opcode::and_:
      if (c.is_const(1, 0)) return c.constant(t, 0);
      if (c.same(0, 1) || c.is_const(1, c.mask())) return c.use(a);
      break;
    case Opcode::or_:
      if (c.same(0, 1) || c.is_const(1, 0)) return c.use(a);
      if (c.is_const(1, c.mask())) return c.constant(t, c.mask());
      break;
    case Opcode::xor_:
      if (c.same(0, 1)) return c.constant(t, 0);
      if (c.is_const(1, 0)) return c.use(a);
      if (c.is_const(1, c.mask())) return c.become(Opcode::not_, {a});
      break;
    case Opcode::andn:
      if (c.same(0, 1) || c.is_const(0, c.mask())) return c.constant(t, 0);
      if (c.is_const(0, 0)) return c.use(c.op.arg[1]);
      break;
    case Opcode::adc:
    case Opcode::sbb:
      if (c.is_const(2)) {
        if (eval::carry_in(c.value(2)) == 0)
          return c.become(c.op.code == Opcode::adc ? Opcode::add : Opcode::sub, {a, c.op.arg[1]});
      }
      break;
    case Opcode::flags_adc:
    case Opcode::flags_sbb:
      if (c.is_const(2)) {
        if (eval::carry_in(c.value(2)) == 0)
          return c.become(c.op.code == Opcode::flags_adc ? Opcode::flags_add : Opcode::flags_sub, {a, c.op.arg[1]});
      }
      break;
    case Opcode::cmp: {
      const Cond cond = static_cast<Cond>(c.op.sub);
      if (c.same(0, 1)) return c.constant(Type::I8, eval::compare(cond, 0, 0, 64));
      break;
    }
    default: break;
  }
  return Simplified::Keep;
}

Simplified widen(Context& c) {
  const Op& a = c.arg(0);
  const Type from = c.arg_type(0), to = c.op.type;
  if (from == to) return c.use(c.op.arg[0]);
  if (c.op.code == Opcode::zext) {
    if (a.code == Opcode::zext) return c.become(Opcode::zext, {a.arg[0]});
    if (a.code == Opcode::trunc && result_type(c.ops[a.arg[0]]) == to)
      return c.become(Opcode::extract, {a.arg[0]}, 0, type_bits(from) << 8);
  } else {
    if (a.code == Opcode::sext) return c.become(Opcode::sext, {a.arg[0]});
    if (a.code == Opcode::zext) return c.become(Opcode::zext, {a.arg[0]});  // the top bit is zero
    if (a.code == Opcode::trunc && result_type(c.ops[a.arg[0]]) == to)
      return c.become(Opcode::sextract, {a.arg[0]}, 0, type_bits(from) << 8);
  }
  return Simplified::Keep;
}

// To the op's narrower type, from a value `v` that is narrower, equal or wider than it.
Simplified fit(Context& c, Value v, bool sign) {
  const Type from = result_type(c.ops[v]);
  if (from == c.op.type) return c.use(v);
  if (type_bits(from) > type_bits(c.op.type)) return c.become(Opcode::trunc, {v});
  return c.become(sign ? Opcode::sext : Opcode::zext, {v});
}

Simplified narrow(Context& c) {
  const Op& a = c.arg(0);
  const unsigned bits = type_bits(c.op.type);
  const unsigned lsb = a.aux & 0xff, width = a.aux >> 8;
  if (c.arg_type(0) == c.op.type) return c.use(c.op.arg[0]);
  switch (a.code) {
    case Opcode::zext: return fit(c, a.arg[0], false);
    case Opcode::sext: return fit(c, a.arg[0], true);
    case Opcode::trunc: return c.become(Opcode::trunc, {a.arg[0]});
    case Opcode::extract:
    case Opcode::sextract:
      if (lsb == 0 && width >= bits) return c.become(Opcode::trunc, {a.arg[0]});
      break;
    case Opcode::deposit:
      if (lsb >= bits) return c.become(Opcode::trunc, {a.arg[0]});
      if (lsb == 0 && width >= bits) return c.become(Opcode::trunc, {a.arg[1]});
      break;
    default: break;
  }
  return Simplified::Keep;
}

Simplified field(Context& c) {
  const Op& a = c.arg(0);
  const bool sign = c.op.code == Opcode::sextract;
  const unsigned lsb = c.op.aux & 0xff, width = c.op.aux >> 8;
  const unsigned in_lsb = a.aux & 0xff, in_width = a.aux >> 8;
  if (lsb == 0 && width == type_bits(c.op.type)) return c.use(c.op.arg[0]);
  if (a.code == Opcode::extract && lsb + width <= in_width)
    return c.become(c.op.code, {a.arg[0]}, 0, (in_lsb + lsb) | width << 8);
  if (a.code == Opcode::extract && !sign) {
    if (lsb >= in_width) return c.constant(c.op.type, 0);
    return c.become(Opcode::extract, {a.arg[0]}, 0, (in_lsb + lsb) | (in_width - lsb) << 8);
  }
  if (a.code == Opcode::zext && !sign) {
    const unsigned inner = type_bits(result_type(c.ops[a.arg[0]]));
    if (lsb >= inner) return c.constant(c.op.type, 0);
    if (lsb == 0 && width >= inner) return c.use(c.op.arg[0]);
  }
  if (a.code == Opcode::deposit) {
    if (lsb >= in_lsb + in_width || lsb + width <= in_lsb) return c.become(c.op.code, {a.arg[0]}, 0, c.op.aux);
    if (lsb >= in_lsb && lsb + width <= in_lsb + in_width)
      return c.become(c.op.code, {a.arg[1]}, 0, (lsb - in_lsb) | width << 8);
  }
  return Simplified::Keep;
}

Simplified deposit(Context& c) {
  const Op& a = c.arg(0);
  const unsigned lsb = c.op.aux & 0xff, width = c.op.aux >> 8;
  if (lsb == 0 && width == type_bits(c.op.type)) return c.use(c.op.arg[1]);
  const Op& b = c.arg(1);
  if (b.code == Opcode::extract && (b.aux & 0xff) == lsb && (b.aux >> 8) == width && b.arg[0] == c.op.arg[0] &&
      lsb == 0)
    return c.use(c.op.arg[0]);
  if (a.code == Opcode::deposit && (a.aux & 0xff) >= lsb && (a.aux & 0xff) + (a.aux >> 8) <= lsb + width)
    return c.become(Opcode::deposit, {a.arg[0], c.op.arg[1]}, 0, c.op.aux);
  return Simplified::Keep;
}

Simplified choice(Context& c) {
  if (c.same(1, 2)) return c.use(c.op.arg[1]);
  const Op& a = c.arg(0);
  if (c.is_const(0)) {
    const bool first = c.op.code == Opcode::select
                           ? c.value(0) != 0
                           : cond_holds(static_cast<Cond>(c.op.sub), static_cast<u16>(c.value(0)));
    return c.use(c.op.arg[first ? 1 : 2]);
  }
  if (c.op.code == Opcode::select && a.code == Opcode::setcc) {
    c.op.code = Opcode::selcc;
    c.op.sub = a.sub;
    c.op.arg[0] = a.arg[0];
  }
  return Simplified::Keep;
}

Simplified flags(Context& c) {
  const Op& a = c.arg(0);
  switch (c.op.code) {
    case Opcode::flags_shl:
    case Opcode::flags_shr:
    case Opcode::flags_sar:
      if (c.is_const(1) && eval::shift_count(c.value(1), type_bits(c.op.type)) == 0) return c.use(c.op.arg[2]);
      break;
    case Opcode::flags_merge:
      if (c.same(0, 1) || (c.op.aux & kFlagsAll) == 0) return c.use(c.op.arg[0]);
      if ((c.op.aux & kFlagsAll) == kFlagsAll) return c.use(c.op.arg[1]);
      break;
    case Opcode::flags_cf:
      if (a.code == Opcode::flags_cf) c.op.arg[0] = a.arg[0];
      break;
    case Opcode::flags_pack:
      if (a.code == Opcode::flags_bits) return c.use(a.arg[0]);
      break;
    default: break;
  }
  return Simplified::Keep;
}

Simplified side_exit(Context& c) {
  if (c.op.code == Opcode::exit_if) {
    const Op& a = c.arg(0);
    if (c.is_const(0, 0)) return Simplified::Drop;
    if (a.code == Opcode::setcc) {
      c.op.code = Opcode::exit_cc;
      c.op.sub = a.sub;
      c.op.arg[0] = a.arg[0];
    }
  }
  if (c.op.code == Opcode::exit_cc && c.is_const(0) &&
      !cond_holds(static_cast<Cond>(c.op.sub), static_cast<u16>(c.value(0))))
    return Simplified::Drop;
  return Simplified::Keep;
}

// address + constant goes into the displacement (both are modulo the width of the address) while it fits a signed
// 32-bit one.
void displacement(Context& c) {
  const Op& a = c.arg(0);
  if (a.code != Opcode::add || c.ops[a.arg[1]].code != Opcode::konst) return;
  const u64 sum = c.op.imm + c.ops[a.arg[1]].imm, near = sign_extend(sum, 32);
  if (a.type != Type::I32 && near != sum) return;
  c.op.imm = near;
  c.op.arg[0] = a.arg[0];
}

}  // namespace

Simplified simplify(const Op* ops, Op& op, Value& alias) {
  Context c{ops, op, alias};
  if (is_scalar_op(op.code)) {
    bool all = true;
    for (unsigned i = 0; i < op.nargs; i++) all = all && c.is_const(i);
    if (all) {
      const u64 x = c.value(0), y = op.nargs > 1 ? c.value(1) : 0, z = op.nargs > 2 ? c.value(2) : 0;
      if (may_fold(op, x, z)) return c.constant(result_type(op), evaluate(op, c.arg_type(0), x, y, z));
    }
    if (commutative(op.code) && c.is_const(0) && !c.is_const(1)) std::swap(op.arg[0], op.arg[1]);
  }
  switch (op.code) {
    case Opcode::add:
    case Opcode::sub:
    case Opcode::mul:
    case Opcode::mulhu:
    case Opcode::mulhs:
    case Opcode::and_:
    case Opcode::or_:
    case Opcode::xor_:
    case Opcode::andn:
    case Opcode::shl:
    case Opcode::shr:
    case Opcode::sar:
    case Opcode::rotl:
    case Opcode::rotr:
    case Opcode::cmp:
    case Opcode::adc:
    case Opcode::sbb:
    case Opcode::flags_adc:
    case Opcode::flags_sbb: return binary(c);
    case Opcode::not_:
    case Opcode::neg:
    case Opcode::bswap: return c.arg(0).code == op.code ? c.use(c.arg(0).arg[0]) : Simplified::Keep;
    case Opcode::zext:
    case Opcode::sext: return widen(c);
    case Opcode::trunc: return narrow(c);
    case Opcode::extract:
    case Opcode::sextract: return field(c);
    case Opcode::deposit: return deposit(c);
    case Opcode::select:
    case Opcode::selcc: return choice(c);
    case Opcode::flags_shl:
    case Opcode::flags_shr:
    case Opcode::flags_sar:
    case Opcode::flags_merge:
    case Opcode::flags_cf:
    case Opcode::flags_pack: return flags(c);
    case Opcode::exit_cc:
    case Opcode::exit_if: return side_exit(c);
    case Opcode::load:
    case Opcode::store:
    case Opcode::atomic_rmw:
    case Opcode::atomic_cas:
    case Opcode::probe_write: displacement(c); return Simplified::Keep;
    default: return Simplified::Keep;
  }
}

}  // namespace doppel::ir
