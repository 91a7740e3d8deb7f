// Descriptor tables, segment registers, segment checks, FS and GS bases (SDM vol. 2; vol. 3, chapters 3 and 5).
#include "guest/x86/helpers/table.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

void require_cpl0(X86State& s) {
  if (s.cpl != 0) raise_error(s, GP, 0);
}
void require_umip(X86State& s) {
  if ((s.cr4 & CR4_UMIP) && s.cpl != 0) raise_error(s, GP, 0);
}
void require_protected(X86State& s) {
  if (real_or_vm86(s)) raise(s, UD);
}

// LGDT and LIDT.
void load_table(X86State& s, Segment& table, u64 limit, u64 base) {
  require_cpl0(s);
  if (code64(s) && !canonical(base)) raise_error(s, GP, 0);
  table.limit = static_cast<u16>(limit);
  table.base = wrap_linear(s, base);
}

// A system segment for LLDT and LTR: base with the high half in long mode.
Segment system_segment(X86State& s, u16 selector, const Descriptor& d) {
  Segment g = d.segment(selector);
  if (!long_mode(s)) return g;
  u32 high;
  if (!read_descriptor_high(s, selector, high)) raise_error(s, GP, selector & 0xfffcu);
  g.base |= u64{high} << 32;
  if (!canonical(g.base)) raise_error(s, GP, selector & 0xfffcu);
  return g;
}

// The descriptor if the selector is visible to the current privilege, as LAR and LSL see it.
bool visible_descriptor(X86State& s, u16 selector, u32 system_types, Descriptor& d) {
  if (null_selector(selector) || !read_descriptor(s, selector, d)) return false;
  if (d.system() && !((system_types >> d.type()) & 1)) return false;
  const unsigned rpl = selector & 3;
  return d.conforming() || (d.dpl() >= s.cpl && d.dpl() >= rpl);
}
constexpr u32 bit(unsigned n) { return u32{1} << n; }
constexpr u64 kGood = u64{1} << 32;

bool verify_access(X86State& s, u16 selector, bool write) {
  Descriptor d;
  if (null_selector(selector) || !read_descriptor(s, selector, d) || d.system()) return false;
  const unsigned rpl = selector & 3;
  if (!d.conforming() && (d.dpl() < s.cpl || d.dpl() < rpl)) return false;
  return write ? d.writable() : d.readable();
}

}  // namespace

u64 helper_lgdt(X86State* s, u64 limit, u64 base) {
  load_table(*s, s->gdtr, limit, base);
  return 0;
}

u64 helper_lidt(X86State* s, u64 limit, u64 base) {
  load_table(*s, s->idtr, limit, base);
  return 0;
}

u64 helper_sdt(X86State* s, u64 what) {
  require_umip(*s);
  const Segment& t = what < 2 ? s->gdtr : s->idtr;
  return what & 1 ? t.base : t.limit;
}

u64 helper_lldt(X86State* sp, u64 selector_in) {
  X86State& s = *sp;
  const u16 selector = static_cast<u16>(selector_in);
  require_protected(s);
  require_cpl0(s);
  if (null_selector(selector)) {
    s.seg[LDTR] = {0, 0, selector, 0};
    return 0;
  }
  const u32 error = selector & 0xfffcu;
  Descriptor d;
  if ((selector & 4) || !read_descriptor(s, selector, d) || !d.system() || d.type() != kLdt) raise_error(s, GP, error);
  if (!d.present()) raise_error(s, NP, error);
  s.seg[LDTR] = system_segment(s, selector, d);
  return 0;
}

u64 helper_ltr(X86State* sp, u64 selector_in) {
  X86State& s = *sp;
  const u16 selector = static_cast<u16>(selector_in);
  require_protected(s);
  require_cpl0(s);
  const u32 error = selector & 0xfffcu;
  if (null_selector(selector)) raise_error(s, GP, 0);
  Descriptor d;
  if ((selector & 4) || !read_descriptor(s, selector, d) || !d.system()) raise_error(s, GP, error);
  if (d.type() != kTss32 && (d.type() != kTss16 || long_mode(s))) raise_error(s, GP, error);
  if (!d.present()) raise_error(s, NP, error);
  const Segment g = system_segment(s, selector, d);
  set_busy(s, selector, true);
  s.seg[TR] = g;
  s.seg[TR].attr |= 2;
  return 0;
}

