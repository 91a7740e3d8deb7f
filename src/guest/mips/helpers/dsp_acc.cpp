// The DSP module's accumulators (MD00374, chapter 6): 64 bits in HI and LO of each; sums of products, extraction.
#include "guest/mips/helpers/dsp.h"

namespace doppel::mips {
namespace {

s64 accumulator(const MipsState& s, unsigned ac) {
  const u64 hi = ac == 0 ? s.hi : s.acc_hi[ac - 1], lo = ac == 0 ? s.lo : s.acc_lo[ac - 1];
  return static_cast<s64>(hi << 32 | static_cast<u32>(lo));
}
void set_accumulator(MipsState& s, unsigned ac, u64 v) {
  (ac == 0 ? s.hi : s.acc_hi[ac - 1]) = v >> 32;
  (ac == 0 ? s.lo : s.acc_lo[ac - 1]) = static_cast<u32>(v);
}
void overflow(MipsState& s, unsigned ac) { dsp_flag(s, 16 + ac); }

s64 q31_of_q15(MipsState& s, unsigned ac, s32 x, s32 y) {
  if (x != -0x8000 || y != -0x8000) return x * y * 2;
  overflow(s, ac);
  return 0x7fffffff;
}
s64 q63_of_q31(MipsState& s, unsigned ac, u32 x, u32 y) {
  if (x != 0x80000000 || y != 0x80000000) return s64{static_cast<s32>(x)} * static_cast<s32>(y) * 2;
  overflow(s, ac);
  return 0x7fffffffffffffff;
}

// Sums that saturate at 64 and at 32 bits.
s64 sum_saturated64(MipsState& s, unsigned ac, s64 a, s64 b, bool minus) {
  s64 r;
  if (!(minus ? __builtin_sub_overflow(a, b, &r) : __builtin_add_overflow(a, b, &r))) return r;
  overflow(s, ac);
  return a < 0 ? static_cast<s64>(u64{1} << 63) : 0x7fffffffffffffff;
}
s64 saturated32(MipsState& s, unsigned ac, s64 v) {
  if (v == static_cast<s32>(v)) return v;
  overflow(s, ac);
  return v < 0 ? -s64{0x80000000} : 0x7fffffff;
}
// Of the low 33 bits.
s64 saturated33(MipsState& s, unsigned ac, u64 v) {
  if ((v >> 32 & 1) == (v >> 31 & 1)) return static_cast<s32>(v);
  overflow(s, ac);
  return v >> 32 & 1 ? -s64{0x80000000} : 0x7fffffff;
}

// What an operation adds to its accumulator (or takes from it).
s64 dot_product(MipsState& s, u64 op, unsigned ac, u32 a, u32 b) {
  const s32 ah = half(a, 1), al = half(a, 0), bh = half(b, 1), bl = half(b, 0);
  const auto bytes = [&](unsigned i) { return s64{byte_of(a, i)} * byte_of(b, i); };
  switch (op) {
    case DPA_W_PH:
    case DPS_W_PH: return s64{ah} * bh + s64{al} * bl;
    case DPAX_W_PH:
    case DPSX_W_PH: return s64{ah} * bl + s64{al} * bh;
    case MULSA_W_PH: return s64{ah} * bh - s64{al} * bl;
    case DPAU_H_QBL:
    case DPSU_H_QBL: return bytes(3) + bytes(2);
    case DPAU_H_QBR:
    case DPSU_H_QBR: return bytes(1) + bytes(0);
    case DPAQ_S_W_PH:
    case DPSQ_S_W_PH: return q31_of_q15(s, ac, ah, bh) + q31_of_q15(s, ac, al, bl);
    case MULSAQ_S_W_PH: return q31_of_q15(s, ac, ah, bh) - q31_of_q15(s, ac, al, bl);
    case DPAQ_SA_L_W:
    case DPSQ_SA_L_W: return q63_of_q31(s, ac, a, b);
    case MAQ_S_W_PHL:
    case MAQ_SA_W_PHL: return q31_of_q15(s, ac, ah, bh);
    case MAQ_S_W_PHR:
    case MAQ_SA_W_PHR: return q31_of_q15(s, ac, al, bl);
    default: return q31_of_q15(s, ac, ah, bl) + q31_of_q15(s, ac, al, bh);  // DPAQX, DPSQX
  }
}

bool subtracts(u64 op) {
  switch (op) {
    case DPS_W_PH:
    case DPSX_W_PH:
    case DPSU_H_QBL:
    case DPSU_H_QBR:
    case DPSQ_S_W_PH:
    case DPSQ_SA_L_W:
    case DPSQX_S_W_PH:
    case DPSQX_SA_W_PH: return true;
    default: return false;
  }
}

void shift_accumulator(MipsState& s, unsigned ac, u32 amount) {  // six bits, signed
  const u64 v = static_cast<u64>(accumulator(s, ac));
  const int n = static_cast<s8>(amount << 2) >> 2;
  set_accumulator(s, ac, n >= 0 ? v >> n : v << -n);
}

void move_low_up(MipsState& s, unsigned ac, u32 low) {  // MTHLIP
  set_accumulator(s, ac, static_cast<u64>(accumulator(s, ac)) << 32 | low);
  const u32 pos = s.dsp_control & 63;
  if (pos <= 32) s.dsp_control = (s.dsp_control & ~u32{63}) | ((pos + 32) & 63);
}

// --- extraction

// EXTR.W, EXTR_R.W, EXTR_RS.W: 32 bits from `shift` on; one bit below them is kept for rounding.
u32 extracted_word(MipsState& s, u64 op, unsigned ac, u32 shift) {
  s128 v = (static_cast<s128>(accumulator(s, ac)) << 1) >> (shift & 31);
  const auto fits = [](s128 x) { return x >> 32 == 0 || x >> 32 == -1; };
  const bool before = fits(v);
  const u32 truncated = static_cast<u32>(static_cast<u64>(v) >> 1);
  v += 1;
  if (!before || !fits(v)) dsp_flag(s, kDspExtract);
  if (op == EXTR_W || op == EXTRV_W) return truncated;
  if ((op == EXTR_RS_W || op == EXTRV_RS_W) && !fits(v)) return v < 0 ? 0x80000000 : 0x7fffffff;
  return static_cast<u32>(static_cast<u64>(v) >> 1);
}

u32 extracted_half(MipsState& s, unsigned ac, u32 shift) {  // EXTR_S.H
  const s64 v = accumulator(s, ac) >> (shift & 31);
  if (v == static_cast<s16>(v)) return static_cast<u32>(v);
  dsp_flag(s, kDspExtract);
  return v < 0 ? 0xffff8000 : 0x7fff;
}

// EXTP, EXTPDP: size + 1 bits whose uppermost is at pos.
u32 extracted_bits(MipsState& s, unsigned ac, u32 size, bool decrements) {
  const u32 pos = s.dsp_control & 63;
  size &= 31;
  if (pos < size) {
    s.dsp_control |= DSP_EFI;
    return 0;
  }
  s.dsp_control &= ~u32{DSP_EFI};
  if (decrements) s.dsp_control = (s.dsp_control & ~u32{63}) | ((pos - size - 1) & 63);
  return static_cast<u32>(static_cast<u64>(accumulator(s, ac)) >> (pos - size) & ((u64{2} << size) - 1));
}

}  // namespace

u64 helper_dsp_accumulate(MipsState* s, u64 what, u64 a, u64 b) {
  const u64 op = what & 0xffff;
  const unsigned ac = what >> 16 & 3;
  const u32 x = static_cast<u32>(a), y = static_cast<u32>(b);
  if (op == SHILO || op == SHILOV) {
    shift_accumulator(*s, ac, x);
    return 0;
  }
  if (op == MTHLIP) {
    move_low_up(*s, ac, x);
    return 0;
  }
  const s64 old = accumulator(*s, ac), product = dot_product(*s, op, ac, x, y);
  const bool minus = subtracts(op);
  const u64 sum =
      minus ? static_cast<u64>(old) - static_cast<u64>(product) : static_cast<u64>(old) + static_cast<u64>(product);
  s64 r = static_cast<s64>(sum);
  if (op == DPAQ_SA_L_W || op == DPSQ_SA_L_W)
    r = sum_saturated64(*s, ac, old, product, minus);
  else if (op == DPAQX_SA_W_PH || op == DPSQX_SA_W_PH)
    r = saturated32(*s, ac, r);
  else if (op == MAQ_SA_W_PHL || op == MAQ_SA_W_PHR)
    r = saturated33(*s, ac, sum);
  set_accumulator(*s, ac, static_cast<u64>(r));
  return 0;
}

u64 helper_dsp_extract(MipsState* s, u64 what, u64 a) {
  const u64 op = what & 0xffff;
  const unsigned ac = what >> 16 & 3;
  const u32 n = static_cast<u32>(a);
  switch (op) {
    case EXTP:
    case EXTPV: return extracted_bits(*s, ac, n, false);
    case EXTPDP:
    case EXTPDPV: return extracted_bits(*s, ac, n, true);
    case EXTR_S_H:
    case EXTRV_S_H: return extracted_half(*s, ac, n);
    default: return extracted_word(*s, op, ac, n);
  }
}

}  // namespace doppel::mips
