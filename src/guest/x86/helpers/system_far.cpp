// Far transfers: JMP, CALL, RET, IRET, INT, SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM vol. 2; vol. 3, 5.8).
// Traps: RIP already is the next instruction when these run; a fault finds its own. Gates that change privilege copy
// parameters (16 and 32 bits) or push a null SS (64 bits).
#include "guest/x86/helpers/table.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

u64 mask_offset(u64 offset, u64 opsize) {
  return opsize == 2 ? offset & 0xffff : opsize == 4 ? offset & 0xffffffffu : offset;
}

void real_jump(X86State& s, u16 selector, u64 offset) {
  if (vm86(s))
    load_vm86_segment(s, CS, selector);
  else
    load_real_segment(s, CS, selector);
  s.rip = offset;
  update_code_mode(s);
}

// Checks a code segment for a direct transfer.
void check_direct_code(X86State& s, u16 selector, const Descriptor& d) {
  const u32 error = selector & 0xfffcu;
  const unsigned rpl = selector & 3;
  const bool good = d.conforming() ? d.dpl() <= s.cpl : rpl <= s.cpl && d.dpl() == s.cpl;
  if (!good) raise_error(s, GP, error);
  if (!d.present()) raise_error(s, NP, error);
  if (long_mode(s) && d.l() && d.db()) raise_error(s, GP, error);
}

Descriptor target_descriptor(X86State& s, u16 selector) {
  Descriptor d;
  if (null_selector(selector)) raise_error(s, GP, 0);
  if (!read_descriptor(s, selector, d)) raise_error(s, GP, selector & 0xfffcu);
  return d;
}

struct CallGate {
  u16 selector;
  u64 offset;
  unsigned count;  // parameters
  unsigned size;   // bytes a push
  Descriptor cs;
};

// Reads and checks a call gate and its code segment.
CallGate open_call_gate(X86State& s, u16 gate_selector, const Descriptor& d) {
  const u32 error = gate_selector & 0xfffcu;
  const unsigned rpl = gate_selector & 3;
  const bool lm = long_mode(s);
  if (d.dpl() < s.cpl || d.dpl() < rpl) raise_error(s, GP, error);
  if (!d.present()) raise_error(s, NP, error);
  CallGate g{d.gate_selector(), d.gate_offset(), d.hi & 31, d.type() == kCallGate32 ? 4u : 2u, {}};
  if (lm) {
    u32 high;
    if (!read_descriptor_high(s, gate_selector, high)) raise_error(s, GP, error);
    g.offset |= u64{high} << 32;
    g.count = 0;
    g.size = 8;
  } else if (g.size == 2) {
    g.offset &= 0xffff;
  }
  const u32 cs_error = g.selector & 0xfffcu;
  if (null_selector(g.selector)) raise_error(s, GP, 0);
  if (!read_descriptor(s, g.selector, g.cs)) raise_error(s, GP, cs_error);
  if (!g.cs.code() || g.cs.dpl() > s.cpl) raise_error(s, GP, cs_error);
  if (lm && (!g.cs.l() || g.cs.db())) raise_error(s, GP, cs_error);
  if (!g.cs.present()) raise_error(s, NP, cs_error);
  return g;
}

bool task_transfer(X86State& s, u16 selector, const Descriptor& d, TaskSource source, u64 next_pc) {
  if (long_mode(s)) return false;
  const u32 error = selector & 0xfffcu;
  const unsigned rpl = selector & 3;
  u16 tss_selector = selector;
  Descriptor tss = d;
  if (d.type() != kTaskGate && d.type() != kTss16 && d.type() != kTss32) return false;
  if (d.dpl() < s.cpl || d.dpl() < rpl) raise_error(s, GP, error);
  if (d.type() == kTaskGate) {
    if (!d.present()) raise_error(s, NP, error);
    tss_selector = d.gate_selector();
    const u32 tss_error = tss_selector & 0xfffcu;
    if ((tss_selector & 4) || null_selector(tss_selector) || !read_descriptor(s, tss_selector, tss))
      raise_error(s, GP, tss_error);
    if (!tss.system() || (tss.type() != kTss16 && tss.type() != kTss32)) raise_error(s, GP, tss_error);
  }
  if (tss_selector & 4) raise_error(s, GP, tss_selector & 0xfffcu);
  if (!tss.present()) raise_error(s, NP, tss_selector & 0xfffcu);
  task_switch(s, tss_selector, tss, source, next_pc, nullptr);
  update_code_mode(s);
  return true;
}

