// Exceptions, CP0, TLB, atomics and partial stores, called by translated code.
#include "guest/mips/cpu.h"
#include "guest/mips/helpers/table.h"
#include "guest/mips/platform.h"
#include "mem/guest_access.h"

namespace doppel::mips {
namespace {

void pull_exit(MipsState& s) { s.h.exit_request.store(1, std::memory_order_seq_cst); }

// After a change of Status or Cause: who has to know.
void look_for_interrupts(MipsState& s) {
  if (interrupt_due(s)) pull_exit(s);
}

void select_code(MipsState& s) {
  if (s.h.soft_tlb) mem::tlb_select_code(s.h, s.mode_cache, 0);
}

}  // namespace

u64 helper_exception(MipsState* s, u64 what) {
  s->in_slot = what >> 16 & 1;
  enter_exception(*s, static_cast<ExcCode>(what & 0xff), static_cast<unsigned>(what >> 8 & 3));
  return 0;
}

u64 helper_raise_if(MipsState* s, u64 condition, u64 code) {
  if (condition) raise(*s, static_cast<ExcCode>(code));
  return 0;
}

u64 helper_fetch_fault(MipsState* s, u64 va) {
  if (s->model->mips16 && (va & 1))
    va &= ~u64{1};
  else if (va & 3)
    raise_address(*s, EXC_ADEL, va);
  // Returns when the page is there by now: the region is then made again.
  mem::Translation t;
  if (!s->cpu->translate(s->h, va, mem::Access::Exec, s->h.mmu_mode, t))
    s->cpu->raise_fault(s->h, va, mem::Access::Exec, s->h.mmu_mode, false);
  return 0;
}

u64 helper_mfc0(MipsState* s, u64 reg, u64 sel) {
  return read_cp0(*s, static_cast<unsigned>(reg), static_cast<unsigned>(sel));
}

u64 helper_mtc0(MipsState* s, u64 reg, u64 sel, u64 value) {
  const u64 before = s->mode_cache;
  write_cp0(*s, static_cast<unsigned>(reg), static_cast<unsigned>(sel), value);
  look_for_interrupts(*s);
  if (s->mode_cache == before) return 0;
  select_code(*s);
  return 1;
}

u64 helper_interrupt_enable(MipsState* s, u64 on) {
  const u32 before = s->status;
  s->status = on ? before | ST_IE : before & ~u32{ST_IE};
  look_for_interrupts(*s);
  return before;
}

u64 helper_tlb_read(MipsState* s) {
  tlb_read(*s);
  return 0;
}
u64 helper_tlb_write_indexed(MipsState* s) {
  tlb_write(*s, s->index & 0x3f);
  return 0;
}
u64 helper_tlb_write_random(MipsState* s) {
  tlb_write(*s, random_index(*s), true);
  return 0;
}
u64 helper_tlb_probe(MipsState* s) {
  tlb_probe(*s);
  return 0;
}

u64 helper_eret(MipsState* s) {
  if (s->status & ST_ERL) {
    s->pc = s->error_epc;
    set_status(*s, s->status & ~u32{ST_ERL});
  } else {
    s->pc = s->epc;
    s->status &= ~u32{ST_EXL};
    update_mode(*s);
  }
  if (!has_64bit(*s)) s->pc = static_cast<u32>(s->pc);
  s->in_slot = 0;
  s->ll_bit = 0;
  look_for_interrupts(*s);
  return 0;
}

u64 helper_wait(MipsState* s) {
  s->waiting = 1;
  pull_exit(*s);
  return 0;
}

// Hardware registers (vol. II-A, RDHWR): CPU number, SYNCI step, cycle counter and its resolution, UserLocal.
u64 helper_rdhwr(MipsState* s, u64 number) {
  const bool allowed = (s->mode_cache & kModeCu0) || (s->hwrena >> number & 1);
  if (!allowed) raise(*s, EXC_RI);
  switch (number) {
    case 0: return s->ebase & 0x3ff;
    case 1: return 32;
    case 2: check_timer(*s); return read_count(*s);
    case 3: return 1;
    case 29:
      if (s->model->config3 >> 13 & 1) return s->user_local;
      break;
    default: break;
  }
  raise(*s, EXC_RI);
}

namespace {
// What LL read is still there: stored in one step.
template <typename T>
bool exchange(MipsState& s, u64 va, u64 expected, u64 value) {
  const bool big = s.model->big_endian;
  const auto in_memory = [&](u64 v) {
    const T t = static_cast<T>(v);
    if (!big) return t;
    if constexpr (sizeof(T) == 8) return __builtin_bswap64(t);
    return static_cast<T>(__builtin_bswap32(static_cast<u32>(t)));
  };
  T old = in_memory(expected);
  const T now = in_memory(value);
  if (u8* p = mem::host_pointer(s.h, va, sizeof(T), mem::Access::Write, s.h.mmu_mode)) {
    // SAFETY: aligned, in RAM that lives as long as the machine.
    return __atomic_compare_exchange_n(reinterpret_cast<T*>(p), &old, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  // A device, or a page with code: the store's slow path does what is due.
  if (mem::load<T>(s.h, va) != old) return false;
  mem::store<T>(s.h, va, now);
  return true;
}
}  // namespace

u64 helper_store_conditional(MipsState* s, u64 va, u64 value, u64 bytes) {
  if (va & (bytes - 1)) raise_address(*s, EXC_ADES, va);
  mem::probe(s->h, va, bytes, mem::Access::Write, s->h.mmu_mode);
  const bool linked = s->ll_bit && s->ll_address == va;
  s->ll_bit = 0;
  if (!linked) return 0;
  return bytes == 8 ? exchange<u64>(*s, va, s->ll_value, value) : exchange<u32>(*s, va, s->ll_value, value);
}

// SWL, SWR, SDL, SDR (vol. II-A): the bytes from the address to the end of its word, upwards or downwards. Byte stores,
// so that its other bytes are left alone.
u64 helper_store_part(MipsState* s, u64 va, u64 value, u64 opcode) {
  const bool wide = opcode == 44 || opcode == 45;
  const bool left = opcode == 42 || opcode == 44;
  const u64 size = wide ? 8 : 4;
  const u64 at = va & (size - 1);
  // The significance of the byte at an address: the least one is 0.
  const bool big = s->model->big_endian;
  const u64 here = big ? size - 1 - at : at;        // of the addressed byte, in memory's word
  const u64 count = left ? here + 1 : size - here;  // bytes stored
  const u64 base = va - at;
  const u64 first = left ? 0 : here;  // significance of the lowest byte written, in memory
  const auto address_of = [&](u64 significance) { return base + (big ? size - 1 - significance : significance); };
  mem::probe(s->h, va, 1, mem::Access::Write, s->h.mmu_mode);
  const u64 shift = left ? size - 1 - here : 0;  // bytes of the register that are left out below
  for (u64 i = 0; i < count; i++)
    mem::store<u8>(s->h, address_of(first + i), static_cast<u8>(value >> (8 * (shift + i))));
  return 0;
}

}  // namespace doppel::mips
