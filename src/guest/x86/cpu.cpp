// X86Cpu: reset and INIT, pins, what is delivered at an instruction boundary and in which order (SDM vol.
// 3, 6.9, 6.15, 9.1), double and triple faults, saving and loading. Traps: deliver_pending may unwind while it delivers
// (`delivering` then says what was under way) and is called again; it ends only when nothing is due, because generated
// code is not left again before the next request.
#include "guest/x86/cpu.h"

#include "base/log.h"
#include "guest/x86/system/cpuid.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

constexpr s16 kBenign = 0x100;  // or-ed to `delivering`: interrupts, which never make a double fault

void log_delivery(const X86State& s, const char* what, unsigned vector, u32 error, u64 rip) {
  DOPPEL_LOG(Int, "%s: v=%02x e=%04x cpl=%u IP=%04x:%016llx SP=%04x:%016llx CR2=%016llx\n", what, vector, error, s.cpl,
             s.seg[CS].selector, static_cast<unsigned long long>(rip), s.seg[SS].selector,
             static_cast<unsigned long long>(s.gpr[RSP]), static_cast<unsigned long long>(s.cr2));
}

u64 advance(const X86State& s, u64 rip, u64 n) {
  if (code64(s)) return rip + n;
  return (s.seg[CS].attr & kAttrDB) ? static_cast<u32>(rip + n) : (rip + n) & 0xffff;
}

bool pushes_rf(u8 vector) {
  return vector != DB && vector != NMI && vector != BP && vector != OF_ && vector != DF_ && vector != MC;
}

void reset_segments(X86State& s) {
  constexpr u16 kData = kAttrP | kAttrS | kAttrWritable | kAttrAccessed;
  for (unsigned r = 0; r < 6; r++) s.seg[r] = {0, 0xffff, 0, kData};
  s.seg[CS] = {0xffff0000u, 0xffff, 0xf000, kData | kAttrCode};
  s.seg[LDTR] = {0, 0xffff, 0, static_cast<u16>(u32{kAttrP} | u32{kLdt})};
  s.seg[TR] = {0, 0xffff, 0, static_cast<u16>(u32{kAttrP} | u32{kTss32Busy})};
  s.gdtr = {0, 0xffff, 0, 0};
  s.idtr = {0, 0xffff, 0, 0};
}

}  // namespace

// --- state changes shared with the helpers

void pull_exit(X86State& s) { s.h.exit_request.store(1, std::memory_order_seq_cst); }

bool interrupt_due(const X86State& s) {
  return (s.events.load(std::memory_order_relaxed) & (kEventIntr | kEventApic)) && (s.eflags & IF) && !s.shadow;
}

void shutdown(X86State& s) {
  s.halted = kShutdown;
  s.delivering = -1;
  s.exc_pending = 0;
  DOPPEL_LOG(Reset, "CPU %u: shutdown (triple fault) at %04x:%llx\n", s.h.index, s.seg[CS].selector,
             static_cast<unsigned long long>(s.rip));
  s.platform->shutdown(s.h.index);
}