bool is_call_gate(const X86State& s, const Descriptor& d) {
  return d.system() && (d.type() == kCallGate32 || (d.type() == kCallGate16 && !long_mode(s)));
}

// A call through a gate to an inner privilege: new stack, old SS:SP, parameters, return address.
void call_inner(X86State& s, const CallGate& gate, u64 next_pc) {
  CallGate g = gate;
  const unsigned cpl = g.cs.dpl();
  if (long_mode(s)) {
    const u64 sp = tss_stack64(s, cpl, 0);
    Stack k = Stack::make(s, s.seg[SS], sp, true, cpl, 0);
    k.reserve(4, 8);
    check_target(s, g.cs, g.offset, 0);
    mark_accessed(s, g.selector, g.cs);
    k.push(s.seg[SS].selector, 8);
    k.push(s.gpr[RSP], 8);
    k.push(s.seg[CS].selector, 8);
    k.push(next_pc, 8);
    k.commit();
    s.gpr[RSP] = k.sp;
    load_null_segment(s, SS, static_cast<u16>(cpl));
  } else {
    u16 ss_selector;
    u32 sp;
    tss_stack(s, cpl, ss_selector, sp, 0);
    Descriptor ss = check_stack_segment(s, ss_selector, cpl, TS, 0);
    Stack k = Stack::make(s, ss.segment(ss_selector), sp, false, cpl, ss_selector & 0xfffcu);
    const Stack old = Stack::current(s);
    k.reserve(4 + g.count, g.size);
    u32 parameters[31];
    for (unsigned i = 0; i < g.count; i++) parameters[i] = static_cast<u32>(old.peek(u64{i} * g.size, g.size));
    check_target(s, g.cs, g.offset, 0);
    mark_accessed(s, ss_selector, ss);
    mark_accessed(s, g.selector, g.cs);
    k.push(s.seg[SS].selector, g.size);
    k.push(s.gpr[RSP], g.size);
    for (unsigned i = g.count; i-- > 0;) k.push(parameters[i], g.size);
    k.push(s.seg[CS].selector, g.size);
    k.push(next_pc, g.size);
    s.seg[SS] = ss.segment(ss_selector);
    k.commit();
  }
  set_cs(s, g.selector, g.cs, cpl);
  s.rip = g.offset;
}

void ret_real(X86State& s, unsigned opsize, unsigned release) {
  Stack k = Stack::current(s);
  const u64 ip = k.pop(opsize);
  const u16 selector = static_cast<u16>(k.pop(opsize));
  if (ip > s.seg[CS].limit && ip > 0xffff) raise_error(s, GP, 0);
  k.sp = (k.sp + release) & k.mask;
  k.commit();
  real_jump(s, selector, ip);
}

