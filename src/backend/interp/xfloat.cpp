// The stack of 80-bit floats (ops xf_*) on src/fpu: what those ops mean. Everything is read from and written to the
// state at once. Source: SDM vol. 1, chapter 8; vol. 2, the pages of the x87 instructions.
#include <bit>

#include "backend/interp/execute.h"
#include "fpu/fpu.h"

namespace doppel::backend::interp {
namespace {

using fpu::f80;
using ir::XArith;
using ir::XFormat;
using ir::XUnary;

enum Status : u16 { C0 = 0x100, C1 = 0x200, C2 = 0x400, C3 = 0x4000 };
constexpr u16 kConditions = C0 | C1 | C2 | C3;

class Stack {
 public:
  Stack(const ir::XStack& at, mem::VcpuHeader& cpu) : at_(at), cpu_(cpu) {}

  u16 word(u32 offset) const { return load_le<u16>(state_at(cpu_, offset)); }
  void set_word(u32 offset, u16 v) { store_le<u16>(state_at(cpu_, offset), v); }
  u8& top() { return *state_at(cpu_, at_.top); }
  u8& tags() { return *state_at(cpu_, at_.tags); }
  unsigned number(unsigned i) { return (top() + i) & 7; }

  f80 get(unsigned i) {
    const u8* p = state_at(cpu_, at_.regs + 16 * number(i));
    return {load_le<u64>(p), load_le<u16>(p + 8)};
  }
  void set(unsigned i, const f80& v) {
    u8* p = state_at(cpu_, at_.regs + 16 * number(i));
    store_le<u64>(p, v.significand);
    store_le<u16>(p + 8, v.sign_exponent);
    tags() = static_cast<u8>(tags() & ~(1u << number(i)));
  }
  void push(const f80& v) {
    top() = static_cast<u8>(number(7));
    set(0, v);
  }
  void pop() {
    tags() = static_cast<u8>(tags() | 1u << number(0));
    top() = static_cast<u8>(number(1));
  }

  fpu::Env env() const {
    static constexpr u8 kPrecision[] = {24, 64, 53, 64};
    const u16 cw = word(at_.control);
    fpu::Env e;
    e.rounding = static_cast<fpu::Rounding>((cw >> 10) & 3);
    e.nan = fpu::NanRule::X87;
    e.f80_precision = kPrecision[(cw >> 8) & 3];
    return e;
  }
  // Sticky flags, and C1 = rounded up.
  void done(const fpu::Env& e) { conditions(C1, e.flags & fpu::kRoundedUp ? C1 : 0, e.flags); }
  void conditions(u16 changed, u16 bits, u32 flags = 0) {
    set_word(at_.status, static_cast<u16>((word(at_.status) & ~changed) | bits | (flags & 0x3f)));
  }

