// Soft float f80 against the host's x87: results, exception flags and C1 (rounded up), with precision control, all
// rounding modes, unmasked overflow and underflow, and unsupported operands. Only on x86-64 hosts.
#if defined(__x86_64__)
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "fpu_operands.h"

namespace doppel::fpu::test {
namespace {

struct Image {
  u64 significand;
  u16 sign_exponent;
  u8 pad[6];
};
Image image(f80 v) { return {v.significand, v.sign_exponent, {}}; }
f80 value(const Image& i) { return {i.significand, i.sign_exponent}; }
constexpr u32 kStatus = 0x3f | kRoundedUp;

// fnclex before the result is stored: an unmasked exception must not trap, its result is still in the register.
#define X87_BINARY(fn, insn)                                                                                \
  f80 fn(f80 a, f80 b, u16 cw, u32& status) {                                                               \
    Image ia = image(a), ib = image(b), r;                                                                  \
    u16 sw;                                                                                                 \
    asm volatile("fninit\n fldcw %4\n fldt %3\n fldt %2\n" insn "\n fnstsw %1\n fnclex\n fstpt %0\n fninit" \
                 : "=m"(r), "=m"(sw)                                                                        \
                 : "m"(ia), "m"(ib), "m"(cw)                                                                \
                 : "memory", "st");                                                                         \
    status = sw & kStatus;                                                                                  \
    return value(r);                                                                                        \
  }
X87_BINARY(x_fadd, "fadd %%st(1), %%st")
X87_BINARY(x_fsub, "fsub %%st(1), %%st")
X87_BINARY(x_fmul, "fmul %%st(1), %%st")
X87_BINARY(x_fdiv, "fdiv %%st(1), %%st")
X87_BINARY(x_fsqrt, "fsqrt")
X87_BINARY(x_frndint, "frndint")

u32 x_compare(f80 a, f80 b, bool signal, u32& status) {
  Image ia = image(a), ib = image(b);
  u16 sw;
  if (signal)
    asm volatile("fninit\n fldt %2\n fldt %1\n fcom %%st(1)\n fnstsw %0\n fninit"
                 : "=m"(sw)
                 : "m"(ia), "m"(ib)
                 : "memory");
  else
    asm volatile("fninit\n fldt %2\n fldt %1\n fucom %%st(1)\n fnstsw %0\n fninit"
                 : "=m"(sw)
                 : "m"(ia), "m"(ib)
                 : "memory");
  status = sw & 0x3f;
  return sw & 0x4500;
}

Env env_of(u16 cw) {
  Env e;
  e.nan = NanRule::X87;
  e.rounding = static_cast<Rounding>((cw >> 10) & 3);
  const unsigned pc = (cw >> 8) & 3;
  e.f80_precision = pc == 0 ? 24 : pc == 2 ? 53 : 64;
  e.unmasked = ~cw & 0x3f;
  return e;
}
u16 control(Operands<f80>& operands, unsigned i) {
  static constexpr u16 kPrecision[4] = {0x300, 0x200, 0x000, 0x300};
  u16 cw = static_cast<u16>(0x3f | kPrecision[operands.random() & 3] | (operands.random() & 3) << 10);
  if (i % 4 == 3) cw &= static_cast<u16>(~(kOverflow | kUnderflow));
  return cw;
}

std::string text(f80 v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%04x:%016llx", v.sign_exponent, static_cast<unsigned long long>(v.significand));
  return buffer;
}

template <typename Soft>
void check(const char* name, f80 (*host)(f80, f80, u16, u32&), Soft soft) {
  Operands<f80> operands(4711);
  int shown = 0;
  for (unsigned i = 0; i < 40000 && shown < 6; ++i) {
    const f80 a = operands.next(), b = operands.next();
    const u16 cw = control(operands, i);
    u32 status;
    const f80 want = host(a, b, cw, status);
    Env env = env_of(cw);
    const f80 got = soft(a, b, env);
    if (want == got && status == (env.flags & kStatus)) continue;
    ++shown;
    ADD_FAILURE() << name << " a=" << text(a) << " b=" << text(b) << std::hex << " cw=" << cw << ": host " << text(want)
                  << " status " << status << ", soft " << text(got) << " status " << (env.flags & kStatus);
  }
}

TEST(FpuX87, Add) { check("fadd", x_fadd, add<f80>); }
TEST(FpuX87, Sub) { check("fsub", x_fsub, sub<f80>); }
TEST(FpuX87, Mul) { check("fmul", x_fmul, mul<f80>); }
TEST(FpuX87, Div) { check("fdiv", x_fdiv, div<f80>); }
TEST(FpuX87, Sqrt) {
  check("fsqrt", x_fsqrt, [](f80 a, f80, Env& e) { return sqrt<f80>(a, e); });
}
TEST(FpuX87, Round) {
  check("frndint", x_frndint, [](f80 a, f80, Env& e) { return round_to_integral(a, e.rounding, true, e); });
}

TEST(FpuX87, Compare) {
  Operands<f80> operands(99);
  for (unsigned i = 0; i < 40000; ++i) {
    const f80 a = operands.next();
    const f80 b = i % 8 == 0 ? a : operands.next();
    const bool signal = i & 1;
    u32 status;
    const u32 want = x_compare(a, b, signal, status);
    Env env = env_of(0x37f);
    const Relation r = compare(a, b, signal, env);
    const u32 got = r == Relation::Less ? 0x100 : r == Relation::Equal ? 0x4000 : r == Relation::Unordered ? 0x4500 : 0;
    ASSERT_TRUE(want == got && status == (env.flags & 0x3f))
        << "a=" << text(a) << " b=" << text(b) << std::hex << " signal=" << signal << " host " << want << " status "
        << status << ", soft " << got << " status " << env.flags;
  }
}

// Stores to narrower formats. Unmasked overflow and underflow store nothing: only flags are compared then.
template <typename To>
void check_store() {
  Operands<f80> operands(123);
  int shown = 0;
  for (unsigned i = 0; i < 40000 && shown < 6; ++i) {
    f80 a = operands.next();
    constexpr s32 range = sizeof(To) == 4 ? 160 : 1100;
    if (i & 1) {  // exponents around the narrow format's range
      a.sign_exponent = static_cast<u16>((a.sign_exponent & 0x8000) |
                                         (16383 - range + static_cast<s32>(operands.random() % (2 * range))));
      a.significand |= u64{1} << 63;
    }
    const u16 cw = control(operands, i);
    Image ia = image(a);
    To want = 0;
    u16 sw;
    if constexpr (sizeof(To) == 4)
      asm volatile("fninit\n fldcw %3\n fldt %2\n fsts %0\n fnstsw %1\n fninit"
                   : "+m"(want), "=m"(sw)
                   : "m"(ia), "m"(cw)
                   : "memory");
    else
      asm volatile("fninit\n fldcw %3\n fldt %2\n fstl %0\n fnstsw %1\n fninit"
                   : "+m"(want), "=m"(sw)
                   : "m"(ia), "m"(cw)
                   : "memory");
    Env env = env_of(cw);
    const To got = convert<To>(a, env);
    const bool stored = (sw & env.unmasked & (kOverflow | kUnderflow)) == 0;
    const u32 mask = stored ? kStatus : 0x1f;
    if ((!stored || want == got) && (sw & mask) == (env.flags & mask)) continue;
    ++shown;
    ADD_FAILURE() << "fst " << sizeof(To) << " a=" << text(a) << std::hex << " cw=" << cw << ": host " << want
                  << " status " << (sw & kStatus) << ", soft " << got << " status " << env.flags;
  }
}
TEST(FpuX87, Store) {
  check_store<f32>();
  check_store<f64>();
}

template <typename From>
void check_load() {
  Operands<From> operands(5);
  for (unsigned i = 0; i < 20000; ++i) {
    const From a = operands.next();
    Image r;
    u16 sw;
    if constexpr (sizeof(From) == 4)
      asm volatile("fninit\n flds %2\n fnstsw %1\n fstpt %0\n fninit" : "=m"(r), "=m"(sw) : "m"(a) : "memory");
    else
      asm volatile("fninit\n fldl %2\n fnstsw %1\n fstpt %0\n fninit" : "=m"(r), "=m"(sw) : "m"(a) : "memory");
    Env env = env_of(0x37f);
    const f80 got = convert<f80>(a, env);
    ASSERT_TRUE(got == value(r) && (sw & kStatus) == env.flags)
        << std::hex << "fld a=" << a << ": host " << text(value(r)) << " status " << (sw & kStatus) << ", soft "
        << text(got) << " status " << env.flags;
  }
}
TEST(FpuX87, Load) {
  check_load<f32>();
  check_load<f64>();
}

TEST(FpuX87, Integers) {
  Operands<f80> operands(31);
  for (unsigned i = 0; i < 30000; ++i) {
    const f80 a = operands.next();
    const u16 cw = control(operands, 0);
    Image ia = image(a);
    s64 want64 = 0;
    s32 want32 = 0;
    u16 sw64, sw32;
    asm volatile("fninit\n fldcw %3\n fldt %2\n fistpll %0\n fnstsw %1\n fninit"
                 : "=m"(want64), "=m"(sw64)
                 : "m"(ia), "m"(cw)
                 : "memory");
    asm volatile("fninit\n fldcw %3\n fldt %2\n fistpl %0\n fnstsw %1\n fninit"
                 : "=m"(want32), "=m"(sw32)
                 : "m"(ia), "m"(cw)
                 : "memory");
    Env e64 = env_of(cw), e32 = env_of(cw), ef = env_of(cw);
    const s64 got64 = to_s64(a, e64.rounding, e64);
    const s32 got32 = to_s32(a, e32.rounding, e32);
    ASSERT_TRUE(want64 == got64 && (sw64 & kStatus) == e64.flags)
        << text(a) << std::hex << " host " << want64 << " status " << (sw64 & kStatus) << ", soft " << got64
        << " status " << e64.flags;
    ASSERT_TRUE(want32 == got32 && (sw32 & kStatus) == e32.flags)
        << text(a) << std::hex << " host " << want32 << " status " << (sw32 & kStatus) << ", soft " << got32
        << " status " << e32.flags;
    const s64 n = static_cast<s64>(operands.random()) >> (operands.random() & 63);
    Image in;
    asm volatile("fninit\n fldcw %2\n fildll %1\n fstpt %0\n fninit" : "=m"(in) : "m"(n), "m"(cw) : "memory");
    ASSERT_EQ(value(in), from_s64<f80>(n, ef)) << n;
  }
}

}  // namespace
}  // namespace doppel::fpu::test
#endif
