// The TLB: pairs of pages (vol. III, chapter 5). Its instructions: random_index, tlb_write, tlb_read, tlb_probe
// (state.h).
//
// A 16-entry TLB makes a kernel refill all the time. TLBWR replaces an entry that the program can't know, so what it
// replaced is retired, not forgotten: it still grants accesses (refuses none: a refusal is a refill). It ends where the
// program could tell: when it probes for the page, writes another entry for it, reads entries, or has written other
// pages over all entries that are not wired by TLBWI, as flushes of the whole TLB do.
#pragma once
#include "guest/mips/state.h"

namespace doppel::mips {

// The bits of an address that lie inside of the pair's two pages.
inline u64 pair_mask(const TlbPair& pair) { return u64{pair.page_mask} | 0x1fff; }
// The pair that maps the address in the address space of EntryHi.ASID; null: none.
const TlbPair* find_pair(const MipsState& s, u64 va);
TlbPair* find_retired(MipsState& s, u64 va);
void forget_retired(MipsState& s);  // all of them

}  // namespace doppel::mips
