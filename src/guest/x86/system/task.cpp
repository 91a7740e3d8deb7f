// Task state segments: task switches, inner stacks, I/O permission (SDM vol. 3, chapter 7; 16-bit TSS 7.6; 64-bit
// TSS 7.7). Traps:
// - until the old task is saved, faults belong to it; after TR is loaded they belong to the new task, whose RIP is then
// exact;
// - a nested task (CALL, INT) leaves the old TSS busy; JMP and IRET free it; IRET clears NT in the saved flags;
// - selectors are loaded before any descriptor is checked, so that a handler sees them all.
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

struct TaskImage {
  u64 cr3 = 0;
  bool has_cr3 = false;
  u32 eip = 0, eflags = 0;
  u32 gpr[8] = {};
  u16 seg[6] = {};  // ES CS SS DS FS GS
  u16 ldt = 0;
  bool trap = false;
};

bool is32(unsigned type) { return type == kTss32 || type == kTss32Busy; }
bool tr_is32(const X86State& s) { return (s.seg[TR].attr & 8) != 0; }

TaskImage read_task(X86State& s, u64 base, bool wide) {
  TaskImage t;
  if (wide) {
    t.cr3 = load_system<u32>(s, base + 0x1c);
    t.has_cr3 = true;
    t.eip = load_system<u32>(s, base + 0x20);
    t.eflags = load_system<u32>(s, base + 0x24);
    for (unsigned i = 0; i < 8; i++) t.gpr[i] = load_system<u32>(s, base + 0x28 + 4 * i);
    for (unsigned i = 0; i < 6; i++) t.seg[i] = load_system<u16>(s, base + 0x48 + 4 * i);
    t.ldt = load_system<u16>(s, base + 0x60);
    t.trap = load_system<u16>(s, base + 0x64) & 1;
    return t;
  }
  t.eip = load_system<u16>(s, base + 0x0e);
  t.eflags = load_system<u16>(s, base + 0x10);
  for (unsigned i = 0; i < 8; i++) t.gpr[i] = load_system<u16>(s, base + 0x12 + 2 * i) | 0xffff0000u;
  for (unsigned i = 0; i < 4; i++) t.seg[i] = load_system<u16>(s, base + 0x22 + 2 * i);
  t.ldt = load_system<u16>(s, base + 0x2a);
  return t;
}

void save_task(X86State& s, u64 base, bool wide, u32 eip, u32 eflags) {
  if (wide) {
    store_system<u32>(s, base + 0x20, eip);
    store_system<u32>(s, base + 0x24, eflags);
    for (unsigned i = 0; i < 8; i++) store_system<u32>(s, base + 0x28 + 4 * i, static_cast<u32>(s.gpr[i]));
    for (unsigned i = 0; i < 6; i++) store_system<u16>(s, base + 0x48 + 4 * i, s.seg[i].selector);
    return;
  }
  store_system<u16>(s, base + 0x0e, static_cast<u16>(eip));
  store_system<u16>(s, base + 0x10, static_cast<u16>(eflags));
  for (unsigned i = 0; i < 8; i++) store_system<u16>(s, base + 0x12 + 2 * i, static_cast<u16>(s.gpr[i]));
  for (unsigned i = 0; i < 4; i++) store_system<u16>(s, base + 0x22 + 2 * i, s.seg[i].selector);
}

void load_task_ldt(X86State& s, u16 selector) {
  s.seg[LDTR] = {0, 0, selector, 0};
  if (null_selector(selector)) return;
  const u32 error = selector & 0xfffcu;
  Descriptor d;
  if ((selector & 4) || !read_descriptor(s, selector, d) || !d.system() || d.type() != kLdt || !d.present())
    raise_error(s, TS, error);
  s.seg[LDTR] = d.segment(selector);
}

void load_task_cs(X86State& s, u16 selector) {
  const u32 error = selector & 0xfffcu;
  const unsigned rpl = selector & 3;
  Descriptor d;
  if (null_selector(selector) || !read_descriptor(s, selector, d) || !d.code()) raise_error(s, TS, error);
  if (d.conforming() ? d.dpl() > rpl : d.dpl() != rpl) raise_error(s, TS, error);
  if (!d.present()) raise_error(s, NP, error);
  mark_accessed(s, selector, d);
  set_cs(s, selector, d, rpl);
}

void load_task_data(X86State& s, unsigned reg, u16 selector) {
  if (null_selector(selector)) return;
  const u32 error = selector & 0xfffcu;
  const unsigned rpl = selector & 3;
  Descriptor d;
  if (!read_descriptor(s, selector, d) || !d.readable()) raise_error(s, TS, error);
  if (!d.conforming() && (rpl > d.dpl() || s.cpl > d.dpl())) raise_error(s, TS, error);
  if (!d.present()) raise_error(s, NP, error);
  mark_accessed(s, selector, d);
  s.seg[reg] = d.segment(selector);
}

void load_task_segments(X86State& s, const TaskImage& t) {
  if (t.eflags & VM) {
    for (unsigned reg = 0; reg < 6; reg++) load_vm86_segment(s, reg, t.seg[reg]);
    s.cpl = 3;
    update_mode(s);
    load_task_ldt(s, t.ldt);
    return;
  }
  for (unsigned reg = 0; reg < 6; reg++) s.seg[reg] = {0, 0, t.seg[reg], 0};
  s.cpl = t.seg[CS] & 3;
  update_mode(s);
  load_task_ldt(s, t.ldt);
  load_task_cs(s, t.seg[CS]);
  Descriptor ss = check_stack_segment(s, t.seg[SS], s.cpl, TS, 0);
  mark_accessed(s, t.seg[SS], ss);
  s.seg[SS] = ss.segment(t.seg[SS]);
  for (const unsigned reg : {ES, DS, FS, GS}) load_task_data(s, reg, t.seg[reg]);
}

}  // namespace

