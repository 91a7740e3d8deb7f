// C++ for vector and integer ops that an older host has no instruction for (SSSE3, SSE4.1, SSE4.2, POPCNT), and for
// shift flags where the host's differ from ops.def. Operands are in the frame at entry_sp (FallbackArea). No memory
// access, no faults.
#include <xmmintrin.h>

#include <algorithm>
#include <bit>

#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {
namespace {

using ir::Lane;

struct Call {
  FallbackArea* area;
  Type type;
  u8 sub;
  u32 aux;
  u64 imm;
  explicit Call(mem::VcpuHeader* cpu)
      : area(reinterpret_cast<FallbackArea*>(cpu->entry_sp + kAreaOffset)) {  // SAFETY: the running region's frame
    const u64 detail = area->r.q[0];
    type = static_cast<Type>(detail & 0xff);
    sub = (detail >> 8) & 0xff;
    aux = static_cast<u32>(detail >> 32);
    imm = area->r.q[1];
  }
};

unsigned lane_bytes(u8 sub) { return sub <= 3 ? 1u << sub : (sub & 1) ? 8u : 4u; }

s64 get(const u8* p, unsigned bytes, unsigned lane, bool is_signed) {
  u64 v = 0;
  std::memcpy(&v, p + lane * bytes, bytes);
  return static_cast<s64>(is_signed ? sign_extend(v, bytes * 8) : v);
}
void put(u8* p, unsigned bytes, unsigned lane, s64 v) { std::memcpy(p + lane * bytes, &v, bytes); }

// result lane = f(a lane, b lane)
template <bool kSigned, typename F>
u64 lanes(mem::VcpuHeader* cpu, F f) {
  const Call x(cpu);
  const unsigned n = lane_bytes(x.sub);
  FallbackArea& m = *x.area;
  for (unsigned i = 0; i < 16 / n; i++) put(m.r.b, n, i, f(get(m.a.b, n, i, kSigned), get(m.b2.b, n, i, kSigned)));
  return 0;
}

s64 saturate16(s64 v) { return std::clamp<s64>(v, -32768, 32767); }

u64 vmullo(mem::VcpuHeader* c) {
  return lanes<true>(c, [](s64 a, s64 b) { return a * b; });
}
u64 vmins(mem::VcpuHeader* c) {
  return lanes<true>(c, [](s64 a, s64 b) { return std::min(a, b); });
}
u64 vmaxs(mem::VcpuHeader* c) {
  return lanes<true>(c, [](s64 a, s64 b) { return std::max(a, b); });
}
u64 vminu(mem::VcpuHeader* c) {
  return lanes<false>(c, [](s64 a, s64 b) { return std::min(a, b); });
}
u64 vmaxu(mem::VcpuHeader* c) {
  return lanes<false>(c, [](s64 a, s64 b) { return std::max(a, b); });
}
u64 vcmpeq(mem::VcpuHeader* c) {
  return lanes<true>(c, [](s64 a, s64 b) { return a == b ? s64{-1} : 0; });
}
u64 vcmpgt(mem::VcpuHeader* c) {
  return lanes<true>(c, [](s64 a, s64 b) { return a > b ? s64{-1} : 0; });
}
u64 vabs(mem::VcpuHeader* c) {
  return lanes<true>(c, [](s64 a, s64) { return a < 0 ? -a : a; });
}
u64 vsign(mem::VcpuHeader* c) {
  return lanes<true>(c, [](s64 a, s64 b) { return b < 0 ? -a : b == 0 ? 0 : a; });
}

u64 vmulhrs(mem::VcpuHeader* c) {
  FallbackArea& m = *Call(c).area;
  for (unsigned i = 0; i < 8; i++)
    put(m.r.b, 2, i, (((get(m.a.b, 2, i, true) * get(m.b2.b, 2, i, true)) >> 14) + 1) >> 1);
  return 0;
}
u64 vmuldq(mem::VcpuHeader* c) {
  FallbackArea& m = *Call(c).area;
  for (unsigned i = 0; i < 2; i++) put(m.r.b, 8, i, get(m.a.b, 4, 2 * i, true) * get(m.b2.b, 4, 2 * i, true));
  return 0;
}
u64 vmaddubsw(mem::VcpuHeader* c) {
  FallbackArea& m = *Call(c).area;
  for (unsigned i = 0; i < 8; i++) {
    const s64 lo = get(m.a.b, 1, 2 * i, false) * get(m.b2.b, 1, 2 * i, true);
    const s64 hi = get(m.a.b, 1, 2 * i + 1, false) * get(m.b2.b, 1, 2 * i + 1, true);
    put(m.r.b, 2, i, saturate16(lo + hi));
  }
  return 0;
}
u64 vpackus(mem::VcpuHeader* c) {
  FallbackArea& m = *Call(c).area;
  for (unsigned i = 0; i < 4; i++) {
    put(m.r.b, 2, i, std::clamp<s64>(get(m.a.b, 4, i, true), 0, 65535));
    put(m.r.b, 2, i + 4, std::clamp<s64>(get(m.b2.b, 4, i, true), 0, 65535));
  }
  return 0;
}
u64 vshuf_b(mem::VcpuHeader* c) {
  FallbackArea& m = *Call(c).area;
  for (unsigned i = 0; i < 16; i++) m.r.b[i] = (m.b2.b[i] & 0x80) ? 0 : m.a.b[m.b2.b[i] & 15];
  return 0;
}
u64 valign(mem::VcpuHeader* c) {
  const Call x(c);
  FallbackArea& m = *x.area;
  for (unsigned i = 0; i < 16; i++) {
    const u64 from = x.imm + i;
    m.r.b[i] = from < 16 ? m.b2.b[from] : from < 32 ? m.a.b[from - 16] : 0;
  }
  return 0;
}
u64 vblendv(mem::VcpuHeader* c) {
  const Call x(c);
  FallbackArea& m = *x.area;
  const unsigned n = lane_bytes(x.sub);
  for (unsigned i = 0; i < 16 / n; i++) put(m.r.b, n, i, get(get(m.c.b, n, i, true) < 0 ? m.b2.b : m.a.b, n, i, true));
  return 0;
}
u64 vblendi(mem::VcpuHeader* c) {
  const Call x(c);
  FallbackArea& m = *x.area;
  const unsigned n = lane_bytes(x.sub);
  for (unsigned i = 0; i < 16 / n; i++) put(m.r.b, n, i, get((x.imm >> i) & 1 ? m.b2.b : m.a.b, n, i, true));
  return 0;
}
template <bool kSubtract, bool kSaturate>
u64 horizontal(mem::VcpuHeader* c) {
  const Call x(c);
  FallbackArea& m = *x.area;
  const unsigned n = kSaturate ? 2 : lane_bytes(x.sub), half = 8 / n;
  for (unsigned i = 0; i < 2 * half; i++) {
    const u8* from = i < half ? m.a.b : m.b2.b;
    const unsigned k = 2 * (i % half);
    const s64 p = get(from, n, k, true), q = get(from, n, k + 1, true), v = kSubtract ? p - q : p + q;
    put(m.r.b, n, i, kSaturate ? saturate16(v) : v);
  }
  return 0;
}
template <bool kSigned>
u64 extend(mem::VcpuHeader* c) {
  const Call x(c);
  FallbackArea& m = *x.area;
  const unsigned from = lane_bytes(x.sub), to = static_cast<unsigned>(x.imm / 8);
  for (unsigned i = 0; i < 16 / to; i++) put(m.r.b, to, i, get(m.a.b, from, i, kSigned));
  return 0;
}
u64 vptest(mem::VcpuHeader* c) {
  const FallbackArea& m = *Call(c).area;
  const bool zero = ((m.a.q[0] & m.b2.q[0]) | (m.a.q[1] & m.b2.q[1])) == 0;
  const bool carry = ((~m.a.q[0] & m.b2.q[0]) | (~m.a.q[1] & m.b2.q[1])) == 0;
  return ir::kFlagOne | (zero ? ir::kFlagZ : 0) | (carry ? ir::kFlagC : 0);
}

// ROUNDPS and friends on bit patterns (SDM vol. 2, ROUNDPD): imm bits 0-1 mode, 2 mode from MXCSR, 3 no inexact. DAZ as
// MXCSR says.
template <typename U, unsigned kFraction>
U round_one(U v, unsigned mode, bool quiet, u32 mxcsr, u32& raised) {
  constexpr unsigned kBits = sizeof(U) * 8;
  constexpr int kBias = (1 << (kBits - kFraction - 2)) - 1;
  constexpr U kSign = U{1} << (kBits - 1), kFractionMask = (U{1} << kFraction) - 1;
  const U sign = v & kSign, exponent_bits = (v & ~kSign) >> kFraction;
  const int exponent = static_cast<int>(exponent_bits) - kBias;
  if (exponent == kBias + 1) {
    if ((v & kFractionMask) != 0 && !(v & (U{1} << (kFraction - 1)))) {
      raised |= 1;
      v |= U{1} << (kFraction - 1);
    }
    return v;
  }
  if (exponent_bits == 0 && (mxcsr & 0x40)) v = sign;
  if ((v & ~kSign) == 0 || exponent >= static_cast<int>(kFraction)) return v;
  if (!quiet) raised |= 32;
  U whole = 0, rest;  // magnitude: integer part, and the fraction as a comparison with one half
  bool half_or_more, more_than_half;
  const U significand = (v & kFractionMask) | (exponent_bits ? U{1} << kFraction : 0);
  if (exponent < 0) {
    rest = significand;
    half_or_more = exponent == -1;
    more_than_half = exponent == -1 && (v & kFractionMask) != 0;
  } else {
    const unsigned shift = kFraction - static_cast<unsigned>(exponent);
    whole = significand >> shift;
    rest = significand & ((U{1} << shift) - 1);
    half_or_more = rest >= U{1} << (shift - 1);
    more_than_half = rest > U{1} << (shift - 1);
  }
  if (rest == 0) {
    raised = quiet ? raised : raised & ~32u;
    return v;
  }
  const bool up = mode == 0   ? more_than_half || (half_or_more && (whole & 1))
                  : mode == 1 ? sign != 0
                  : mode == 2 ? sign == 0
                              : false;
  whole += up;
  if (whole == 0) return sign;
  const unsigned top = kBits - 1 - static_cast<unsigned>(std::countl_zero(whole));
  return sign | (static_cast<U>(top + kBias) << kFraction) | ((whole << (kFraction - top)) & kFractionMask);
}

u64 vfround(mem::VcpuHeader* c) {
  const Call x(c);
  FallbackArea& m = *x.area;
  const u32 mxcsr = _mm_getcsr();
  const unsigned mode = (x.imm & 4) ? (mxcsr >> 13) & 3 : x.imm & 3;
  const bool quiet = (x.imm & 8) != 0, scalar = x.sub >= 6;
  u32 raised = 0;
  u8 out[16];
  std::memcpy(out, scalar ? m.a.b : m.b2.b, 16);
  const unsigned n = lane_bytes(x.sub);
  for (unsigned i = 0; i < (scalar ? 1 : 16 / n); i++) {
    u32 one = 0;
    const u64 v = static_cast<u64>(get(m.b2.b, n, i, false));
    put(out, n, i,
        n == 4 ? static_cast<s64>(round_one<u32, 23>(static_cast<u32>(v), mode, quiet, mxcsr, one))
               : static_cast<s64>(round_one<u64, 52>(v, mode, quiet, mxcsr, one)));
    raised |= one;
  }
  std::memcpy(m.r.b, out, 16);
  if (raised & ~mxcsr) _mm_setcsr(mxcsr | raised);
  return 0;
}

u64 popcnt(mem::VcpuHeader* c) {
  const Call x(c);
  return static_cast<u64>(std::popcount(x.area->a.q[0] & mask_bits(ir::type_bits(x.type))));
}

template <int kKind>
u64 shift_flags(mem::VcpuHeader* c) {
  const Call x(c);
  const unsigned bits = ir::type_bits(x.type);
  const unsigned n = static_cast<unsigned>(x.area->b2.q[0] & (bits == 64 ? 63 : 31));
  if (n == 0) return x.area->c.q[0] & 0xffff;
  const u64 mask = mask_bits(bits), a = x.area->a.q[0] & mask;
  const bool sign = (a >> (bits - 1)) & 1;
  u64 r;
  bool carry, over = false;
  if (kKind == 0) {
    r = n >= bits ? 0 : (a << n) & mask;
    carry = n <= bits && ((a >> (bits - n)) & 1);
    over = carry != (((r >> (bits - 1)) & 1) != 0);
  } else if (kKind == 1) {
    r = n >= bits ? 0 : a >> n;
    carry = n <= bits && ((a >> (n - 1)) & 1);
    over = n == 1 && sign;
  } else {
    r = static_cast<u64>(static_cast<s64>(sign_extend(a, bits)) >> std::min(n, 63u)) & mask;
    carry = n >= bits ? sign : ((a >> (n - 1)) & 1) != 0;
  }
  u32 e =
      (carry ? 1u : 0u) | (over ? 1u << 11 : 0u) | (r == 0 ? 1u << 6 : 0u) | (((r >> (bits - 1)) & 1) ? 1u << 7 : 0u);
  if (std::popcount(static_cast<u8>(r)) % 2 == 0) e |= 4;
  return ir::eflags_to_flags(e);
}

}  // namespace

