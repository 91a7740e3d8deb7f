// The memory map's segments and the TLB (vol. III, chapters 4 and 5). The soft TLB is told of every entry that is
// replaced: what a program may not see any more, it does not see. Address spaces are told apart by EntryHi.ASID.
#include "guest/mips/cpu.h"
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

u64 pair_mask(const TlbPair& pair) { return u64{pair.page_mask} | 0x1fff; }

bool matches(const MipsState& s, const TlbPair& pair, u64 va) {
  u64 compared = ~pair_mask(pair);
  if (has_64bit(s))
    compared &= u64{3} << 62 | ((u64{1} << s.model->va_bits) - 1);
  else
    compared &= 0xffffffff;
  return ((pair.vpn2 ^ va) & compared) == 0 && (pair.global || pair.asid == (s.entry_hi & 0xff));
}

const TlbPair* find(const MipsState& s, u64 va) {
  for (unsigned i = 0; i < s.model->tlb_entries; i++)
    if (matches(s, s.tlb[i], va)) return &s.tlb[i];
  return nullptr;
}

// The address that EntryHi's form of it stands for: the compatibility segments are sign-extended from 32 bits.
u64 address_of(const MipsState& s, u64 vpn2) {
  if (!has_64bit(s)) return static_cast<u32>(vpn2);
  const u64 limit = u64{1} << s.model->va_bits, inside = vpn2 & (limit - 1);
  return vpn2 >> 62 == 3 && inside >= limit - (u64{1} << 31) ? vpn2 | ~(limit - 1) : vpn2;
}

void forget(MipsState& s, const TlbPair& pair) {
  if (!s.h.soft_tlb) return;
  const u64 size = (pair_mask(pair) + 1) >> 1;
  for (unsigned half = 0; half < 2; half++)
    if (pair.lo[half] & 2) mem::tlb_flush_page(s.h, address_of(s, pair.vpn2 + half * size));
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
  const TlbPair* pair = find(s, va);
  if (!pair) return fault(store ? EXC_TLBS : EXC_TLBL, true);
  const u64 mask = pair_mask(*pair) >> 1;  // of an offset in one page
  const u64 lo = pair->lo[(va & (mask + 1)) != 0];
  if (!(lo & 2)) return fault(store ? EXC_TLBS : EXC_TLBL, false);
  if (store && !(lo & 4)) return fault(EXC_MOD, false);
  out.phys = (((lo >> 6) << 12 & ~mask) | (va & mask)) & mem::kPageMask;
  out.page_size = mask + 1;
  out.global = pair->global;
  out.read = out.exec = true;
  out.write = (lo & 4) != 0;
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

// --- the TLB instructions

u32 random_index(MipsState& s) {
  const u32 count = s.model->tlb_entries, wired = s.wired < count ? s.wired : count - 1;
  return wired + s.random_counter++ % (count - wired);
}

void tlb_write(MipsState& s, unsigned index) {
  TlbPair& pair = s.tlb[index % s.model->tlb_entries];
  forget(s, pair);
  pair.page_mask = s.page_mask;
  pair.vpn2 = s.entry_hi & ~u64{0xff} & ~u64{s.page_mask};
  pair.asid = static_cast<u8>(s.entry_hi);
  pair.global = s.entry_lo0 & s.entry_lo1 & 1;
  pair.lo[0] = s.entry_lo0;
  pair.lo[1] = s.entry_lo1;
}

void tlb_read(MipsState& s) {
  const TlbPair& pair = s.tlb[s.index % s.model->tlb_entries];
  s.page_mask = pair.page_mask;
  s.entry_lo0 = (pair.lo[0] & ~u64{1}) | pair.global;
  s.entry_lo1 = (pair.lo[1] & ~u64{1}) | pair.global;
  write_cp0(s, 10, 0, pair.vpn2 | pair.asid);
}

void tlb_probe(MipsState& s) {
  const TlbPair* pair = find(s, s.entry_hi & ~u64{0xff});
  s.index = pair ? static_cast<u32>(pair - s.tlb) : 0x80000000;
}

}  // namespace doppel::mips
