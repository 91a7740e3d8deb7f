// Float ops: known values, and on an x86 host results and sticky flags of every op against the host's instruction,
// under every rounding mode, with and without DAZ and FTZ.
#include <random>

#include "ir/vector_fixture.h"

#if defined(__x86_64__)
#pragma GCC target("sse4.1")
#include <immintrin.h>
#endif

namespace doppel::ir::test {
namespace {

using enum Opcode;
using enum Lane;

TEST(InterpFloat, KnownValues) {
  const Vec a = vec<float>({1.0f, 2.0f, 3.0f, 4.0f}), b = vec<float>({0.5f, 0.25f, 2.0f, 8.0f});
  EXPECT_EQ(run_vector_op(vfadd, Type::V128, PS, 0, a, b).v, vec<float>({1.5f, 2.25f, 5.0f, 12.0f}));
  EXPECT_EQ(run_vector_op(vfmul, Type::V128, SS, 0, a, b).v, vec<float>({0.5f, 2.0f, 3.0f, 4.0f}));
  EXPECT_EQ(run_vector_op(vfsub, Type::V128, PD, 0, vec<double>({1, 2}), vec<double>({3, 5})).v, vec<double>({-2, -3}));
  EXPECT_EQ(run_vector_op(vfcomi, Type::V128, SD, 0, vec<double>({1}), vec<double>({2})).n, u64{kFlagOne | kFlagC});
  EXPECT_EQ(run_vector_op(vf_toint, Type::I64, SD, 1, vec<double>({-2.75})).n, ~u64{1});
  EXPECT_EQ(run_vector_op(vf_fromint, Type::I32, SS, 0, a, {}, {}, 0xffffffff).v,
            vec<float>({-1.0f, 2.0f, 3.0f, 4.0f}));
  EXPECT_EQ(run_vector_op(vfround, Type::V128, SD, 2, vec<double>({7, 9}), vec<double>({1.25})).v, vec<double>({2, 9}));
  EXPECT_EQ(run_vector_op(vfdiv, Type::V128, SS, 0, vec<float>({1}), vec<float>({0})).fp_env, 0x1f80u | 4);
  EXPECT_EQ(run_vector_op(vfadd, Type::V128, SS, 0, vec<float>({1}), vec<float>({1e-20f})).fp_env, 0x1f80u | 32);
}

#if defined(__x86_64__)

struct Outcome {
  Vec v;
  u64 n = 0;
};
using Host = Outcome (*)(const Vec&, const Vec&, u64);
struct Row {
  Opcode code;
  Lane lane;
  u64 imm;
  Type type;
  Host host;
};
__m128 s(const Vec& v) { return _mm_load_ps(reinterpret_cast<const float*>(v.b)); }
__m128d d(const Vec& v) { return _mm_load_pd(reinterpret_cast<const double*>(v.b)); }
__m128i w(const Vec& v) { return _mm_load_si128(reinterpret_cast<const __m128i*>(v.b)); }
Outcome out(__m128 v) {
  Outcome o;
  _mm_store_ps(reinterpret_cast<float*>(o.v.b), v);
  return o;
}
Outcome out(__m128d v) {
  Outcome o;
  _mm_store_pd(reinterpret_cast<double*>(o.v.b), v);
  return o;
}
Outcome out(__m128i v) {
  Outcome o;
  _mm_store_si128(reinterpret_cast<__m128i*>(o.v.b), v);
  return o;
}
Outcome out(u64 n) { return {{}, n}; }
template <bool kDouble, bool kQuiet>
u64 host_comi(const Vec& a, const Vec& b) {
  u16 flags = 0;
  const __m128 x = s(a), y = s(b);
  if constexpr (kDouble && kQuiet)
    asm volatile("ucomisd %2, %1; lahf; seto %%al; movw %%ax, %0" : "=m"(flags) : "x"(x), "x"(y) : "ax", "cc");
  else if constexpr (kDouble)
    asm volatile("comisd %2, %1; lahf; seto %%al; movw %%ax, %0" : "=m"(flags) : "x"(x), "x"(y) : "ax", "cc");
  else if constexpr (kQuiet)
    asm volatile("ucomiss %2, %1; lahf; seto %%al; movw %%ax, %0" : "=m"(flags) : "x"(x), "x"(y) : "ax", "cc");
  else
    asm volatile("comiss %2, %1; lahf; seto %%al; movw %%ax, %0" : "=m"(flags) : "x"(x), "x"(y) : "ax", "cc");
  return flags;
}

// Compilers swap the operands of these two, which changes the NaN that comes out.
#define EXACT(name, suffix, type, get)                        \
  type exact_##name##_##suffix(const Vec& a, const Vec& b) {  \
    type x = get(a);                                          \
    const type y = get(b);                                    \
    asm volatile(#name #suffix " %1, %0" : "+x"(x) : "x"(y)); \
    return x;                                                 \
  }
EXACT(add, ps, __m128, s)
EXACT(add, ss, __m128, s)
EXACT(add, pd, __m128d, d) EXACT(add, sd, __m128d, d) EXACT(mul, ps, __m128, s) EXACT(mul, ss, __m128, s)
    EXACT(mul, pd, __m128d, d) EXACT(mul, sd, __m128d, d) EXACT(hadd, ps, __m128, s) EXACT(hadd, pd, __m128d, d)

#define F(code, lane, imm, expression)                                                             \
  {                                                                                                \
    code, lane, imm, Type::V128,                                                                   \
        []([[maybe_unused]] const Vec& a, [[maybe_unused]] const Vec& b, [[maybe_unused]] u64 n) { \
          return out(expression);                                                                  \
        }                                                                                          \
  }
#define N(code, lane, imm, type, expression)                                                       \
  {                                                                                                \
    code, lane, imm, Type::type,                                                                   \
        []([[maybe_unused]] const Vec& a, [[maybe_unused]] const Vec& b, [[maybe_unused]] u64 n) { \
          return out(expression);                                                                  \
        }                                                                                          \
  }
#define ALL(code, name)                                                                     \
  F(code, PS, 0, _mm_##name##_ps(s(a), s(b))), F(code, SS, 0, _mm_##name##_ss(s(a), s(b))), \
      F(code, PD, 0, _mm_##name##_pd(d(a), d(b))), F(code, SD, 0, _mm_##name##_sd(d(a), d(b)))
#define ALL_EXACT(code, name)                                                       \
  F(code, PS, 0, exact_##name##_ps(a, b)), F(code, SS, 0, exact_##name##_ss(a, b)), \
      F(code, PD, 0, exact_##name##_pd(a, b)), F(code, SD, 0, exact_##name##_sd(a, b))
#define CMP(imm, name)                                                                                  \
  F(vfcmp, PS, imm, _mm_cmp##name##_ps(s(a), s(b))), F(vfcmp, SS, imm, _mm_cmp##name##_ss(s(a), s(b))), \
      F(vfcmp, PD, imm, _mm_cmp##name##_pd(d(a), d(b))), F(vfcmp, SD, imm, _mm_cmp##name##_sd(d(a), d(b)))
#define ROUND(imm)                                                                                  \
  F(vfround, PS, imm, _mm_round_ps(s(b), imm)), F(vfround, SS, imm, _mm_round_ss(s(a), s(b), imm)), \
      F(vfround, PD, imm, _mm_round_pd(d(b), imm)), F(vfround, SD, imm, _mm_round_sd(d(a), d(b), imm))
        const Row kRows[] = {
            ALL_EXACT(vfadd, add),
            ALL(vfsub, sub),
            ALL_EXACT(vfmul, mul),
            ALL(vfdiv, div),
            ALL(vfmin, min),
            ALL(vfmax, max),
            F(vfsqrt, PS, 0, _mm_sqrt_ps(s(b))),
            F(vfsqrt, SS, 0, _mm_move_ss(s(a), _mm_sqrt_ss(s(b)))),
            F(vfsqrt, PD, 0, _mm_sqrt_pd(d(b))),
            F(vfsqrt, SD, 0, _mm_sqrt_sd(d(a), d(b))),
            CMP(0, eq),
            CMP(1, lt),
            CMP(2, le),
            CMP(3, unord),
            CMP(4, neq),
            CMP(5, nlt),
            CMP(6, nle),
            CMP(7, ord),
            ROUND(0),
            ROUND(1),
            ROUND(2),
            ROUND(3),
            ROUND(4),
            ROUND(9),
            ROUND(12),
            F(vhadd, PS, 0, exact_hadd_ps(a, b)),
            F(vhadd, PD, 0, exact_hadd_pd(a, b)),
            F(vhsub, PS, 0, _mm_hsub_ps(s(a), s(b))),
            F(vhsub, PD, 0, _mm_hsub_pd(d(a), d(b))),
            F(vaddsub, PS, 0, _mm_addsub_ps(s(a), s(b))),
            F(vaddsub, PD, 0, _mm_addsub_pd(d(a), d(b))),
            F(vf_s2d, SS, 0, _mm_cvtss_sd(d(a), s(b))),
            F(vf_s2d, PS, 0, _mm_cvtps_pd(s(b))),
            F(vf_d2s, SD, 0, _mm_cvtsd_ss(s(a), d(b))),
            F(vf_d2s, PD, 0, _mm_cvtpd_ps(d(b))),
            F(vf_i2f, PS, 0, _mm_cvtepi32_ps(w(b))),
            F(vf_i2f, PD, 0, _mm_cvtepi32_pd(w(b))),
            F(vf_f2i, PS, 0, _mm_cvtps_epi32(s(b))),
            F(vf_f2i, PS, 1, _mm_cvttps_epi32(s(b))),
            F(vf_f2i, PD, 0, _mm_cvtpd_epi32(d(b))),
            F(vf_f2i, PD, 1, _mm_cvttpd_epi32(d(b))),
            F(vf_rcp, PS, 0, _mm_rcp_ps(s(b))),
            F(vf_rsqrt, PS, 0, _mm_rsqrt_ps(s(b))),
            F(vf_rcp, SS, 0, _mm_move_ss(s(a), _mm_rcp_ss(s(b)))),
            F(vf_rsqrt, SS, 0, _mm_move_ss(s(a), _mm_rsqrt_ss(s(b)))),
            {vf_fromint, SS, 0, Type::I32,
             [](const Vec& a, const Vec&, u64 n) { return out(_mm_cvtsi32_ss(s(a), static_cast<int>(n))); }},
            {vf_fromint, SS, 0, Type::I64,
             [](const Vec& a, const Vec&, u64 n) { return out(_mm_cvtsi64_ss(s(a), static_cast<long long>(n))); }},
            {vf_fromint, SD, 0, Type::I32,
             [](const Vec& a, const Vec&, u64 n) { return out(_mm_cvtsi32_sd(d(a), static_cast<int>(n))); }},
            {vf_fromint, SD, 0, Type::I64,
             [](const Vec& a, const Vec&, u64 n) { return out(_mm_cvtsi64_sd(d(a), static_cast<long long>(n))); }},
            N(vf_toint, SS, 0, I32, u64{static_cast<u32>(_mm_cvtss_si32(s(a)))}),
            N(vf_toint, SS, 1, I32, u64{static_cast<u32>(_mm_cvttss_si32(s(a)))}),
            N(vf_toint, SS, 0, I64, static_cast<u64>(_mm_cvtss_si64(s(a)))),
            N(vf_toint, SS, 1, I64, static_cast<u64>(_mm_cvttss_si64(s(a)))),
            N(vf_toint, SD, 0, I32, u64{static_cast<u32>(_mm_cvtsd_si32(d(a)))}),
            N(vf_toint, SD, 1, I32, u64{static_cast<u32>(_mm_cvttsd_si32(d(a)))}),
            N(vf_toint, SD, 0, I64, static_cast<u64>(_mm_cvtsd_si64(d(a)))),
            N(vf_toint, SD, 1, I64, static_cast<u64>(_mm_cvttsd_si64(d(a)))),
            F(vfcomi, SS, 0, (host_comi<false, false>(a, b))),
            F(vfcomi, SS, 1, (host_comi<false, true>(a, b))),
            F(vfcomi, SD, 0, (host_comi<true, false>(a, b))),
            F(vfcomi, SD, 1, (host_comi<true, true>(a, b))),
};

u32 float_operand(std::mt19937_64& rng) {
  static constexpr u32 kEdges[] = {0,          0x80000000, 1,          0x807fffff, 0x00800000, 0x7f7fffff, 0x7f800000,
                                   0xff800000, 0x7fc00001, 0xffc12345, 0x7f800001, 0xffa00000, 0x3f800000, 0xbf800000,
                                   0x3f000000, 0x4f000000, 0xcf000000, 0x5f000000, 0x3fc00000, 0x40200000};
  const u64 r = rng();
  if (r % 3 == 0) return kEdges[(r >> 8) % std::size(kEdges)];
  if (r % 3 == 1) return static_cast<u32>(r >> 32);
  return static_cast<u32>((r >> 32) & 0x807fffff) | static_cast<u32>(120 + (r >> 8) % 16) << 23;
}
u64 double_operand(std::mt19937_64& rng) {
  static constexpr u64 kEdges[] = {0,
                                   u64{1} << 63,
                                   1,
                                   0x800fffffffffffff,
                                   0x0010000000000000,
                                   0x7fefffffffffffff,
                                   0x7ff0000000000000,
                                   0xfff0000000000000,
                                   0x7ff8000000000001,
                                   0xfff8000000012345,
                                   0x7ff0000000000001,
                                   0x3ff0000000000000,
                                   0xbff0000000000000,
                                   0x41dfffffffe00000,
                                   0x41e0000000000000,
                                   0x43e0000000000000,
                                   0x47efffffe0000000,
                                   0x47efffffffffffff,
                                   0x36a0000000000000,
                                   0x380fffffffffffff};
  const u64 r = rng(), q = rng();
  if (r % 3 == 0) return kEdges[(r >> 8) % std::size(kEdges)];
  if (r % 3 == 1) return q;
  return (q & 0x800fffffffffffff) | (1018 + (r >> 8) % 12) << 52;
}

TEST(InterpFloat, AsTheHost) {
  std::mt19937_64 rng(3);
  const u32 saved = _mm_getcsr();
  for (const Row& row : kRows) {
    const bool doubles = row.lane == PD || row.lane == SD;
    for (unsigned k = 0; k < 64; k++) {
      Vec a, b;
      for (Vec* v : {&a, &b}) {
        for (unsigned i = 0; i < 4; i++) {
          const u32 x = float_operand(rng);
          std::memcpy(v->b + 4 * i, &x, 4);
        }
        for (unsigned i = 0; doubles && i < 2; i++) {
          const u64 x = double_operand(rng);
          std::memcpy(v->b + 8 * i, &x, 8);
        }
      }
      if (k % 9 == 0) b = a;
      const u64 n = k % 2 ? rng() : (rng() % 2 ? u64{1} << 63 : rng() % 100);
      const u32 env = 0x1f80 | (k & 3) << 13 | (k & 4 ? 0x8000 : 0) | (k & 8 ? 0x40 : 0);
      _mm_setcsr(env);
      asm volatile("" ::: "memory");
      const Outcome want = row.host(a, b, n);
      asm volatile("" ::: "memory");
      const u32 want_env = _mm_getcsr();
      _mm_setcsr(saved);
      const VectorResult got = run_vector_op(row.code, row.type, row.lane, row.imm, a, b, {}, n, env);
      ASSERT_TRUE(got.v == want.v || row.code == vfcomi || row.code == vf_toint)
          << info(row.code).name << "." << lane_name(row.lane) << " imm " << row.imm << " round " << k;
      if (row.code == vf_toint || row.code == vfcomi) {
        ASSERT_EQ(got.n, want.n) << info(row.code).name << "." << lane_name(row.lane) << " round " << k;
      }
      ASSERT_EQ(got.fp_env, want_env) << info(row.code).name << "." << lane_name(row.lane) << " imm " << row.imm
                                      << " round " << k;
    }
  }
}

#endif

}  // namespace
}  // namespace doppel::ir::test
