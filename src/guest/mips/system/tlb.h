// The TLB: pairs of pages (vol. III, chapter 5). Its instructions: random_index, tlb_write, tlb_read, tlb_probe
// (state.h).
#pragma once
#include "guest/mips/state.h"

namespace doppel::mips {

// The bits of an address that lie inside of the pair's two pages.
inline u64 pair_mask(const TlbPair& pair) { return u64{pair.page_mask} | 0x1fff; }
// The pair that maps the address in the address space of EntryHi.ASID; null: none.
const TlbPair* find_pair(const MipsState& s, u64 va);

}  // namespace doppel::mips
