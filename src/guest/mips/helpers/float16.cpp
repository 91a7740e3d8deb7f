#include "guest/mips/helpers/float16.h"

#include <algorithm>
#include <bit>

namespace doppel::mips {
namespace {

constexpr u32 kInfinity = 0x7c00, kLargest = 0x7bff;

bool goes_up(fpu::Rounding rounding, bool negative, u32 quotient, u32 rest, u32 half) {
  switch (rounding) {
    case fpu::Rounding::Nearest: return rest > half || (rest == half && (quotient & 1));
    case fpu::Rounding::Down: return negative && rest != 0;
    case fpu::Rounding::Up: return !negative && rest != 0;
    default: return false;
  }
}

u32 rounded(fpu::Rounding rounding, bool negative, u32 significand, int shift) {
  const u32 quotient = significand >> shift, rest = significand & ((1u << shift) - 1);
  return quotient + (goes_up(rounding, negative, quotient, rest, 1u << (shift - 1)) ? 1 : 0);
}

u32 overflowed(fpu::Rounding rounding, bool negative) {
  const bool largest =
      rounding == fpu::Rounding::Zero || rounding == (negative ? fpu::Rounding::Up : fpu::Rounding::Down);
  return largest ? kLargest : kInfinity;
}

}  // namespace

Outcome half_to_single(u32 half) {
  const u32 sign = (half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3ff;
  if (exponent == 31 && fraction != 0) return {sign | 0x7fc00000 | fraction << 13, fraction & 0x200 ? 0 : u32{FP_V}};
  if (exponent == 31) return {sign | 0x7f800000, 0};
  if (exponent != 0) return {sign | (exponent + 112) << 23 | fraction << 13, 0};
  if (fraction == 0) return {sign, 0};
  const u32 up = static_cast<u32>(std::countl_zero(fraction)) - 21;  // to bit 10
  return {sign | (113 - up) << 23 | (fraction << up & 0x3ff) << 13, 0};
}

Outcome single_to_half(const FpUnit& unit, u32 single) {
  const bool negative = single >> 31;
  const u32 sign = negative ? 0x8000 : 0, fraction = single & 0x7fffff;
  const int field = static_cast<int>(single >> 23 & 255);
  if (is_nan(single)) return {sign | 0x7e00 | fraction >> 13, is_signaling(unit, single) ? u32{FP_V} : 0};
  if (field == 255) return {sign | kInfinity, 0};
  if (field == 0 && fraction == 0) return {sign, 0};
  const fpu::Rounding rounding = unit.env.rounding;
  const u32 significand = field ? fraction | 0x800000 : fraction;
  const int exponent = field ? field - 127 : -126;
  const int shift = std::min(exponent < -14 ? 13 + (-14 - exponent) : 13, 30);
  const u32 quotient = rounded(rounding, negative, significand, shift);
  const bool inexact = significand & ((1u << shift) - 1);
  const u32 result = exponent < -14 ? quotient : (static_cast<u32>(exponent + 14) << 10) + quotient;
  if (result >= kInfinity) return {sign | overflowed(rounding, negative), FP_O | FP_I};
  const bool tiny = exponent < -15 || (exponent == -15 && rounded(rounding, negative, significand, 13) < 0x800);
  const bool underflow = tiny && (inexact || (unit.env.unmasked & fpu::kUnderflow));
  if (underflow && unit.env.ftz) return {sign, FP_U | FP_I};
  return {sign | result, (inexact ? u32{FP_I} : 0) | (underflow ? u32{FP_U} : 0)};
}

}  // namespace doppel::mips
