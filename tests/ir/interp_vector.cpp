// Integer vector ops: known values anywhere; on an x86 host every op against the host's own instruction on random and
// edge operands.
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

TEST(InterpVector, KnownValues) {
  const auto run2 = [](Opcode code, Lane lane, const Vec& a, const Vec& b, u64 imm = 0) {
    return run_vector_op(code, Type::V128, lane, imm, a, b).v;
  };
  EXPECT_EQ(run2(vaddus, B, vec<u8>({250, 1}), vec<u8>({10, 2})), vec<u8>({255, 3}));
  EXPECT_EQ(run2(vsubs, H, vec<s16>({-32768, 5}), vec<s16>({1, 7})), vec<s16>({-32768, -2}));
  EXPECT_EQ(run2(vpackus, H, vec<s16>({-1, 300, 7}), vec<s16>({255})), vec<u8>({0, 255, 7, 0, 0, 0, 0, 0, 255}));
  EXPECT_EQ(run2(vshl, W, vec<u32>({1, 2, 3, 4}), vec<u64>({32})), Vec{});
  EXPECT_EQ(run2(vsar, H, vec<s16>({-2, 4}), vec<u64>({u64{1} << 40})), vec<s16>({-1, 0}));
  EXPECT_EQ(run2(valign, B, vec<u8>({1, 2}), vec<u64>({0, u64{9} << 56}), 15), vec<u8>({9, 1, 2}));
  EXPECT_EQ(run2(vunpackhi, D, vec<u64>({1, 2}), vec<u64>({3, 4})), vec<u64>({2, 4}));
  EXPECT_EQ(run_vector_op(vshuf_w, Type::V128, W, 0x1b, vec<u32>({1, 2, 3, 4})).v, vec<u32>({4, 3, 2, 1}));
  EXPECT_EQ(run_vector_op(vmovmsk, Type::I32, B, 0, vec<u8>({0x80, 0, 0xff})).n, 5u);
  EXPECT_EQ(run_vector_op(vextract, Type::I16, H, 7, vec<u16>({0, 0, 0, 0, 0, 0, 0, 0xbeef})).n, 0xbeefu);
  EXPECT_EQ(run_vector_op(vinsert, Type::I8, B, 3, Vec{}, {}, {}, 0x155).v, vec<u8>({0, 0, 0, 0x55}));
  EXPECT_EQ(run_vector_op(vfromint, Type::I32, B, 0, {}, {}, {}, ~u64{0}).v, vec<u64>({0xffffffff, 0}));
  EXPECT_EQ(run_vector_op(vptest, Type::V128, B, 0, vec<u64>({1, 0}), vec<u64>({2, 0})).n, u64{kFlagOne | kFlagZ});
  EXPECT_EQ(run_vector_op(vptest, Type::V128, B, 0, vec<u64>({3, 0}), vec<u64>({2, 0})).n, u64{kFlagOne | kFlagC});
  EXPECT_EQ(run2(vmovlow, SS, vec<u32>({1, 2, 3, 4}), vec<u32>({9, 9, 9, 9})), vec<u32>({9, 2, 3, 4}));
}

#if defined(__x86_64__)

struct Row {
  Opcode code;
  Lane lane;
  u64 imm;
  __m128i (*host)(__m128i a, __m128i b, __m128i c);
};
#define R2(code, lane, intrinsic)                                                \
  {                                                                              \
    code, lane, 0, [](__m128i a, __m128i b, __m128i) { return intrinsic(a, b); } \
  }
#define R1(code, lane, intrinsic)                                           \
  {                                                                         \
    code, lane, 0, [](__m128i a, __m128i, __m128i) { return intrinsic(a); } \
  }
#define RI(code, lane, n, intrinsic)                                           \
  {                                                                            \
    code, lane, n, [](__m128i a, __m128i, __m128i) { return intrinsic(a, n); } \
  }
#define RI2(code, lane, n, intrinsic)                                               \
  {                                                                                 \
    code, lane, n, [](__m128i a, __m128i b, __m128i) { return intrinsic(a, b, n); } \
  }
#define WIDEN(code, lane, bits, intrinsic)                                     \
  {                                                                            \
    code, lane, bits, [](__m128i a, __m128i, __m128i) { return intrinsic(a); } \
  }
__m128i shuffle_ps(__m128i a, __m128i b) {
  return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), 0x93));
}
__m128i shuffle_pd(__m128i a, __m128i b) {
  return _mm_castpd_si128(_mm_shuffle_pd(_mm_castsi128_pd(a), _mm_castsi128_pd(b), 1));
}
__m128i blendv_ps(__m128i a, __m128i b, __m128i c) {
  return _mm_castps_si128(_mm_blendv_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), _mm_castsi128_ps(c)));
}
__m128i blendv_pd(__m128i a, __m128i b, __m128i c) {
  return _mm_castpd_si128(_mm_blendv_pd(_mm_castsi128_pd(a), _mm_castsi128_pd(b), _mm_castsi128_pd(c)));
}
__m128i blend_ps(__m128i a, __m128i b) {
  return _mm_castps_si128(_mm_blend_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), 6));
}
__m128i blend_pd(__m128i a, __m128i b) {
  return _mm_castpd_si128(_mm_blend_pd(_mm_castsi128_pd(a), _mm_castsi128_pd(b), 2));
}
__m128i greater_q(__m128i a, __m128i b) {
  return _mm_set_epi64x(_mm_extract_epi64(a, 1) > _mm_extract_epi64(b, 1) ? -1 : 0,
                        _mm_extract_epi64(a, 0) > _mm_extract_epi64(b, 0) ? -1 : 0);
}

