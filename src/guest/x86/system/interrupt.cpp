// Delivery through the interrupt table in every mode, and IRET (SDM vol. 3, chapters 6 and 20; vol. 2, INT n and IRET).
// Traps:
// - all checks and probes come first, then the pushes, then the registers: a fault in between leaves the state as it
// was, and
//   the second fault becomes a double fault where it must (cpu.cpp);
// - EXT is 1 in error codes of faults met while delivering anything but a software interrupt;
// - long mode aligns the stack to 16 bytes, always pushes SS:RSP, and gives a null SS on a change of privilege;
// - IRET to VM86 pops nine values; IRET with NT set is a task switch.
#include "guest/x86/platform.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

u32 pushed_flags(const X86State& s, const Delivery& d) { return d.fault ? get_eflags(s) | RF : get_eflags(s); }

void deliver_real(X86State& s, const Delivery& d) {
  const u32 index = u32{d.vector} * 4;
  if (index + 3 > s.idtr.limit) raise_error(s, GP, index * 2 + 2);
  const u32 target = load_system<u32>(s, s.idtr.base + index);
  Stack k = Stack::current(s);
  k.reserve(3, 2);
  k.push(get_eflags(s), 2);
  k.push(s.seg[CS].selector, 2);
  k.push(d.return_rip, 2);
  k.commit();
  s.eflags &= ~u32{IF | TF | AC | RF};
  load_real_segment(s, CS, static_cast<u16>(target >> 16));
  s.rip = target & 0xffff;
}

struct Gate {
  unsigned type;
  u16 selector;
  u64 offset;
  unsigned ist;
};

Gate read_gate(X86State& s, const Delivery& d, u32 ext) {
  const bool lm = long_mode(s);
  const u32 size = lm ? 16 : 8, index = u32{d.vector} * size, error = u32{d.vector} * 8 + 2 + ext;
  if (index + size - 1 > s.idtr.limit) raise_error(s, GP, error);
  const u64 low = load_system<u64>(s, s.idtr.base + index);
  const Descriptor g{static_cast<u32>(low), static_cast<u32>(low >> 32)};
  const unsigned type = g.type();
  const bool good = g.system() && (lm ? type == kIntGate32 || type == kTrapGate32
                                      : type == kTaskGate || type == kIntGate16 || type == kTrapGate16 ||
                                            type == kIntGate32 || type == kTrapGate32);
  if (!good) raise_error(s, GP, error);
  if (d.soft && g.dpl() < s.cpl) raise_error(s, GP, u32{d.vector} * 8 + 2);
  if (!g.present()) raise_error(s, NP, error);
  u64 offset = g.gate_offset();
  if (lm) offset |= load_system<u64>(s, s.idtr.base + index + 8) << 32;
  if (type == kIntGate16 || type == kTrapGate16) offset &= 0xffff;
  return {type, g.gate_selector(), offset, lm ? static_cast<unsigned>(low >> 32) & 7 : 0u};
}

// The code segment of a gate; `cpl` gets the privilege of the handler.
Descriptor gate_code_segment(X86State& s, const Gate& g, u32 ext, unsigned& cpl) {
  const u32 error = (g.selector & 0xfffcu) | ext;
  if (null_selector(g.selector)) raise_error(s, GP, ext);
  Descriptor cs;
  if (!read_descriptor(s, g.selector, cs)) raise_error(s, GP, error);
  if (!cs.code() || cs.dpl() > s.cpl) raise_error(s, GP, error);
  if (long_mode(s) && (!cs.l() || cs.db())) raise_error(s, GP, error);
  if (!cs.present()) raise_error(s, NP, error);
  cpl = cs.conforming() ? s.cpl : cs.dpl();
  if (vm86(s) && cpl != 0) raise_error(s, GP, error);
  return cs;
}

void enter_handler(X86State& s, const Gate& g, const Descriptor& cs, unsigned cpl) {
  s.eflags &= ~u32{TF | VM | RF | NT};
  if (g.type == kIntGate16 || g.type == kIntGate32) s.eflags &= ~u32{IF};
  set_cs(s, g.selector, cs, cpl);
  s.rip = g.offset;
}

