// The meaning of the integer and flags ops (ops.def rows add..sbb) as plain functions: used to fold constants and by
// the interpreter, so that both agree by construction. Values are zero-extended to 64 bits; FLAGS values are in their
// 16-bit form. Sources: SDM vol. 2 (instruction pages) and vol. 1, appendix A (EFLAGS cross-reference).
#pragma once
#include "ir/ir.h"

namespace doppel::ir {

constexpr bool is_scalar_op(Opcode code) { return code >= Opcode::add && code <= Opcode::sbb; }

namespace eval {

constexpr u64 sign_bit(unsigned bits) { return u64{1} << (bits - 1); }
constexpr unsigned shift_count(u64 n, unsigned bits) { return static_cast<unsigned>(n & (bits == 64 ? 63 : 31)); }

// SF, ZF, PF of a result, and the bit that is always one.
constexpr u16 szp(u64 r, unsigned bits) {
  u32 f = kFlagOne;
  if (r == 0) f |= kFlagZ;
  if (r & sign_bit(bits)) f |= kFlagS;
  if (!(std::popcount(static_cast<u8>(r)) & 1)) f |= kFlagP;
  return static_cast<u16>(f);
}
constexpr u64 carry_in(u64 flags) { return (flags >> 8) & 1; }
constexpr u16 carry_flag(bool c) { return c ? kFlagC : 0; }

constexpr u16 flags_add(u64 a, u64 b, u64 c, unsigned bits) {
  const u64 r = (a + b + c) & mask_bits(bits), top = sign_bit(bits);
  const u64 carries = (a & b) | ((a | b) & ~r);
  u32 f = szp(r, bits) | carry_flag(carries & top);
  if ((a ^ r) & (b ^ r) & top) f |= kFlagO;
  if ((a ^ b ^ r) & 0x10) f |= kFlagA;
  return static_cast<u16>(f);
}
constexpr u16 flags_sub(u64 a, u64 b, u64 c, unsigned bits) {
  const u64 r = (a - b - c) & mask_bits(bits), top = sign_bit(bits);
  const u64 borrows = (~a & b) | ((~a | b) & r);
  u32 f = szp(r, bits) | carry_flag(borrows & top);
  if ((a ^ b) & (a ^ r) & top) f |= kFlagO;
  if ((a ^ b ^ r) & 0x10) f |= kFlagA;
  return static_cast<u16>(f);
}
constexpr u16 flags_inc(u64 a, u64 old, unsigned bits) {
  const u64 r = (a + 1) & mask_bits(bits);
  u32 f = szp(r, bits) | (old & kFlagC);
  if (r == sign_bit(bits)) f |= kFlagO;
  if ((r & 15) == 0) f |= kFlagA;
  return static_cast<u16>(f);
}
constexpr u16 flags_dec(u64 a, u64 old, unsigned bits) {
  const u64 r = (a - 1) & mask_bits(bits);
  u32 f = szp(r, bits) | (old & kFlagC);
  if (a == sign_bit(bits)) f |= kFlagO;
  if ((r & 15) == 15) f |= kFlagA;
  return static_cast<u16>(f);
}
constexpr u64 shl(u64 a, u64 count, unsigned bits) {
  const unsigned n = shift_count(count, bits);
  return n >= bits ? 0 : (a << n) & mask_bits(bits);
}
constexpr u64 shr(u64 a, u64 count, unsigned bits) {
  const unsigned n = shift_count(count, bits);
  return n >= bits ? 0 : a >> n;
}
constexpr u64 sar(u64 a, u64 count, unsigned bits) {
  const unsigned n = shift_count(count, bits);
  const s64 v = static_cast<s64>(sign_extend(a, bits));
  return static_cast<u64>(v >> (n >= bits ? bits - 1 : n)) & mask_bits(bits);
}
constexpr u16 flags_shl(u64 a, u64 count, u64 old, unsigned bits) {
  const unsigned n = shift_count(count, bits);
  if (n == 0) return static_cast<u16>(old);
  const u64 r = shl(a, n, bits);
  const bool c = n <= bits && ((a >> (bits - n)) & 1);
  const bool s = r & sign_bit(bits);
  return static_cast<u16>(szp(r, bits) | carry_flag(c) | (c != s ? kFlagO : 0));
}
constexpr u16 flags_shr(u64 a, u64 count, u64 old, unsigned bits) {
  const unsigned n = shift_count(count, bits);
  if (n == 0) return static_cast<u16>(old);
  const bool c = n <= bits && ((a >> (n - 1)) & 1);
  const bool o = n == 1 && (a & sign_bit(bits));
  return static_cast<u16>(szp(shr(a, n, bits), bits) | carry_flag(c) | (o ? kFlagO : 0));
}
constexpr u16 flags_sar(u64 a, u64 count, u64 old, unsigned bits) {
  const unsigned n = shift_count(count, bits);
  if (n == 0) return static_cast<u16>(old);
  const bool c = (a >> (n >= bits ? bits - 1 : n - 1)) & 1;
  return static_cast<u16>(szp(sar(a, n, bits), bits) | carry_flag(c));
}
constexpr u64 rotl(u64 a, u64 count, unsigned bits) {
  const unsigned n = static_cast<unsigned>(count % bits);
  return n == 0 ? a : ((a << n) | (a >> (bits - n))) & mask_bits(bits);
}
constexpr u64 bswap(u64 a, unsigned bits) {
  u64 r = 0;
  for (unsigned i = 0; i < bits; i += 8) r |= ((a >> i) & 0xff) << (bits - 8 - i);
  return r;
}
constexpr bool compare(Cond cond, u64 a, u64 b, unsigned bits) {
  const s64 sa = static_cast<s64>(sign_extend(a, bits)), sb = static_cast<s64>(sign_extend(b, bits));
  switch (cond) {
    case Cond::Z: return a == b;
    case Cond::NZ: return a != b;
    case Cond::C: return a < b;
    case Cond::NC: return a >= b;
    case Cond::BE: return a <= b;
    case Cond::A: return a > b;
    case Cond::L: return sa < sb;
    case Cond::GE: return sa >= sb;
    case Cond::LE: return sa <= sb;
    case Cond::G: return sa > sb;
    default: return cond_holds(cond, flags_sub(a, b, 0, bits));  // not made by guests, but meant
  }
}
// Divisions that the guest's check does not allow give 0, so that the emulator never traps.
constexpr u64 divide(u64 high, u64 low, u64 divisor, unsigned bits, bool remainder) {
  if (divisor == 0 || high >= divisor) return 0;
  const u128 n = static_cast<u128>(high) << bits | low;
  return static_cast<u64>(remainder ? n % divisor : n / divisor);
}

}  // namespace eval

// The value of a scalar op. `arg_type` is the type of its first argument (zext, sext); a, b, c its arguments' values.
[[gnu::always_inline]] inline u64 evaluate(const Op& op, Type arg_type, u64 a, u64 b, u64 c) {
  const unsigned bits = type_bits(op.type);
  const u64 mask = mask_bits(bits);
  const Cond cond = static_cast<Cond>(op.sub);
  const unsigned lsb = op.aux & 0xff, width = op.aux >> 8;
  switch (op.code) {
    case Opcode::add: return (a + b) & mask;
    case Opcode::sub: return (a - b) & mask;
    case Opcode::mul: return (a * b) & mask;
    case Opcode::mulhu: return static_cast<u64>((static_cast<u128>(a) * b) >> bits);
    case Opcode::mulhs: {
      const s128 p = static_cast<s128>(static_cast<s64>(sign_extend(a, bits))) * static_cast<s64>(sign_extend(b, bits));
      return static_cast<u64>(p >> bits) & mask;
    }
    case Opcode::udiv2: return eval::divide(a, b, c, bits, false);
    case Opcode::urem2: return eval::divide(a, b, c, bits, true);
    case Opcode::and_: return a & b;
    case Opcode::or_: return a | b;
    case Opcode::xor_: return a ^ b;
    case Opcode::andn: return ~a & b;
    case Opcode::not_: return ~a & mask;
    case Opcode::neg: return -a & mask;
    case Opcode::shl: return eval::shl(a, b, bits);
    case Opcode::shr: return eval::shr(a, b, bits);
    case Opcode::sar: return eval::sar(a, b, bits);
    case Opcode::rotl: return eval::rotl(a, b, bits);
    case Opcode::rotr: return eval::rotl(a, bits - b % bits, bits);
    case Opcode::clz: return a == 0 ? bits : static_cast<u64>(std::countl_zero(a)) - (64 - bits);
    case Opcode::ctz: return a == 0 ? bits : static_cast<u64>(std::countr_zero(a));
    case Opcode::popcnt: return static_cast<u64>(std::popcount(a));
    case Opcode::bswap: return eval::bswap(a, bits);
    case Opcode::zext: return a;
    case Opcode::sext: return sign_extend(a, type_bits(arg_type)) & mask;
    case Opcode::trunc: return a & mask;
    case Opcode::extract: return bit_field(a, lsb, width);
    case Opcode::sextract: return sign_extend(bit_field(a, lsb, width), width) & mask;
    case Opcode::deposit: return (a & ~(mask_bits(width) << lsb)) | ((b & mask_bits(width)) << lsb);
    case Opcode::cmp: return eval::compare(cond, a, b, bits);
    case Opcode::select: return a != 0 ? b : c;
    case Opcode::selcc: return cond_holds(cond, static_cast<u16>(a)) ? b : c;
    case Opcode::setcc: return cond_holds(cond, static_cast<u16>(a));
    case Opcode::flags_add: return eval::flags_add(a, b, 0, bits);
    case Opcode::flags_adc: return eval::flags_add(a, b, eval::carry_in(c), bits);
    case Opcode::flags_sub: return eval::flags_sub(a, b, 0, bits);
    case Opcode::flags_sbb: return eval::flags_sub(a, b, eval::carry_in(c), bits);
    case Opcode::flags_logic: return eval::szp(a, bits);
    case Opcode::flags_inc: return eval::flags_inc(a, b, bits);
    case Opcode::flags_dec: return eval::flags_dec(a, b, bits);
    case Opcode::flags_shl: return eval::flags_shl(a, b, c, bits);
    case Opcode::flags_shr: return eval::flags_shr(a, b, c, bits);
    case Opcode::flags_sar: return eval::flags_sar(a, b, c, bits);
    case Opcode::flags_merge: return ((a & ~op.aux) | (b & op.aux) | kFlagOne) & 0xffff;
    case Opcode::flags_pack: return eflags_to_flags(static_cast<u32>(a));
    case Opcode::flags_bits: return flags_to_eflags(static_cast<u16>(a));
    case Opcode::flags_cf: return (a & ~u64{kFlagC}) | (b & 1) << 8;
    case Opcode::adc: return (a + b + eval::carry_in(c)) & mask;
    case Opcode::sbb: return (a - b - eval::carry_in(c)) & mask;
    default: return 0;
  }
}

// Whether folding may replace the op by its value: not for a division the guest's check would have refused.
inline bool may_fold(const Op& op, u64 a, u64 c) {
  if (op.code == Opcode::udiv2 || op.code == Opcode::urem2) return c != 0 && a < c;
  return is_scalar_op(op.code);
}

}  // namespace doppel::ir
