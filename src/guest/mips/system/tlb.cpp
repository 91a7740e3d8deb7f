// The TLB (vol. III, chapter 5). The soft TLB is told of every entry that is replaced: what a program may not see any
// more, it does not see. Address spaces are told apart by EntryHi.ASID.
#include "guest/mips/system/tlb.h"

#include "guest/mips/cpu.h"
#include "mem/guest_access.h"

namespace doppel::mips {
namespace {

bool matches(const MipsState& s, const TlbPair& pair, u64 va) {
  u64 compared = ~pair_mask(pair);
  if (has_64bit(s))
    compared &= u64{3} << 62 | ((u64{1} << s.model->va_bits) - 1);
  else
    compared &= 0xffffffff;
  return ((pair.vpn2 ^ va) & compared) == 0 && (pair.global || pair.asid == (s.entry_hi & 0xff));
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

const TlbPair* find_pair(const MipsState& s, u64 va) {
  for (unsigned i = 0; i < s.model->tlb_entries; i++)
    if (matches(s, s.tlb[i], va)) return &s.tlb[i];
  return nullptr;
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
  const TlbPair* pair = find_pair(s, s.entry_hi & ~u64{0xff});
  s.index = pair ? static_cast<u32>(pair - s.tlb) : 0x80000000;
}

}  // namespace doppel::mips
