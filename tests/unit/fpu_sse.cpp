// Soft float against the host's SSE (and FMA) instructions: results and MXCSR flags, bit for bit, in every rounding
// mode with DAZ and FTZ. Only on x86-64 hosts.
#if defined(__x86_64__)
#include <gtest/gtest.h>

#include "fpu_operands.h"

namespace doppel::fpu::test {
namespace {

struct Host {
  u64 value;
  u32 flags;
};

#define SSE_OP(fn, insn)                                                              \
  Host fn(u64 a, u64 b, u32 mxcsr) {                                                  \
    u32 save, out;                                                                    \
    asm volatile("stmxcsr %1\n ldmxcsr %5\n movq %3, %%xmm0\n movq %4, %%xmm1\n" insn \
                 " %%xmm1, %%xmm0\n"                                                  \
                 "stmxcsr %2\n ldmxcsr %1\n movq %%xmm0, %0"                          \
                 : "=r"(a), "=m"(save), "=m"(out)                                     \
                 : "r"(a), "r"(b), "m"(mxcsr)                                         \
                 : "xmm0", "xmm1", "memory");                                         \
    return {a, out & 63};                                                             \
  }
#define SSE_TO_INT(fn, insn)                                                                     \
  Host fn(u64 a, u64, u32 mxcsr) {                                                               \
    u32 save, out;                                                                               \
    u64 r = 0;                                                                                   \
    asm volatile("stmxcsr %1\n ldmxcsr %4\n movq %3, %%xmm0\n" insn "\n stmxcsr %2\n ldmxcsr %1" \
                 : "=&r"(r), "=m"(save), "=m"(out)                                               \
                 : "r"(a), "m"(mxcsr)                                                            \
                 : "xmm0", "memory");                                                            \
    return {r, out & 63};                                                                        \
  }
#define SSE_FROM_INT(fn, insn)                                           \
  Host fn(u64 a, u64, u32 mxcsr) {                                       \
    u32 save, out;                                                       \
    asm volatile("stmxcsr %1\n ldmxcsr %4\n xorps %%xmm0, %%xmm0\n" insn \
                 "\n stmxcsr %2\n ldmxcsr %1\n movq %%xmm0, %0"          \
                 : "=r"(a), "=m"(save), "=m"(out)                        \
                 : "0"(a), "m"(mxcsr)                                    \
                 : "xmm0", "memory");                                    \
    return {a, out & 63};                                                \
  }
#define SSE_COMPARE(fn, insn)                                                         \
  Host fn(u64 a, u64 b, u32 mxcsr) {                                                  \
    u32 save, out;                                                                    \
    u64 f;                                                                            \
    asm volatile("stmxcsr %1\n ldmxcsr %5\n movq %3, %%xmm0\n movq %4, %%xmm1\n" insn \
                 " %%xmm1, %%xmm0\n"                                                  \
                 "pushfq\n popq %0\n stmxcsr %2\n ldmxcsr %1"                         \
                 : "=&r"(f), "=m"(save), "=m"(out)                                    \
                 : "r"(a), "r"(b), "m"(mxcsr)                                         \
                 : "xmm0", "xmm1", "memory", "cc");                                   \
    return {f & 0x45, out & 63};                                                      \
  }
SSE_OP(h_addss, "addss")
SSE_OP(h_addsd, "addsd")
SSE_OP(h_subss, "subss") SSE_OP(h_subsd, "subsd") SSE_OP(h_mulss, "mulss") SSE_OP(h_mulsd, "mulsd")
    SSE_OP(h_divss, "divss") SSE_OP(h_divsd, "divsd") SSE_OP(h_minss, "minss") SSE_OP(h_minsd, "minsd")
        SSE_OP(h_maxss, "maxss") SSE_OP(h_maxsd, "maxsd") SSE_OP(h_sqrtss, "sqrtss") SSE_OP(h_sqrtsd, "sqrtsd")
            SSE_OP(h_cvtss2sd, "cvtss2sd") SSE_OP(h_cvtsd2ss, "cvtsd2ss") SSE_OP(h_roundss4, "roundss $4,")
                SSE_OP(h_roundsd4, "roundsd $4,") SSE_OP(h_roundss12, "roundss $12,")
                    SSE_OP(h_roundsd12, "roundsd $12,") SSE_COMPARE(h_comiss, "comiss") SSE_COMPARE(h_comisd, "comisd")
                        SSE_COMPARE(h_ucomiss, "ucomiss") SSE_COMPARE(h_ucomisd, "ucomisd")
                            SSE_TO_INT(h_cvtss2si, "cvtss2si %%xmm0, %k0")
                                SSE_TO_INT(h_cvtsd2si, "cvtsd2si %%xmm0, %k0")
                                    SSE_TO_INT(h_cvtss2siq, "cvtss2si %%xmm0, %q0")
                                        SSE_TO_INT(h_cvtsd2siq, "cvtsd2si %%xmm0, %q0")
                                            SSE_TO_INT(h_cvttsd2si, "cvttsd2si %%xmm0, %k0")
                                                SSE_TO_INT(h_cvttss2siq, "cvttss2si %%xmm0, %q0")
                                                    SSE_FROM_INT(h_cvtsi2ss, "cvtsi2ss %k0, %%xmm0")
                                                        SSE_FROM_INT(h_cvtsi2sd, "cvtsi2sd %k0, %%xmm0")
                                                            SSE_FROM_INT(h_cvtsi2ssq, "cvtsi2ss %q0, %%xmm0")
                                                                SSE_FROM_INT(h_cvtsi2sdq, "cvtsi2sd %q0, %%xmm0")