FallbackFn fallback_function(Opcode code) {
  switch (code) {
    case Opcode::vmullo: return vmullo;
    case Opcode::vmins: return vmins;
    case Opcode::vmaxs: return vmaxs;
    case Opcode::vminu: return vminu;
    case Opcode::vmaxu: return vmaxu;
    case Opcode::vcmpeq: return vcmpeq;
    case Opcode::vcmpgt: return vcmpgt;
    case Opcode::vabs: return vabs;
    case Opcode::vsign: return vsign;
    case Opcode::vmulhrs: return vmulhrs;
    case Opcode::vmuldq: return vmuldq;
    case Opcode::vmaddubsw: return vmaddubsw;
    case Opcode::vpackus: return vpackus;
    case Opcode::vshuf_b: return vshuf_b;
    case Opcode::valign: return valign;
    case Opcode::vblendv: return vblendv;
    case Opcode::vblendi: return vblendi;
    case Opcode::vhadd: return horizontal<false, false>;
    case Opcode::vhsub: return horizontal<true, false>;
    case Opcode::vhadds: return horizontal<false, true>;
    case Opcode::vhsubs: return horizontal<true, true>;
    case Opcode::vzext: return extend<false>;
    case Opcode::vsext: return extend<true>;
    case Opcode::vptest: return vptest;
    case Opcode::vfround: return vfround;
    case Opcode::popcnt: return popcnt;
    case Opcode::flags_shl: return shift_flags<0>;
    case Opcode::flags_shr: return shift_flags<1>;
    case Opcode::flags_sar: return shift_flags<2>;
    default: return nullptr;
  }
}

}  // namespace doppel::backend::x64
