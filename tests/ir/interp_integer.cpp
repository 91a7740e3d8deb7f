// Integer and flags ops against known values and against a plain restatement of the SDM on random and edge operands.
#include <random>

#include "ir/ir_fixture.h"

namespace doppel::ir::test {
namespace {

using enum Opcode;
constexpr Type kI8 = Type::I8, kI16 = Type::I16, kI32 = Type::I32, kI64 = Type::I64, kF = Type::Flags;
constexpr Type kInts[] = {kI8, kI16, kI32, kI64};

u64 bin(Opcode code, Type t, u64 a, u64 b) { return eval(code, t, {{t, a}, {t, b}}); }
u64 un(Opcode code, Type t, u64 a) { return eval(code, t, {{t, a}}); }
u64 shift(Opcode code, Type t, u64 a, u64 n) { return eval(code, t, {{t, a}, {kI8, n}}); }
u64 tri(Opcode code, Type t, u64 a, u64 b, u64 c) { return eval(code, t, {{t, a}, {t, b}, {t, c}}); }

TEST(InterpInteger, Arithmetic) {
  EXPECT_EQ(bin(add, kI8, 0xff, 2), 1u);
  EXPECT_EQ(bin(sub, kI32, 0, 1), 0xffffffffu);
  EXPECT_EQ(bin(mul, kI16, 0x1234, 0x100), 0x3400u);
  EXPECT_EQ(bin(mulhu, kI64, ~u64{0}, ~u64{0}), ~u64{1});
  EXPECT_EQ(bin(mulhs, kI64, ~u64{0}, ~u64{0}), 0u);
  EXPECT_EQ(bin(mulhs, kI8, 0x80, 0x80), 0x40u);
  EXPECT_EQ(bin(mulhs, kI16, 0x8000, 2), 0xffffu);
  EXPECT_EQ(bin(mulhu, kI32, 0x80000000, 2), 1u);
  EXPECT_EQ(tri(udiv2, kI32, 1, 0, 2), 0x80000000u);
  EXPECT_EQ(tri(urem2, kI64, 1, 5, 3), ((u128{1} << 64) + 5) % 3);
  EXPECT_EQ(tri(udiv2, kI64, 6, 123, 7), static_cast<u64>(((u128{6} << 64) + 123) / 7));
  EXPECT_EQ(tri(udiv2, kI32, 5, 5, 0), 0u);
  EXPECT_EQ(un(neg, kI8, 0x80), 0x80u);
  EXPECT_EQ(un(not_, kI16, 0x00ff), 0xff00u);
  EXPECT_EQ(bin(andn, kI8, 0xf0, 0xff), 0x0fu);
}

TEST(InterpInteger, Shifts) {
  EXPECT_EQ(shift(shl, kI8, 0x81, 1), 2u);
  EXPECT_EQ(shift(shl, kI8, 0x81, 9), 0u);
  EXPECT_EQ(shift(shl, kI8, 0x81, 33), 2u);
  EXPECT_EQ(shift(shl, kI64, 1, 63), u64{1} << 63);
  EXPECT_EQ(shift(shl, kI64, 1, 64), 1u);
  EXPECT_EQ(shift(shr, kI32, 0x80000000, 31), 1u);
  EXPECT_EQ(shift(sar, kI16, 0x8000, 31), 0xffffu);
  EXPECT_EQ(shift(sar, kI32, 0x80000000, 4), 0xf8000000u);
  EXPECT_EQ(shift(rotl, kI8, 0x81, 1), 3u);
  EXPECT_EQ(shift(rotl, kI8, 0x81, 8), 0x81u);
  EXPECT_EQ(shift(rotr, kI16, 1, 1), 0x8000u);
  EXPECT_EQ(shift(rotr, kI16, 0x1234, 16), 0x1234u);
  EXPECT_EQ(shift(rotr, kI64, 3, 1), u64{1} << 63 | 1);
}

TEST(InterpInteger, Bits) {
  EXPECT_EQ(un(clz, kI8, 1), 7u);
  EXPECT_EQ(un(clz, kI64, 0), 64u);
  EXPECT_EQ(un(ctz, kI16, 0), 16u);
  EXPECT_EQ(un(ctz, kI32, 8), 3u);
  EXPECT_EQ(un(popcnt, kI16, 0xf0f0), 8u);
  EXPECT_EQ(un(bswap, kI16, 0x1234), 0x3412u);
  EXPECT_EQ(un(bswap, kI64, 0x0102030405060708), 0x0807060504030201u);
  EXPECT_EQ(eval(zext, kI64, {{kI8, 0x80}}), 0x80u);
  EXPECT_EQ(eval(sext, kI32, {{kI8, 0x80}}), 0xffffff80u);
  EXPECT_EQ(eval(trunc, kI8, {{kI32, 0x1234}}), 0x34u);
  EXPECT_EQ(eval(extract, kI32, {{kI32, 0x12345678}}, 0, 8 | 8 << 8), 0x56u);
  EXPECT_EQ(eval(sextract, kI32, {{kI32, 0x0000f000}}, 0, 8 | 8 << 8), 0xfffffff0u);
  EXPECT_EQ(eval(deposit, kI32, {{kI32, 0x12345678}, {kI32, 0xabcd}}, 0, 8 | 8 << 8), 0x1234cd78u);
  EXPECT_EQ(eval(deposit, kI64, {{kI64, ~u64{0}}, {kI64, 0}}, 0, 0 | 64 << 8), 0u);
}

TEST(InterpInteger, Choices) {
  const auto cond = [](Cond c) { return static_cast<u8>(c); };
  EXPECT_EQ(eval(cmp, kI8, {{kI8, 0x80}, {kI8, 1}}, cond(Cond::L)), 1u);
  EXPECT_EQ(eval(cmp, kI8, {{kI8, 0x80}, {kI8, 1}}, cond(Cond::C)), 0u);
  EXPECT_EQ(eval(cmp, kI64, {{kI64, 5}, {kI64, 5}}, cond(Cond::BE)), 1u);
  EXPECT_EQ(eval(cmp, kI64, {{kI64, 5}, {kI64, 5}}, cond(Cond::G)), 0u);
  EXPECT_EQ(eval(select, kI32, {{kI8, 2}, {kI32, 10}, {kI32, 20}}), 10u);
  EXPECT_EQ(eval(selcc, kI32, {{kF, kFlagOne | kFlagS}, {kI32, 10}, {kI32, 20}}, cond(Cond::GE)), 20u);
  EXPECT_EQ(eval(setcc, kI8, {{kF, kFlagOne | kFlagC}}, cond(Cond::BE)), 1u);
  for (u32 f = 0; f < 64;
       f++) {  // every condition over every flags value, against its definition (SDM vol. 1, appendix B)
    const bool o = f & 1, c = f & 2, z = f & 4, s = f & 8, p = f & 16;
    const u16 flags = eflags_to_flags((o ? 1u << 11 : 0) | c | (z ? 64u : 0) | (s ? 128u : 0) | (p ? 4u : 0));
    const bool want[16] = {o, !o, c, !c, z,      !z,     c || z,      !(c || z),
                           s, !s, p, !p, s != o, s == o, z || s != o, !z && s == o};
    for (u8 k = 0; k < 16; k++) EXPECT_EQ(cond_holds(static_cast<Cond>(k), flags), want[k]) << int{k};
  }
}

TEST(InterpInteger, KnownFlags) {
  const auto f = [](u32 eflags) { return u64{eflags_to_flags(eflags)}; };
  constexpr u32 CF = 1, PF = 4, AF = 16, ZF = 64, SF = 128, OF = 2048;
  EXPECT_EQ(bin(flags_add, kI8, 0x7f, 1), f(OF | SF | AF));
  EXPECT_EQ(bin(flags_add, kI8, 0xff, 1), f(CF | ZF | PF | AF));
  EXPECT_EQ(bin(flags_sub, kI32, 0, 1), f(CF | SF | PF | AF));
  EXPECT_EQ(bin(flags_sub, kI16, 0x8000, 1), f(OF | PF | AF));
  EXPECT_EQ(un(flags_logic, kI64, 0), f(ZF | PF));
  EXPECT_EQ(eval(flags_adc, kI8, {{kI8, 0xff}, {kI8, 0xff}, {kF, kFlagOne | kFlagC}}), f(CF | SF | PF | AF));
  EXPECT_EQ(eval(flags_sbb, kI8, {{kI8, 0}, {kI8, 0xff}, {kF, kFlagOne | kFlagC}}), f(CF | ZF | PF | AF));
  EXPECT_EQ(eval(flags_inc, kI8, {{kI8, 0x7f}, {kF, kFlagOne | kFlagC}}), f(OF | SF | AF | CF));
  EXPECT_EQ(eval(flags_dec, kI32, {{kI32, 0}, {kF, kFlagOne}}), f(SF | PF | AF));
  EXPECT_EQ(eval(flags_dec, kI8, {{kI8, 0x80}, {kF, kFlagOne}}), f(OF | AF));
  EXPECT_EQ(eval(flags_shl, kI8, {{kI8, 0x81}, {kI8, 1}, {kF, kFlagOne}}), f(CF | OF));
  EXPECT_EQ(eval(flags_shl, kI8, {{kI8, 0x81}, {kI8, 32}, {kF, kFlagOne | kFlagZ}}), f(ZF));
  EXPECT_EQ(eval(flags_shl, kI8, {{kI8, 1}, {kI8, 8}, {kF, kFlagOne}}), f(CF | OF | ZF | PF));
  EXPECT_EQ(eval(flags_shl, kI8, {{kI8, 0xff}, {kI8, 9}, {kF, kFlagOne}}), f(ZF | PF));
  EXPECT_EQ(eval(flags_shr, kI16, {{kI16, 0x8001}, {kI8, 1}, {kF, kFlagOne}}), f(CF | OF | PF));
  EXPECT_EQ(eval(flags_shr, kI16, {{kI16, 0x8001}, {kI8, 16}, {kF, kFlagOne}}), f(CF | ZF | PF));
  EXPECT_EQ(eval(flags_sar, kI8, {{kI8, 0x80}, {kI8, 20}, {kF, kFlagOne}}), f(CF | SF | PF));
  EXPECT_EQ(eval(flags_merge, kI8, {{kF, f(CF | ZF)}, {kF, f(OF)}}, 0, kFlagO | kFlagC), f(ZF | OF));
  EXPECT_EQ(eval(flags_cf, kI8, {{kF, f(CF | ZF)}, {kI8, 2}}), f(ZF));
  EXPECT_EQ(eval(flags_pack, kI32, {{kI32, 0xffffffff}}), f(CF | PF | AF | ZF | SF | OF));
  EXPECT_EQ(eval(flags_bits, kI32, {{kF, f(SF | OF)}}), u64{SF | OF});
  EXPECT_EQ(eval(adc, kI32, {{kI32, 0xffffffff}, {kI32, 0}, {kF, kFlagOne | kFlagC}}), 0u);
  EXPECT_EQ(eval(sbb, kI32, {{kI32, 0}, {kI32, 0}, {kF, kFlagOne | kFlagC}}), 0xffffffffu);
}

// Add and subtract flags from arithmetic in wide integers.
TEST(InterpInteger, RandomFlags) {
  std::mt19937_64 rng(1);
  for (int n = 0; n < 400; n++) {
    const Type t = kInts[n & 3];
    const unsigned bits = type_bits(t);
    const auto operand = [&] {
      const u64 v = rng();
      return (v & 0x700 ? v : (v & 0x100 ? v | ~u64{0xf} : v & 0xf)) >> (v & 0x800 ? 0 : 1) & mask_bits(bits);
    };
    const u64 a = operand(), b = operand(), c = rng() & 1;
    const s128 sa = static_cast<s64>(sign_extend(a, bits)), sb = static_cast<s64>(sign_extend(b, bits));
    const s128 low = -(s128{1} << (bits - 1)), high = (s128{1} << (bits - 1)) - 1;
    for (const bool minus : {false, true}) {
      const u64 r = (minus ? a - b - c : a + b + c) & mask_bits(bits);
      const s128 wide = minus ? sa - sb - static_cast<s128>(c) : sa + sb + static_cast<s128>(c);
      u32 e = 0;
      if (minus ? u128{a} < u128{b} + c : u128{a} + b + c > mask_bits(bits)) e |= 1;
      if (!(std::popcount(static_cast<u8>(r)) & 1)) e |= 4;
      if (minus ? (a & 15) < (b & 15) + c : (a & 15) + (b & 15) + c > 15) e |= 16;
      if (r == 0) e |= 64;
      if (r >> (bits - 1)) e |= 128;
      if (wide < low || wide > high) e |= 2048;
      const Type flags = kF;
      EXPECT_EQ(eval(minus ? flags_sbb : flags_adc, t, {{t, a}, {t, b}, {flags, c << 8 | kFlagOne}}),
                eflags_to_flags(e))
          << a << " " << b << " " << c;
      if (c == 0) {
        EXPECT_EQ(bin(minus ? flags_sub : flags_add, t, a, b), eflags_to_flags(e));
      }
      EXPECT_EQ(eval(minus ? sbb : adc, t, {{t, a}, {t, b}, {flags, c << 8 | kFlagOne}}), r);
    }
  }
}

}  // namespace
}  // namespace doppel::ir::test
