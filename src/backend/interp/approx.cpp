// RCPPS and RSQRTPS: approximations with a relative error of at most 1.5 * 2^-12, whose low bits the SDM leaves to the
// CPU. On an x86 host the host's own, so that the interpreter and the code generator agree; elsewhere the exact value
// cut to 12 bits. Neither looks at MXCSR nor sets flags: denormal operands count as zero, tiny results become zero.
#include <bit>
#include <cmath>

#include "backend/interp/frame.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace doppel::backend::interp {

#if defined(__x86_64__)

u32 approximate_rcp(u32 a) {
  return std::bit_cast<u32>(_mm_cvtss_f32(_mm_rcp_ss(_mm_set_ss(std::bit_cast<float>(a)))));
}
u32 approximate_rsqrt(u32 a) {
  return std::bit_cast<u32>(_mm_cvtss_f32(_mm_rsqrt_ss(_mm_set_ss(std::bit_cast<float>(a)))));
}

#else

namespace {
constexpr u32 kSign = 0x80000000, kInfinity = 0x7f800000, kQuiet = 0x00400000, kIndefinite = 0xffc00000;
u32 cut(double v, u32 sign) {
  if (v < 0x1p-126) return sign;
  const u32 bits = std::bit_cast<u32>(static_cast<float>(v));
  return sign | ((bits + 0x400) & ~0x7ffu);
}
}  // namespace

u32 approximate_rcp(u32 a) {
  const u32 sign = a & kSign, magnitude = a & ~kSign;
  if (magnitude > kInfinity) return a | kQuiet;
  if (magnitude == kInfinity) return sign;
  if (magnitude < 0x00800000) return sign | kInfinity;
  return cut(1.0 / static_cast<double>(std::bit_cast<float>(magnitude)), sign);
}

u32 approximate_rsqrt(u32 a) {
  const u32 sign = a & kSign, magnitude = a & ~kSign;
  if (magnitude > kInfinity) return a | kQuiet;
  if (magnitude < 0x00800000) return sign | kInfinity;
  if (sign) return kIndefinite;
  if (magnitude == kInfinity) return 0;
  return cut(1.0 / std::sqrt(static_cast<double>(std::bit_cast<float>(magnitude))), 0);
}

#endif

}  // namespace doppel::backend::interp