const Row kRows[] = {
    R2(vand, B, _mm_and_si128),
    R2(vor, B, _mm_or_si128),
    R2(vxor, B, _mm_xor_si128),
    R2(vandn, B, _mm_andnot_si128),
    R2(vadd, B, _mm_add_epi8),
    R2(vadd, H, _mm_add_epi16),
    R2(vadd, W, _mm_add_epi32),
    R2(vadd, D, _mm_add_epi64),
    R2(vsub, B, _mm_sub_epi8),
    R2(vsub, H, _mm_sub_epi16),
    R2(vsub, W, _mm_sub_epi32),
    R2(vsub, D, _mm_sub_epi64),
    R2(vadds, B, _mm_adds_epi8),
    R2(vadds, H, _mm_adds_epi16),
    R2(vaddus, B, _mm_adds_epu8),
    R2(vaddus, H, _mm_adds_epu16),
    R2(vsubs, B, _mm_subs_epi8),
    R2(vsubs, H, _mm_subs_epi16),
    R2(vsubus, B, _mm_subs_epu8),
    R2(vsubus, H, _mm_subs_epu16),
    R2(vmullo, H, _mm_mullo_epi16),
    R2(vmullo, W, _mm_mullo_epi32),
    R2(vmulhs, H, _mm_mulhi_epi16),
    R2(vmulhu, H, _mm_mulhi_epu16),
    R2(vmulhrs, H, _mm_mulhrs_epi16),
    R2(vmuludq, W, _mm_mul_epu32),
    R2(vmuldq, W, _mm_mul_epi32),
    R2(vmaddwd, H, _mm_madd_epi16),
    R2(vmaddubsw, B, _mm_maddubs_epi16),
    R2(vsadbw, B, _mm_sad_epu8),
    R2(vavg, B, _mm_avg_epu8),
    R2(vavg, H, _mm_avg_epu16),
    R2(vmins, B, _mm_min_epi8),
    R2(vmins, H, _mm_min_epi16),
    R2(vmins, W, _mm_min_epi32),
    R2(vminu, B, _mm_min_epu8),
    R2(vminu, H, _mm_min_epu16),
    R2(vminu, W, _mm_min_epu32),
    R2(vmaxs, B, _mm_max_epi8),
    R2(vmaxs, H, _mm_max_epi16),
    R2(vmaxs, W, _mm_max_epi32),
    R2(vmaxu, B, _mm_max_epu8),
    R2(vmaxu, H, _mm_max_epu16),
    R2(vmaxu, W, _mm_max_epu32),
    R1(vabs, B, _mm_abs_epi8),
    R1(vabs, H, _mm_abs_epi16),
    R1(vabs, W, _mm_abs_epi32),
    R2(vsign, B, _mm_sign_epi8),
    R2(vsign, H, _mm_sign_epi16),
    R2(vsign, W, _mm_sign_epi32),
    R2(vcmpeq, B, _mm_cmpeq_epi8),
    R2(vcmpeq, H, _mm_cmpeq_epi16),
    R2(vcmpeq, W, _mm_cmpeq_epi32),
    R2(vcmpeq, D, _mm_cmpeq_epi64),
    R2(vcmpgt, B, _mm_cmpgt_epi8),
    R2(vcmpgt, H, _mm_cmpgt_epi16),
    R2(vcmpgt, W, _mm_cmpgt_epi32),
    R2(vcmpgt, D, greater_q),
    R2(vshl, H, _mm_sll_epi16),
    R2(vshl, W, _mm_sll_epi32),
    R2(vshl, D, _mm_sll_epi64),
    R2(vshr, H, _mm_srl_epi16),
    R2(vshr, W, _mm_srl_epi32),
    R2(vshr, D, _mm_srl_epi64),
    R2(vsar, H, _mm_sra_epi16),
    R2(vsar, W, _mm_sra_epi32),
    RI(vshli, H, 3, _mm_slli_epi16),
    RI(vshli, W, 31, _mm_slli_epi32),
    RI(vshli, D, 40, _mm_slli_epi64),
    RI(vshli, D, 64, _mm_slli_epi64),
    RI(vshri, H, 16, _mm_srli_epi16),
    RI(vshri, W, 5, _mm_srli_epi32),
    RI(vshri, D, 63, _mm_srli_epi64),
    RI(vsari, H, 200, _mm_srai_epi16),
    RI(vsari, W, 9, _mm_srai_epi32),
    RI(vshlb, B, 5, _mm_slli_si128),
    RI(vshlb, B, 0, _mm_slli_si128),
    RI(vshlb, B, 77, _mm_slli_si128),
    RI(vshrb, B, 11, _mm_srli_si128),
    RI(vshrb, B, 16, _mm_srli_si128),
    R2(vpackss, H, _mm_packs_epi16),
    R2(vpackss, W, _mm_packs_epi32),
    R2(vpackus, H, _mm_packus_epi16),
    R2(vpackus, W, _mm_packus_epi32),
    R2(vunpacklo, B, _mm_unpacklo_epi8),
    R2(vunpacklo, H, _mm_unpacklo_epi16),
    R2(vunpacklo, W, _mm_unpacklo_epi32),
    R2(vunpacklo, D, _mm_unpacklo_epi64),
    R2(vunpackhi, B, _mm_unpackhi_epi8),
    R2(vunpackhi, H, _mm_unpackhi_epi16),
    R2(vunpackhi, W, _mm_unpackhi_epi32),
    R2(vunpackhi, D, _mm_unpackhi_epi64),
    R2(vshuf_b, B, _mm_shuffle_epi8),
    RI(vshuf_w, W, 0x6c, _mm_shuffle_epi32),
    RI(vshuf_hl, H, 0x39, _mm_shufflelo_epi16),
    RI(vshuf_hh, H, 0x87, _mm_shufflehi_epi16),
    {vshuf_ps, W, 0x93, [](__m128i a, __m128i b, __m128i) { return shuffle_ps(a, b); }},
    {vshuf_pd, D, 1, [](__m128i a, __m128i b, __m128i) { return shuffle_pd(a, b); }},
    RI2(valign, B, 0, _mm_alignr_epi8),
    RI2(valign, B, 7, _mm_alignr_epi8),
    RI2(valign, B, 16, _mm_alignr_epi8),
    RI2(valign, B, 25, _mm_alignr_epi8),
    RI2(valign, B, 32, _mm_alignr_epi8),
    {vblendv, B, 0, [](__m128i a, __m128i b, __m128i c) { return _mm_blendv_epi8(a, b, c); }},
    {vblendv, W, 0, blendv_ps},
    {vblendv, D, 0, blendv_pd},
    RI2(vblendi, H, 0xa6, _mm_blend_epi16),
    {vblendi, W, 6, [](__m128i a, __m128i b, __m128i) { return blend_ps(a, b); }},
    {vblendi, D, 2, [](__m128i a, __m128i b, __m128i) { return blend_pd(a, b); }},
    R2(vhadd, H, _mm_hadd_epi16),
    R2(vhadd, W, _mm_hadd_epi32),
    R2(vhsub, H, _mm_hsub_epi16),
    R2(vhsub, W, _mm_hsub_epi32),
    R2(vhadds, H, _mm_hadds_epi16),
    R2(vhsubs, H, _mm_hsubs_epi16),
    WIDEN(vzext, B, 16, _mm_cvtepu8_epi16),
    WIDEN(vzext, B, 32, _mm_cvtepu8_epi32),
    WIDEN(vzext, B, 64, _mm_cvtepu8_epi64),
    WIDEN(vzext, H, 32, _mm_cvtepu16_epi32),
    WIDEN(vzext, H, 64, _mm_cvtepu16_epi64),
    WIDEN(vzext, W, 64, _mm_cvtepu32_epi64),
    WIDEN(vsext, B, 16, _mm_cvtepi8_epi16),
    WIDEN(vsext, B, 32, _mm_cvtepi8_epi32),
    WIDEN(vsext, B, 64, _mm_cvtepi8_epi64),
    WIDEN(vsext, H, 32, _mm_cvtepi16_epi32),
    WIDEN(vsext, H, 64, _mm_cvtepi16_epi64),
    WIDEN(vsext, W, 64, _mm_cvtepi32_epi64),
};

