// Helpers of integer instructions: division with #DE, decimal adjustment, rotates through carry, CRC32, CMPXCHG16B,
// BOUND. SDM vol. 2.
#include "base/atomic128.h"
#include "guest/x86/helpers/table.h"
#include "mem/guest_access.h"

namespace doppel::x86 {
namespace {

u64 divide_wide(X86State& s, u64 hi, u64 lo, u64 divisor, bool is_signed) {
  if (divisor == 0) raise(s, DE);
  const u128 n = (static_cast<u128>(hi) << 64) | lo;
  if (!is_signed) {
    const u128 q = n / divisor;
    if (q >> 64) raise(s, DE);
    s.h.scratch[0] = static_cast<u64>(n % divisor);
    return static_cast<u64>(q);
  }
  // Through magnitudes: the most negative dividend has none that is signed.
  const bool negative = hi >> 63, divisor_negative = divisor >> 63;
  const u128 magnitude = negative ? ~n + 1 : n;
  const u64 d = divisor_negative ? u64{0} - divisor : divisor;
  const u128 q = magnitude / d;
  const u64 r = static_cast<u64>(magnitude % d);
  const bool q_negative = negative != divisor_negative;
  if (q > (static_cast<u128>(1) << 63) - (q_negative ? 0 : 1)) raise(s, DE);
  s.h.scratch[0] = negative ? u64{0} - r : r;
  return q_negative ? u64{0} - static_cast<u64>(q) : static_cast<u64>(q);
}

constexpr u32 flag_if(bool on, u32 flag) { return on ? flag : 0; }
constexpr u32 parity_flag(u32 v) { return flag_if(!(std::popcount(v & 0xff) & 1), PF); }
u32 result_flags8(u32 v) { return parity_flag(v) | flag_if((v & 0xff) == 0, ZF) | flag_if(v & 0x80, SF); }

// RCL and RCR as rotates of bits + 1 bits.
void rotate_through_carry(u64 value, u64 count, u64 eflags, u64 how, u64& result, u32& flags) {
  const unsigned size = how & 15, bits = size * 8;
  const bool left = how & 16;
  unsigned n = count & (size == 8 ? 63 : 31);
  flags = static_cast<u32>(eflags);
  result = value & mask_bits(bits);
  if (n == 0) return;
  n %= bits + 1;
  bool cf = eflags & CF;
  const u128 wide = (static_cast<u128>(cf) << bits) | result;
  const u128 mask = (static_cast<u128>(1) << (bits + 1)) - 1;
  const unsigned l = left ? n : (bits + 1 - n) % (bits + 1);
  const u128 r = l == 0 ? wide : ((wide << l) | (wide >> (bits + 1 - l))) & mask;
  result = static_cast<u64>(r) & mask_bits(bits);
  cf = static_cast<u64>(r >> bits) & 1;
  flags &= ~u32{CF | OF};
  if (cf) flags |= CF;
  const bool top = result >> (bits - 1), next = (result >> (bits - 2)) & 1;
  if (left ? top != cf : top != next) flags |= OF;
}

}  // namespace

u64 helper_divide(X86State* s, u64 hi, u64 lo, u64 divisor, u64 how) {
  const unsigned size = how & 15;
  const bool is_signed = how & 16;
  if (size == 8) return divide_wide(*s, hi, lo, divisor, is_signed);
  const unsigned bits = size * 8;
  const u64 n = size == 1 ? lo & 0xffff : (hi & mask_bits(bits)) << bits | (lo & mask_bits(bits));
  const u64 d = divisor & mask_bits(bits);
  if (d == 0) raise(*s, DE);
  if (!is_signed) {
    const u64 q = n / d;
    if (q > mask_bits(bits)) raise(*s, DE);
    s->h.scratch[0] = n % d;
    return q;
  }
  const s64 a = static_cast<s64>(sign_extend(n, bits * 2)), b = static_cast<s64>(sign_extend(d, bits));
  if (b == -1 && a == INT64_MIN) raise(*s, DE);
  const s64 q = a / b;
  if (static_cast<s64>(sign_extend(static_cast<u64>(q), bits)) != q) raise(*s, DE);
  s->h.scratch[0] = static_cast<u64>(a % b);
  return static_cast<u64>(q);
}

u64 helper_bcd(X86State*, u64 op, u64 ax_in, u64 eflags) {
  u32 al = ax_in & 0xff, ah = (ax_in >> 8) & 0xff;
  bool af = eflags & AF, cf = eflags & CF;
  u32 flags;
  if (op <= 1) {  // DAA, DAS
    const u32 old_al = al;
    const bool old_cf = cf;
    cf = false;
    if ((al & 15) > 9 || af) {
      cf = old_cf || (op == 0 ? al > 0xf9 : al < 6);
      al = op == 0 ? al + 6 : al - 6;
      af = true;
    }
    al &= 0xff;
    if (old_al > 0x99 || old_cf) {
      al = (op == 0 ? al + 0x60 : al - 0x60) & 0xff;
      cf = true;
    } else if (op == 0) {
      cf = false;
    }
    flags = result_flags8(al);
  } else {  // AAA, AAS
    if ((al & 15) > 9 || af) {
      const u32 ax = op == 2 ? static_cast<u32>(ax_in) + 0x106 : static_cast<u32>(ax_in) - 0x106;
      al = ax & 0xff;
      ah = (ax >> 8) & 0xff;
      af = cf = true;
    } else {
      af = cf = false;
    }
    al &= 15;
    flags = result_flags8(al);
  }
  flags |= flag_if(af, AF) | flag_if(cf, CF);
  return al | ah << 8 | flags << 16;
}

u64 helper_crc32(X86State*, u64 crc, u64 value, u64 bytes) {
  u32 c = static_cast<u32>(crc);
  for (u64 i = 0; i < bytes; i++) {
    c ^= (value >> (8 * i)) & 0xff;
    for (int k = 0; k < 8; k++) c = (c >> 1) ^ ((c & 1) ? 0x82f63b78u : 0);  // 11EDC6F41h reflected
  }
  return c;
}

u64 helper_rotate_carry(X86State*, u64 value, u64 count, u64 eflags, u64 how) {
  u64 r;
  u32 f;
  rotate_through_carry(value, count, eflags, how, r, f);
  return r;
}
u64 helper_rotate_carry_flags(X86State*, u64 value, u64 count, u64 eflags, u64 how) {
  u64 r;
  u32 f;
  rotate_through_carry(value, count, eflags, how, r, f);
  return f;
}

namespace {
struct Exchange16 {
  X86State* s;
  u64 va;
  u64 lo, hi;
};
void exchange16_exclusive(void* context) {
  Exchange16& e = *static_cast<Exchange16*>(context);
  X86State& s = *e.s;
  e.lo = mem::load<u64>(s.h, e.va);
  e.hi = mem::load<u64>(s.h, e.va + 8);
  const bool equal = e.lo == s.gpr[RAX] && e.hi == s.gpr[RDX];
  mem::store<u64>(s.h, e.va, equal ? s.gpr[RBX] : e.lo);
  mem::store<u64>(s.h, e.va + 8, equal ? s.gpr[RCX] : e.hi);
}
}  // namespace

u64 helper_cmpxchg16b(X86State* s, u64 va) {
  if (va & 15) raise_error(*s, GP, 0);
  mem::probe(s->h, va, 16, mem::Access::Write, s->h.mmu_mode);
  u64 lo, hi;
  bool equal;
  if (u8* p = mem::host_pointer(s->h, va, 16, mem::Access::Write, s->h.mmu_mode)) {
    u128 expected = (static_cast<u128>(s->gpr[RDX]) << 64) | s->gpr[RAX];
    const u128 desired = (static_cast<u128>(s->gpr[RCX]) << 64) | s->gpr[RBX];
    equal = cas128(p, expected, desired);
    lo = static_cast<u64>(expected);
    hi = static_cast<u64>(expected >> 64);
  } else {
    Exchange16 e{s, va, 0, 0};
    mem::exclusive(s->h, exchange16_exclusive, &e);
    lo = e.lo;
    hi = e.hi;
    equal = lo == s->gpr[RAX] && hi == s->gpr[RDX];
  }
  if (!equal) {
    s->gpr[RAX] = lo;
    s->gpr[RDX] = hi;
  }
  return equal;
}

u64 helper_bound_check(X86State* s, u64 index, u64 lower, u64 upper) {
  const s64 i = static_cast<s64>(index);
  if (i < static_cast<s64>(lower) || i > static_cast<s64>(upper)) raise(*s, BR);
  return 0;
}

}  // namespace doppel::x86