                                                                    template <typename F>
                                                                    u64 low(u64 v) {
  return v & mask_bits(sizeof(F) * 8);
}

template <typename F, typename Soft>
void check_binary(const char* name, Host (*host)(u64, u64, u32), Soft soft, u64 result_mask, unsigned count = 20000) {
  Operands<F> operands(0x5eed);
  int shown = 0;
  for (unsigned i = 0; i < count && shown < 6; ++i) {
    const F a = operands.next(), b = operands.next();
    const u32 mxcsr = 0x1f80 | (operands.random() & 3) << 13 | ((i & 4) ? 0x40 : 0) | ((i & 8) ? 0x8000 : 0);
    const Host want = host(a, b, mxcsr);
    Env env = Env::from_mxcsr(mxcsr);
    const u64 got = soft(a, b, env);
    const u32 flags = env.flags & 63;
    if ((want.value & result_mask) != got || want.flags != flags) {
      ++shown;
      ADD_FAILURE() << name << std::hex << " a=" << a << " b=" << b << " mxcsr=" << mxcsr << ": host "
                    << (want.value & result_mask) << " flags " << want.flags << ", soft " << got << " flags " << flags;
    }
  }
}
template <typename F>
void check_arithmetic(const char* name, Host (*host)(u64, u64, u32), F (*soft)(F, F, Env&)) {
  check_binary<F>(
      name, host, [soft](F a, F b, Env& e) -> u64 { return soft(a, b, e); }, mask_bits(sizeof(F) * 8));
}
u64 eflags_of(Relation r) {
  switch (r) {
    case Relation::Less: return 1;
    case Relation::Equal: return 0x40;
    case Relation::Greater: return 0;
    case Relation::Unordered: return 0x45;
  }
  return 0;
}

TEST(FpuSse, Add) {
  check_arithmetic<f32>("addss", h_addss, add<f32>);
  check_arithmetic<f64>("addsd", h_addsd, add<f64>);
}
TEST(FpuSse, Sub) {
  check_arithmetic<f32>("subss", h_subss, sub<f32>);
  check_arithmetic<f64>("subsd", h_subsd, sub<f64>);
}
TEST(FpuSse, Mul) {
  check_arithmetic<f32>("mulss", h_mulss, mul<f32>);
  check_arithmetic<f64>("mulsd", h_mulsd, mul<f64>);
}
TEST(FpuSse, Div) {
  check_arithmetic<f32>("divss", h_divss, div<f32>);
  check_arithmetic<f64>("divsd", h_divsd, div<f64>);
}
TEST(FpuSse, Min) {
  check_arithmetic<f32>("minss", h_minss, min_sse<f32>);
  check_arithmetic<f64>("minsd", h_minsd, min_sse<f64>);
}
TEST(FpuSse, Max) {
  check_arithmetic<f32>("maxss", h_maxss, max_sse<f32>);
  check_arithmetic<f64>("maxsd", h_maxsd, max_sse<f64>);
}

TEST(FpuSse, Sqrt) {
  check_binary<f32>(
      "sqrtss", h_sqrtss, [](f32, f32 b, Env& e) -> u64 { return sqrt<f32>(b, e); }, mask_bits(32));
  check_binary<f64>(
      "sqrtsd", h_sqrtsd, [](f64, f64 b, Env& e) -> u64 { return sqrt<f64>(b, e); }, ~u64{0});
}
TEST(FpuSse, Convert) {
  check_binary<f32>(
      "cvtss2sd", h_cvtss2sd, [](f32, f32 b, Env& e) -> u64 { return convert<f64>(b, e); }, ~u64{0});
  check_binary<f64>(
      "cvtsd2ss", h_cvtsd2ss, [](f64, f64 b, Env& e) -> u64 { return convert<f32>(b, e); }, mask_bits(32));
}
TEST(FpuSse, Round) {
  check_binary<f32>(
      "roundss", h_roundss4, [](f32, f32 b, Env& e) -> u64 { return round_to_integral(b, e.rounding, true, e); },
      mask_bits(32));
  check_binary<f64>(
      "roundsd", h_roundsd4, [](f64, f64 b, Env& e) -> u64 { return round_to_integral(b, e.rounding, true, e); },
      ~u64{0});
  check_binary<f32>(
      "roundss q", h_roundss12, [](f32, f32 b, Env& e) -> u64 { return round_to_integral(b, e.rounding, false, e); },
      mask_bits(32));
  check_binary<f64>(
      "roundsd q", h_roundsd12, [](f64, f64 b, Env& e) -> u64 { return round_to_integral(b, e.rounding, false, e); },
      ~u64{0});
}
TEST(FpuSse, Compare) {
  check_binary<f32>(
      "comiss", h_comiss, [](f32 a, f32 b, Env& e) { return eflags_of(compare(a, b, true, e)); }, ~u64{0});
  check_binary<f64>(
      "comisd", h_comisd, [](f64 a, f64 b, Env& e) { return eflags_of(compare(a, b, true, e)); }, ~u64{0});
  check_binary<f32>(
      "ucomiss", h_ucomiss, [](f32 a, f32 b, Env& e) { return eflags_of(compare(a, b, false, e)); }, ~u64{0});
  check_binary<f64>(
      "ucomisd", h_ucomisd, [](f64 a, f64 b, Env& e) { return eflags_of(compare(a, b, false, e)); }, ~u64{0});
}
TEST(FpuSse, ToInteger) {
  check_binary<f32>(
      "cvtss2si", h_cvtss2si, [](f32 a, f32, Env& e) -> u64 { return static_cast<u32>(to_s32(a, e.rounding, e)); },
      mask_bits(32));
  check_binary<f64>(
      "cvtsd2si", h_cvtsd2si, [](f64 a, f64, Env& e) -> u64 { return static_cast<u32>(to_s32(a, e.rounding, e)); },
      mask_bits(32));
  check_binary<f32>(
      "cvtss2si q", h_cvtss2siq, [](f32 a, f32, Env& e) { return static_cast<u64>(to_s64(a, e.rounding, e)); },
      ~u64{0});
  check_binary<f64>(
      "cvtsd2si q", h_cvtsd2siq, [](f64 a, f64, Env& e) { return static_cast<u64>(to_s64(a, e.rounding, e)); },
      ~u64{0});
  check_binary<f64>(
      "cvttsd2si", h_cvttsd2si,
      [](f64 a, f64, Env& e) -> u64 { return static_cast<u32>(to_s32(a, Rounding::Zero, e)); }, mask_bits(32));
  check_binary<f32>(
      "cvttss2si q", h_cvttss2siq, [](f32 a, f32, Env& e) { return static_cast<u64>(to_s64(a, Rounding::Zero, e)); },
      ~u64{0});
}
TEST(FpuSse, FromInteger) {
  auto s32_of = [](u64 a) { return static_cast<s32>(static_cast<u32>(a)); };
  auto s64_of = [](u64 a) { return static_cast<s64>(a); };
  check_binary<f64>(
      "cvtsi2ss", h_cvtsi2ss, [=](u64 a, u64, Env& e) -> u64 { return from_s32<f32>(s32_of(a), e); }, mask_bits(32));
  check_binary<f64>(
      "cvtsi2sd", h_cvtsi2sd, [=](u64 a, u64, Env& e) -> u64 { return from_s32<f64>(s32_of(a), e); }, ~u64{0});
  check_binary<f64>(
      "cvtsi2ss q", h_cvtsi2ssq, [=](u64 a, u64, Env& e) -> u64 { return from_s64<f32>(s64_of(a), e); }, mask_bits(32));
  check_binary<f64>(
      "cvtsi2sd q", h_cvtsi2sdq, [=](u64 a, u64, Env& e) -> u64 { return from_s64<f64>(s64_of(a), e); }, ~u64{0});
}

#define FMA_OP(fn, insn)                                                                                   \
  Host fn(u64 a, u64 b, u64 c, u32 mxcsr) {                                                                \
    u32 save, out;                                                                                         \
    asm volatile("stmxcsr %1\n ldmxcsr %6\n vmovq %3, %%xmm0\n vmovq %4, %%xmm1\n vmovq %5, %%xmm2\n" insn \
                 " %%xmm2, %%xmm1, %%xmm0\n stmxcsr %2\n ldmxcsr %1\n vmovq %%xmm0, %0"                    \
                 : "=r"(a), "=m"(save), "=m"(out)                                                          \
                 : "r"(a), "r"(b), "r"(c), "m"(mxcsr)                                                      \
                 : "xmm0", "xmm1", "xmm2", "memory");                                                      \
    return {a, out & 63};                                                                                  \
  }
FMA_OP(h_fmass, "vfmadd213ss")
FMA_OP(h_fmasd, "vfmadd213sd")

template <typename F>
void check_fma(Host (*host)(u64, u64, u64, u32)) {
  Operands<F> operands(77);
  int shown = 0;
  for (unsigned i = 0; i < 60000 && shown < 6; ++i) {
    const F a = operands.next(), b = operands.next();
    F c = operands.next();
    if (i % 3 == 0) {  // cancellation: c close to -(a * b)
      Env exact;
      c = mul(a, b, exact) ^ (F{1} << (sizeof(F) * 8 - 1)) ^ static_cast<F>(operands.random() & 3);
    }
    const u32 mxcsr = 0x1f80 | (operands.random() & 3) << 13 | ((i & 4) ? 0x40 : 0) | ((i & 8) ? 0x8000 : 0);
    // VFMADD213: the first operand is the second multiplicand of the manual's formula.
    const Host want = host(b, a, c, mxcsr);
    Env env = Env::from_mxcsr(mxcsr);
    const u64 got = mul_add(a, b, c, env);
    if (low<F>(want.value) != got || want.flags != (env.flags & 63)) {
      ++shown;
      ADD_FAILURE() << std::hex << "fma a=" << a << " b=" << b << " c=" << c << " mxcsr=" << mxcsr << ": host "
                    << low<F>(want.value) << " flags " << want.flags << ", soft " << got << " flags "
                    << (env.flags & 63);
    }
  }
}
TEST(FpuSse, FusedMultiplyAdd) {
  if (!__builtin_cpu_supports("fma")) GTEST_SKIP() << "host without FMA";
  check_fma<f32>(h_fmass);
  check_fma<f64>(h_fmasd);
}

}  // namespace
}  // namespace doppel::fpu::test
#endif
