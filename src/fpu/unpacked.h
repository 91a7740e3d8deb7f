// The one form in which all soft-float arithmetic is done: sign, unbounded exponent, 128-bit significand with its top
// bit set. unpack() classifies operands (DAZ applied), round_pack() rounds once to a format with the x86 rules:
// tininess is detected after rounding, FTZ acts only on a masked underflow, an unmasked overflow or underflow wraps the
// exponent (SDM vol. 1, 4.9.1.4, 4.9.1.5 and 8.5.4, 8.5.5). Private to src/fpu.
#pragma once
#include "fpu/fpu.h"

namespace doppel::fpu {

enum class Class : u8 { Zero, Finite, Infinity, QuietNan, SignalingNan, Unsupported /* f80: unnormals, pseudo-NaNs */ };

struct Unpacked {
  Class cls = Class::Zero;
  bool sign = false;
  bool denormal = false;  // the operand was a denormal (or pseudo-denormal) and DAZ did not make it zero
  s32 exp = 0;            // value = significand / 2^127 * 2^exp
  u128 sig = 0;           // Finite: bit 127 set. NaN: bit 127 set, bit 126 the quiet bit, then the payload

  bool nan() const { return cls >= Class::QuietNan; }
  bool zero() const { return cls == Class::Zero; }
  bool inf() const { return cls == Class::Infinity; }
};

template <typename F>
struct Format;
template <>
struct Format<f32> {
  static constexpr unsigned kPrecision = 24, kExpBits = 8;
  static constexpr s32 kMax = 127, kMin = -126, kWrap = 192;
};
template <>
struct Format<f64> {
  static constexpr unsigned kPrecision = 53, kExpBits = 11;
  static constexpr s32 kMax = 1023, kMin = -1022, kWrap = 1536;
};
template <>
struct Format<f80> {
  static constexpr unsigned kPrecision = 64, kExpBits = 15;
  static constexpr s32 kMax = 16383, kMin = -16382, kWrap = 24576;
};

constexpr u128 kTopBit = u128{1} << 127;
constexpr u128 kQuietBit = u128{1} << 126;

inline unsigned clz128(u128 v) {
  const u64 hi = static_cast<u64>(v >> 64);
  return static_cast<unsigned>(hi != 0 ? std::countl_zero(hi) : 64 + std::countl_zero(static_cast<u64>(v)));
}
// v >> n with every lost one bit or-ed into bit 0.
inline u128 shift_right_jam(u128 v, u32 n) {
  if (n == 0) return v;
  if (n >= 128) return v != 0;
  return (v >> n) | ((v << (128 - n)) != 0);
}

// --- packing of fields. `top64` is the significand with its integer bit at bit 63.
template <typename F>
F pack_fields(bool sign, u32 biased_exp, u64 top64) {
  if constexpr (std::is_same_v<F, f80>) {
    return {top64, static_cast<u16>(u32{sign} << 15 | biased_exp)};
  } else {
    constexpr unsigned p = Format<F>::kPrecision;
    const u64 fraction = (top64 << 1) >> (65 - p);
    return static_cast<F>((u64{sign} << (p - 1 + Format<F>::kExpBits)) | (u64{biased_exp} << (p - 1)) | fraction);
  }
}
template <typename F>
F zero_of(bool sign) {
  return pack_fields<F>(sign, 0, 0);
}
template <typename F>
F infinity_of(bool sign) {
  return pack_fields<F>(sign, mask_bits(Format<F>::kExpBits) & 0x7fff, u64{1} << 63);
}
template <typename F>
F default_nan() {
  return pack_fields<F>(true, mask_bits(Format<F>::kExpBits) & 0x7fff, u64{3} << 62);
}
// A NaN made quiet, its payload cut to the format.
template <typename F>
F pack_nan(const Unpacked& n, const Env& env) {
  if (n.cls == Class::Unsupported || env.nan == NanRule::Default) return default_nan<F>();
  const u64 top = static_cast<u64>((n.sig | kQuietBit) >> 64) >> (64 - Format<F>::kPrecision)
                                                                     << (64 - Format<F>::kPrecision);
  return pack_fields<F>(n.sign, mask_bits(Format<F>::kExpBits) & 0x7fff, top);
}

// Classifies; `daz` turns denormals into zeros of the same sign.
template <typename F>
Unpacked unpack(F v, bool daz) {
  constexpr unsigned p = Format<F>::kPrecision;
  constexpr u32 exp_mask = static_cast<u32>(mask_bits(Format<F>::kExpBits));
  Unpacked u;
  u32 biased;
  u64 top;  // significand with its integer bit at bit 63
  if constexpr (std::is_same_v<F, f80>) {
    u.sign = v.sign_exponent >> 15;
    biased = v.sign_exponent & 0x7fff;
    top = v.significand;
    if (biased != 0 && !(top >> 63)) {
      u.cls = Class::Unsupported;
      return u;
    }
  } else {
    u.sign = (v >> (p - 1 + Format<F>::kExpBits)) & 1;
    biased = static_cast<u32>(v >> (p - 1)) & exp_mask;
    top = (static_cast<u64>(v) << (64 - p)) & mask_bits(63);
    if (biased != 0) top |= u64{1} << 63;
  }
  if (biased == exp_mask) {
    u.sig = u128{top} << 64;
    if ((top << 1) == 0)
      u.cls = Class::Infinity;
    else
      u.cls = (top >> 62) & 1 ? Class::QuietNan : Class::SignalingNan;
    return u;
  }
  if (biased != 0) {
    u.cls = Class::Finite;
    u.exp = static_cast<s32>(biased) - Format<F>::kMax;
    u.sig = u128{top} << 64;
    return u;
  }
  if (top == 0 || daz) return u;
  const int shift = std::countl_zero(top);
  u.cls = Class::Finite;
  u.denormal = true;
  u.exp = Format<F>::kMin - shift;
  u.sig = u128{top << shift} << 64;
  return u;
}
template <typename F>
Unpacked unpack(F v, const Env& env) {
  return unpack<F>(v, std::is_same_v<F, f80> ? false : env.daz);
}

// Does a magnitude with `rest` below the last kept bit (weight `half` = half of it) round up?
inline bool rounds_up(Rounding mode, bool sign, bool odd, u128 rest, u128 half) {
  switch (mode) {
    case Rounding::Nearest: return rest > half || (rest == half && odd);
    case Rounding::Down: return sign && rest != 0;
    case Rounding::Up: return !sign && rest != 0;
    case Rounding::Zero: return false;
  }
  return false;
}

struct Rounded {
  u128 sig;    // bit 127 is the integer bit; may be 0 or not normalised when the input was not
  bool carry;  // the magnitude became 2^128: sig is then 2^127 with the exponent one higher
  bool inexact, up;
};
inline Rounded round_significand(u128 sig, unsigned precision, Rounding mode, bool sign) {
  const unsigned drop = 128 - precision;
  const u128 unit = u128{1} << drop;
  const u128 rest = sig & (unit - 1);
  const bool up = rounds_up(mode, sign, (sig & unit) != 0, rest, unit >> 1);
  u128 out = sig - rest;
  bool carry = false;
  if (up) {
    out += unit;
    if (out == 0) {
      carry = true;
      out = kTopBit;
    }
  }
  return {out, carry, rest != 0, up};
}

// Rounds (-1)^sign * sig / 2^127 * 2^exp, sig normalised and nonzero, to format F with `precision` significant bits.
template <typename F>
F round_pack(bool sign, s32 exp, u128 sig, unsigned precision, Env& env) {
  using Fmt = Format<F>;
  Rounded r = round_significand(sig, precision, env.rounding, sign);
  s32 e = exp + (r.carry ? 1 : 0);
  if (exp < Fmt::kMin) {
    const bool tiny = e < Fmt::kMin;
    if (tiny && (env.unmasked & kUnderflow)) {
      env.flags |= kUnderflow;
      e += Fmt::kWrap;
    } else {
      if (tiny && env.ftz && !std::is_same_v<F, f80>) {
        env.flags |= kUnderflow | kInexact;
        return zero_of<F>(sign);
      }
      r = round_significand(shift_right_jam(sig, static_cast<u32>(Fmt::kMin - exp)), precision, env.rounding, sign);
      if (r.inexact) env.flags |= kInexact | (tiny ? u32{kUnderflow} : 0u);
      if (r.up) env.flags |= kRoundedUp;
      // The integer bit is set only when it was rounded up to the least normal number.
      return pack_fields<F>(sign, (r.sig & kTopBit) != 0 ? 1 : 0, static_cast<u64>(r.sig >> 64));
    }
  } else if (e > Fmt::kMax) {
    env.flags |= kOverflow;
    if (!(env.unmasked & kOverflow)) {
      env.flags |= kInexact;
      if (env.rounding == Rounding::Nearest || env.rounding == (sign ? Rounding::Down : Rounding::Up)) {
        env.flags |= kRoundedUp;
        return infinity_of<F>(sign);
      }
      const u64 top = ~u64{0} << (64 - precision);
      return pack_fields<F>(sign, static_cast<u32>(2 * Fmt::kMax), top);
    }
    e -= Fmt::kWrap;
  }
  if (r.inexact) env.flags |= kInexact;
  if (r.up) env.flags |= kRoundedUp;
  // A wrapped exponent may still be out of the format's range (only conversions and FSCALE): cut to the field.
  return pack_fields<F>(sign, static_cast<u32>(e + Fmt::kMax) & static_cast<u32>(mask_bits(Fmt::kExpBits)),
                        static_cast<u64>(r.sig >> 64));
}
// The significant bits of an arithmetic result: the x87's precision control applies to f80 only.
template <typename F>
unsigned precision_of(const Env& env) {
  return std::is_same_v<F, f80> ? env.f80_precision : Format<F>::kPrecision;
}

template <typename F>
F invalid(Env& env) {
  env.flags |= kInvalid;
  return default_nan<F>();
}
// Result of an operation with at least one NaN (or unsupported) operand among a and b.
template <typename F>
F propagate_nan(const Unpacked& a, const Unpacked& b, Env& env) {
  if (a.cls == Class::Unsupported || b.cls == Class::Unsupported) return invalid<F>(env);
  if (a.cls == Class::SignalingNan || b.cls == Class::SignalingNan) env.flags |= kInvalid;
  if (!b.nan()) return pack_nan<F>(a, env);
  if (!a.nan()) return pack_nan<F>(b, env);
  if (env.nan != NanRule::X87) return pack_nan<F>(a, env);
  // x87 (SDM vol. 1, table 4-7): a quiet NaN before a signaling one, then the larger significand, then the positive
  // one.
  if (a.cls != b.cls) return pack_nan<F>(a.cls == Class::QuietNan ? a : b, env);
  if (a.sig != b.sig) return pack_nan<F>(a.sig > b.sig ? a : b, env);
  return pack_nan<F>(a.sign ? b : a, env);
}
inline void note_denormals(const Unpacked& a, const Unpacked& b, Env& env) {
  if (a.denormal || b.denormal) env.flags |= kDenormal;
}

}  // namespace doppel::fpu
