// Integers of the MSA module (MD00868, chapter 4), what the translator does not do by vector ops.
#include "guest/mips/helpers/msa.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

namespace doppel::mips {
namespace {

template <typename S>
using Unsigned = std::make_unsigned_t<S>;
template <typename S>
constexpr unsigned kBits = sizeof(S) * 8;
template <typename S>
constexpr unsigned kLanes = 16 / sizeof(S);

template <typename S>
S clamped(s128 v) {
  using L = std::numeric_limits<S>;
  return static_cast<S>(std::clamp(v, static_cast<s128>(L::min()), static_cast<s128>(L::max())));
}
template <typename S>
Unsigned<S> magnitude(S v) {
  return static_cast<Unsigned<S>>(v < 0 ? 0 - static_cast<Unsigned<S>>(v) : static_cast<Unsigned<S>>(v));
}

// Bits of `inserted` at the left or right end of `old`, n + 1 of them.
template <typename U>
U insert_end(U old, U inserted, unsigned n, bool left) {
  const unsigned bits = sizeof(U) * 8;
  const U mask = n + 1 == bits ? static_cast<U>(~U{0})
                 : left        ? static_cast<U>(~U{0} << (bits - 1 - n))
                               : static_cast<U>((U{1} << (n + 1)) - 1);
  return static_cast<U>((inserted & mask) | (old & static_cast<U>(~mask)));
}

template <typename S>
S rounded_shift(S v, unsigned n) {  // of a signed or unsigned lane
  return static_cast<S>(n == 0 ? v : (v >> n) + ((v >> (n - 1)) & 1));
}

// Shifts and single bits; n is less than the lane's bits.
template <typename S>
S bits_of(u64 op, S d, S a, unsigned n) {
  using U = Unsigned<S>;
  const U u = static_cast<U>(a), bit = static_cast<U>(U{1} << n);
  switch (op) {
    case SLL:
    case SLLI: return static_cast<S>(u << n);
    case SRA:
    case SRAI: return static_cast<S>(a >> n);
    case SRL:
    case SRLI: return static_cast<S>(u >> n);
    case BCLR:
    case BCLRI: return static_cast<S>(u & static_cast<U>(~bit));
    case BSET:
    case BSETI: return static_cast<S>(u | bit);
    case BNEG:
    case BNEGI: return static_cast<S>(u ^ bit);
    case SRAR:
    case SRARI: return rounded_shift(a, n);
    case SRLR:
    case SRLRI: return static_cast<S>(rounded_shift(u, n));
    case BINSL:
    case BINSLI: return static_cast<S>(insert_end(static_cast<U>(d), u, n, true));
    case BINSR:
    case BINSRI: return static_cast<S>(insert_end(static_cast<U>(d), u, n, false));
    case SAT_S: {
      const s64 largest = static_cast<s64>((u64{1} << n) - 1);
      return static_cast<S>(std::clamp<s64>(a, -largest - 1, largest));
    }
    default: return static_cast<S>(std::min<u64>(u, n == 63 ? ~u64{0} : (u64{2} << n) - 1));  // SAT_U
  }
}

template <typename S>
S divided(u64 op, S a, S b) {  // by zero: UNPREDICTABLE
  using U = Unsigned<S>;
  const U x = static_cast<U>(a), y = static_cast<U>(b);
  const bool overflows = b == -1 && a == std::numeric_limits<S>::min();
  switch (op) {
    case DIV_S: return overflows ? a : b != 0 ? static_cast<S>(a / b) : static_cast<S>(a >= 0 ? -1 : 1);
    case DIV_U: return y != 0 ? static_cast<S>(x / y) : static_cast<S>(-1);
    case MOD_S: return overflows ? S{0} : b != 0 ? static_cast<S>(a % b) : a;
    default: return y != 0 ? static_cast<S>(x % y) : a;
  }
}

template <typename S>
S all_ones_if(bool v) {
  return static_cast<S>(v ? -1 : 0);
}

// Lane of ws, wt and the old wd.
template <typename S>
S combined(u64 op, S d, S a, S b) {
  using U = Unsigned<S>;
  const U x = static_cast<U>(a), y = static_cast<U>(b);
  const s128 sa = a, sb = b, ua = x, ub = y;
  switch (op) {
    case ADDV:
    case ADDVI: return static_cast<S>(x + y);
    case SUBV:
    case SUBVI: return static_cast<S>(x - y);
    case MAX_S:
    case MAXI_S: return std::max(a, b);
    case MAX_U:
    case MAXI_U: return static_cast<S>(std::max(x, y));
    case MIN_S:
    case MINI_S: return std::min(a, b);
    case MIN_U:
    case MINI_U: return static_cast<S>(std::min(x, y));
    case MAX_A: return magnitude(a) > magnitude(b) ? a : b;
    case MIN_A: return magnitude(a) < magnitude(b) ? a : b;
    case CEQ:
    case CEQI: return all_ones_if<S>(a == b);
    case CLT_S:
    case CLTI_S: return all_ones_if<S>(a < b);
    case CLT_U:
    case CLTI_U: return all_ones_if<S>(x < y);
    case CLE_S:
    case CLEI_S: return all_ones_if<S>(a <= b);
    case CLE_U:
    case CLEI_U: return all_ones_if<S>(x <= y);
    case ADD_A: return static_cast<S>(magnitude(a) + magnitude(b));
    case ADDS_A: return clamped<S>(static_cast<s128>(magnitude(a)) + magnitude(b));
    case ADDS_S: return clamped<S>(sa + sb);
    case ADDS_U: return static_cast<S>(clamped<U>(ua + ub));
    case AVE_S: return static_cast<S>((sa + sb) >> 1);
    case AVE_U: return static_cast<S>((ua + ub) >> 1);
    case AVER_S: return static_cast<S>((sa + sb + 1) >> 1);
    case AVER_U: return static_cast<S>((ua + ub + 1) >> 1);
    case SUBS_S: return clamped<S>(sa - sb);
    case SUBS_U: return static_cast<S>(clamped<U>(ua - ub));
    case SUBSUS_U: return static_cast<S>(clamped<U>(ua - sb));
    case SUBSUU_S: return clamped<S>(ua - ub);
    case ASUB_S: return static_cast<S>(a < b ? y - x : x - y);
    case ASUB_U: return static_cast<S>(x < y ? y - x : x - y);
    case MULV: return static_cast<S>(static_cast<u64>(x) * y);
    case MADDV: return static_cast<S>(static_cast<U>(d) + static_cast<u64>(x) * y);
    case MSUBV: return static_cast<S>(static_cast<U>(d) - static_cast<u64>(x) * y);
    case DIV_S:
    case DIV_U:
    case MOD_S:
    case MOD_U: return divided(op, a, b);
    default: return bits_of(op, d, a, static_cast<unsigned>(y % kBits<S>));
  }
}

template <typename S>
Vector lanewise(u64 op, const Vector& d, const Vector& a, const Vector& b) {
  Vector r;
  for (unsigned i = 0; i < kLanes<S>; i++) r.set<S>(i, combined(op, d.get<S>(i), a.get<S>(i), b.get<S>(i)));
  return r;
}

// Pairs of half-size lanes: DOTP, DPADD, DPSUB, HADD, HSUB. H is a half of S, of the same sign.
template <typename S, typename H>
Vector pairs(u64 op, const Vector& d, const Vector& a, const Vector& b) {
  using U = Unsigned<S>;
  Vector r;
  for (unsigned i = 0; i < kLanes<S>; i++) {
    const U ah = static_cast<U>(S(a.get<H>(2 * i + 1))), al = static_cast<U>(S(a.get<H>(2 * i)));
    const U bh = static_cast<U>(S(b.get<H>(2 * i + 1))), bl = static_cast<U>(S(b.get<H>(2 * i)));
    const u64 dot = static_cast<u64>(ah) * bh + static_cast<u64>(al) * bl, old = d.get<U>(i);
    u64 v = dot;
    switch (op) {
      case DPADD_S:
      case DPADD_U: v = old + dot; break;
      case DPSUB_S:
      case DPSUB_U: v = old - dot; break;
      case HADD_S:
      case HADD_U: v = u64{ah} + bl; break;
      case HSUB_S:
      case HSUB_U: v = u64{ah} - bl; break;
      default: break;
    }
    r.set<U>(i, static_cast<U>(v));
  }
  return r;
}

template <typename S>
Vector permuted(u64 op, const Vector& d, const Vector& a, const Vector& b) {
  using U = Unsigned<S>;
  constexpr unsigned n = kLanes<S>, half = n / 2;
  Vector r;
  for (unsigned i = 0; i < half; i++) {
    switch (op) {
      case PCKEV: r.set<U>(i, b.get<U>(2 * i)), r.set<U>(i + half, a.get<U>(2 * i)); break;
      case PCKOD: r.set<U>(i, b.get<U>(2 * i + 1)), r.set<U>(i + half, a.get<U>(2 * i + 1)); break;
      case ILVL: r.set<U>(2 * i, b.get<U>(i + half)), r.set<U>(2 * i + 1, a.get<U>(i + half)); break;
      case ILVR: r.set<U>(2 * i, b.get<U>(i)), r.set<U>(2 * i + 1, a.get<U>(i)); break;
      case ILVEV: r.set<U>(2 * i, b.get<U>(2 * i)), r.set<U>(2 * i + 1, a.get<U>(2 * i)); break;
      case ILVOD: r.set<U>(2 * i, b.get<U>(2 * i + 1)), r.set<U>(2 * i + 1, a.get<U>(2 * i + 1)); break;
      default:  // VSHF: wd chooses among the lanes of ws:wt
        for (unsigned k = 2 * i; k < 2 * i + 2; k++) {
          const unsigned control = static_cast<unsigned>(d.get<U>(k)) & 0xff, from = (control & 63) % (2 * n);
          r.set<U>(k, control & 0xc0 ? U{0} : from < n ? b.get<U>(from) : a.get<U>(from - n));
        }
        break;
    }
  }
  return r;
}

// SLD: wd above ws as rows of so many bytes as there are lanes, moved n bytes down each.
Vector slid(const Vector& d, const Vector& a, unsigned format, unsigned n) {
  const unsigned row = 16u >> format;
  Vector r;
  for (unsigned base = 0; base < 16; base += row)
    for (unsigned i = 0; i < row; i++)
      r.set<u8>(base + i, i + n < row ? a.get<u8>(base + i + n) : d.get<u8>(base + i + n - row));
  return r;
}

template <typename U>
Vector splat(U v) {
  Vector r;
  for (unsigned i = 0; i < kLanes<U>; i++) r.set<U>(i, v);
  return r;
}
Vector splat_lane(const Vector& a, unsigned format, unsigned i) {
  switch (format) {
    case 0: return splat(a.get<u8>(i));
    case 1: return splat(a.get<u16>(i));
    case 2: return splat(a.get<u32>(i));
    default: return splat(a.get<u64>(i));
  }
}
Vector splat_value(u64 v, unsigned format) { return splat_lane({{v, v}}, format, 0); }

// Calls `fn` with a value of the signed lane's type.
template <typename Fn>
Vector by_format(unsigned format, Fn fn) {
  switch (format) {
    case 0: return fn(s8{});
    case 1: return fn(s16{});
    case 2: return fn(s32{});
    default: return fn(s64{});
  }
}
Vector lanes(unsigned format, u64 op, const Vector& d, const Vector& a, const Vector& b) {
  return by_format(format, [&](auto lane) { return lanewise<decltype(lane)>(op, d, a, b); });
}
Vector permute(unsigned format, u64 op, const Vector& d, const Vector& a, const Vector& b) {
  return by_format(format, [&](auto lane) { return permuted<decltype(lane)>(op, d, a, b); });
}

Vector pairs_of(unsigned format, u64 op, const Vector& d, const Vector& a, const Vector& b) {
  const bool is_signed = !(op & 0x40);
  switch (format) {
    case 1: return is_signed ? pairs<s16, s8>(op, d, a, b) : pairs<s16, u8>(op, d, a, b);
    case 2: return is_signed ? pairs<s32, s16>(op, d, a, b) : pairs<s32, u16>(op, d, a, b);
    default: return is_signed ? pairs<s64, s32>(op, d, a, b) : pairs<s64, u32>(op, d, a, b);
  }
}

// --- formats of instructions

Vector three_registers(const MipsState& s, u64 word) {
  const unsigned format = msa_format(word);
  const u64 op = msa_op(word), minor = word & 63;
  const Vector d = vector_of(s, msa_wd(word)), a = vector_of(s, msa_ws(word)), b = vector_of(s, msa_wt(word));
  if (op == SLD || op == SPLAT) {
    const unsigned n = static_cast<unsigned>(s.gpr[msa_wt(word)]) & ((16u >> format) - 1);
    return op == SLD ? slid(d, a, format, n) : splat_lane(a, format, n);
  }
  if (minor == 0x13 || (minor == 0x15 && op >= HADD_S)) return pairs_of(format, op, d, a, b);
  if (minor == 0x14 || op == VSHF) return permute(format, op, d, a, b);
  return lanes(format, op, d, a, b);
}

Vector five_bits(const MipsState& s, u64 word) {
  const u64 op = msa_op(word);
  const unsigned format = msa_format(word);
  if (op == LDI) return splat_value(static_cast<u64>(static_cast<s64>(word << 43) >> 54), format);
  const u64 u5 = word >> 16 & 31, s5 = static_cast<u64>(static_cast<s64>(word << 43) >> 59);
  const bool is_signed = op == MAXI_S || op == MINI_S || op == CEQI || op == CLTI_S || op == CLEI_S;
  return lanes(format, op, {}, vector_of(s, msa_ws(word)), splat_value(is_signed ? s5 : u5, format));
}

Vector bit_number(const MipsState& s, u64 word) {
  const MsaElement e = msa_bit(word);
  return lanes(e.format, msa_op(word), vector_of(s, msa_wd(word)), vector_of(s, msa_ws(word)),
               splat_value(e.at, e.format));
}

Vector element(const MipsState& s, u64 word) {
  const MsaElement e = msa_element(word);
  const Vector d = vector_of(s, msa_wd(word)), a = vector_of(s, msa_ws(word));
  switch (word >> 22 & 15) {
    case SLDI: return slid(d, a, e.format, e.at);
    case SPLATI: return splat_lane(a, e.format, e.at);
    default: {  // INSVE
      Vector r = d;
      const unsigned size = 1u << e.format;
      std::memcpy(reinterpret_cast<char*>(r.d) + e.at * size, a.d, size);
      return r;
    }
  }
}

Vector shuffled(const MipsState& s, u64 word) {  // SHF
  const Vector a = vector_of(s, msa_ws(word));
  const unsigned format = word >> 24 & 3, size = 1u << format, control = word >> 16 & 0xff;
  Vector r;
  for (unsigned i = 0; i < 16 / size; i++) {
    const unsigned from = (i & ~3u) + (control >> (2 * (i & 3)) & 3);
    std::memcpy(reinterpret_cast<char*>(r.d) + i * size, reinterpret_cast<const char*>(a.d) + from * size, size);
  }
  return r;
}

template <typename U>
Vector counted(unsigned which, const Vector& a) {  // PCNT, NLOC, NLZC
  Vector r;
  for (unsigned i = 0; i < kLanes<U>; i++) {
    const U v = a.get<U>(i);
    r.set<U>(i, static_cast<U>(which == 1 ? std::popcount(v) : which == 2 ? std::countl_one(v) : std::countl_zero(v)));
  }
  return r;
}
Vector two_registers(const MipsState& s, u64 word) {
  const Vector a = vector_of(s, msa_ws(word));
  const unsigned which = word >> 18 & 3;
  switch (word >> 16 & 3) {
    case 0: return counted<u8>(which, a);
    case 1: return counted<u16>(which, a);
    case 2: return counted<u32>(which, a);
    default: return counted<u64>(which, a);
  }
}

// Q15 and Q31: MUL_Q, MADD_Q, MSUB_Q and with rounding.
template <typename S>
Vector fractions(u64 op, const Vector& d, const Vector& a, const Vector& b) {
  constexpr unsigned shift = kBits<S> - 1;
  const bool round = op >= MULR_Q;
  Vector r;
  for (unsigned i = 0; i < kLanes<S>; i++) {
    const s64 product = s64{a.get<S>(i)} * b.get<S>(i), old = static_cast<s64>(u64(s64{d.get<S>(i)}) << shift);
    s128 sum = product;
    if (op == MADD_Q || op == MADDR_Q) sum = static_cast<s128>(old) + product;
    if (op == MSUB_Q || op == MSUBR_Q) sum = static_cast<s128>(old) - product;
    if (round) sum += s64{1} << (shift - 1);
    r.set<S>(i, clamped<S>(sum >> shift));
  }
  return r;
}
Vector fractions_of(const MipsState& s, u64 word) {
  const Vector d = vector_of(s, msa_wd(word)), a = vector_of(s, msa_ws(word)), b = vector_of(s, msa_wt(word));
  const u64 op = msa_op_fp(word);
  return word >> 21 & 1 ? fractions<s32>(op, d, a, b) : fractions<s16>(op, d, a, b);
}

}  // namespace

u64 helper_msa(MipsState* s, u64 word) {
  Vector r;
  switch (word & 63) {
    case 0x02: r = shuffled(*s, word); break;
    case 0x06:
    case 0x07: r = five_bits(*s, word); break;
    case 0x09:
    case 0x0a: r = bit_number(*s, word); break;
    case 0x19: r = element(*s, word); break;
    case 0x1c: r = fractions_of(*s, word); break;
    case 0x1e: r = two_registers(*s, word); break;
    default: r = three_registers(*s, word); break;
  }
  set_vector(*s, msa_wd(word), r);
  return 0;
}

}  // namespace doppel::mips