TEST(InterpVector, AsTheHost) {
  std::mt19937_64 rng(2);
  const auto operand = [&](unsigned n) {
    static constexpr u8 kEdges[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe};
    Vec v;
    for (u8& b : v.b) b = n % 3 == 0 ? kEdges[rng() % 6] : static_cast<u8>(rng());
    if (n % 5 == 0) std::memset(v.b, kEdges[rng() % 6], 16);
    return v;
  };
  const auto load = [](const Vec& v) { return _mm_load_si128(reinterpret_cast<const __m128i*>(v.b)); };
  for (const Row& row : kRows) {
    for (unsigned n = 0; n < 40; n++) {
      const Vec a = operand(n), c = operand(n + 2);
      Vec b = operand(n + 1);
      if (row.code == vshl || row.code == vshr || row.code == vsar) {
        const u64 count = n < 20 ? n * 4 : n == 20 ? u64{1} << 32 : rng() % 70;
        std::memcpy(b.b, &count, 8);
      }
      if (n == 7) b = a;
      Vec want;
      _mm_store_si128(reinterpret_cast<__m128i*>(want.b), row.host(load(a), load(b), load(c)));
      ASSERT_EQ(run_vector_op(row.code, Type::V128, row.lane, row.imm, a, b, c).v, want)
          << info(row.code).name << " lane " << lane_name(row.lane) << " imm " << row.imm;
    }
  }
}

#endif

}  // namespace
}  // namespace doppel::ir::test
