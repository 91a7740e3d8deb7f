// Helpers of SSE instructions without an IR op: MPSADBW, PHMINPOSUW, PCMPxSTRx (SDM vol. 2, 4.1), MASKMOVDQU. Operands
// and result are in the state's vector temporaries (helpers/simd.def).
#include <cstdlib>

#include "guest/x86/helpers/table.h"
#include "mem/guest_access.h"

namespace doppel::x86 {
namespace {

// Elements of a PCMPxSTRx operand as 32-bit integers, sign- or zero-extended, with the number of valid ones.
struct StringOperand {
  s32 element[16];
  unsigned valid;
};
StringOperand string_operand(const Xmm& v, unsigned imm, bool explicit_length, s64 length) {
  StringOperand s;
  const bool words = imm & 1, is_signed = imm & 2;
  const unsigned n = words ? 8 : 16;
  s.valid = n;
  for (unsigned i = 0; i < n; ++i) {
    if (words)
      s.element[i] = is_signed ? static_cast<s32>(static_cast<s16>(v.h[i])) : static_cast<s32>(v.h[i]);
    else
      s.element[i] = is_signed ? static_cast<s32>(static_cast<s8>(v.b[i])) : static_cast<s32>(v.b[i]);
    if (!explicit_length && s.element[i] == 0 && s.valid == n) s.valid = i;
  }
  if (explicit_length) {
    const u64 magnitude = length < 0 ? u64{0} - static_cast<u64>(length) : static_cast<u64>(length);
    s.valid = magnitude < n ? static_cast<unsigned>(magnitude) : n;
  }
  return s;
}

// IntRes1 by the aggregation operation imm[3:2], with the override rules for invalid elements (table 4-7).
u32 aggregate(const StringOperand& a, const StringOperand& b, unsigned mode, unsigned n) {
  u32 result = 0;
  for (unsigned j = 0; j < n; ++j) {
    bool hit = false;
    switch (mode) {
      case 0:  // equal any
        for (unsigned i = 0; i < a.valid && j < b.valid; ++i) hit |= a.element[i] == b.element[j];
        break;
      case 1:  // ranges
        for (unsigned i = 0; i + 1 < a.valid && j < b.valid; i += 2)
          hit |= a.element[i] <= b.element[j] && b.element[j] <= a.element[i + 1];
        break;
      case 2:  // equal each
        hit = j < a.valid && j < b.valid ? a.element[j] == b.element[j] : j >= a.valid && j >= b.valid;
        break;
      default:  // equal ordered: the rest of the first operand beyond its end matches anything
        hit = true;
        for (unsigned i = 0; i + j < n && i < a.valid; ++i) hit &= i + j < b.valid && a.element[i] == b.element[i + j];
        break;
    }
    result |= u32{hit} << j;
  }
  return result;
}

}  // namespace

u64 helper_pcmpstr(X86State* s, u64 control, u64 length1, u64 length2) {
  const unsigned imm = control & 0xff;
  const bool explicit_length = control & 0x100;
  const unsigned n = imm & 1 ? 8 : 16;
  const StringOperand a = string_operand(s->vtemp[0], imm, explicit_length, static_cast<s64>(length1));
  const StringOperand b = string_operand(s->vtemp[1], imm, explicit_length, static_cast<s64>(length2));
  const u32 all = (1u << n) - 1;
  u32 result = aggregate(a, b, (imm >> 2) & 3, n);
  if (imm & 0x10) result ^= imm & 0x20 ? (1u << b.valid) - 1 : all;

  Xmm mask = {};
  if (imm & 0x40) {
    for (unsigned i = 0; i < n; ++i) {
      if (!((result >> i) & 1)) continue;
      if (n == 8)
        mask.h[i] = 0xffff;
      else
        mask.b[i] = 0xff;
    }
  } else {
    mask.d[0] = result;
  }
  s->vtemp[0] = mask;
  unsigned index = n;
  if (result != 0) index = static_cast<unsigned>(imm & 0x40 ? 31 - std::countl_zero(result) : std::countr_zero(result));
  u32 flags = 0;
  if (result != 0) flags |= CF;
  if (b.valid < n) flags |= ZF;
  if (a.valid < n) flags |= SF;
  if (result & 1) flags |= OF;
  return flags | u64{index} << 16;
}

u64 helper_x87_changed(X86State*) { return 0; }

u64 helper_phminposuw(X86State* s) {
  const Xmm& src = s->vtemp[1];
  unsigned best = 0;
  for (unsigned i = 1; i < 8; ++i)
    if (src.h[i] < src.h[best]) best = i;
  Xmm r = {};
  r.h[0] = src.h[best];
  r.h[1] = static_cast<u16>(best);
  s->vtemp[0] = r;
  return 0;
}

u64 helper_mpsadbw(X86State* s, u64 imm) {
  const u8* a = s->vtemp[0].b + ((imm >> 2) & 1) * 4;
  const u8* b = s->vtemp[1].b + (imm & 3) * 4;
  Xmm r;
  for (unsigned i = 0; i < 8; ++i) {
    int sum = 0;
    for (unsigned k = 0; k < 4; ++k) sum += std::abs(int{a[i + k]} - int{b[k]});
    r.h[i] = static_cast<u16>(sum);
  }
  s->vtemp[0] = r;
  return 0;
}

u64 helper_maskmov(X86State* s, u64 address, u64 bytes) {
  const Xmm data = s->vtemp[0], mask = s->vtemp[1];
  const bool wide = s->mode_cache & kModeCs64;
  const auto at = [&](unsigned i) { return wide ? address + i : static_cast<u32>(address + i); };
  for (unsigned i = 0; i < bytes; ++i)
    if (mask.b[i] & 0x80) mem::probe(s->h, at(i), 1, mem::Access::Write, s->h.mmu_mode);
  for (unsigned i = 0; i < bytes; ++i)
    if (mask.b[i] & 0x80) mem::store<u8>(s->h, at(i), data.b[i]);
  return 0;
}

}  // namespace doppel::x86