void ret_protected(X86State& s, unsigned opsize, unsigned release) {
  Stack k = Stack::current(s);
  const u64 ip = k.pop(opsize);
  const u16 selector = static_cast<u16>(k.pop(opsize));
  const u32 error = selector & 0xfffcu;
  const unsigned rpl = selector & 3;
  Descriptor cs = target_descriptor(s, selector);
  if (!cs.code() || rpl < s.cpl) raise_error(s, GP, error);
  if (cs.conforming() ? cs.dpl() > rpl : cs.dpl() != rpl) raise_error(s, GP, error);
  if (long_mode(s) && cs.l() && cs.db()) raise_error(s, GP, error);
  if (!cs.present()) raise_error(s, NP, error);
  k.sp = (k.sp + release) & k.mask;
  if (rpl == s.cpl) {
    check_target(s, cs, ip, 0);
    mark_accessed(s, selector, cs);
    k.commit();
    set_cs(s, selector, cs, rpl);
    s.rip = ip;
    return;
  }
  const u64 sp = k.pop(opsize);
  const u16 ss_selector = static_cast<u16>(k.pop(opsize));
  const bool to64 = long_mode(s) && cs.l(), null_ss = null_selector(ss_selector);
  Descriptor ss;
  if (null_ss) {
    if (!to64 || rpl == 3 || (ss_selector & 3) != rpl) raise_error(s, GP, 0);
  } else {
    ss = check_stack_segment(s, ss_selector, rpl, GP, 0);
  }
  check_target(s, cs, ip, 0);
  mark_accessed(s, selector, cs);
  if (!null_ss) mark_accessed(s, ss_selector, ss);
  set_cs(s, selector, cs, rpl);
  if (null_ss)
    load_null_segment(s, SS, ss_selector);
  else
    s.seg[SS] = ss.segment(ss_selector);
  Stack outer = Stack::make(s, s.seg[SS], sp, to64, rpl, 0);
  outer.sp = (outer.sp + release) & outer.mask;
  outer.commit();
  s.rip = ip;
  drop_privileged_segments(s);
}

Segment flat_code(u16 selector, unsigned dpl, bool l, bool d) {
  const unsigned attr = kAttrP | dpl << 5 | kAttrS | kAttrCode | kAttrReadable | kAttrAccessed | kAttrG |
                        (l ? u32{kAttrL} : 0u) | (d ? u32{kAttrDB} : 0u);
  return {0, ~u32{0}, selector, static_cast<u16>(attr)};
}
Segment flat_data(u16 selector, unsigned dpl) {
  return {0, ~u32{0}, selector,
          static_cast<u16>(kAttrP | dpl << 5 | kAttrS | kAttrWritable | kAttrAccessed | kAttrG | kAttrDB)};
}

}  // namespace

u64 helper_far_jmp(X86State* sp, u64 selector_in, u64 offset_in, u64 opsize, u64 next_pc) {
  X86State& s = *sp;
  const u16 selector = static_cast<u16>(selector_in);
  const u64 offset = mask_offset(offset_in, opsize);
  if (real_or_vm86(s)) {
    if (offset > s.seg[CS].limit && offset > 0xffff) raise_error(s, GP, 0);
    real_jump(s, selector, offset);
    return 0;
  }
  Descriptor d = target_descriptor(s, selector);
  if (d.code()) {
    check_direct_code(s, selector, d);
    check_target(s, d, offset, 0);
    mark_accessed(s, selector, d);
    set_cs(s, selector, d, s.cpl);
    s.rip = offset;
  } else if (is_call_gate(s, d)) {
    CallGate g = open_call_gate(s, selector, d);
    if (!g.cs.conforming() && g.cs.dpl() != s.cpl) raise_error(s, GP, g.selector & 0xfffcu);
    check_target(s, g.cs, g.offset, 0);
    mark_accessed(s, g.selector, g.cs);
    set_cs(s, g.selector, g.cs, s.cpl);
    s.rip = g.offset;
  } else if (!d.system() || !task_transfer(s, selector, d, TaskSource::Jmp, next_pc)) {
    raise_error(s, GP, selector & 0xfffcu);
  }
  update_code_mode(s);
  return 0;
}

