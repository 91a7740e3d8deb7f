// The CPU as the soft TLB's page walker and fault deliverer; TLB control after changes of CR0, CR3, CR4 and EFER.
// Translations: mmu modes are in state.h. A write right is given only when the dirty bit is set, so that the first
// store walks again.
#include <algorithm>

#include "guest/x86/cpu.h"
#include "guest/x86/system/paging.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {

bool X86Cpu::translate(mem::VcpuHeader&, u64 va, mem::Access access, u32 mmu_mode, mem::Translation& out) {
  X86State& s = *s_;
  if (s.program) return translate_for_program(va, access);
  if (long_mode(s)) {
    if (!canonical(va)) {
      fault_ = {false, 0};
      return false;
    }
  } else {
    va = static_cast<u32>(va);
  }
  const WalkKind kind = access == mem::Access::Read    ? WalkKind::Read
                        : access == mem::Access::Write ? WalkKind::Write
                                                       : WalkKind::Exec;
  const WalkResult r = walk(s, va, kind, mmu_mode);
  if (!r.ok) {
    fault_ = {true, r.error};
    return false;
  }
  out.phys = r.phys;
  out.page_size = r.page_size;
  out.global = r.global;
  // Under SMAP a supervisor may fetch from a user page it may not read.
  out.read = !(mmu_mode == kMmuSupervisorSmap && r.user && (s.cr0 & CR0_PG));
  out.write = out.read && r.writable && r.dirty;
  out.exec = r.executable;
  out.table_count = r.table_count;
  std::copy_n(r.tables, r.table_count, out.tables);
  return true;
}

void X86Cpu::raise_fault(mem::VcpuHeader&, u64 va, mem::Access access, u32, bool stack) {
  X86State& s = *s_;
  if (s.program) translate_for_program(va, access);
  if (!fault_.canonical) raise_error(s, stack ? SS_ : GP, 0);
  raise_page_fault(s, wrap_linear(s, va), fault_.error);
}

void X86Cpu::raise_alignment(mem::VcpuHeader&, u64, mem::Access) {
  // 16-byte operands (MOVAPS): #GP whatever EFLAGS.AC is. Others only reach here in kModeAlignCheck.
  X86State& s = *s_;
  if (s.mode_cache & kModeAlignCheck) raise_error(s, AC_, 0);
  raise_error(s, GP, 0);
}

void X86Cpu::watchpoint_hit(mem::VcpuHeader&, u64 va, u32 size, mem::Access access) {
  X86State& s = *s_;
  const u64 hit = match_breakpoints(s, va, size, access == mem::Access::Write ? 1u << 1 | 1u << 3 : 1u << 3);
  if (hit == 0) return;
  s.trap_dr6 |= hit;
  pull_exit(s);
}

bool X86Cpu::debug_translate(u64 va, u64& pa) {
  X86State& s = *s_;
  if (long_mode(s)) {
    if (!canonical(va)) return false;
  } else {
    va = static_cast<u32>(va);
  }
  const WalkResult r = walk(s, va, WalkKind::Debug, kMmuSupervisor);
  if (!r.ok) return false;
  pa = r.phys | (va & (mem::kPageSize - 1));
  if (!s.a20) pa &= ~(u64{1} << 20);
  return true;
}

// --- TLB control

void flush_tlb(X86State& s) {
  if (s.h.soft_tlb) mem::tlb_flush_all(s.h);
}

void switch_space(X86State& s, bool keep) {
  if (!s.h.soft_tlb) return;
  // The tag is the PCID alone, as in the SDM (4.10.1): entries of a PCID outlive a change of its tables unless flushed.
  if (s.cr4 & CR4_PCIDE)
    mem::tlb_set_space(s.h, s.cr3 & 0xfff, keep);
  else
    mem::tlb_switch_tables(s.h, s.cr3);
}

void paging_changed(X86State& s) {
  flush_tlb(s);
  switch_space(s, false);
  update_mode(s);
}

}  // namespace doppel::x86