void deliver_task_gate(X86State& s, const Gate& g, const Delivery& d, u32 ext) {
  const u32 error = (g.selector & 0xfffcu) | ext;
  Descriptor tss;
  if ((g.selector & 4) || null_selector(g.selector) || !read_descriptor(s, g.selector, tss)) raise_error(s, GP, error);
  if (!tss.system() || (tss.type() != kTss16 && tss.type() != kTss32)) raise_error(s, GP, error);
  if (!tss.present()) raise_error(s, NP, error);
  if (d.fault) s.eflags |= RF;
  const u32 code = d.error;
  task_switch(s, g.selector, tss, TaskSource::Int, d.return_rip, d.has_error ? &code : nullptr);
}

void deliver_protected(X86State& s, const Delivery& d, u32 ext) {
  const Gate g = read_gate(s, d, ext);
  if (g.type == kTaskGate) {
    deliver_task_gate(s, g, d, ext);
    return;
  }
  unsigned cpl;
  Descriptor cs = gate_code_segment(s, g, ext, cpl);
  const unsigned size = g.type >= kIntGate32 ? 4 : 2;
  const bool from_vm86 = vm86(s);
  const u32 flags = pushed_flags(s, d);
  const unsigned extra = d.has_error ? 1 : 0;
  if (cpl < s.cpl) {
    u16 ss_selector;
    u32 sp;
    tss_stack(s, cpl, ss_selector, sp, ext);
    Descriptor ss = check_stack_segment(s, ss_selector, cpl, TS, ext);
    Stack k = Stack::make(s, ss.segment(ss_selector), sp, false, cpl, (ss_selector & 0xfffcu) | ext);
    k.reserve((from_vm86 ? 9 : 5) + extra, size);
    check_target(s, cs, g.offset, ext);
    mark_accessed(s, ss_selector, ss);
    mark_accessed(s, g.selector, cs);
    if (from_vm86) {
      for (const unsigned reg : {GS, FS, DS, ES}) k.push(s.seg[reg].selector, size);
    }
    k.push(s.seg[SS].selector, size);
    k.push(s.gpr[RSP], size);
    k.push(flags, size);
    k.push(s.seg[CS].selector, size);
    k.push(d.return_rip, size);
    if (extra) k.push(d.error, size);
    if (from_vm86) {
      for (const unsigned reg : {GS, FS, DS, ES}) load_null_segment(s, reg, 0);
    }
    s.seg[SS] = ss.segment(ss_selector);
    k.commit();
  } else {
    Stack k = Stack::current(s);
    k.error = ext;
    k.reserve(3 + extra, size);
    check_target(s, cs, g.offset, ext);
    mark_accessed(s, g.selector, cs);
    k.push(flags, size);
    k.push(s.seg[CS].selector, size);
    k.push(d.return_rip, size);
    if (extra) k.push(d.error, size);
    k.commit();
  }
  enter_handler(s, g, cs, cpl);
}

void deliver_long(X86State& s, const Delivery& d, u32 ext) {
  const Gate g = read_gate(s, d, ext);
  const unsigned ist = g.ist;
  unsigned cpl;
  Descriptor cs = gate_code_segment(s, g, ext, cpl);
  const bool inner = cpl < s.cpl;
  u64 sp = s.gpr[RSP];
  if (ist != 0)
    sp = tss_stack64(s, 3 + ist - 1, ext);
  else if (inner)
    sp = tss_stack64(s, cpl, ext);
  Stack k = Stack::make(s, s.seg[SS], sp & ~u64{15}, true, cpl, ext);
  k.reserve(d.has_error ? 6 : 5, 8);
  if (!canonical(g.offset)) raise_error(s, GP, ext);
  mark_accessed(s, g.selector, cs);
  k.push(s.seg[SS].selector, 8);
  k.push(s.gpr[RSP], 8);
  k.push(pushed_flags(s, d), 8);
  k.push(s.seg[CS].selector, 8);
  k.push(d.return_rip, 8);
  if (d.has_error) k.push(d.error, 8);
  k.commit();
  if (inner) load_null_segment(s, SS, static_cast<u16>(cpl));
  enter_handler(s, g, cs, cpl);
}

}  // namespace

