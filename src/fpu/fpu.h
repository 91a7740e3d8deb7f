// IEEE 754 soft float with the x86 NaN rules as the default policy. Values are bit patterns. Flags are the MXCSR's low
// six bits. Sources: IEEE 754-2008; SDM vol. 1, 4.8 and 11.5 (SSE), 8.1 to 8.5 (x87). Pure functions, any thread.
#pragma once
#include "base/bits.h"

namespace doppel::fpu {

using f32 = u32;  // strong enough: widths differ
using f64 = u64;
struct f80 {
  u64 significand = 0;
  u16 sign_exponent = 0;
  bool operator==(const f80&) const = default;
};

enum Flag : u32 {
  kInvalid = 1,
  kDenormal = 2,
  kDivByZero = 4,
  kOverflow = 8,
  kUnderflow = 16,
  kInexact = 32,
  kRoundedUp = 0x200 /* x87 C1 */
};
enum class Rounding : u8 { Nearest, Down, Up, Zero };  // the order of MXCSR.RC and of the x87 control word
enum class Relation : u8 { Less, Equal, Greater, Unordered };
// How an operation chooses among NaN operands. X86Sse: first operand's NaN, quieted. X87: the larger significand.
enum class NanRule : u8 { X86Sse, X87, Default };

struct Env {
  Rounding rounding = Rounding::Nearest;
  bool daz = false, ftz = false;  // denormals are zero, flush to zero
  NanRule nan = NanRule::X86Sse;
  u8 f80_precision = 64;  // x87 precision control: 24, 53 or 64 significant bits for f80 results
  u32 unmasked = 0;       // Flag bits whose exception is unmasked (x87: changes underflow and overflow results)
  u32 flags = 0;          // sticky, or-ed
  static Env from_mxcsr(u32 mxcsr) {
    Env e;
    e.rounding = static_cast<Rounding>((mxcsr >> 13) & 3);
    e.daz = mxcsr & 0x40;
    e.ftz = mxcsr & 0x8000;
    return e;
  }
};

// F is f32, f64 or f80 (explicitly instantiated for all three).
template <typename F>
F add(F a, F b, Env& env);
template <typename F>
F sub(F a, F b, Env& env);
template <typename F>
F mul(F a, F b, Env& env);
template <typename F>
F div(F a, F b, Env& env);
template <typename F>
F sqrt(F a, Env& env);
template <typename F>
F mul_add(F a, F b, F c, Env& env);  // fused: a * b + c
template <typename F>
Relation compare(F a, F b, bool signal_quiet_nan, Env& env);
template <typename F>
F min_sse(F a, F b, Env& env);  // MINSS, MAXSS rules
template <typename F>
F max_sse(F a, F b, Env& env);
template <typename F>
F round_to_integral(F a, Rounding rounding, bool signal_inexact, Env& env);
// Out of range and NaN: the integer indefinite (only the sign bit set) and kInvalid.
template <typename F>
s32 to_s32(F a, Rounding rounding, Env& env);
template <typename F>
s64 to_s64(F a, Rounding rounding, Env& env);
template <typename F>
F from_s32(s32 a, Env& env);
template <typename F>
F from_s64(s64 a, Env& env);
// Between formats: convert<To>(from, env).
template <typename To, typename From>
To convert(From a, Env& env);
template <typename F>
bool is_nan(F a);
template <typename F>
bool is_signaling_nan(F a);

}  // namespace doppel::fpu
