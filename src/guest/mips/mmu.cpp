// The memory map's segments (vol. III, chapter 4), and what the TLB (system/tlb.cpp) says of mapped ones.
#include "guest/mips/cpu.h"
#include "guest/mips/system/tlb.h"
#include "mem/direct_memory.h"
#include "mem/guest_access.h"

namespace doppel::mips {
namespace {

constexpr u64 kLow29 = 0x1fffffff;

enum class Segment { Mapped, Unmapped, Error };

// A 32-bit address, or one of the compatibility segments of a 64-bit CPU.
Segment segment32(const MipsState& s, u32 va, u32 mode, u64& phys) {
  if (va < 0x80000000) {
    phys = va;
    return mode == kMmuKernel && (s.status & ST_ERL) ? Segment::Unmapped : Segment::Mapped;
  }
  if (va >= 0xc0000000) {
    if (mode == kMmuKernel) return Segment::Mapped;
    return mode == kMmuSupervisor && va < 0xe0000000 ? Segment::Mapped : Segment::Error;
  }
  phys = va & kLow29;
  return mode == kMmuKernel ? Segment::Unmapped : Segment::Error;
}

Segment segment64(const MipsState& s, u64 va, u32 mode, u64& phys) {
  if (va == static_cast<u64>(static_cast<s64>(static_cast<s32>(va))))
    return segment32(s, static_cast<u32>(va), mode, phys);
  const u32 extended = mode == kMmuUser ? ST_UX : mode == kMmuSupervisor ? ST_SX : ST_KX;
  if (!(s.status & extended)) return Segment::Error;
  const unsigned region = static_cast<unsigned>(va >> 62);
  const u64 inside = va & ((u64{1} << 62) - 1);
  const u64 limit = u64{1} << s.model->va_bits;
  switch (region) {
    case 0: return inside < limit ? Segment::Mapped : Segment::Error;
    case 1: return mode != kMmuUser && inside < limit ? Segment::Mapped : Segment::Error;
    case 2:  // xkphys: the cacheability is in bits 61..59
      phys = va & ((u64{1} << 59) - 1);
      return mode == kMmuKernel && phys < u64{1} << s.model->pa_bits ? Segment::Unmapped : Segment::Error;
    default:
      return mode == kMmuKernel && inside < (u64{1} << s.model->va_bits) - 0x80000000 ? Segment::Mapped
                                                                                      : Segment::Error;
  }
}

}  // namespace

bool MipsCpu::translate(mem::VcpuHeader&, u64 va, mem::Access access, u32 mode, mem::Translation& out) {
  MipsState& s = *s_;
  if (!has_64bit(s)) va = static_cast<u32>(va);
  if (s.program) {
    s.fault_code = access == mem::Access::Write ? EXC_TLBS : EXC_TLBL;
    s.fault_refill = 0;
    s.event_write = access == mem::Access::Write;
    s.event_fetch = access == mem::Access::Exec;
    return access == mem::Access::Exec && s.h.direct->watch_code(va & mem::kPageMask);
  }
  const bool store = access == mem::Access::Write;
  const auto fault = [&](ExcCode code, bool refill) {
    s.fault_code = code;
    s.fault_refill = refill;
    return false;
  };
  u64 phys = 0;
  const Segment segment = has_64bit(s) ? segment64(s, va, mode, phys) : segment32(s, static_cast<u32>(va), mode, phys);
  if (segment == Segment::Error) return fault(store ? EXC_ADES : EXC_ADEL, false);
  if (segment == Segment::Unmapped) {
    out.phys = phys & mem::kPageMask;
    out.read = out.write = out.exec = out.global = true;
    return true;
  }
  const TlbPair* pair = find_pair(s, va);
  const bool retired = !pair;
  if (retired) pair = find_retired(s, va);
  if (!pair) return fault(store ? EXC_TLBS : EXC_TLBL, true);
  const u64 mask = pair_mask(*pair) >> 1;  // of an offset in one page
  const u64 lo = pair->lo[(va & (mask + 1)) != 0];
  if (!(lo & 2)) return fault(store ? EXC_TLBS : EXC_TLBL, retired);
  if (store && !(lo & 4)) return retired ? fault(EXC_TLBS, true) : fault(EXC_MOD, false);
  out.phys = (((lo >> 6) << 12 & ~mask) | (va & mask)) & mem::kPageMask;
  out.page_size = mask + 1;
  out.global = pair->global;
  out.read = out.exec = true;
  out.write = (lo & 4) != 0;
  return true;
}

bool MipsCpu::enter_fetch_fault() {
  MipsState& s = *s_;
  if (s.program || (s.pc & 3)) return false;
  s.in_slot = 0;
  enter_address(s, static_cast<ExcCode>(s.fault_code), s.pc, s.fault_refill != 0);
  return true;
}

void MipsCpu::raise_fault(mem::VcpuHeader& h, u64 va, mem::Access access, u32 mode, bool) {
  if (mem::Translation none; s_->program) translate(h, va, access, mode, none);
  raise_address(*s_, static_cast<ExcCode>(s_->fault_code), va, s_->fault_refill != 0);
}

void MipsCpu::raise_alignment(mem::VcpuHeader&, u64 va, mem::Access access) {
  raise_address(*s_, access == mem::Access::Write ? EXC_ADES : EXC_ADEL, va);
}

bool MipsCpu::debug_translate(u64 va, u64& pa) {
  const u8 code = s_->fault_code, refill = s_->fault_refill;
  mem::Translation t;
  const bool found = translate(s_->h, va, mem::Access::Read, s_->h.mmu_mode, t);
  s_->fault_code = code;
  s_->fault_refill = refill;
  if (found) pa = t.phys | (va & (mem::kPageSize - 1));
  return found;
}

}  // namespace doppel::mips