void task_switch(X86State& s, u16 selector, const Descriptor& tss, TaskSource source, u64 next_rip,
                 const u32* error_code) {
  const bool wide = is32(tss.type()), old_wide = tr_is32(s);
  const u32 error = selector & 0xfffcu;
  const u64 base = tss.base(), old_base = s.seg[TR].base;
  if (tss.limit() < (wide ? 0x67u : 0x2bu)) raise_error(s, TS, error);
  if (s.seg[TR].limit < (old_wide ? 0x5fu : 0x29u)) raise_error(s, TS, s.seg[TR].selector & 0xfffcu);
  // Everything that is read or written below, while faults still belong to the old task.
  const TaskImage t = read_task(s, base, wide);
  mem::probe(s.h, wrap_linear(s, old_base), old_wide ? 0x60 : 0x2a, mem::Access::Write, implicit_mmu_mode(s));
  mem::probe(s.h, wrap_linear(s, base), 2, mem::Access::Write, implicit_mmu_mode(s));
  u32 old_flags = get_eflags(s);
  if (source == TaskSource::Iret) old_flags &= ~u32{NT};
  save_task(s, old_base, old_wide, static_cast<u32>(next_rip), old_flags);
  const bool nested = source == TaskSource::Call || source == TaskSource::Int;
  if (nested) store_system<u16>(s, base, s.seg[TR].selector);
  if (!nested) set_busy(s, s.seg[TR].selector, false);
  if (source != TaskSource::Iret) set_busy(s, selector, true);
  // Here the new task begins.
  s.seg[TR] = tss.segment(selector);
  s.seg[TR].attr |= 2;
  s.cr0 |= CR0_TS;
  if (t.has_cr3 && (s.cr0 & CR0_PG)) {
    if (!(s.cr4 & CR4_PAE) || load_pdptes(s, t.cr3)) {
      s.cr3 = t.cr3;
      switch_space(s, false);
    }
  }
  s.rip = t.eip;
  s.pc_exact = 1;
  for (unsigned i = 0; i < 8; i++) s.gpr[i] = t.gpr[i];
  u32 flags = t.eflags;
  if (nested) flags |= NT;
  u32 mask = kArithFlags | TF | IF | DF | IOPL | NT;
  if (wide) mask |= RF | VM | AC | VIF | VIP | ID;
  s.eflags &= ~u32{RF | VM};
  set_eflags(s, flags, mask);
  s.dr[7] &= ~u64{0x55};  // local breakpoints
  load_task_segments(s, t);
  update_mode(s);
  if (s.rip > s.seg[CS].limit) raise_error(s, GP, 0);
  if (error_code) {
    Stack k = Stack::current(s);
    k.push(*error_code, wide ? 4 : 2);
    k.commit();
  }
  if (t.trap) s.trap_dr6 |= 1 << 15;
  s.pc_exact = 0;
}

void tss_stack(X86State& s, unsigned cpl, u16& ss, u32& sp, u32 ext) {
  const Segment& tr = s.seg[TR];
  const u32 error = (tr.selector & 0xfffcu) | ext;
  if (tr_is32(s)) {
    const u32 at = 4 + 8 * cpl;
    if (at + 5 > tr.limit) raise_error(s, TS, error);
    sp = load_system<u32>(s, tr.base + at);
    ss = load_system<u16>(s, tr.base + at + 4);
  } else {
    const u32 at = 2 + 4 * cpl;
    if (at + 3 > tr.limit) raise_error(s, TS, error);
    sp = load_system<u16>(s, tr.base + at);
    ss = load_system<u16>(s, tr.base + at + 2);
  }
}

u64 tss_stack64(X86State& s, unsigned index, u32 ext) {
  const Segment& tr = s.seg[TR];
  const u32 at = index < 3 ? 4 + 8 * index : 0x24 + 8 * (index - 3);
  if (at + 7 > tr.limit) raise_error(s, TS, (tr.selector & 0xfffcu) | ext);
  return load_system<u64>(s, tr.base + at);
}

bool io_allowed(X86State& s, u16 port, unsigned size) {
  const Segment& tr = s.seg[TR];
  if (!tr_is32(s) || tr.limit < 0x67) return false;
  const u32 at = load_system<u16>(s, tr.base + 0x66) + (port >> 3);
  if (at + 1 > tr.limit) return false;
  const u32 bits = load_system<u16>(s, tr.base + at) >> (port & 7);
  return (bits & mask_bits(size)) == 0;
}

bool vme_redirected(X86State& s, u8 vector) {
  const Segment& tr = s.seg[TR];
  if (!tr_is32(s) || tr.limit < 0x67) return false;
  const u32 map = load_system<u16>(s, tr.base + 0x66);
  const u32 at = map - 32 + (vector >> 3);
  if (map < 32 || at > tr.limit) return false;
  return !((load_system<u8>(s, tr.base + at) >> (vector & 7)) & 1);
}

}  // namespace doppel::x86
