// Faults that translated code raises by itself, fetch faults, instruction breakpoints.
#include "guest/x86/cpu.h"
#include "guest/x86/helpers/table.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {

u64 helper_raise_vector(X86State* s, u64 vector) { raise(*s, static_cast<u8>(vector)); }
u64 helper_raise_error(X86State* s, u64 vector, u64 error) {
  raise_error(*s, static_cast<u8>(vector), static_cast<u32>(error));
}
u64 helper_raise_ud(X86State* s) { raise(*s, UD); }
u64 helper_raise_gp0(X86State* s) { raise_error(*s, GP, 0); }
u64 helper_raise_nm(X86State* s) { raise(*s, NM); }
u64 helper_div_error(X86State* s) { raise(*s, DE); }
u64 helper_bound_error(X86State* s) { raise(*s, BR); }

u64 helper_fetch_fault(X86State* s, u64 va) {
  // Returns when the page is there by now: the region is then made again.
  X86Cpu& cpu = *static_cast<X86Cpu*>(s->cpu);
  mem::Translation t;
  if (!cpu.translate(s->h, va, mem::Access::Exec, s->h.mmu_mode, t))
    cpu.raise_fault(s->h, va, mem::Access::Exec, s->h.mmu_mode, false);
  return 0;
}

u64 helper_fetch_limit(X86State* s, u64 offset, u64 length) {
  if (static_cast<u32>(offset) + length - 1 > s->seg[CS].limit) raise_error(*s, GP, 0);
  return 0;
}

u64 helper_insn_breakpoint(X86State* sp, u64 linear) {
  X86State& s = *sp;
  if (s.eflags & RF) {
    s.eflags &= ~u32{RF};
    return 0;
  }
  if (s.shadow == 2) return 0;
  const u64 hit = match_breakpoints(s, linear, 1, 1u << 0);
  if (hit == 0) return 0;
  s.exc_dr6 = hit;
  raise(s, DB);
}

}  // namespace doppel::x86