void deliver_interrupt(X86State& s, const Delivery& d) {
  const u32 ext = d.soft ? 0 : 1;
  if (!protected_mode(s))
    deliver_real(s, d);
  else if (long_mode(s))
    deliver_long(s, d, ext);
  else
    deliver_protected(s, d, ext);
  s.shadow = 0;
  update_code_mode(s);
}

void deliver_vm86_redirected(X86State& s, u8 vector, u64 return_rip) {
  const u32 target = load_system<u32>(s, u32{vector} * 4);
  u32 flags = get_eflags(s);
  if (iopl(s) < 3) {
    flags = (flags & ~u32{IF}) | IOPL;
    if (s.eflags & VIF) flags |= IF;
  }
  Stack k = Stack::current(s);
  k.reserve(3, 2);
  k.push(flags, 2);
  k.push(s.seg[CS].selector, 2);
  k.push(return_rip, 2);
  k.commit();
  s.eflags &= ~u32{TF | NT | RF};
  s.eflags &= iopl(s) < 3 ? ~u32{VIF} : ~u32{IF};
  load_vm86_segment(s, CS, static_cast<u16>(target >> 16));
  s.rip = target & 0xffff;
  update_code_mode(s);
}

// --- IRET

namespace {

// RF is kept only while an instruction breakpoint could look at it: translated code does not clear it.
u32 wanted_flags(const X86State& s, u32 mask) { return (s.dr[7] & 0xff) ? mask | RF : mask; }

void iret_vm86_return(X86State& s, Stack& k, u32 eip, u16 cs, u32 flags) {
  const u32 esp = static_cast<u32>(k.pop(4));
  const u16 ss = static_cast<u16>(k.pop(4));
  u16 sel[4];
  for (u16& v : sel) v = static_cast<u16>(k.pop(4));
  s.eflags &= ~u32{RF};
  s.cpl = 3;
  const u32 mask = kArithFlags | TF | IF | DF | IOPL | NT | VM | AC | VIF | VIP | ID;
  set_eflags(s, flags, wanted_flags(s, mask));
  load_vm86_segment(s, CS, cs);
  load_vm86_segment(s, SS, ss);
  static constexpr u8 kOrder[4] = {ES, DS, FS, GS};
  for (unsigned i = 0; i < 4; i++) load_vm86_segment(s, kOrder[i], sel[i]);
  s.gpr[RSP] = esp;
  s.rip = eip & 0xffff;
}

void iret_task(X86State& s) {
  const u16 link = load_system<u16>(s, s.seg[TR].base);
  const u32 error = link & 0xfffcu;
  Descriptor tss;
  if ((link & 4) || null_selector(link) || !read_descriptor(s, link, tss)) raise_error(s, TS, error);
  if (!tss.system() || (tss.type() != kTss16Busy && tss.type() != kTss32Busy)) raise_error(s, TS, error);
  if (!tss.present()) raise_error(s, NP, error);
  task_switch(s, link, tss, TaskSource::Iret, s.rip, nullptr);
}

u32 iret_mask(const X86State& s, unsigned opsize) {
  u32 mask = kArithFlags | TF | DF | NT;
  if (opsize >= 4) mask |= AC | ID;
  if (s.cpl <= iopl(s)) mask |= IF;
  if (s.cpl == 0) {
    mask |= IOPL;
    if (opsize >= 4) mask |= VIF | VIP;
  }
  return opsize >= 4 ? wanted_flags(s, mask) : mask;
}

}  // namespace

