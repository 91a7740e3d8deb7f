// Exceptions, interrupts and reset (vol. III, chapter 6). An exception is entered where it is raised; raise() then
// unwinds to the vCPU loop by longjmp: the frames between must own nothing.
#include "base/assert.h"
#include "base/log.h"
#include "guest/mips/state.h"
#include "mem/guest_access.h"

namespace doppel::mips {
namespace {

constexpr u32 kBootBase = 0xbfc00200, kNormalBase = 0x80000000, kGeneral = 0x180, kInterruptIv = 0x200,
              kXtlbRefill = 0x080;

// Vector spacing of IntCtl.VS, in bytes (vol. III, table 9.43).
u32 vector_spacing(const MipsState& s) { return s.intctl & 0x3e0; }

u32 interrupt_offset(const MipsState& s) {
  if (!(s.cause & CA_IV)) return kGeneral;
  const bool vectored = (s.model->config3 >> 5 & 1) && vector_spacing(s) != 0 && !(s.status & ST_BEV);
  if (!vectored) return kInterruptIv;
  const u32 due = (pending_ip(s) & s.status & ST_IM) >> 8;
  u32 number = 0;
  for (u32 n = 0; n < 8; n++)
    if (due >> n & 1) number = n;
  return kInterruptIv + number * vector_spacing(s);
}

[[noreturn]] void leave(MipsState& s) {
  s.h.runtime->unwind();
  UNREACHABLE();  // the compiler forgets that a virtual function does not return
}

}  // namespace

void enter_exception(MipsState& s, ExcCode code, unsigned coprocessor, bool refill) {
  if (s.program) {
    s.event_pending = 1;
    s.event_code = code;
    return;
  }
  u32 offset = kGeneral;
  if (!(s.status & ST_EXL)) {
    s.epc = s.pc;
    s.cause = s.in_slot ? s.cause | CA_BD : s.cause & ~u32{CA_BD};
    if (refill) offset = s.mode_cache & kModeVa64 ? kXtlbRefill : 0;
    if (code == EXC_INT) offset = interrupt_offset(s);
  }
  DOPPEL_LOG(Int, "exception %u%s at %llx%s BadVAddr=%llx Status=%08x Cause=%08x\n", code, refill ? " (refill)" : "",
             static_cast<unsigned long long>(s.pc), s.in_slot ? " (delay slot)" : "",
             static_cast<unsigned long long>(s.bad_vaddr), s.status, s.cause | pending_ip(s));
  s.cause = (s.cause & ~u32{CA_EXC | CA_CE}) | u32{code} << 2 | coprocessor << 28;
  s.status |= ST_EXL;
  const u32 base = s.status & ST_BEV ? kBootBase : s.model->release >= 2 ? s.ebase & 0xfffff000 : kNormalBase;
  s.pc = canonical32(s, base + offset);
  s.in_slot = 0;
  s.waiting = 0;
  update_mode(s);
}

void raise(MipsState& s, ExcCode code, unsigned coprocessor) {
  s.h.runtime->sync_pc();
  enter_exception(s, code, coprocessor);
  leave(s);
}

void enter_address(MipsState& s, ExcCode code, u64 va, bool refill) {
  s.bad_vaddr = has_64bit(s) ? va : static_cast<u32>(va);
  if (code == EXC_TLBL || code == EXC_TLBS || code == EXC_MOD) {
    s.context = (s.context & ~u64{0x7ffff0}) | (va >> 13 & 0x7ffff) << 4;
    const u64 vpn2 = has_64bit(s) ? (u64{3} << 62 | ((u64{1} << s.model->va_bits) - 1)) & ~u64{0x1fff} : 0xffffe000;
    s.entry_hi = (s.entry_hi & 0xff) | (va & vpn2);
  }
  enter_exception(s, code, 0, refill);
}

void raise_address(MipsState& s, ExcCode code, u64 va, bool refill) {
  s.h.runtime->sync_pc();
  enter_address(s, code, va, refill);
  leave(s);
}

void enter_reset(MipsState& s, bool nmi) {
  s.error_epc = s.pc;
  s.status = (s.status & ~u32{ST_RP | ST_SR | ST_NMI}) | ST_BEV | ST_ERL | (nmi ? u32{ST_NMI} : 0);
  s.pc = canonical32(s, 0xbfc00000);
  s.in_slot = s.waiting = 0;
  update_mode(s);
  if (s.h.soft_tlb) mem::tlb_flush_all(s.h);  // ERL: kuseg is unmapped
}

}  // namespace doppel::mips