u64 helper_sldt(X86State* s) {
  require_protected(*s);
  require_umip(*s);
  return s->seg[LDTR].selector;
}

u64 helper_str(X86State* s) {
  require_protected(*s);
  require_umip(*s);
  return s->seg[TR].selector;
}

u64 helper_load_seg(X86State* s, u64 reg, u64 selector) {
  const u64 before = s->mode_cache;
  load_data_segment(*s, static_cast<unsigned>(reg), static_cast<u16>(selector));
  if (s->mode_cache == before) return 0;
  select_code(*s);
  return 1;
}

u64 helper_lar(X86State* s, u64 selector) {
  require_protected(*s);
  u32 types = bit(kLdt) | bit(kTss32) | bit(kTss32Busy) | bit(kCallGate32);
  if (!long_mode(*s)) types |= bit(kTss16) | bit(kTss16Busy) | bit(kCallGate16) | bit(kTaskGate);
  Descriptor d;
  return visible_descriptor(*s, static_cast<u16>(selector), types, d) ? kGood | (d.hi & 0xffff00) : 0;
}

u64 helper_lsl(X86State* s, u64 selector) {
  require_protected(*s);
  u32 types = bit(kLdt) | bit(kTss32) | bit(kTss32Busy);
  if (!long_mode(*s)) types |= bit(kTss16) | bit(kTss16Busy);
  Descriptor d;
  return visible_descriptor(*s, static_cast<u16>(selector), types, d) ? kGood | d.limit() : 0;
}

u64 helper_verr(X86State* s, u64 selector) {
  require_protected(*s);
  return verify_access(*s, static_cast<u16>(selector), false);
}

u64 helper_verw(X86State* s, u64 selector) {
  require_protected(*s);
  return verify_access(*s, static_cast<u16>(selector), true);
}

u64 helper_rdfsgsbase(X86State* sp, u64 reg, u64 size) {
  X86State& s = *sp;
  if (!(s.cr4 & CR4_FSGSBASE) || !code64(s)) raise(s, UD);
  return s.seg[reg & 7].base & mask_bits(static_cast<unsigned>(size * 8));
}

u64 helper_wrfsgsbase(X86State* sp, u64 reg, u64 value, u64 size) {
  X86State& s = *sp;
  if (!(s.cr4 & CR4_FSGSBASE) || !code64(s)) raise(s, UD);
  value &= mask_bits(static_cast<unsigned>(size * 8));
  if (!canonical(value)) raise_error(s, GP, 0);
  s.seg[reg & 7].base = value;
  return 0;
}

u64 helper_swapgs(X86State* sp) {
  X86State& s = *sp;
  if (!code64(s)) raise(s, UD);
  require_cpl0(s);
  const u64 base = s.seg[GS].base;
  s.seg[GS].base = s.kernel_gs_base;
  s.kernel_gs_base = base;
  return 0;
}

u64 helper_seg_check(X86State* sp, u64 reg, u64 offset, u64 size, u64 write) {
  X86State& s = *sp;
  const Segment& g = s.seg[reg & 7];
  const u8 vector = reg == SS ? SS_ : GP;
  const bool rights = !real_or_vm86(s);
  bool expand_down = false;
  if (rights) {
    if (!(g.attr & kAttrP) || !(g.attr & kAttrS)) raise_error(s, GP, 0);
    const bool code = g.attr & kAttrCode;
    if (write ? code || !(g.attr & kAttrWritable) : code && !(g.attr & kAttrReadable)) raise_error(s, GP, 0);
    expand_down = !code && (g.attr & kAttrExpandDown);
  }
  const u64 first = static_cast<u32>(offset), last = first + (size ? size - 1 : 0);
  const u64 top = (g.attr & kAttrDB) ? 0xffffffffu : 0xffffu;
  const bool good = expand_down ? first > g.limit && last <= top : last <= g.limit;
  if (!good) raise_error(s, vector, 0);
  return 0;
}

}  // namespace doppel::x86
