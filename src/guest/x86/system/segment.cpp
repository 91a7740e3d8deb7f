// Segment registers and descriptors (SDM vol. 3, chapters 3 and 5). Traps:
// - everything is checked before anything is written: a fault leaves the segment registers as they were;
// - in long mode system descriptors have 16 bytes, and a null SS is good below CPL 3;
// - real mode keeps limit and rights (programs enlarge limits in protected mode and go back), VM86 sets them.
#include "guest/x86/system/system.h"

namespace doppel::x86 {

bool descriptor_address(const X86State& s, u16 selector, unsigned size, u64& address) {
  const bool local = selector & 4;
  const Segment& table = local ? s.seg[LDTR] : s.gdtr;
  if (local && !(table.attr & kAttrP)) return false;
  const u32 index = selector & 0xfff8u;
  if (u64{index} + size - 1 > table.limit) return false;
  address = table.base + index;
  return true;
}

bool read_descriptor(X86State& s, u16 selector, Descriptor& d) {
  u64 address;
  if (!descriptor_address(s, selector, 8, address)) return false;
  const u64 v = load_system<u64>(s, address);
  d.lo = static_cast<u32>(v);
  d.hi = static_cast<u32>(v >> 32);
  return true;
}

bool read_descriptor_high(X86State& s, u16 selector, u32& base_high) {
  u64 address;
  if (!descriptor_address(s, selector, 16, address)) return false;
  const u64 v = load_system<u64>(s, address + 8);
  base_high = static_cast<u32>(v);
  return ((v >> 40) & 0x1f) == 0;
}

void mark_accessed(X86State& s, u16 selector, Descriptor& d) {
  u64 address;
  if (d.system() || (d.hi & 0x100) || !descriptor_address(s, selector, 8, address)) return;
  d.hi |= 0x100;
  store_system<u8>(s, address + 5, static_cast<u8>(d.hi >> 8));
}

void set_busy(X86State& s, u16 selector, bool busy) {
  u64 address;
  if (!descriptor_address(s, selector, 8, address)) return;
  const u8 v = load_system<u8>(s, address + 5);
  store_system<u8>(s, address + 5, static_cast<u8>(busy ? v | 2 : v & ~2));
}

void load_real_segment(X86State& s, unsigned reg, u16 selector) {
  s.seg[reg].selector = selector;
  s.seg[reg].base = u64{selector} << 4;
}

void load_vm86_segment(X86State& s, unsigned reg, u16 selector) {
  s.seg[reg] = {u64{selector} << 4, 0xffff, selector,
                static_cast<u16>(kAttrP | 3 << 5 | kAttrS | kAttrWritable | kAttrAccessed)};
}

void load_null_segment(X86State& s, unsigned reg, u16 selector) {
  s.seg[reg] = {0, 0, selector, 0};
  if (reg == SS) s.seg[reg].attr = static_cast<u16>((selector & 3) << 5);
}

void load_data_segment(X86State& s, unsigned reg, u16 selector) {
  if (real_or_vm86(s)) {
    if (vm86(s))
      load_vm86_segment(s, reg, selector);
    else
      load_real_segment(s, reg, selector);
    update_code_mode(s);
    return;
  }
  const u32 error = selector & 0xfffcu;
  const unsigned rpl = selector & 3;
  if (null_selector(selector)) {
    if (reg == SS && !(code64(s) && s.cpl < 3 && rpl == s.cpl)) raise_error(s, GP, 0);
    load_null_segment(s, reg, selector);
    update_code_mode(s);
    return;
  }
  Descriptor d;
  if (!read_descriptor(s, selector, d)) raise_error(s, GP, error);
  if (reg == SS) {
    if (rpl != s.cpl || !d.writable() || d.dpl() != s.cpl) raise_error(s, GP, error);
    if (!d.present()) raise_error(s, SS_, error);
  } else {
    if (!d.readable()) raise_error(s, GP, error);
    if (!d.conforming() && (rpl > d.dpl() || s.cpl > d.dpl())) raise_error(s, GP, error);
    if (!d.present()) raise_error(s, NP, error);
  }
  mark_accessed(s, selector, d);
  s.seg[reg] = d.segment(selector);
  update_code_mode(s);
}

Descriptor check_stack_segment(X86State& s, u16 selector, unsigned cpl, u8 vector, u32 ext) {
  const u32 error = (selector & 0xfffcu) | ext;
  if (null_selector(selector)) raise_error(s, vector, ext);
  Descriptor d;
  if (!read_descriptor(s, selector, d)) raise_error(s, vector, error);
  if ((selector & 3) != cpl || d.dpl() != cpl || !d.writable()) raise_error(s, vector, error);
  if (!d.present()) raise_error(s, SS_, error);
  return d;
}

void drop_privileged_segments(X86State& s) {
  for (const unsigned reg : {ES, DS, FS, GS}) {
    Segment& g = s.seg[reg];
    const unsigned dpl = (g.attr >> 5) & 3;
    const bool conforming = (g.attr & kAttrCode) && (g.attr & kAttrConforming);
    const bool good = (g.attr & kAttrP) && (g.attr & kAttrS);
    // A null selector keeps its base: SWAPGS and the FS and GS base registers live there.
    if (null_selector(g.selector)) {
      g.attr = 0;
      continue;
    }
    if (good && (conforming || dpl >= s.cpl)) continue;
    g.selector = 0;
    g.attr = 0;
    g.limit = 0;
    g.base = 0;
  }
}

void set_cs(X86State& s, u16 selector, const Descriptor& d, unsigned cpl) {
  s.seg[CS] = d.segment(static_cast<u16>((selector & 0xfffc) | cpl));
  s.cpl = static_cast<u8>(cpl);
}

void check_target(X86State& s, const Descriptor& d, u64 offset, u32 error) {
  const bool good = long_mode(s) && d.l() ? canonical(offset) : offset <= d.limit();
  if (!good) raise_error(s, GP, error);
}

// --- Stack

Stack Stack::make(X86State& s, const Segment& ss, u64 sp, bool flat64, unsigned cpl, u32 error) {
  const u64 mask = flat64 ? ~u64{0} : (ss.attr & kAttrDB) ? 0xffffffffu : 0xffffu;
  const u32 mmu = cpl == 3 ? u32{kMmuUser} : implicit_mmu_mode(s);
  return {s, ss, sp & mask, mask, mmu, error, flat64};
}

Stack Stack::current(X86State& s) {
  Stack k = make(s, s.seg[SS], s.gpr[RSP], code64(s), s.cpl, 0);
  k.mmu = s.h.mmu_mode;
  return k;
}

u64 Stack::linear(u64 offset) const {
  return flat64 ? offset : wrap_linear(s, static_cast<u32>(ss.base + (offset & mask)));
}

void Stack::check(u64 offset, unsigned size) const {
  if (flat64) {
    if (!canonical(offset) || !canonical(offset + size - 1)) raise_error(s, SS_, error);
    return;
  }
  const u64 first = offset & mask, last = first + size - 1;
  const bool expand_down = (ss.attr & (kAttrCode | kAttrExpandDown)) == kAttrExpandDown && !real_or_vm86(s);
  const bool good = expand_down ? first > ss.limit && last <= mask : last <= ss.limit;
  if (!good) raise_error(s, SS_, error);
}

void Stack::reserve(unsigned count, unsigned size) const {
  for (unsigned i = 1; i <= count; i++) {
    const u64 offset = (sp - u64{i} * size) & mask;
    check(offset, size);
    mem::probe(s.h, linear(offset), size, mem::Access::Write, mmu);
  }
}

void Stack::push(u64 value, unsigned size) {
  const u64 next = (sp - size) & mask;
  check(next, size);
  const u64 va = linear(next);
  if (size == 8)
    mem::store<u64>(s.h, va, value, mmu);
  else if (size == 4)
    mem::store<u32>(s.h, va, static_cast<u32>(value), mmu);
  else
    mem::store<u16>(s.h, va, static_cast<u16>(value), mmu);
  sp = next;
}

u64 Stack::peek(u64 distance, unsigned size) const {
  const u64 offset = (sp + distance) & mask;
  check(offset, size);
  const u64 va = linear(offset);
  return size == 8   ? mem::load<u64>(s.h, va, mmu)
         : size == 4 ? mem::load<u32>(s.h, va, mmu)
                     : mem::load<u16>(s.h, va, mmu);
}

u64 Stack::pop(unsigned size) {
  const u64 v = peek(0, size);
  sp = (sp + size) & mask;
  return v;
}

void Stack::commit() const {
  u64& rsp = s.gpr[RSP];
  rsp = mask == 0xffff ? (rsp & ~u64{0xffff}) | sp : sp;
}

}  // namespace doppel::x86