u64 helper_far_call(X86State* sp, u64 selector_in, u64 offset_in, u64 opsize, u64 next_pc) {
  X86State& s = *sp;
  const u16 selector = static_cast<u16>(selector_in);
  const u64 offset = mask_offset(offset_in, opsize);
  const unsigned size = static_cast<unsigned>(opsize);
  if (real_or_vm86(s)) {
    if (offset > s.seg[CS].limit && offset > 0xffff) raise_error(s, GP, 0);
    Stack k = Stack::current(s);
    k.reserve(2, size);
    k.push(s.seg[CS].selector, size);
    k.push(next_pc, size);
    k.commit();
    real_jump(s, selector, offset);
    return 0;
  }
  Descriptor d = target_descriptor(s, selector);
  if (d.code()) {
    check_direct_code(s, selector, d);
    Stack k = Stack::current(s);
    k.reserve(2, size);
    check_target(s, d, offset, 0);
    mark_accessed(s, selector, d);
    k.push(s.seg[CS].selector, size);
    k.push(next_pc, size);
    k.commit();
    set_cs(s, selector, d, s.cpl);
    s.rip = offset;
  } else if (is_call_gate(s, d)) {
    CallGate g = open_call_gate(s, selector, d);
    if (!g.cs.conforming() && g.cs.dpl() < s.cpl) {
      call_inner(s, g, next_pc);
    } else {
      Stack k = Stack::current(s);
      k.reserve(2, g.size);
      check_target(s, g.cs, g.offset, 0);
      mark_accessed(s, g.selector, g.cs);
      k.push(s.seg[CS].selector, g.size);
      k.push(next_pc, g.size);
      k.commit();
      set_cs(s, g.selector, g.cs, s.cpl);
      s.rip = g.offset;
    }
  } else if (!d.system() || !task_transfer(s, selector, d, TaskSource::Call, next_pc)) {
    raise_error(s, GP, selector & 0xfffcu);
  }
  update_code_mode(s);
  return 0;
}

u64 helper_far_ret(X86State* sp, u64 opsize, u64 release) {
  X86State& s = *sp;
  if (real_or_vm86(s))
    ret_real(s, static_cast<unsigned>(opsize), static_cast<unsigned>(release));
  else
    ret_protected(s, static_cast<unsigned>(opsize), static_cast<unsigned>(release));
  update_code_mode(s);
  return 0;
}

u64 helper_iret(X86State* sp, u64 opsize, u64) {
  X86State& s = *sp;
  const unsigned size = static_cast<unsigned>(opsize);
  if (vm86(s) && iopl(s) < 3) {
    if (!(s.cr4 & CR4_VME) || size != 2) raise_error(s, GP, 0);
    iret_real(s, size);
  } else if (real_or_vm86(s)) {
    iret_real(s, size);
  } else {
    iret_protected(s, size);
  }
  s.nmi_blocked &= 2;
  update_code_mode(s);
  return 0;
}

u64 helper_int_n(X86State* sp, u64 vector, u64 length) {
  X86State& s = *sp;
  if (vm86(s)) {
    const u8 v = static_cast<u8>(vector);
    if ((s.cr4 & CR4_VME) && vme_redirected(s, v)) {
      s.h.runtime->sync_pc();
      deliver_vm86_redirected(s, v, s.rip + length);
      leave_to_loop(s);
    }
    if (iopl(s) < 3) raise_error(s, GP, 0);
  }
  raise_software(s, static_cast<u8>(vector), static_cast<u32>(length));
}

u64 helper_int3(X86State* s, u64 length) { raise_software(*s, BP, static_cast<u32>(length)); }

u64 helper_into(X86State* s, u64 length) {
  if (s->flags & ir::kFlagO) raise_software(*s, OF_, static_cast<u32>(length));
  return 0;
}

u64 helper_int1(X86State* sp, u64 length) {
  // A trap of its own: no check of the gate's DPL.
  X86State& s = *sp;
  s.h.runtime->sync_pc();
  s.rip += length;
  raise_here(s, DB);
}

// --- fast system calls

u64 helper_syscall(X86State* sp, u64 next_pc) {
  X86State& s = *sp;
  if (s.program) {
    program_syscall(s, next_pc);
    return 0;
  }
  if (!(s.efer & EFER_SCE)) raise(s, UD);
  const u16 cs = static_cast<u16>(s.star >> 32) & 0xfffc;
  if (long_mode(s)) {
    const u32 flags = get_eflags(s) & ~u32{RF};
    const u64 target = code64(s) ? s.lstar : s.cstar;
    s.gpr[RCX] = next_pc;
    s.gpr[R11] = flags;
    if ((s.eflags & TF) && (s.sfmask & TF)) s.step_held = 1;
    s.eflags &= ~u32{RF};
    s.cpl = 0;
    s.seg[CS] = flat_code(cs, 0, true, false);
    s.seg[SS] = flat_data(static_cast<u16>(cs + 8), 0);
    set_eflags(s, 0, static_cast<u32>(s.sfmask) & ~u32{2});
    s.rip = target;
  } else {
    // AMD's legacy form.
    s.gpr[RCX] = static_cast<u32>(next_pc);
    s.eflags &= ~u32{VM | IF | RF};
    s.cpl = 0;
    s.seg[CS] = flat_code(cs, 0, false, true);
    s.seg[SS] = flat_data(static_cast<u16>(cs + 8), 0);
    s.rip = static_cast<u32>(s.star);
  }
  update_code_mode(s);
  return 0;
}

