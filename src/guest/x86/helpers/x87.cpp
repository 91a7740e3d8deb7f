// The helpers of x87 instructions: operand checks, the register stack, exceptions (SDM vol. 1, 8.4 to 8.7). The
// last-instruction pointers (FIP, FDP, FOP) are not kept: they read as zero, or as what FLDENV put there.
#include "guest/x86/helpers/x87.h"

#include <algorithm>

#include "guest/x86/helpers/table.h"
#include "guest/x86/platform.h"

namespace doppel::x86 {
namespace x87 {

void check_pending(X86State& s) {
  if (!(s.fsw & ES_)) [[likely]]
    return;
  if (s.cr0 & CR0_NE) raise(s, MF);
  s.platform->ferr(s.h.index, true);
}

bool signal(X86State& s, u32 flags) {
  s.fsw = static_cast<u16>(s.fsw | (flags & 0x7f));
  if (!unmasked(s, flags)) return false;
  s.fsw |= ES_ | B;
  if (!(s.cr0 & CR0_NE)) s.platform->ferr(s.h.index, true);
  return true;
}

bool underflow(X86State& s) {
  s.fsw = static_cast<u16>(s.fsw & ~C1);
  return !signal(s, IE | SF_);
}

void push(X86State& s, const X87Reg& value) {
  const unsigned slot = (s.top - 1) & 7;
  X87Reg v = value;
  s.fsw = static_cast<u16>(s.fsw & ~C1);
  if (!((s.fptag >> slot) & 1)) {
    const bool stop = signal(s, IE | SF_);
    s.fsw |= C1;
    if (stop) return;
    v = kIndefinite;
  }
  s.top = static_cast<u8>(slot);
  s.st[slot] = v;
  s.fptag = static_cast<u8>(s.fptag & ~(1u << slot));
}

}  // namespace x87

using namespace x87;

namespace {

void set_c1(X86State& s, bool c1) { s.fsw = static_cast<u16>((s.fsw & ~C1) | (c1 ? C1 : 0)); }

// Faults that leave the destination alone when unmasked: invalid, denormal, division by zero.
bool blocked(X86State& s, u32 flags) { return signal(s, flags) && unmasked(s, flags & (IE | DE_ | ZE)); }

X87Reg load_bcd(X86State& s, u64 address) {
  u8 bytes[10];
  for (unsigned i = 0; i < 10; i++) bytes[i] = mem::load<u8>(s.h, address + i);
  u64 v = 0;
  for (unsigned i = 9; i-- > 0;) v = v * 100 + (bytes[i] >> 4) * 10u + (bytes[i] & 15);
  X87Reg r = load_int(static_cast<s64>(v));
  if (bytes[9] & 0x80) r.sign_exponent |= 0x8000;
  return r;
}

void store_bcd(X86State& s, u64 address, const X87Reg& v, bool indefinite) {
  u8 bytes[10] = {};
  Narrow n = indefinite ? Narrow{0, IE, false} : store_int(s, v, 64, false);
  s64 value = static_cast<s64>(n.bits);
  if ((n.flags & IE) || value > 999999999999999999 || value < -999999999999999999) {
    n.flags = IE;
    const u8 pattern[10] = {0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff};
    std::copy_n(pattern, 10, bytes);
  } else {
    if (v.sign_exponent & 0x8000) bytes[9] = 0x80;
    u64 left = static_cast<u64>(value < 0 ? -value : value);
    for (unsigned i = 0; i < 9; i++) {
      bytes[i] = static_cast<u8>(left % 10 | (left / 10 % 10) << 4);
      left /= 100;
    }
  }
  mem::probe(s.h, address, 10, mem::Access::Write, s.h.mmu_mode);
  if (blocked(s, n.flags)) return;
  set_c1(s, n.c1);
  for (unsigned i = 0; i < 10; i++) mem::store<u8>(s.h, address + i, bytes[i]);
}

Outcome load_format(X86State& s, u64 address, X87Format f) {
  switch (f) {
    case X87Format::F32: return load_f32(s, mem::load<u32>(s.h, address));
    case X87Format::F64: return load_f64(s, mem::load<u64>(s.h, address));
    case X87Format::I16: return {load_int(static_cast<s16>(mem::load<u16>(s.h, address))), 0, false};
    case X87Format::I32: return {load_int(static_cast<s32>(mem::load<u32>(s.h, address))), 0, false};
    case X87Format::I64: return {load_int(static_cast<s64>(mem::load<u64>(s.h, address))), 0, false};
    case X87Format::Bcd: return {load_bcd(s, address), 0, false};
    case X87Format::F80: {
      const u64 low = mem::load<u64>(s.h, address);
      return {{low, mem::load<u16>(s.h, address + 8), {}}, 0, false};
    }
  }
  return {};
}

// A memory operand of arithmetic and comparisons. Not as FLD loads it: a NaN stays signaling, and is for the operation
// to raise; a denormal counts unless ST(0) comes before it, being a NaN or what is no number of the format.
Outcome load_operand(X86State& s, u64 address, X87Format f) {
  const X87Reg& other = st(s, 0);
  const unsigned e = other.sign_exponent & 0x7fff;
  const bool other_first = fpu::is_nan(to_f80(other)) || (e != 0 && !(other.significand >> 63));
  Outcome v;
  if (f == X87Format::F32) {
    const u32 bits = mem::load<u32>(s.h, address);
    if (fpu::is_nan(fpu::f32{bits}))
      return {{u64{1} << 63 | u64{bits} << 40, static_cast<u16>((bits >> 16 & 0x8000) | 0x7fff), {}}, 0, false};
    v = load_f32(s, bits);
  } else if (f == X87Format::F64) {
    const u64 bits = mem::load<u64>(s.h, address);
    if (fpu::is_nan(fpu::f64{bits}))
      return {{u64{1} << 63 | bits << 11, static_cast<u16>((bits >> 48 & 0x8000) | 0x7fff), {}}, 0, false};
    v = load_f64(s, bits);
  } else {
    v = load_format(s, address, f);
  }
  if (other_first) v.flags = 0;
  return v;
}

void arith_into(X86State& s, unsigned dest, Arith op, const X87Reg& a, const X87Reg& b) {
  const Outcome out = arithmetic(s, op, a, b);
  if (out.flags && blocked(s, out.flags)) return;
  set_c1(s, out.c1);
  set_st(s, dest, out.value);
}

// What the comparison of ST(0) with `b` says; an empty operand compares unordered.
bool compare_into(X86State& s, bool any_empty, const X87Reg& b, bool quiet, u16& conditions) {
  if (any_empty) {
    conditions = C0 | C2 | C3;
    return underflow(s);
  }
  const Compared c = compare(s, st(s, 0), b, quiet);
  conditions = c.conditions;
  return !(c.flags && blocked(s, c.flags));
}

}  // namespace

u64 helper_x87_wait(X86State* s) {
  check_pending(*s);
  return 0;
}

u64 helper_x87_load(X86State* s, u64 address, u64 format) {
  check_pending(*s);
  const Outcome v = load_format(*s, address, static_cast<X87Format>(format));
  // A denormal or signaling NaN in a narrower format counts only if the push itself is possible.
  if (v.flags && !((s->fptag >> ((s->top - 1) & 7)) & 1)) {
    push(*s, v.value);
    return 0;
  }
  if (v.flags && blocked(*s, v.flags)) return 0;
  push(*s, v.value);
  return 0;
}

u64 helper_x87_store(X86State* sp, u64 address, u64 format, u64 how) {
  X86State& s = *sp;
  check_pending(s);
  const auto f = static_cast<X87Format>(format);
  const bool none = empty(s, 0);
  const X87Reg v = none ? kIndefinite : st(s, 0);
  if (f == X87Format::F80) {
    mem::probe(s.h, address, 10, mem::Access::Write, s.h.mmu_mode);
    if (none && !underflow(s)) return 0;
    set_c1(s, false);
    mem::store<u64>(s.h, address, v.significand);
    mem::store<u16>(s.h, address + 8, v.sign_exponent);
  } else if (f == X87Format::Bcd) {
    if (none && !underflow(s)) return 0;
    store_bcd(s, address, v, none);
    if (unmasked(s, s.fsw & IE)) return 0;
  } else {
    const unsigned bytes = f == X87Format::I16 ? 2 : f == X87Format::F32 || f == X87Format::I32 ? 4 : 8;
    mem::probe(s.h, address, bytes, mem::Access::Write, s.h.mmu_mode);
    Narrow n{};
    if (f == X87Format::F32)
      n = store_f32(s, v);
    else if (f == X87Format::F64)
      n = store_f64(s, v);
    else
      n = store_int(s, v, bytes * 8, (how & 2) != 0);
    if (none) {
      if (!underflow(s)) return 0;
    } else {
      // Overflow and underflow stop a store too when unmasked; nothing is rounded then.
      if (unmasked(s, n.flags & (OE | UE))) n.flags &= ~u32{PE};
      if (n.flags && signal(s, n.flags) && unmasked(s, n.flags & ~u32{PE})) return 0;
      set_c1(s, n.c1);
    }
    if (bytes == 2)
      mem::store<u16>(s.h, address, static_cast<u16>(n.bits));
    else if (bytes == 4)
      mem::store<u32>(s.h, address, static_cast<u32>(n.bits));
    else
      mem::store<u64>(s.h, address, n.bits);
  }
  if (how & 1) pop(s);
  return 0;
}

u64 helper_x87_load_st(X86State* s, u64 i) {
  check_pending(*s);
  if (empty(*s, static_cast<unsigned>(i))) {
    if (!underflow(*s)) return 0;
    s->top = (s->top - 1) & 7;  // whether or not there is room
    set_st(*s, 0, kIndefinite);
    return 0;
  }
  push(*s, st(*s, static_cast<unsigned>(i)));
  return 0;
}

u64 helper_x87_store_st(X86State* s, u64 i, u64 pops) {
  check_pending(*s);
  if (empty(*s, 0)) {
    if (!underflow(*s)) return 0;
    set_st(*s, static_cast<unsigned>(i), kIndefinite);
  } else {
    set_c1(*s, false);
    set_st(*s, static_cast<unsigned>(i), st(*s, 0));
  }
  if (pops) pop(*s);
  return 0;
}

u64 helper_x87_exchange(X86State* sp, u64 n) {
  X86State& s = *sp;
  const auto i = static_cast<unsigned>(n);
  check_pending(s);
  if (empty(s, 0) || empty(s, i)) {
    if (!underflow(s)) return 0;
    if (empty(s, 0)) set_st(s, 0, kIndefinite);
    if (empty(s, i)) set_st(s, i, kIndefinite);
  } else {
    set_c1(s, false);
  }
  std::swap(st(s, 0), st(s, i));
  return 0;
}

u64 helper_x87_free(X86State* s, u64 i, u64 pops) {
  check_pending(*s);
  s->fptag = static_cast<u8>(s->fptag | (1u << phys(*s, static_cast<unsigned>(i))));
  if (pops) pop(*s);
  return 0;
}

u64 helper_x87_cmov(X86State* sp, u64 n, u64 holds) {
  X86State& s = *sp;
  const auto i = static_cast<unsigned>(n);
  check_pending(s);
  if (empty(s, 0) || empty(s, i)) {
    if (underflow(s)) set_st(s, 0, kIndefinite);
    return 0;
  }
  set_c1(s, false);
  if (holds) st(s, 0) = st(s, i);
  return 0;
}

u64 helper_x87_constant(X86State* s, u64 which) {
  // Exact values with 64 more bits behind tell how each mode rounds: `down` is the truncated significand, `up` whether
  // nearest is one more.
  struct Constant {
    u64 down;
    u16 exponent;
    bool nearest_up, exact;
  };
  static constexpr Constant kConstants[] = {{0x8000000000000000ull, 0x3fff, false, true},   // 1
                                            {0xd49a784bcd1b8afeull, 0x4000, false, false},  // log2 10
                                            {0xb8aa3b295c17f0bbull, 0x3fff, true, false},   // log2 e
                                            {0xc90fdaa22168c234ull, 0x4000, true, false},   // pi
                                            {0x9a209a84fbcff798ull, 0x3ffd, true, false},   // log10 2
                                            {0xb17217f7d1cf79abull, 0x3ffe, true, false},   // ln 2
                                            {0, 0, false, true}};                           // 0
  check_pending(*s);
  const Constant& c = kConstants[std::min<u64>(which, 6)];
  const unsigned rc = (s->fcw >> 10) & 3;
  const bool up = !c.exact && (rc == 2 || (rc == 0 && c.nearest_up));
  push(*s, {c.down + up, c.exponent, {}});
  return 0;
}

u64 helper_x87_arith(X86State* sp, u64 op, u64 how) {
  X86State& s = *sp;
  check_pending(s);
  const unsigned i = how & 7, dest = (how & 8) ? i : 0;
  if (empty(s, 0) || empty(s, i)) {
    if (!underflow(s)) return 0;
    set_st(s, dest, kIndefinite);
  } else if (dest == 0) {
    arith_into(s, 0, static_cast<Arith>(op), st(s, 0), st(s, i));
  } else {
    arith_into(s, dest, static_cast<Arith>(op), st(s, i), st(s, 0));
  }
  if ((how & 16) && !(s.fsw & ES_))
    pop(s);
  else if ((how & 16) && !unmasked(s, s.fsw & (IE | DE_ | ZE)))
    pop(s);
  return 0;
}

u64 helper_x87_arith_mem(X86State* sp, u64 op, u64 address, u64 format) {
  X86State& s = *sp;
  check_pending(s);
  const Outcome v = load_operand(s, address, static_cast<X87Format>(format));
  if (empty(s, 0)) {
    if (underflow(s)) set_st(s, 0, kIndefinite);
    return 0;
  }
  const Outcome out = arithmetic(s, static_cast<Arith>(op), st(s, 0), v.value);
  // Invalid operands and division by zero come before denormals, these before all that is known with the result.
  const u32 denormal = out.flags & (IE | ZE) ? 0 : v.flags;
  if (denormal && blocked(s, denormal)) return 0;
  if (out.flags && blocked(s, out.flags)) return 0;
  set_c1(s, out.c1);
  set_st(s, 0, out.value);
  return 0;
}

u64 helper_x87_compare(X86State* sp, u64 how) {
  X86State& s = *sp;
  check_pending(s);
  unsigned i = how & 7;
  const unsigned pops = (how >> 3) & 3;
  u16 conditions = 0;
  const bool go = compare_into(s, empty(s, 0) || empty(s, i), st(s, i), (how & 32) != 0, conditions);
  if (!go) return 0;
  set_conditions(s, conditions);
  for (i = 0; i < pops; i++) pop(s);
  return 0;
}

u64 helper_x87_compare_mem(X86State* sp, u64 address, u64 format, u64 pops) {
  X86State& s = *sp;
  check_pending(s);
  const Outcome v = load_operand(s, address, static_cast<X87Format>(format));
  u16 conditions = 0;
  if (!empty(s, 0) && v.flags && blocked(s, v.flags)) return 0;
  if (!compare_into(s, empty(s, 0), v.value, false, conditions)) return 0;
  set_conditions(s, conditions);
  if (pops) pop(s);
  return 0;
}

u64 helper_x87_comi(X86State* sp, u64 how) {
  X86State& s = *sp;
  check_pending(s);
  const unsigned i = how & 7;
  u16 conditions = 0;
  const bool go = compare_into(s, empty(s, 0) || empty(s, i), st(s, i), (how & 32) != 0, conditions);
  set_c1(s, false);
  if (go && (how & 8)) pop(s);
  return (conditions & C0 ? u32{CF} : 0) | (conditions & C2 ? u32{PF} : 0) | (conditions & C3 ? u32{ZF} : 0);
}

u64 helper_x87_unary(X86State* sp, u64 modrm) {
  X86State& s = *sp;
  check_pending(s);
  switch (modrm) {
    case 0xf6:
      s.top = (s.top - 1) & 7;
      set_c1(s, false);
      return 0;  // FDECSTP
    case 0xf7:
      s.top = (s.top + 1) & 7;
      set_c1(s, false);
      return 0;   // FINCSTP
    case 0xe5: {  // FXAM
      const X87Reg& v = st(s, 0);
      const unsigned e = v.sign_exponent & 0x7fff;
      u16 c = (v.sign_exponent & 0x8000) ? u16{C1} : u16{0};
      if (empty(s, 0))
        c |= C3 | C0;
      else if (e == 0x7fff)
        c = static_cast<u16>(c | (v.significand == u64{1} << 63 ? C2 | C0 : (v.significand >> 63) ? C0 : 0));
      else if (e == 0)
        c = static_cast<u16>(c | (v.significand == 0 ? C3 : C3 | C2));
      else if (v.significand >> 63)
        c |= C2;
      set_conditions(s, c);
      return 0;
    }
    default: break;
  }
  const bool two = modrm == 0xf1 || modrm == 0xf3 || modrm == 0xf5 || modrm == 0xf8 || modrm == 0xf9 || modrm == 0xfd;
  const bool none = empty(s, 0) || (two && empty(s, 1));
  switch (modrm) {
    case 0xe0:
    case 0xe1:  // FCHS, FABS
      if (none) {
        if (underflow(s)) set_st(s, 0, kIndefinite);
        return 0;
      }
      st(s, 0).sign_exponent =
          static_cast<u16>(modrm == 0xe0 ? st(s, 0).sign_exponent ^ 0x8000 : st(s, 0).sign_exponent & 0x7fff);
      set_c1(s, false);
      return 0;
    case 0xe4: {  // FTST
      u16 conditions = 0;
      if (compare_into(s, none, X87Reg{}, false, conditions)) set_conditions(s, conditions);
      return 0;
    }
    default: break;
  }
  if (modrm < 0xf0) raise(s, UD);
  if (none) {
    if (!underflow(s)) return 0;
    const bool pops = modrm == 0xf1 || modrm == 0xf3 || modrm == 0xf9;
    if (pops) {
      set_st(s, 1, kIndefinite);
      pop(s);
    } else
      set_st(s, 0, kIndefinite);
    if (modrm == 0xf2 || modrm == 0xf4 || modrm == 0xfb) push(s, kIndefinite);
    return 0;
  }
  Special r = special(s, static_cast<u8>(modrm), st(s, 0), st(s, 1));
  const bool two_results = modrm == 0xf2 || modrm == 0xf4 || modrm == 0xfb;
  if (two_results && !((s.fptag >> ((s.top - 1) & 7)) & 1)) {  // no room, whether or not there is a second result
    if (signal(s, IE | SF_)) {
      s.fsw |= C1;
      return 0;
    }
    set_st(s, 0, kIndefinite);
    push(s, kIndefinite);
    s.fsw |= C1;
    return 0;
  }
  if (r.flags && blocked(s, r.flags)) return 0;
  const u16 touched = modrm == 0xf5 || modrm == 0xf8                      ? kConditions
                      : (modrm == 0xf2 || modrm >= 0xfe || modrm == 0xfb) ? u16{C1 | C2}
                                                                          : u16{C1};
  s.fsw = static_cast<u16>((s.fsw & ~touched) | (r.conditions & touched));
  if (r.pops) {
    set_st(s, 1, r.st1);
    pop(s);
  } else if (r.pushes) {
    set_st(s, 0, r.st1);
    push(s, r.st0);
    s.fsw = static_cast<u16>((s.fsw & ~C1) | (r.conditions & C1));
  } else {
    set_st(s, 0, r.st0);
  }
  return 0;
}

}  // namespace doppel::x86