void iret_real(X86State& s, unsigned opsize) {
  // Real mode, and VM86 with IOPL 3 or VME.
  Stack k = Stack::current(s);
  const u64 ip = k.pop(opsize);
  const u16 cs = static_cast<u16>(k.pop(opsize));
  u32 flags = static_cast<u32>(k.pop(opsize));
  u32 mask = kArithFlags | TF | IF | DF | NT;
  if (!vm86(s)) mask |= IOPL;
  if (opsize == 4) mask |= AC | ID;
  if (vm86(s) && iopl(s) < 3) {
    // VME: 16-bit IRET moves IF to VIF.
    if ((flags & TF) || ((flags & IF) && (s.eflags & VIP))) raise_error(s, GP, 0);
    mask = (mask & ~u32{IF}) | VIF;
    flags = (flags & 0xffff & ~u32{VIF}) | ((flags & IF) ? u32{VIF} : 0u);
  }
  if (ip > 0xffff && ip > s.seg[CS].limit) raise_error(s, GP, 0);
  k.commit();
  if (vm86(s))
    load_vm86_segment(s, CS, cs);
  else
    load_real_segment(s, CS, cs);
  s.eflags &= ~u32{RF};
  set_eflags(s, flags, mask);
  s.rip = ip;
}

void iret_protected(X86State& s, unsigned opsize) {
  const bool lm = long_mode(s), from64 = code64(s);
  if (s.eflags & NT) {
    if (lm) raise_error(s, GP, 0);
    iret_task(s);
    return;
  }
  Stack k = Stack::current(s);
  const u64 ip = k.pop(opsize);
  const u16 selector = static_cast<u16>(k.pop(opsize));
  const u32 flags = static_cast<u32>(k.pop(opsize));
  if (!lm && opsize == 4 && (flags & VM) && s.cpl == 0) {
    for (unsigned i = 0; i < 6; i++) k.peek(i * 4, 4);
    iret_vm86_return(s, k, static_cast<u32>(ip), selector, flags);
    return;
  }
  const u32 error = selector & 0xfffcu;
  const unsigned rpl = selector & 3;
  if (null_selector(selector)) raise_error(s, GP, 0);
  Descriptor cs;
  if (!read_descriptor(s, selector, cs)) raise_error(s, GP, error);
  if (!cs.code() || rpl < s.cpl) raise_error(s, GP, error);
  if (cs.conforming() ? cs.dpl() > rpl : cs.dpl() != rpl) raise_error(s, GP, error);
  if (lm && cs.l() && cs.db()) raise_error(s, GP, error);
  if (!cs.present()) raise_error(s, NP, error);
  const bool to64 = lm && cs.l();
  const u32 mask = iret_mask(s, opsize);
  if (rpl == s.cpl && !from64) {
    check_target(s, cs, ip, 0);
    mark_accessed(s, selector, cs);
    k.commit();
    set_cs(s, selector, cs, rpl);
  } else {
    const u64 sp = k.pop(opsize);
    const u16 ss_selector = static_cast<u16>(k.pop(opsize));
    Descriptor ss;
    const bool null_ss = null_selector(ss_selector);
    if (null_ss) {
      if (!to64 || rpl == 3 || (ss_selector & 3) != rpl) raise_error(s, GP, 0);
    } else {
      ss = check_stack_segment(s, ss_selector, rpl, GP, 0);
    }
    check_target(s, cs, ip, 0);
    mark_accessed(s, selector, cs);
    if (!null_ss) mark_accessed(s, ss_selector, ss);
    const bool outer = rpl > s.cpl;
    set_cs(s, selector, cs, rpl);
    if (null_ss)
      load_null_segment(s, SS, ss_selector);
    else
      s.seg[SS] = ss.segment(ss_selector);
    if (to64)
      s.gpr[RSP] = sp;
    else if (s.seg[SS].attr & kAttrDB)
      s.gpr[RSP] = static_cast<u32>(sp);
    else
      s.gpr[RSP] = (s.gpr[RSP] & ~u64{0xffff}) | (sp & 0xffff);
    if (outer) drop_privileged_segments(s);
  }
  s.eflags &= ~u32{RF};
  set_eflags(s, flags, mask);
  s.rip = ip;
}

}  // namespace doppel::x86