u64 helper_sysret(X86State* sp, u64 opsize) {
  X86State& s = *sp;
  if (!(s.efer & EFER_SCE)) raise(s, UD);
  if (!protected_mode(s) || vm86(s) || s.cpl != 0) raise_error(s, GP, 0);
  const u16 base = static_cast<u16>(s.star >> 48);
  if (long_mode(s)) {
    // Intel checks RCX here; AMD lets the fetch fault.
    if (opsize == 8 && !canonical(s.gpr[RCX])) raise_error(s, GP, 0);
    const u16 cs = static_cast<u16>((opsize == 8 ? base + 16 : base) | 3);
    s.cpl = 3;
    s.seg[CS] = flat_code(cs, 3, opsize == 8, opsize != 8);
    s.seg[SS] = flat_data(static_cast<u16>((base + 8) | 3), 3);
    s.eflags &= ~u32{RF};
    set_eflags(s, static_cast<u32>(s.gpr[R11]), kArithFlags | TF | IF | DF | IOPL | NT | AC | VIF | VIP | ID);
    s.rip = opsize == 8 ? s.gpr[RCX] : static_cast<u32>(s.gpr[RCX]);
  } else {
    s.cpl = 3;
    s.seg[CS] = flat_code(static_cast<u16>(base | 3), 3, false, true);
    s.seg[SS] = flat_data(static_cast<u16>((base + 8) | 3), 3);
    s.eflags |= IF;
    s.rip = static_cast<u32>(s.gpr[RCX]);
  }
  update_code_mode(s);
  return 0;
}

u64 helper_sysenter(X86State* sp) {
  X86State& s = *sp;
  if (!protected_mode(s) || null_selector(static_cast<u16>(s.sysenter_cs))) raise_error(s, GP, 0);
  const bool lm = long_mode(s);
  const u16 cs = static_cast<u16>(s.sysenter_cs & 0xfffc);
  s.eflags &= ~u32{VM | IF | RF};
  s.cpl = 0;
  s.seg[CS] = flat_code(cs, 0, lm, !lm);
  s.seg[SS] = flat_data(static_cast<u16>(cs + 8), 0);
  s.gpr[RSP] = lm ? s.sysenter_esp : static_cast<u32>(s.sysenter_esp);
  s.rip = lm ? s.sysenter_eip : static_cast<u32>(s.sysenter_eip);
  update_code_mode(s);
  return 0;
}

u64 helper_sysexit(X86State* sp, u64 opsize) {
  X86State& s = *sp;
  if (!protected_mode(s) || vm86(s) || s.cpl != 0 || null_selector(static_cast<u16>(s.sysenter_cs)))
    raise_error(s, GP, 0);
  const bool wide = opsize == 8;
  if (wide && (!canonical(s.gpr[RCX]) || !canonical(s.gpr[RDX]))) raise_error(s, GP, 0);
  const u16 base = static_cast<u16>(s.sysenter_cs & 0xfffc);
  const u16 cs = static_cast<u16>((wide ? base + 32 : base + 16) | 3);
  s.cpl = 3;
  s.seg[CS] = flat_code(cs, 3, wide, !wide);
  s.seg[SS] = flat_data(static_cast<u16>(cs + 8), 3);
  s.gpr[RSP] = wide ? s.gpr[RCX] : static_cast<u32>(s.gpr[RCX]);
  s.rip = wide ? s.gpr[RDX] : static_cast<u32>(s.gpr[RDX]);
  update_code_mode(s);
  return 0;
}

}  // namespace doppel::x86