 private:
  const ir::XStack& at_;
  mem::VcpuHeader& cpu_;
};

f80 from_integer(s64 v) {
  fpu::Env exact;
  return fpu::from_s64<f80>(v, exact);
}

// A value from memory. Into 80 bits nothing is rounded; a denormal or a signaling NaN raises its flag.
f80 widen(u64 bits, XFormat format, fpu::Env& env) {
  fpu::Env e = env;
  e.f80_precision = 64;
  e.flags = 0;
  f80 r;
  switch (format) {
    case XFormat::F32:
      r = fpu::convert<f80>(static_cast<fpu::f32>(bits), e);
      if (!(bits & 0x7f800000) && (bits & 0x7fffff)) e.flags |= fpu::kDenormal;
      break;
    case XFormat::F64:
      r = fpu::convert<f80>(static_cast<fpu::f64>(bits), e);
      if (!(bits & 0x7ff0000000000000) && (bits & 0xfffffffffffff)) e.flags |= fpu::kDenormal;
      break;
    case XFormat::I16: return from_integer(static_cast<s16>(bits));
    case XFormat::I32: return from_integer(static_cast<s32>(bits));
    case XFormat::I64: return from_integer(static_cast<s64>(bits));
  }
  env.flags |= e.flags & 0x3f;
  return r;
}

// The same as an operand beside `other`: a NaN stays what it is, signaling or not, and the operation raises its flag.
// `denormal`: it counts as one, unless something comes before that: `other` is a NaN or no number of the format.
f80 operand(u64 bits, XFormat format, const f80& other, bool& denormal) {
  denormal = false;
  const bool f32_nan = format == XFormat::F32 && fpu::is_nan(static_cast<fpu::f32>(bits));
  const bool f64_nan = format == XFormat::F64 && fpu::is_nan(static_cast<fpu::f64>(bits));
  if (f32_nan) return {u64{1} << 63 | bits << 40, static_cast<u16>((bits >> 16 & 0x8000) | 0x7fff)};
  if (f64_nan) return {u64{1} << 63 | bits << 11, static_cast<u16>((bits >> 48 & 0x8000) | 0x7fff)};
  fpu::Env env;
  const f80 v = widen(bits, format, env);
  const unsigned e = other.sign_exponent & 0x7fff;
  const bool other_first = fpu::is_nan(other) || (e != 0 && !(other.significand >> 63));
  denormal = !other_first && (env.flags & fpu::kDenormal);
  return v;
}

u64 to_integer(const f80& v, unsigned bits, fpu::Rounding rounding, fpu::Env& env) {
  const s64 r = fpu::to_s64(v, rounding, env);
  if (!(env.flags & fpu::kInvalid) && static_cast<s64>(sign_extend(static_cast<u64>(r), bits)) == r)
    return static_cast<u64>(r) & mask_bits(bits);
  env.flags = fpu::kInvalid;
  return u64{1} << (bits - 1);
}

u64 narrow(const f80& v, XFormat format, bool truncate, fpu::Env& env) {
  const fpu::Rounding rounding = truncate ? fpu::Rounding::Zero : env.rounding;
  switch (format) {
    case XFormat::F32: return fpu::convert<fpu::f32>(v, env);
    case XFormat::F64: return fpu::convert<fpu::f64>(v, env);
    case XFormat::I16: return to_integer(v, 16, rounding, env);
    case XFormat::I32: return to_integer(v, 32, rounding, env);
    case XFormat::I64: return to_integer(v, 64, rounding, env);
  }
  return 0;
}

f80 arith(XArith op, const f80& d, const f80& s, fpu::Env& env) {
  switch (op) {
    case XArith::Add: return fpu::add(d, s, env);
    case XArith::Mul: return fpu::mul(d, s, env);
    case XArith::Sub: return fpu::sub(d, s, env);
    case XArith::SubR: return fpu::sub(s, d, env);
    case XArith::Div: return fpu::div(d, s, env);
    case XArith::DivR: return fpu::div(s, d, env);
  }
  return d;
}

u16 relation(const f80& a, const f80& b, bool quiet, fpu::Env& env) {
  switch (fpu::compare(a, b, !quiet, env)) {
    case fpu::Relation::Less: return C0;
    case fpu::Relation::Equal: return C3;
    case fpu::Relation::Greater: return 0;
    case fpu::Relation::Unordered: break;
  }
  return C0 | C2 | C3;
}

u16 examine(const f80& v) {
  const unsigned e = v.sign_exponent & 0x7fff;
  const u16 sign = static_cast<u16>(v.sign_exponent & 0x8000 ? C1 : 0);
  u16 c = 0;  // unsupported
  if (e == 0x7fff)
    c = v.significand == u64{1} << 63 ? C2 | C0 : v.significand >> 63 ? u16{C0} : u16{0};
  else if (e == 0)
    c = v.significand == 0 ? u16{C3} : C3 | C2;
  else if (v.significand >> 63)
    c = C2;
  return static_cast<u16>(sign | c);
}

// Constants as truncated significands; whether nearest is one more (SDM vol. 2, FLD1 and others).
f80 constant(u32 which, fpu::Rounding rounding) {
  struct Row {
    u64 down;
    u16 exponent;
    bool nearest_up, exact;
  };
  static constexpr Row kRows[] = {{0x8000000000000000, 0x3fff, false, true},   // 1
                                  {0xd49a784bcd1b8afe, 0x4000, false, false},  // log2 10
                                  {0xb8aa3b295c17f0bb, 0x3fff, true, false},   // log2 e
                                  {0xc90fdaa22168c234, 0x4000, true, false},   // pi
                                  {0x9a209a84fbcff798, 0x3ffd, true, false},   // log10 2
                                  {0xb17217f7d1cf79ab, 0x3ffe, true, false},   // ln 2
                                  {0, 0, false, true}};                        // 0
  const Row& r = kRows[which];
  const bool up = !r.exact && (rounding == fpu::Rounding::Up || (rounding == fpu::Rounding::Nearest && r.nearest_up));
  return {r.down + up, r.exponent};
}

void unary(Stack& st, XUnary op) {
  f80 v = st.get(0);
  fpu::Env env = st.env();
  switch (op) {
    case XUnary::Neg: v.sign_exponent ^= 0x8000; break;
    case XUnary::Abs: v.sign_exponent &= 0x7fff; break;
    case XUnary::Sqrt: v = fpu::sqrt(v, env); break;
    case XUnary::Round: v = fpu::round_to_integral(v, env.rounding, true, env); break;
    case XUnary::Test: {
      const u16 bits = relation(v, f80{}, false, env);
      return st.conditions(kConditions, bits, env.flags);
    }
  }
  st.set(0, v);
  st.done(env);
}

void push(Stack& st, const Op& op, u64 bits) {
  fpu::Env env = st.env();
  const f80 v = widen(bits, static_cast<XFormat>(op.aux & 15), env);
  st.push(v);
  st.conditions(C1, 0, env.flags);
}

void arith_memory(Stack& st, const Op& op, u64 bits) {
  fpu::Env env = st.env();
  const f80 a = st.get(0);
  bool denormal;
  const f80 b = operand(bits, static_cast<XFormat>(op.aux & 15), a, denormal);
  st.set(0, arith(static_cast<XArith>(op.sub), a, b, env));
  if (denormal && !(env.flags & (fpu::kInvalid | fpu::kDivByZero))) env.flags |= fpu::kDenormal;
  st.done(env);
}

void compare_memory(Stack& st, const Op& op, u64 bits) {
  fpu::Env env = st.env();
  const f80 a = st.get(0);
  bool denormal;
  const f80 b = operand(bits, static_cast<XFormat>(op.aux & 15), a, denormal);
  const u16 c = relation(a, b, false, env);
  if (denormal) env.flags |= fpu::kDenormal;
  st.conditions(kConditions, c, env.flags);
}

void special(Stack& st, const ir::XStack& at, unsigned code) {
  fpu::Env env = st.env();
  const fpu::X87Special r = x87_special(code, st.get(0), st.get(1), st.word(at.control), env);
  const bool remainder = code == static_cast<unsigned>(ir::XSpecial::Remainder) ||
                         code == static_cast<unsigned>(ir::XSpecial::RemainderIeee);
  const u16 changed = remainder ? kConditions : code >= static_cast<unsigned>(ir::XSpecial::Sin) ? C1 | C2 : u16{C1};
  if (r.pops) {
    st.set(1, r.st1);
    st.pop();
  } else if (r.pushes) {
    st.set(0, r.st1);
    st.push(r.st0);
  } else {
    st.set(0, r.st0);
  }
  st.conditions(changed, r.conditions & changed, env.flags);
}

u64 compare_flags(Stack& st, const Op& op) {
  fpu::Env env = st.env();
  const u16 c = relation(st.get(0), st.get(op.aux & 7), (op.aux & 16) != 0, env);
  st.conditions(C1, 0, env.flags);
  return u64{ir::kFlagOne} | (c & C0 ? u64{ir::kFlagC} : 0) | (c & C2 ? u64{ir::kFlagP} : 0) |
         (c & C3 ? u64{ir::kFlagZ} : 0);
}

void registers(Stack& st, const Op& op) {  // ops that only move values
  const f80 v = st.get(0);
  switch (op.code) {
    case Opcode::xf_push_reg: st.push(st.get(op.aux)); break;
    case Opcode::xf_push_const: st.push(constant(op.aux, st.env().rounding)); break;
    case Opcode::xf_move: st.set(op.aux, v); break;
    default:
      st.set(0, st.get(op.aux));
      st.set(op.aux, v);
      break;
  }
  st.conditions(C1, 0);
}

}  // namespace

bool xfloat_leaves(const ir::XStack& at, mem::VcpuHeader& cpu, const Op& op, u64 a) {
  Stack st(at, cpu);
  bool leave = a != 0;
  if (op.code == Opcode::xf_guard) {
    const unsigned relative = std::rotr(st.tags(), st.number(0));
    leave = ((relative ^ op.aux >> 8) & op.aux & 0xff) != 0 || (~st.word(at.control) & 0x3f) != 0;
  }
  if (leave) *state_at(cpu, at.step) = 1;
  return leave;
}

void run_xfloat(const ir::XStack& at, mem::VcpuHeader& cpu, Frame& f, const Op& op, unsigned i) {
  Stack st(at, cpu);
  const u64 a = f.v[op.arg[0]];
  switch (op.code) {
    case Opcode::xf_word: f.v[i] = op.aux ? st.word(at.control) : st.word(at.status) | st.number(0) << 11; break;
    case Opcode::xf_control: st.set_word(at.control, static_cast<u16>(a)); break;
    case Opcode::xf_arith: {
      const unsigned d = op.aux & 7, s = (op.aux >> 4) & 7;
      fpu::Env env = st.env();
      st.set(d, arith(static_cast<XArith>(op.sub), st.get(d), st.get(s), env));
      st.done(env);
      break;
    }
    case Opcode::xf_arith_mem: arith_memory(st, op, a); break;
    case Opcode::xf_push: push(st, op, a); break;
    case Opcode::xf_push_raw:
      st.push({a, static_cast<u16>(f.v[op.arg[1]])});
      st.conditions(C1, 0);
      break;
    case Opcode::xf_to: {
      fpu::Env env = st.env();
      f.v[i] = narrow(st.get(0), static_cast<XFormat>(op.aux & 15), (op.aux & 16) != 0, env);
      st.done(env);
      break;
    }
    case Opcode::xf_raw:
      f.v[i] = op.type == Type::I64 ? st.get(0).significand : st.get(0).sign_exponent;
      st.conditions(C1, 0);
      break;
    case Opcode::xf_pop: st.pop(); break;
    case Opcode::xf_unary: unary(st, static_cast<XUnary>(op.sub)); break;
    case Opcode::xf_special: special(st, at, op.sub); break;
    case Opcode::xf_compare: {
      fpu::Env env = st.env();
      const u16 c = relation(st.get(0), st.get(op.aux & 7), (op.aux & 16) != 0, env);
      st.conditions(kConditions, c, env.flags);
      break;
    }
    case Opcode::xf_compare_mem: compare_memory(st, op, a); break;
    case Opcode::xf_examine: st.conditions(kConditions, examine(st.get(0))); break;
    case Opcode::xf_compare_flags: f.v[i] = compare_flags(st, op); break;
    case Opcode::xf_select:
      if (ir::cond_holds(static_cast<ir::Cond>(op.sub), static_cast<u16>(a))) st.set(0, st.get(op.aux));
      st.conditions(C1, 0);
      break;
    default: registers(st, op); break;
  }
}

}  // namespace doppel::backend::interp
