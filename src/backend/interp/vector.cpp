// Integer vector ops, lane by lane. Source: SDM vol. 2, the pages of the SSE to SSE4.1 integer instructions.
// An op's result never shares a slot with its operands (SSA).
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "backend/interp/frame.h"
#include "base/assert.h"
#include "ir/evaluate.h"

namespace doppel::backend::interp {
namespace {

using ir::Lane;
using ir::Op;
using ir::Opcode;

template <typename T>
T* lanes(V128& v) {
  if constexpr (sizeof(T) == 1)
    return reinterpret_cast<T*>(v.b);
  else if constexpr (sizeof(T) == 2)
    return reinterpret_cast<T*>(v.h);
  else if constexpr (sizeof(T) == 4)
    return reinterpret_cast<T*>(v.w);
  else
    return reinterpret_cast<T*>(v.d);
}
template <typename T>
const T* lanes(const V128& v) {
  return lanes<T>(const_cast<V128&>(v));
}
template <typename T>
constexpr unsigned kLanes = 16 / sizeof(T);

template <typename T, typename Fn>
V128 zip(const V128& a, const V128& b, Fn fn) {
  V128 r;
  for (unsigned i = 0; i < kLanes<T>; i++) lanes<T>(r)[i] = static_cast<T>(fn(lanes<T>(a)[i], lanes<T>(b)[i]));
  return r;
}
// `fn` over unsigned or signed lanes of the op's size.
template <typename Fn>
V128 zip_u(u8 lane, const V128& a, const V128& b, Fn fn) {
  switch (static_cast<Lane>(lane)) {
    case Lane::B: return zip<u8>(a, b, fn);
    case Lane::H: return zip<u16>(a, b, fn);
    case Lane::W:
    case Lane::PS:
    case Lane::SS: return zip<u32>(a, b, fn);
    default: return zip<u64>(a, b, fn);
  }
}
template <typename Fn>
V128 zip_s(u8 lane, const V128& a, const V128& b, Fn fn) {
  switch (static_cast<Lane>(lane)) {
    case Lane::B: return zip<s8>(a, b, fn);
    case Lane::H: return zip<s16>(a, b, fn);
    case Lane::W:
    case Lane::PS:
    case Lane::SS: return zip<s32>(a, b, fn);
    default: return zip<s64>(a, b, fn);
  }
}

template <typename To>
To saturate(s64 v) {
  return static_cast<To>(std::clamp<s64>(v, std::numeric_limits<To>::min(), std::numeric_limits<To>::max()));
}
// Saturating arithmetic of two lanes of at most 16 bits.
constexpr auto kAddSaturated = [](auto x, auto y) { return saturate<decltype(x)>(s64{x} + s64{y}); };
constexpr auto kSubSaturated = [](auto x, auto y) { return saturate<decltype(x)>(s64{x} - s64{y}); };

template <typename From, typename To>
V128 pack(const V128& a, const V128& b) {
  V128 r;
  constexpr unsigned n = kLanes<From>;
  for (unsigned i = 0; i < n; i++) {
    lanes<To>(r)[i] = saturate<To>(lanes<From>(a)[i]);
    lanes<To>(r)[n + i] = saturate<To>(lanes<From>(b)[i]);
  }
  return r;
}

template <typename T>
V128 unpack(const V128& a, const V128& b, bool high) {
  V128 r;
  const unsigned from = high ? kLanes<T> / 2 : 0;
  for (unsigned i = 0; i < kLanes<T> / 2; i++) {
    lanes<T>(r)[2 * i] = lanes<T>(a)[from + i];
    lanes<T>(r)[2 * i + 1] = lanes<T>(b)[from + i];
  }
  return r;
}
V128 unpack_op(u8 lane, const V128& a, const V128& b, bool high) {
  switch (static_cast<Lane>(lane)) {
    case Lane::B: return unpack<u8>(a, b, high);
    case Lane::H: return unpack<u16>(a, b, high);
    case Lane::W: return unpack<u32>(a, b, high);
    default: return unpack<u64>(a, b, high);
  }
}

enum class Shift : u8 { Left, Right, Arithmetic };
V128 shift(u8 lane, const V128& a, u64 count, Shift kind) {
  const V128 none{};
  return zip_u(lane, a, none, [&](auto x, auto) -> decltype(x) {
    constexpr unsigned bits = sizeof(x) * 8;
    if (kind == Shift::Arithmetic)
      return static_cast<decltype(x)>(static_cast<s64>(sign_extend(x, bits)) >> std::min<u64>(count, bits - 1));
    if (count >= bits) return 0;
    return static_cast<decltype(x)>(kind == Shift::Left ? u64{x} << count : u64{x} >> count);
  });
}

// Bytes [n, n+16) of the 32 bytes low, high; zero beyond.
V128 window(const V128& low, const V128& high, u64 n) {
  V128 r;
  for (u64 i = 0; i < 16; i++) {
    const u64 at = n + i;
    r.b[i] = at < 16 ? low.b[at] : at < 32 ? high.b[at - 16] : u8{0};
  }
  return r;
}

template <typename T, typename Fn>
V128 horizontal(const V128& a, const V128& b, Fn fn) {
  V128 r;
  constexpr unsigned half = kLanes<T> / 2;
  for (unsigned i = 0; i < half; i++) {
    lanes<T>(r)[i] = static_cast<T>(fn(lanes<T>(a)[2 * i], lanes<T>(a)[2 * i + 1]));
    lanes<T>(r)[half + i] = static_cast<T>(fn(lanes<T>(b)[2 * i], lanes<T>(b)[2 * i + 1]));
  }
  return r;
}

V128 widen(const Op& op, const V128& a, bool sign) {
  const unsigned from = 8u << op.sub, to = static_cast<unsigned>(op.imm);
  V128 r{};
  for (unsigned i = 0; i < 128 / to; i++) {
    u64 v = 0;
    std::memcpy(&v, a.b + i * from / 8, from / 8);
    if (sign) v = sign_extend(v, from);
    std::memcpy(r.b + i * to / 8, &v, to / 8);
  }
  return r;
}

u32 top_bits(const V128& a, unsigned bytes) {
  u32 mask = 0;
  for (unsigned i = 0; i < 16 / bytes; i++) mask |= static_cast<u32>(a.b[i * bytes + bytes - 1] >> 7) << i;
  return mask;
}

V128 multiply(const Op& op, const V128& a, const V128& b) {
  const bool words = op.sub == static_cast<u8>(Lane::H);
  V128 r{};
  switch (op.code) {
    case Opcode::vmullo:
      return words ? zip<u16>(a, b, [](u32 x, u32 y) { return x * y; })
                   : zip<u32>(a, b, [](u32 x, u32 y) { return x * y; });
    case Opcode::vmulhs: return zip<s16>(a, b, [](s32 x, s32 y) { return (x * y) >> 16; });
    case Opcode::vmulhu: return zip<u16>(a, b, [](u32 x, u32 y) { return (x * y) >> 16; });
    case Opcode::vmulhrs: return zip<s16>(a, b, [](s32 x, s32 y) { return (((x * y) >> 14) + 1) >> 1; });
    case Opcode::vmuludq:
      for (unsigned i = 0; i < 2; i++) r.d[i] = u64{a.w[2 * i]} * b.w[2 * i];
      return r;
    case Opcode::vmuldq:
      for (unsigned i = 0; i < 2; i++)
        r.d[i] = static_cast<u64>(s64{static_cast<s32>(a.w[2 * i])} * static_cast<s32>(b.w[2 * i]));
      return r;
    case Opcode::vmaddwd:
      for (unsigned i = 0; i < 4; i++) {
        const auto product = [&](unsigned k) {
          return static_cast<u32>(s32{static_cast<s16>(a.h[k])} * static_cast<s16>(b.h[k]));
        };
        r.w[i] = product(2 * i) + product(2 * i + 1);
      }
      return r;
    case Opcode::vmaddubsw:
      for (unsigned i = 0; i < 8; i++) {
        const auto product = [&](unsigned k) { return s32{a.b[k]} * static_cast<s8>(b.b[k]); };
        r.h[i] = static_cast<u16>(saturate<s16>(product(2 * i) + product(2 * i + 1)));
      }
      return r;
    default:  // vsadbw
      for (unsigned half = 0; half < 2; half++) {
        for (unsigned i = 0; i < 8; i++)
          r.d[half] += static_cast<u64>(std::abs(s32{a.b[half * 8 + i]} - b.b[half * 8 + i]));
      }
      return r;
  }
}

V128 shuffle(const Op& op, const V128& a, const V128& b) {
  const unsigned imm = static_cast<unsigned>(op.imm);
  const auto pick = [imm](unsigned i) { return (imm >> (2 * i)) & 3; };
  V128 r = a;
  switch (op.code) {
    case Opcode::vshuf_b:
      for (unsigned i = 0; i < 16; i++) r.b[i] = b.b[i] & 0x80 ? u8{0} : a.b[b.b[i] & 15];
      break;
    case Opcode::vshuf_w:
      for (unsigned i = 0; i < 4; i++) r.w[i] = a.w[pick(i)];
      break;
    case Opcode::vshuf_hl:
      for (unsigned i = 0; i < 4; i++) r.h[i] = a.h[pick(i)];
      break;
    case Opcode::vshuf_hh:
      for (unsigned i = 0; i < 4; i++) r.h[4 + i] = a.h[4 + pick(i)];
      break;
    case Opcode::vshuf_ps:
      for (unsigned i = 0; i < 4; i++) r.w[i] = (i < 2 ? a : b).w[pick(i)];
      break;
    default:  // vshuf_pd
      r.d[0] = a.d[imm & 1];
      r.d[1] = b.d[(imm >> 1) & 1];
      break;
  }
  return r;
}

V128 blend(const Op& op, const V128& a, const V128& b, const V128* selector) {
  V128 r;
  const unsigned bytes = 1u << op.sub;
  for (unsigned i = 0; i < 16; i++) {
    const unsigned lane = i / bytes;
    const bool from_b = selector ? selector->b[lane * bytes + bytes - 1] >> 7 : (op.imm >> lane) & 1;
    r.b[i] = from_b ? b.b[i] : a.b[i];
  }
  return r;
}

V128 horizontal_op(const Op& op, const V128& a, const V128& b) {
  const bool words = op.sub == static_cast<u8>(Lane::H);
  switch (op.code) {
    case Opcode::vhadd:
      return words ? horizontal<u16>(a, b, [](u32 x, u32 y) { return x + y; })
                   : horizontal<u32>(a, b, [](u32 x, u32 y) { return x + y; });
    case Opcode::vhsub:
      return words ? horizontal<u16>(a, b, [](u32 x, u32 y) { return x - y; })
                   : horizontal<u32>(a, b, [](u32 x, u32 y) { return x - y; });
    case Opcode::vhadds: return horizontal<s16>(a, b, [](s32 x, s32 y) { return saturate<s16>(x + y); });
    default: return horizontal<s16>(a, b, [](s32 x, s32 y) { return saturate<s16>(x - y); });
  }
}

V128 lanewise(const Op& op, const V128& a, const V128& b) {
  switch (op.code) {
    case Opcode::vadd: return zip_u(op.sub, a, b, [](auto x, auto y) { return x + y; });
    case Opcode::vsub: return zip_u(op.sub, a, b, [](auto x, auto y) { return x - y; });
    case Opcode::vadds: return op.sub == 0 ? zip<s8>(a, b, kAddSaturated) : zip<s16>(a, b, kAddSaturated);
    case Opcode::vaddus: return op.sub == 0 ? zip<u8>(a, b, kAddSaturated) : zip<u16>(a, b, kAddSaturated);
    case Opcode::vsubs: return op.sub == 0 ? zip<s8>(a, b, kSubSaturated) : zip<s16>(a, b, kSubSaturated);
    case Opcode::vsubus: return op.sub == 0 ? zip<u8>(a, b, kSubSaturated) : zip<u16>(a, b, kSubSaturated);
    case Opcode::vavg:
      return op.sub == 0 ? zip<u8>(a, b, [](u32 x, u32 y) { return (x + y + 1) >> 1; })
                         : zip<u16>(a, b, [](u32 x, u32 y) { return (x + y + 1) >> 1; });
    case Opcode::vmins: return zip_s(op.sub, a, b, [](auto x, auto y) { return std::min(x, y); });
    case Opcode::vminu: return zip_u(op.sub, a, b, [](auto x, auto y) { return std::min(x, y); });
    case Opcode::vmaxs: return zip_s(op.sub, a, b, [](auto x, auto y) { return std::max(x, y); });
    case Opcode::vmaxu: return zip_u(op.sub, a, b, [](auto x, auto y) { return std::max(x, y); });
    case Opcode::vabs:
      return zip_s(op.sub, a, a, [](auto x, auto) { return x < 0 ? -static_cast<u64>(x) : static_cast<u64>(x); });
    case Opcode::vsign:
      return zip_s(op.sub, a, b, [](auto x, auto y) {
        return y < 0 ? -static_cast<u64>(x) : y == 0 ? u64{0} : static_cast<u64>(x);
      });
    case Opcode::vcmpeq: return zip_u(op.sub, a, b, [](auto x, auto y) { return x == y ? ~u64{0} : 0; });
    default: return zip_s(op.sub, a, b, [](auto x, auto y) { return x > y ? ~u64{0} : 0; });  // vcmpgt
  }
}

}  // namespace

void run_vector(Frame& f, const Op& op, unsigned i) {
  const V128 &a = f.x[op.arg[0]], &b = f.x[op.arg[1]];
  V128& r = f.x[i];
  const unsigned lane_bytes = 1u << (op.sub & 3);
  switch (op.code) {
    case Opcode::vand:
      for (unsigned k = 0; k < 2; k++) r.d[k] = a.d[k] & b.d[k];
      break;
    case Opcode::vor:
      for (unsigned k = 0; k < 2; k++) r.d[k] = a.d[k] | b.d[k];
      break;
    case Opcode::vxor:
      for (unsigned k = 0; k < 2; k++) r.d[k] = a.d[k] ^ b.d[k];
      break;
    case Opcode::vandn:
      for (unsigned k = 0; k < 2; k++) r.d[k] = ~a.d[k] & b.d[k];
      break;
    case Opcode::vadd:
    case Opcode::vsub:
    case Opcode::vadds:
    case Opcode::vaddus:
    case Opcode::vsubs:
    case Opcode::vsubus:
    case Opcode::vavg:
    case Opcode::vmins:
    case Opcode::vminu:
    case Opcode::vmaxs:
    case Opcode::vmaxu:
    case Opcode::vabs:
    case Opcode::vsign:
    case Opcode::vcmpeq:
    case Opcode::vcmpgt: r = lanewise(op, a, b); break;
    case Opcode::vmullo:
    case Opcode::vmulhs:
    case Opcode::vmulhu:
    case Opcode::vmulhrs:
    case Opcode::vmuludq:
    case Opcode::vmuldq:
    case Opcode::vmaddwd:
    case Opcode::vmaddubsw:
    case Opcode::vsadbw: r = multiply(op, a, b); break;
    case Opcode::vshl: r = shift(op.sub, a, b.d[0], Shift::Left); break;
    case Opcode::vshr: r = shift(op.sub, a, b.d[0], Shift::Right); break;
    case Opcode::vsar: r = shift(op.sub, a, b.d[0], Shift::Arithmetic); break;
    case Opcode::vshli: r = shift(op.sub, a, op.imm, Shift::Left); break;
    case Opcode::vshri: r = shift(op.sub, a, op.imm, Shift::Right); break;
    case Opcode::vsari: r = shift(op.sub, a, op.imm, Shift::Arithmetic); break;
    case Opcode::vshlb: r = window(V128{}, a, 16 - std::min<u64>(op.imm, 16)); break;
    case Opcode::vshrb: r = window(a, V128{}, std::min<u64>(op.imm, 16)); break;
    case Opcode::valign: r = window(b, a, std::min<u64>(op.imm, 32)); break;
    case Opcode::vpackss: r = op.sub == static_cast<u8>(Lane::H) ? pack<s16, s8>(a, b) : pack<s32, s16>(a, b); break;
    case Opcode::vpackus: r = op.sub == static_cast<u8>(Lane::H) ? pack<s16, u8>(a, b) : pack<s32, u16>(a, b); break;
    case Opcode::vunpacklo: r = unpack_op(op.sub, a, b, false); break;
    case Opcode::vunpackhi: r = unpack_op(op.sub, a, b, true); break;
    case Opcode::vshuf_b:
    case Opcode::vshuf_w:
    case Opcode::vshuf_hl:
    case Opcode::vshuf_hh:
    case Opcode::vshuf_ps:
    case Opcode::vshuf_pd: r = shuffle(op, a, b); break;
    case Opcode::vblendv: r = blend(op, a, b, &f.x[op.arg[2]]); break;
    case Opcode::vblendi: r = blend(op, a, b, nullptr); break;
    case Opcode::vhadd:
    case Opcode::vhsub:
    case Opcode::vhadds:
    case Opcode::vhsubs: r = horizontal_op(op, a, b); break;
    case Opcode::vzext: r = widen(op, a, false); break;
    case Opcode::vsext: r = widen(op, a, true); break;
    case Opcode::vmovmsk: f.v[i] = top_bits(a, lane_bytes); break;
    case Opcode::vinsert: {
      V128 t = a;
      std::memcpy(t.b + op.imm * lane_bytes, &f.v[op.arg[1]], lane_bytes);
      r = t;
      break;
    }
    case Opcode::vextract: {
      u64 v = 0;
      std::memcpy(&v, a.b + op.imm * lane_bytes, lane_bytes);
      f.v[i] = v;
      break;
    }
    case Opcode::vfromint:
      r.d[0] = f.v[op.arg[0]];
      r.d[1] = 0;
      break;
    case Opcode::vzero: r = V128{}; break;
    case Opcode::vmovlow:
      r = a;
      if (op.sub == static_cast<u8>(Lane::SS))
        r.w[0] = b.w[0];
      else
        r.d[0] = b.d[0];
      break;
    case Opcode::vptest: {
      const bool z = ((a.d[0] & b.d[0]) | (a.d[1] & b.d[1])) == 0, c = ((~a.d[0] & b.d[0]) | (~a.d[1] & b.d[1])) == 0;
      f.v[i] = u64{ir::kFlagOne} | u64{z} << 14 | u64{c} << 8;
      break;
    }
    default: UNREACHABLE();
  }
}

}  // namespace doppel::backend::interp
