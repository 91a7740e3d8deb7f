// I/O ports, the interrupt flag, PUSHF and POPF, AC by CLAC and STAC (SDM vol. 1, chapter 19; vol. 2; vol. 3, 20.3 for
// VME and PVI).
#include "guest/x86/helpers/table.h"
#include "guest/x86/platform.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

void check_port(X86State& s, u16 port, unsigned size) {
  if (!protected_mode(s)) return;
  if (!vm86(s) && s.cpl <= iopl(s)) return;
  if (!io_allowed(s, port, size)) raise_error(s, GP, 0);
}

void check_io_breakpoint(X86State& s, u16 port, unsigned size) {
  if (!(s.dr[7] & 0xff) || !(s.cr4 & CR4_DE)) return;
  const u64 hit = match_breakpoints(s, port, size, 1u << 2);
  if (hit == 0) return;
  s.trap_dr6 |= hit;
  pull_exit(s);
}

// An interrupt that waited for IF: generated code has to come back soon.
void look_for_interrupts(X86State& s) {
  if (s.events.load(std::memory_order_relaxed) & (kEventIntr | kEventApic)) pull_exit(s);
}

// A port write may have moved A20: the next access must see it.
void take_a20(X86State& s) {
  if (!(s.events.load(std::memory_order_relaxed) & kEventA20)) return;
  s.events.fetch_and(~u32{kEventA20}, std::memory_order_seq_cst);
  s.a20 = s.a20_wanted.load(std::memory_order_seq_cst);
  if (s.h.soft_tlb) mem::tlb_set_a20(s.h, s.a20);
}

bool virtual_interrupts(const X86State& s) {
  if (vm86(s)) return (s.cr4 & CR4_VME) != 0;
  return (s.cr4 & CR4_PVI) && s.cpl == 3;
}

}  // namespace

u64 helper_port_in(X86State* sp, u64 port, u64 size) {
  X86State& s = *sp;
  const u16 p = static_cast<u16>(port);
  const unsigned n = static_cast<unsigned>(size);
  check_port(s, p, n);
  check_io_breakpoint(s, p, n);
  return s.platform->port_in(p, n) & mask_bits(n * 8);
}

u64 helper_port_out(X86State* sp, u64 port, u64 value, u64 size) {
  X86State& s = *sp;
  const u16 p = static_cast<u16>(port);
  const unsigned n = static_cast<unsigned>(size);
  check_port(s, p, n);
  check_io_breakpoint(s, p, n);
  s.platform->port_out(p, static_cast<u32>(value & mask_bits(n * 8)), n);
  take_a20(s);
  return 0;
}

u64 helper_port_check(X86State* s, u64 port, u64 size) {
  check_port(*s, static_cast<u16>(port), static_cast<unsigned>(size));
  return 0;
}

u64 helper_cli(X86State* sp) {
  X86State& s = *sp;
  if (!protected_mode(s) || s.cpl <= iopl(s))
    s.eflags &= ~u32{IF};
  else if (virtual_interrupts(s))
    s.eflags &= ~u32{VIF};
  else
    raise_error(s, GP, 0);
  return 0;
}

u64 helper_sti(X86State* sp) {
  X86State& s = *sp;
  if (!protected_mode(s) || s.cpl <= iopl(s)) {
    if (!(s.eflags & IF)) {
      s.eflags |= IF;
      s.shadow = 1;
      look_for_interrupts(s);
    }
  } else if (virtual_interrupts(s)) {
    if (s.eflags & VIP) raise_error(s, GP, 0);
    s.eflags |= VIF;
  } else {
    raise_error(s, GP, 0);
  }
  return 0;
}

u64 helper_clac(X86State* sp) {
  X86State& s = *sp;
  if (s.cpl != 0) raise(s, UD);
  set_eflags(s, 0, AC);
  return 0;
}

u64 helper_stac(X86State* sp) {
  X86State& s = *sp;
  if (s.cpl != 0) raise(s, UD);
  set_eflags(s, AC, AC);
  return 0;
}

u64 helper_pushf_image(X86State* sp, u64 opsize) {
  X86State& s = *sp;
  u32 f = get_eflags(s) & ~u32{RF | VM};
  if (vm86(s) && iopl(s) < 3) {
    if (!(s.cr4 & CR4_VME) || opsize != 2) raise_error(s, GP, 0);
    f = (f & ~u32{IF}) | IOPL | ((s.eflags & VIF) ? u32{IF} : 0u);
  }
  return opsize == 2 ? f & 0xffff : f;
}

u64 helper_popf(X86State* sp, u64 value, u64 opsize) {
  X86State& s = *sp;
  u32 f = static_cast<u32>(value);
  u32 mask = kArithFlags | TF | DF | NT;
  if (opsize >= 4) mask |= AC | ID;
  if (vm86(s)) {
    if (iopl(s) == 3) {
      mask |= IF;
    } else {
      if (!(s.cr4 & CR4_VME) || opsize != 2) raise_error(s, GP, 0);
      if ((f & TF) || ((f & IF) && (s.eflags & VIP))) raise_error(s, GP, 0);
      mask |= VIF;
      f = (f & ~u32{VIF}) | ((f & IF) ? u32{VIF} : 0u);
    }
  } else {
    if (s.cpl <= iopl(s)) mask |= IF;
    if (s.cpl == 0) mask |= IOPL;
  }
  s.eflags &= ~u32{RF};
  const u64 before = s.mode_cache;
  set_eflags(s, f, mask);
  if (s.mode_cache != before) pull_exit(s);  // the caller's exit may be chained to code of the old mode
  if (s.eflags & IF) look_for_interrupts(s);
  return 0;
}

}  // namespace doppel::x86
