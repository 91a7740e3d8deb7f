// MipsCpu: reset, pins, what is delivered at an instruction boundary, saving and loading.
#include "guest/mips/cpu.h"

#include "mem/guest_access.h"

namespace doppel::mips {
namespace {
constexpr u32 kTimerInterrupt = 7u << 29 | 7u << 26;  // IntCtl.IPTI and IPPCI: IP7
void pull_exit(MipsState& s) { s.h.exit_request.store(1, std::memory_order_seq_cst); }
}  // namespace

MipsCpu::MipsCpu(const CpuModel& model, Platform& platform, u32 index, std::unique_ptr<guest::Frontend> frontend)
    : model_(model), platform_(platform), frontend_(std::move(frontend)), s_(std::make_unique<MipsState>()) {
  MipsState& s = *s_;
  s.h.index = index;
  s.h.mmu = this;
  s.platform = &platform_;
  s.model = &model_;
  s.cpu = this;
  reset();
  build_gdb_registers();
}

MipsCpu::~MipsCpu() = default;

void MipsCpu::reset() {
  MipsState& s = *s_;
  for (u64& r : s.gpr) r = 0;
  s.hi = s.lo = 0;
  for (unsigned i = 0; i < 3; i++) s.acc_hi[i] = s.acc_lo[i] = 0;
  s.dsp_control = 0;
  s.config5 = model_.config5;
  s.fcr31 = 0;
  s.ll_bit = 0;
  s.status = ST_BEV | ST_ERL;
  s.cause = 0;
  s.random_counter = s.wired = s.page_mask = s.hwrena = s.srsctl = 0;
  s.intctl = kTimerInterrupt;
  s.count_offset = s.stopped_count = s.compare = 0;
  s.context = s.user_local = 0;
  s.entry_lo0 = s.entry_lo1 = s.entry_hi = 0;
  s.config0 = model_.config0;
  s.ebase = 0x80000000u | s.h.index;
  // No two entries match the same address.
  for (unsigned i = 0; i < kMaxTlb; i++) {
    s.tlb[i] = {};
    s.tlb[i].vpn2 = canonical32(s, 0xc0000000u + i * 0x2000);
  }
  clear_retired(s);
  s.lines.fetch_and(~u32{kTimerLine | CA_TI});
  s.compare_at.store(~u64{0});
  s.events.store(0);
  set_fcsr(s, 0);
  set_msacsr(s, 0);
  if (s.h.soft_tlb) mem::tlb_set_space(s.h, 0, false);
  s.pc = 0;
  enter_reset(s, false);
  if (!boot_) return;
  s.pc = boot_->pc;
  s.gpr[SP] = boot_->sp;
  for (unsigned i = 0; i < 4; i++) s.gpr[4 + i] = boot_->args[i];
}

// --- pins

void MipsCpu::set_interrupt(unsigned n, bool level) {
  MipsState& s = *s_;
  const u32 bit = u32{0x400} << n;
  if (!level) {
    s.lines.fetch_and(~bit, std::memory_order_seq_cst);
    return;
  }
  s.lines.fetch_or(bit, std::memory_order_seq_cst);
  pull_exit(s);
}

u64 MipsCpu::timer_event() {
  MipsState& s = *s_;
  check_timer(s);
  pull_exit(s);
  const u64 now = timer_ticks(s), at = s.compare_at.load(std::memory_order_seq_cst);
  return ticks_to_ns(s, at == ~u64{0} || at <= now ? u64{1} << 32 : at - now);
}

void MipsCpu::nmi() {
  s_->events.fetch_or(kEventNmi, std::memory_order_seq_cst);
  pull_exit(*s_);
}

// --- delivery

bool MipsCpu::has_work() const {
  const MipsState& s = *s_;
  if (s.program) return s.event_pending;
  if (s.events.load(std::memory_order_seq_cst) != 0 || interrupt_due(s)) return true;
  return s.waiting && (pending_ip(s) & s.status & ST_IM) != 0;  // WAIT ends with Status.IE off too (Config7.WII)
}

void MipsCpu::deliver_pending() {
  MipsState& s = *s_;
  if (s.program) return deliver_to_program();
  s.waiting = s.in_slot = 0;  // at an instruction boundary
  if (s.events.fetch_and(~u32{kEventNmi}, std::memory_order_seq_cst) & kEventNmi) return enter_reset(s, true);
  if (interrupt_due(s)) enter_exception(s, EXC_INT);
}

// --- saving and loading

void MipsCpu::archive(StateArchive& ar) {
  MipsState& s = *s_;
  if (!ar.loading()) sync_fcsr(s);
#define F(field_name) ar.field(#field_name, s.field_name)
  F(gpr);
  F(pc);
  F(hi);
  F(lo);
  F(fpr);
  F(fcr31);
  F(msa_high);
  F(msacsr);
  F(acc_hi);
  F(acc_lo);
  F(dsp_control);
  F(config5);
  F(in_slot);
  F(ll_bit);
  F(waiting);
  F(ll_address);
  F(ll_value);
  F(index);
  F(wired);
  F(page_mask);
  F(hwrena);
  F(entry_lo0);
  F(entry_lo1);
  F(context);
  F(entry_hi);
  F(user_local);
  F(bad_vaddr);
  F(epc);
  F(error_epc);
  F(depc);
  F(desave);
  F(count_offset);
  F(stopped_count);
  F(compare);
  F(status);
  F(intctl);
  F(srsctl);
  F(cause);
  F(ebase);
  F(config0);
  F(lladdr);
  F(taglo);
  F(taghi);
  F(tlb);
  if (ar.loading()) clear_retired(s);  // of a state without them
  F(retired);
  F(random_counter);
#undef F
  u32 lines = s.lines.load(), events = s.events.load();
  ar.field("lines", lines);
  ar.field("events", events);
  if (!ar.loading()) return;
  s.lines.store(lines);
  s.events.store(events);
  set_fcsr(s, s.fcr31);
  if (s.h.soft_tlb) {
    mem::tlb_flush_all(s.h);
    mem::tlb_set_space(s.h, s.entry_hi & 0xff, false);
  }
  update_mode(s);
  write_cp0(s, 11, 0, s.compare);  // the timer
  s.lines.store(lines);
  pull_exit(s);
}

}  // namespace doppel::mips
