// The TLB (vol. III, chapter 5). The soft TLB is told of every entry that is replaced: what a program may not see any
// more, it does not see. Address spaces are told apart by EntryHi.ASID.
#include "guest/mips/system/tlb.h"

#include <bit>

#include "guest/mips/cpu.h"
#include "mem/guest_access.h"

namespace doppel::mips {
namespace {

// The bits of addresses that are compared.
u64 compared_bits(const MipsState& s) {
  return has_64bit(s) ? u64{3} << 62 | ((u64{1} << s.model->va_bits) - 1) : 0xffffffff;
}

bool matches(const MipsState& s, const TlbPair& pair, u64 va) {
  return ((pair.vpn2 ^ va) & ~pair_mask(pair) & compared_bits(s)) == 0 &&
         (pair.global || pair.asid == (s.entry_hi & 0xff));
}

bool overlap(const MipsState& s, const TlbPair& a, const TlbPair& b) {
  return ((a.vpn2 ^ b.vpn2) & ~(pair_mask(a) | pair_mask(b)) & compared_bits(s)) == 0 &&
         (a.global || b.global || a.asid == b.asid);
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

bool same_pages(const TlbPair& a, const TlbPair& b) {
  return a.vpn2 == b.vpn2 && a.page_mask == b.page_mask && a.asid == b.asid && a.global == b.global;
}

// `now` stands in the place of `old`: what it takes back is forgotten. A page that may be written to from now on is
// found when it is.
void revoke(MipsState& s, const TlbPair& old, const TlbPair& now) {
  if (!same_pages(old, now)) return forget(s, old);
  const u64 size = (pair_mask(old) + 1) >> 1;
  constexpr u64 kWritable = 4, kValid = 2;
  for (unsigned half = 0; half < 2; half++) {
    const u64 before = old.lo[half], after = now.lo[half];
    if (!(before & kValid) || before == after || (before | kWritable) == after) continue;
    if (s.h.soft_tlb) mem::tlb_flush_page(s.h, address_of(s, old.vpn2 + half * size));
  }
}

// --- retired pairs: sets of a few, by page number, size and address space

constexpr u32 kNoPair = ~u32{0};  // page_mask of a free place
constexpr u32 kGlobalSpace = 256;

unsigned size_of(const TlbPair& pair) { return static_cast<unsigned>(std::popcount(pair.page_mask & 0x1fffe000)); }

TlbPair* set_of(MipsState& s, u64 va, unsigned size, u32 space) {
  const u64 number = (va & compared_bits(s)) >> (13 + size);
  const u64 hash = (number ^ u64{space} << 40 ^ u64{size} << 52) * 0x9e3779b97f4a7c15ull;
  return s.retired.pairs[hash >> 32 & (RetiredTlb::kSets - 1)];
}

void drop(MipsState& s, TlbPair& pair) {
  forget(s, pair);
  pair.page_mask = kNoPair;
}

template <typename Fn>
void in_set(TlbPair* set, Fn&& body) {
  for (unsigned way = 0; way < RetiredTlb::kWays; way++)
    if (set[way].page_mask != kNoPair) body(set[way]);
}

// Those that `pair` takes the place of.
void drop_overlapped(MipsState& s, const TlbPair& pair) {
  RetiredTlb& r = s.retired;
  const unsigned size = size_of(pair);
  const auto look = [&](TlbPair& old) {
    if (!overlap(s, old, pair)) return;
    revoke(s, old, pair);
    old.page_mask = kNoPair;
  };
  if (!pair.global && r.sizes == (u32{1} << size)) {
    in_set(set_of(s, pair.vpn2, size, pair.asid), look);
    in_set(set_of(s, pair.vpn2, size, kGlobalSpace), look);
  } else if (r.sizes != 0) {
    for (auto& set : r.pairs) in_set(set, look);
  }
}

void retire(MipsState& s, const TlbPair& pair) {
  RetiredTlb& r = s.retired;
  const unsigned size = size_of(pair);
  TlbPair* set = set_of(s, pair.vpn2, size, pair.global ? kGlobalSpace : pair.asid);
  if (set[RetiredTlb::kWays - 1].page_mask != kNoPair) drop(s, set[RetiredTlb::kWays - 1]);
  for (unsigned way = RetiredTlb::kWays - 1; way > 0; way--) set[way] = set[way - 1];
  set[0] = pair;
  r.sizes |= u32{1} << size;
}

// TLBWI wrote another page over an entry: once that was done to all, nothing can be left of those that were there.
void note_rewritten(MipsState& s, unsigned index) {
  const u64 all = ~u64{0} >> (64 - s.model->tlb_entries) & ~u64{0} << s.wired;
  s.retired.rewritten |= u64{1} << index;
  if ((s.retired.rewritten & all) == all) forget_retired(s);
}

}  // namespace

void clear_retired(MipsState& s) {
  for (auto& set : s.retired.pairs)
    for (TlbPair& pair : set) pair.page_mask = kNoPair;
  s.retired.sizes = 0;
  s.retired.rewritten = 0;
}

void forget_retired(MipsState& s) {
  if (s.retired.sizes != 0 && s.h.soft_tlb) mem::tlb_flush_all(s.h);
  clear_retired(s);
}

TlbPair* find_retired(MipsState& s, u64 va) {
  for (u32 sizes = s.retired.sizes; sizes != 0; sizes &= sizes - 1) {
    const unsigned size = static_cast<unsigned>(std::countr_zero(sizes));
    for (const u32 space : {static_cast<u32>(s.entry_hi & 0xff), kGlobalSpace}) {
      TlbPair* set = set_of(s, va, size, space);
      for (unsigned way = 0; way < RetiredTlb::kWays; way++)
        if (set[way].page_mask != kNoPair && matches(s, set[way], va)) return &set[way];
    }
  }
  return nullptr;
}

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

void tlb_write(MipsState& s, unsigned index, bool random) {
  index %= s.model->tlb_entries;
  TlbPair& pair = s.tlb[index];
  const TlbPair old = pair;
  pair.page_mask = s.page_mask;
  pair.vpn2 = s.entry_hi & ~u64{0xff} & ~u64{s.page_mask};
  pair.asid = static_cast<u8>(s.entry_hi);
  pair.global = s.entry_lo0 & s.entry_lo1 & 1;
  pair.lo[0] = s.entry_lo0;
  pair.lo[1] = s.entry_lo1;
  drop_overlapped(s, pair);
  if (random && ((old.lo[0] | old.lo[1]) & 2) && !overlap(s, old, pair)) return retire(s, old);
  revoke(s, old, pair);
  if (!random && !same_pages(old, pair)) note_rewritten(s, index);
}

void tlb_read(MipsState& s) {
  const TlbPair& pair = s.tlb[s.index % s.model->tlb_entries];
  forget_retired(s);
  s.page_mask = pair.page_mask;
  s.entry_lo0 = (pair.lo[0] & ~u64{1}) | pair.global;
  s.entry_lo1 = (pair.lo[1] & ~u64{1}) | pair.global;
  write_cp0(s, 10, 0, pair.vpn2 | pair.asid);
}

void tlb_probe(MipsState& s) {
  const TlbPair* pair = find_pair(s, s.entry_hi & ~u64{0xff});
  s.index = pair ? static_cast<u32>(pair - s.tlb) : 0x80000000;
  if (!pair)
    while (TlbPair* retired = find_retired(s, s.entry_hi & ~u64{0xff})) drop(s, *retired);
}

}  // namespace doppel::mips
