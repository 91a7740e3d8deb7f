// Packed arithmetic of the DSP module (MD00374, chapter 6): bytes and halfwords of a register, saturation, DSPControl's
// flags.
#include "guest/mips/helpers/dsp.h"

namespace doppel::mips {
namespace {

template <typename Fn>
u32 each_byte(Fn fn) {
  u32 r = 0;
  for (unsigned i = 0; i < 4; i++) r |= (static_cast<u32>(fn(i)) & 0xff) << (8 * i);
  return r;
}
template <typename Fn>
u32 each_half(Fn fn) {
  return halves(static_cast<u32>(fn(1u)), static_cast<u32>(fn(0u)));
}

// --- without flags

s32 rounded(s64 v, u32 shift) { return static_cast<s32>(shift == 0 ? v : ((v >> (shift - 1)) + 1) >> 1); }

u32 reversed16(u32 v) {
  u32 r = 0;
  for (unsigned i = 0; i < 16; i++) r |= (v >> i & 1) << (15 - i);
  return r;
}

u32 shifted(u64 op, u32 a, u32 b) {
  switch (op) {
    case SHRL_QB:
    case SHRLV_QB: return each_byte([&](unsigned i) { return byte_of(b, i) >> (a & 7); });
    case SHRA_QB:
    case SHRAV_QB: return each_byte([&](unsigned i) { return static_cast<s8>(byte_of(b, i)) >> (a & 7); });
    case SHRA_R_QB:
    case SHRAV_R_QB: return each_byte([&](unsigned i) { return rounded(static_cast<s8>(byte_of(b, i)), a & 7); });
    case SHRL_PH:
    case SHRLV_PH: return each_half([&](unsigned i) { return uhalf(b, i) >> (a & 15); });
    case SHRA_PH:
    case SHRAV_PH: return each_half([&](unsigned i) { return half(b, i) >> (a & 15); });
    case SHRA_R_PH:
    case SHRAV_R_PH: return each_half([&](unsigned i) { return rounded(half(b, i), a & 15); });
    default: return static_cast<u32>(rounded(static_cast<s32>(b), a & 31));  // SHRA_R.W
  }
}

// Half of a sum or difference, rounded or not.
u32 halved(u64 op, u32 a, u32 b) {
  const bool minus = op & 0x40, round = op & 0x80;
  const auto one = [&](s64 x, s64 y) { return ((minus ? x - y : x + y) + (round ? 1 : 0)) >> 1; };
  if (op < ADDQH_PH) return each_byte([&](unsigned i) { return one(byte_of(a, i), byte_of(b, i)); });
  if (op < ADDQH_W) return each_half([&](unsigned i) { return one(half(a, i), half(b, i)); });
  return static_cast<u32>(one(static_cast<s32>(a), static_cast<s32>(b)));
}

u32 expanded(u64 op, u32 b) {
  const unsigned up = op >= PRECEU_PH_QBL ? 0 : 7;
  switch (op) {
    case PRECEQU_PH_QBL:
    case PRECEU_PH_QBL: return halves(byte_of(b, 3) << up, byte_of(b, 2) << up);
    case PRECEQU_PH_QBR:
    case PRECEU_PH_QBR: return halves(byte_of(b, 1) << up, byte_of(b, 0) << up);
    case PRECEQU_PH_QBLA:
    case PRECEU_PH_QBLA: return halves(byte_of(b, 3) << up, byte_of(b, 1) << up);
    default: return halves(byte_of(b, 2) << up, byte_of(b, 0) << up);
  }
}

u32 without_flags(u64 op, u32 a, u32 b) {
  switch (op) {
    case MODSUB: return a == 0 ? b >> 8 & 0xffff : a - (b & 0xff);
    case RADDU_W_QB: return byte_of(a, 0) + byte_of(a, 1) + byte_of(a, 2) + byte_of(a, 3);
    case PRECRQ_QB_PH: return byte_of(a, 3) << 24 | byte_of(a, 1) << 16 | byte_of(b, 3) << 8 | byte_of(b, 1);
    case PRECR_QB_PH: return byte_of(a, 2) << 24 | byte_of(a, 0) << 16 | byte_of(b, 2) << 8 | byte_of(b, 0);
    case PRECRQ_PH_W: return halves(a >> 16, b >> 16);
    case PACKRL_PH: return halves(a, b >> 16);
    case REPLV_QB: return byte_of(b, 0) * 0x01010101;
    case REPLV_PH: return halves(b, b);
    case PRECEQ_W_PHL: return b & 0xffff0000;
    case PRECEQ_W_PHR: return b << 16;
    case BITREV: return reversed16(b);
    case CMPGU_EQ_QB:
    case CMPGU_LT_QB:
    case CMPGU_LE_QB: {
      u32 r = 0;
      for (unsigned i = 0; i < 4; i++) {
        const u32 x = byte_of(a, i), y = byte_of(b, i);
        r |= u32{op == CMPGU_EQ_QB ? x == y : op == CMPGU_LT_QB ? x < y : x <= y} << i;
      }
      return r;
    }
    default: break;
  }
  switch (op & 0x3f) {
    case 0x12: return expanded(op, b);
    case 0x13: return shifted(op, a, b);
    default: return halved(op, a, b);
  }
}

// --- with flags

s32 saturated(MipsState& s, s64 v, unsigned bits, unsigned flag, bool saturates = true) {
  const s64 largest = (s64{1} << (bits - 1)) - 1;
  if (v >= -largest - 1 && v <= largest) return static_cast<s32>(v);
  dsp_flag(s, flag);
  if (!saturates) return static_cast<s32>(v);
  return static_cast<s32>(v < 0 ? -largest - 1 : largest);
}
u32 unsigned_saturated(MipsState& s, s32 v, s32 largest, bool saturates) {
  if (v >= 0 && v <= largest) return static_cast<u32>(v);
  dsp_flag(s, kDspAdd);
  return static_cast<u32>(!saturates ? v : v < 0 ? 0 : largest);
}

u32 sum(MipsState& s, u64 op, u32 a, u32 b) {
  const bool minus = op & 0x40, saturates = op & 0x100;
  const auto one = [&](s64 x, s64 y) { return minus ? x - y : x + y; };
  const auto small = [&](u32 x, u32 y) { return static_cast<s32>(minus ? x - y : x + y); };
  switch (op & ~u64{0x140}) {
    case ADDU_QB:
      return each_byte(
          [&](unsigned i) { return unsigned_saturated(s, small(byte_of(a, i), byte_of(b, i)), 0xff, saturates); });
    case ADDU_PH:
      return each_half(
          [&](unsigned i) { return unsigned_saturated(s, small(uhalf(a, i), uhalf(b, i)), 0xffff, saturates); });
    case ADDQ_PH:
      return each_half([&](unsigned i) { return saturated(s, one(half(a, i), half(b, i)), 16, kDspAdd, saturates); });
    default:  // ADDQ_S.W, SUBQ_S.W
      return static_cast<u32>(saturated(s, one(static_cast<s32>(a), static_cast<s32>(b)), 32, kDspAdd));
  }
}

s32 product16(MipsState& s, s32 x, s32 y, bool round) {  // Q15
  if (x == -0x8000 && y == -0x8000) {
    dsp_flag(s, kDspMultiply);
    return 0x7fff;
  }
  return (x * y * 2 + (round ? 0x8000 : 0)) >> 16;
}
s32 product32(MipsState& s, u32 a, u32 b, bool round) {  // Q31
  const s64 x = static_cast<s32>(a), y = static_cast<s32>(b);
  if (a == 0x80000000 && b == 0x80000000) {
    dsp_flag(s, kDspMultiply);
    return 0x7fffffff;
  }
  return static_cast<s32>((x * y * 2 + (round ? s64{1} << 31 : 0)) >> 32);
}
s32 product_wide(MipsState& s, s32 x, s32 y) {  // Q15 to Q31
  if (x != -0x8000 || y != -0x8000) return x * y * 2;
  dsp_flag(s, kDspMultiply);
  return 0x7fffffff;
}
u32 product_unsigned(MipsState& s, u32 x, u32 y) {
  const u32 r = x * y;
  if (r <= 0xffff) return r;
  dsp_flag(s, kDspMultiply);
  return 0xffff;
}

// Shifts to the left: discarded bits that are no copies of the sign (bytes: that are not zero) set the flag.
u32 shifted_left(MipsState& s, u64 op, u32 a, u32 b) {
  const bool saturates = op & 0x100;
  switch (op) {
    case SHLL_QB:
    case SHLLV_QB:
      return each_byte([&](unsigned i) {
        const u32 r = byte_of(b, i) << (a & 7);
        if (r > 0xff) dsp_flag(s, kDspShift);
        return r;
      });
    case SHLL_S_W:
    case SHLLV_S_W: return static_cast<u32>(saturated(s, s64{static_cast<s32>(b)} << (a & 31), 32, kDspShift));
    default:
      return each_half([&](unsigned i) { return saturated(s, s64{half(b, i)} << (a & 15), 16, kDspShift, saturates); });
  }
}

u32 absolute(MipsState& s, u64 op, u32 b) {
  const auto one = [&](s64 v, unsigned bits) { return saturated(s, v < 0 ? -v : v, bits, kDspAdd); };
  if (op == ABSQ_S_QB) return each_byte([&](unsigned i) { return one(static_cast<s8>(byte_of(b, i)), 8); });
  if (op == ABSQ_S_PH) return each_half([&](unsigned i) { return one(half(b, i), 16); });
  return static_cast<u32>(one(static_cast<s32>(b), 32));
}

u32 reduced_byte(MipsState& s, s32 v) {  // PRECRQU_S.QB.PH
  if (v >= 0 && v <= 0x7f80) return static_cast<u32>(v) >> 7;
  dsp_flag(s, kDspShift);
  return v < 0 ? 0 : 0xff;
}
s32 reduced_half(MipsState& s, u32 v) {  // PRECRQ_RS.PH.W
  return static_cast<s32>(saturated(s, s64{static_cast<s32>(v)} + 0x8000, 32, kDspShift)) >> 16;
}

u32 compared(MipsState& s, u64 op, u32 a, u32 b) {
  const bool bytes = op < CMP_EQ_PH || op >= CMPGDU_EQ_QB;
  const unsigned which = op >> 6 & 3;  // EQ LT LE
  u32 r = 0;
  for (unsigned i = 0; i < (bytes ? 4u : 2u); i++) {
    const s32 x = bytes ? static_cast<s32>(byte_of(a, i)) : half(a, i);
    const s32 y = bytes ? static_cast<s32>(byte_of(b, i)) : half(b, i);
    r |= u32{which == 0 ? x == y : which == 1 ? x < y : x <= y} << i;
  }
  const u32 mask = (bytes ? 15u : 3u) << kDspCcond;
  s.dsp_control = (s.dsp_control & ~mask) | r << kDspCcond;
  return r;
}

u32 picked(const MipsState& s, u64 op, u32 a, u32 b) {
  const auto from_a = [&](unsigned i) { return s.dsp_control >> (kDspCcond + i) & 1; };
  if (op == PICK_PH) return each_half([&](unsigned i) { return uhalf(from_a(i) ? a : b, i); });
  return each_byte([&](unsigned i) { return byte_of(from_a(i) ? a : b, i); });
}

u32 with_carry(MipsState& s, u64 op, u32 a, u32 b) {
  if (op == ADDWC) {
    const s64 r = s64{static_cast<s32>(a)} + static_cast<s32>(b) + (s.dsp_control & DSP_C ? 1 : 0);
    return static_cast<u32>(saturated(s, r, 32, kDspAdd, false));
  }
  const u64 r = u64{a} + b;
  s.dsp_control = (s.dsp_control & ~u32{DSP_C}) | (r >> 32 ? u32{DSP_C} : 0);
  return static_cast<u32>(r);
}

// The low bits of a, as many as scount says, put into b at pos.
u32 inserted(const MipsState& s, u32 a, u32 b) {
  const unsigned at = s.dsp_control & 31, size = s.dsp_control >> 7 & 63;
  if (size == 0 || at + size > 33) return b;  // beyond 32: UNPREDICTABLE
  const u32 mask = static_cast<u32>(((u64{1} << size) - 1) << at);
  return (b & ~mask) | (a << at & mask);
}

u32 products(MipsState& s, u64 op, u32 a, u32 b) {
  switch (op) {
    case MULEU_S_PH_QBL:
      return halves(product_unsigned(s, byte_of(a, 3), uhalf(b, 1)), product_unsigned(s, byte_of(a, 2), uhalf(b, 0)));
    case MULEU_S_PH_QBR:
      return halves(product_unsigned(s, byte_of(a, 1), uhalf(b, 1)), product_unsigned(s, byte_of(a, 0), uhalf(b, 0)));
    case MULEQ_S_W_PHL: return static_cast<u32>(product_wide(s, half(a, 1), half(b, 1)));
    case MULEQ_S_W_PHR: return static_cast<u32>(product_wide(s, half(a, 0), half(b, 0)));
    case MULQ_S_PH:
    case MULQ_RS_PH:
      return each_half([&](unsigned i) { return product16(s, half(a, i), half(b, i), op == MULQ_RS_PH); });
    case MUL_PH:
    case MUL_S_PH:
      return each_half(
          [&](unsigned i) { return saturated(s, s64{half(a, i)} * half(b, i), 16, kDspMultiply, op == MUL_S_PH); });
    default: return static_cast<u32>(product32(s, a, b, op == MULQ_RS_W));
  }
}

u32 with_flags(MipsState& s, u64 op, u32 a, u32 b) {
  switch (op) {
    case INSV: return inserted(s, a, b);
    case ADDSC:
    case ADDWC: return with_carry(s, op, a, b);
    case MULEU_S_PH_QBL:
    case MULEU_S_PH_QBR:
    case MULEQ_S_W_PHL:
    case MULEQ_S_W_PHR:
    case MULQ_S_PH:
    case MULQ_RS_PH: return products(s, op, a, b);
    case PICK_QB:
    case PICK_PH: return picked(s, op, a, b);
    case PRECRQU_S_QB_PH:
      return reduced_byte(s, half(a, 1)) << 24 | reduced_byte(s, half(a, 0)) << 16 | reduced_byte(s, half(b, 1)) << 8 |
             reduced_byte(s, half(b, 0));
    case PRECRQ_RS_PH_W: return halves(static_cast<u32>(reduced_half(s, a)), static_cast<u32>(reduced_half(s, b)));
    default: break;
  }
  switch (op & 0x3f) {
    case 0x10: return sum(s, op, a, b);
    case 0x11: return compared(s, op, a, b);
    case 0x12: return absolute(s, op, b);
    case 0x13: return shifted_left(s, op, a, b);
    default: return products(s, op, a, b);
  }
}

}  // namespace

bool dsp_is_pure(u64 op) {
  switch (op & 0x3f) {
    case 0x10: return op == MODSUB || op == RADDU_W_QB;
    case 0x11:
      return (op >= CMPGU_EQ_QB && op <= CMPGU_LE_QB) || op == PRECRQ_QB_PH || op == PRECR_QB_PH || op == PACKRL_PH ||
             op == PRECRQ_PH_W;
    case 0x12: return op != ABSQ_S_QB && op != ABSQ_S_PH && op != ABSQ_S_W;
    case 0x13: return (op & 0x40) || (op >= SHRA_QB && op <= SHRAV_R_QB);
    case 0x18: return op != MUL_PH && op != MUL_S_PH && op != MULQ_S_W && op != MULQ_RS_W;
    default: return false;
  }
}

u64 helper_dsp_pure(MipsState*, u64 op, u64 a, u64 b) {
  return without_flags(op, static_cast<u32>(a), static_cast<u32>(b));
}
u64 helper_dsp(MipsState* s, u64 op, u64 a, u64 b) {
  return with_flags(*s, op, static_cast<u32>(a), static_cast<u32>(b));
}

}  // namespace doppel::mips