// What RESET and INIT have in common (SDM vol. 3, table 9-1).
void init_state(X86State& s) {
  for (u64& g : s.gpr) g = 0;
  s.gpr[RDX] = cpuid_signature(*s.model);
  s.rip = 0xfff0;
  s.flags = ir::eflags_to_flags(0);
  s.eflags = 0;
  reset_segments(s);
  s.cr2 = s.cr3 = s.cr4 = s.cr8 = 0;
  for (u64& d : s.dr) d = 0;
  s.dr[6] = 0xffff0ff0;
  s.dr[7] = 0x400;
  s.efer = 0;
  for (u64& p : s.pdpte) p = 0;
  s.cpl = 0;
  s.smm = s.nmi_blocked = s.shadow = 0;
  s.exc_pending = s.exc_soft = 0;
  s.exc_dr6 = s.trap_dr6 = 0;
  s.step_held = s.pc_exact = 0;
  s.delivering = -1;
  s.monitor_armed = 0;
  s.cr0 = (s.cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
  const bool bsp = s.platform->apic_base(s.h.index) & 0x100;
  s.halted = bsp ? kRunning : kWaitSipi;
  update_watches(s);
  paging_changed(s);
}

void reset_state(X86State& s) {
  s.cr0 = CR0_CD | CR0_NW | CR0_ET;
  s.fcw = 0x40;
  s.fsw = 0;
  s.top = 0;
  s.fptag = 0;
  s.x87_step = 0;
  for (X87Reg& r : s.st) r = {};
  s.fop = 0;
  s.fip = s.fdp = 0;
  s.fcs = s.fds = 0;
  for (Xmm& x : s.xmm) x.d[0] = x.d[1] = 0;
  s.mxcsr = 0x1f80;
  s.h.fp_env = 0x1f80;
  s.xcr0 = 1;
  s.smbase = 0x30000;
  reset_msrs(s);
  s.events.store(0);
  s.a20 = 1;
  s.a20_wanted.store(1);
  if (s.h.soft_tlb) mem::tlb_set_a20(s.h, true);
  init_state(s);
}

// --- X86Cpu

X86Cpu::X86Cpu(const CpuModel& model, Platform& platform, u32 index, std::unique_ptr<guest::Frontend> frontend)
    : model_(model), platform_(platform), frontend_(std::move(frontend)), s_(std::make_unique<X86State>()) {
  X86State& s = *s_;
  s.h.index = index;
  s.h.mmu = this;
  s.platform = &platform_;
  s.model = &model_;
  s.cpu = this;
  reset_state(s);
  build_gdb_registers();
}

X86Cpu::~X86Cpu() = default;

void X86Cpu::reset() { reset_state(*s_); }

u64 X86Cpu::mode() const { return mode_word(*s_); }

bool X86Cpu::goes_on(guest::CodePosition& at) const {
  const X86State& s = *s_;
  if (s.exc_pending || s.trap_dr6 || s.halted != kRunning || (s.eflags & TF) || wake_events() != 0) return false;
  at = {s.rip, linear_pc(), mode(), code_base()};
  return true;
}

// --- pins

void X86Cpu::set_event(u32 bit, bool on) {
  if (!on) {
    take_event(bit);
    return;
  }
  s_->events.fetch_or(bit, std::memory_order_seq_cst);
  pull_exit(*s_);
}

void X86Cpu::sipi(u8 vector) {
  s_->sipi_vector = vector;
  set_event(kEventSipi, true);
}

void X86Cpu::set_a20(bool enabled) {
  s_->a20_wanted.store(enabled, std::memory_order_seq_cst);
  set_event(kEventA20, true);
}

// --- delivery

// The events that can be taken now.
u32 X86Cpu::wake_events() const {
  const X86State& s = *s_;
  const u32 e = s.events.load(std::memory_order_seq_cst);
  if (e == 0) return 0;
  u32 due = e & (kEventReset | kEventA20);
  if (!s.smm) due |= e & kEventInit;
  if (!s.smm) due |= e & kEventSipi;
  if (s.halted == kWaitSipi) return due;
  if (!s.smm) due |= e & kEventSmi;
  if (!s.nmi_blocked && s.shadow != 2) due |= e & kEventNmi;
  if (s.halted == kShutdown) return due;
  if (((s.eflags & IF) && !s.shadow) || s.halted == kMwaitAny) due |= e & (kEventIntr | kEventApic);
  return due;
}

bool X86Cpu::has_work() const { return s_->exc_pending || s_->trap_dr6 || wake_events() != 0; }

void X86Cpu::after_single_step() {
  X86State& s = *s_;
  if (!s.step_held && s.shadow != 2) s.trap_dr6 |= 1 << 14;
  s.step_held = 0;
}

void X86Cpu::deliver_exception() {
  X86State& s = *s_;
  Delivery d;
  d.vector = s.exc_vector;
  d.has_error = s.exc_has_error;
  d.error = s.exc_error;
  d.soft = s.exc_soft;
  s.exc_pending = 0;
  const s16 first = s.delivering;
  if (first >= 0 && first < kBenign && !d.soft) {
    const bool second_bad = is_contributory(d.vector) || d.vector == PF_;
    if (first == DF_ && second_bad) {
      shutdown(s);
      return;
    }
    if ((is_contributory(static_cast<u8>(first)) && is_contributory(d.vector)) || (first == PF_ && second_bad)) {
      log_delivery(s, "double fault after", d.vector, d.error, s.rip);
      d.vector = DF_;
      d.has_error = true;
      d.error = 0;
    }
  }
  d.fault = !d.soft && pushes_rf(d.vector);
  d.return_rip = d.soft ? advance(s, s.rip, s.exc_next_len) : s.rip;
  s.delivering = d.soft ? static_cast<s16>(kBenign | d.vector) : static_cast<s16>(d.vector);
  if (d.vector == DB) {
    s.dr[6] |= s.exc_dr6;
    s.exc_dr6 = 0;
    if (s.dr[7] & 0x2000) s.dr[7] &= ~u64{0x2000};
  }
  log_delivery(s, d.soft ? "int" : "exception", d.vector, d.error, s.rip);
  deliver_interrupt(s, d);
  s.delivering = -1;
}

void X86Cpu::deliver_event(u32 event) {
  X86State& s = *s_;
  Delivery d;
  switch (event) {
    case kEventReset: reset_state(s); return;
    case kEventA20:
      take_event(kEventA20);
      s.a20 = s.a20_wanted.load(std::memory_order_seq_cst);
      if (s.h.soft_tlb) mem::tlb_set_a20(s.h, s.a20);
      return;
    case kEventInit:
      take_event(kEventInit);  // a SIPI that came after the INIT stays
      init_state(s);
      return;
    case kEventSipi: {
      take_event(kEventSipi);
      if (s.halted != kWaitSipi) return;
      const u8 v = s.sipi_vector;
      s.seg[CS].selector = static_cast<u16>(v << 8);
      s.seg[CS].base = u64{v} << 12;
      s.rip = 0;
      s.halted = kRunning;
      update_mode(s);
      return;
    }
    case kEventSmi:
      take_event(kEventSmi);
      enter_smm(s);
      return;
    case kEventNmi:
      take_event(kEventNmi);
      s.halted = kRunning;
      s.nmi_blocked = 1;
      d.vector = NMI;
      break;
    default: {
      const bool wake_only = s.halted == kMwaitAny && !(s.eflags & IF);
      if (wake_only) {
        s.halted = kRunning;
        return;
      }
      const int v = platform_.acknowledge_interrupt(s.h.index);
      if (v < 0) return;
      s.halted = kRunning;
      d.vector = static_cast<u8>(v);
      break;
    }
  }
  d.return_rip = s.rip;
  s.delivering = static_cast<s16>(kBenign | d.vector);
  log_delivery(s, event == kEventNmi ? "nmi" : "interrupt", d.vector, 0, s.rip);
  deliver_interrupt(s, d);
  s.delivering = -1;
}

void X86Cpu::deliver_pending() {
  X86State& s = *s_;
  if (s.program) return deliver_to_program();
  for (;;) {
    if (s.exc_pending) {
      deliver_exception();
      continue;
    }
    if (s.trap_dr6 && s.shadow != 2) {
      s.exc_pending = 1;
      s.exc_vector = DB;
      s.exc_has_error = s.exc_soft = 0;
      s.exc_dr6 = s.trap_dr6;
      s.trap_dr6 = 0;
      continue;
    }
    const u32 due = wake_events();
    if (due == 0) return;
    static constexpr u32 kOrder[] = {kEventReset, kEventA20, kEventInit, kEventSipi, kEventSmi, kEventNmi};
    u32 chosen = kEventIntr;
    for (const u32 e : kOrder) {
      if (!(due & e)) continue;
      chosen = e;
      break;
    }
    deliver_event(chosen);
    if (chosen == kEventIntr) return;  // one at a time: the controller says when there is another
  }
}

// --- saving and loading

void X86Cpu::archive(StateArchive& ar) {
  X86State& s = *s_;
#define F(field_name) ar.field(#field_name, s.field_name)
  if (!ar.loading()) sync_mxcsr(s);
  F(gpr);
  F(rip);
  F(flags);
  F(eflags);
  F(seg);
  F(xmm);
  F(mxcsr);
  F(st);
  F(fcw);
  F(fsw);
  F(top);
  F(fptag);
  F(fop);
  F(fip);
  F(fdp);
  F(fcs);
  F(fds);
  F(cr0);
  F(cr2);
  F(cr3);
  F(cr4);
  F(cr8);
  F(dr);
  F(efer);
  F(gdtr);
  F(idtr);
  F(star);
  F(lstar);
  F(cstar);
  F(sfmask);
  F(kernel_gs_base);
  F(sysenter_cs);
  F(sysenter_esp);
  F(sysenter_eip);
  F(tsc_offset);
  F(tsc_aux);
  F(tsc_deadline);
  F(apic_base);
  F(pat);
  F(misc_enable);
  F(smbase);
  F(xcr0);
  F(mtrr_def_type);
  F(mtrr_fixed);
  F(mtrr_var);
  F(pdpte);
  F(msr);
  F(cpl);
  F(halted);
  F(smm);
  F(nmi_blocked);
  F(shadow);
  F(a20);
  F(sipi_vector);
  F(exc_pending);
  F(exc_vector);
  F(exc_has_error);
  F(exc_soft);
  F(exc_next_len);
  F(exc_error);
  F(exc_cr2);
  F(exc_dr6);
  F(delivering);
  F(monitor_address);
  F(monitor_armed);
  F(trap_dr6);
  F(step_held);
#undef F
  u32 events = s.events.load();
  ar.field("events", events);
  u8 a20_wanted = s.a20_wanted.load();
  ar.field("a20_wanted", a20_wanted);
  if (!ar.loading()) return;
  s.events.store(events);
  s.a20_wanted.store(a20_wanted & 1);
  s.pc_exact = 0;
  set_mxcsr(s, s.mxcsr);
  if (s.h.soft_tlb) mem::tlb_set_a20(s.h, s.a20);
  update_watches(s);
  paging_changed(s);
  pull_exit(s);
}

}  // namespace doppel::x86
