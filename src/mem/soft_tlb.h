// SoftTlb: a vCPU's translations from guest virtual pages to host memory, tagged by address space. Fixed-size
// direct-mapped tables, one a mode and address space, so that a switch of either is a pointer swap. Generated code and
// guest_access.h probe the current table; all else is here. Only set_watch is called by other threads.
//
// What a table loses to a conflict waits in a small victim cache. On a CPU without tags for address spaces all spaces
// share one table, and KeptSpaces says what comes back with a space. Jump caches (generated code's virtual pc ->
// region) lie beside it, because they must forget what the TLB forgets.
#pragma once
#include <array>
#include <bitset>
#include <memory>
#include <vector>

#include "mem/address_space.h"
#include "mem/guest_access.h"
#include "mem/jump_caches.h"
#include "mem/kept_spaces.h"

namespace doppel::mem {

struct TlbCounters {
  u64 fills = 0, victim_hits = 0, flushes = 0, flush_pages = 0, space_switches = 0, space_hits = 0, restored = 0;
};

// What may be left out (--opt).
struct TlbOptions {
  bool spaces = true;   // a space's translations are kept while another one is current
  bool victims = true;  // those that lost their place in the table too
};

class SoftTlb {
 public:
  SoftTlb(VcpuHeader& cpu, AddressSpace& memory, TlbOptions options = {});
  ~SoftTlb();

  // Makes the entry for `va` usable for `access`, or returns null when the guest's walk faults (then raise_fault is
  // due).
  TlbEntry* fill(u64 va, Access access, u32 mode);
  // The entry for code at `va` in the current mode, filled if need be; null when it can't be fetched.
  TlbEntry* executable(u64 va) {
    TlbEntry& e = entry(va, cpu_.mmu_mode);
    const u64 tag = e.exec.load(std::memory_order_relaxed);
    return (tag & (kPageMask | kTlbInvalid)) == (va & kPageMask) ? &e : fill(va, Access::Exec, cpu_.mmu_mode);
  }
  TlbEntry& entry(u64 va, u32 mode) { return current_->entries[mode][index(va)]; }
  TlbAux& aux(u64 va, u32 mode) { return current_->aux[mode][index(va)]; }
  static size_t index(u64 va) { return (va >> kPageBits) & (kTlbEntries - 1); }

  void set_mode(u32 mode);
  u64 mode_switches() const { return mode_switches_; }
  void set_space(u64 tag, bool keep);
  void switch_tables(u64 root);
  // Host address of writable RAM, or null.
  u8* ram(u64 pa, u64 size) {
    const AddressSpace::Flat* f = flat(pa);
    return f && f->ram && !f->read_only && f->end - pa >= size ? f->ram->host + f->offset + (pa - f->start) : nullptr;
  }
  void flush_all();
  // The vCPU holds nothing of the memory layout here (any thread may ask for what it has seen).
  void at_safe_point() { seen_generation_.store(memory_.generation(), std::memory_order_release); }
  u64 seen_generation() const { return seen_generation_.load(std::memory_order_acquire); }
  void flush_nonglobal();
  void flush_page(u64 va);
  void flush_space(u64 tag, bool globals_too);
  void flush_space_page(u64 tag, u64 va);
  void set_a20(bool enabled);
  void watch_range(u64 va, u64 size);
  void clear_watches();
  bool watched(u64 va, u64 size) const;

  // From any thread: write accesses to the host page take the slow path from now on.
  void set_watch(const u8* host_page, u64 size);

  // Jump caches.
  void select_jump_cache(u64 mode_word, u64 base) { jumps_.select(mode_word, base); }
  u32 find_jump(u64 pc) const { return jumps_.find(pc); }
  // The region at `linear`, whose last byte lies on the page of `last`; both pages are in the TLB.
  void insert_jump(u64 pc, u64 linear, u64 last, u32 code);
  void remove_jump(u64 pc, u32 code) { jumps_.remove(pc, code); }
  void end_generation() { jumps_.forget_all(); }
  const TlbCounters& counters() const { return counters_; }
  std::string describe() const;  // info tlb: the valid entries of the current space

 private:
  static constexpr unsigned kSpaces = 4, kBloomBits = 2048, kVictimSets = 512, kVictimWays = 2;
  struct Space : JumpCaches::Owner {
    u64 tag = ~u64{0};
    u64 stamp = 0;
    u64 epoch = 0;             // of its entries among the victims
    std::vector<u16> journal;  // non-global entries filled: mode * kTlbEntries + index, each once
    std::bitset<kMmuModes * kTlbEntries> noted;
    TlbEntry entries[kMmuModes][kTlbEntries];
    TlbAux aux[kMmuModes][kTlbEntries];
  };
  struct Victim : SpareEntry {
    u64 epoch = 0;
  };
  static size_t bloom(u64 number) { return (number * 0x9e3779b97f4a7c15ull) >> (64 - 11); }
  bool large(u64 va) const { return any_large_ && large_.test(bloom(va >> 21)); }
  Victim* victims(u64 va) { return &victims_[((va >> kPageBits) ^ (va >> 21)) % kVictimSets * kVictimWays]; }
  const AddressSpace::Flat* flat(u64 pa);
  void flush_entries(Space& space, bool globals_too);
  void drop_page(Space& space, u64 va);
  void select(Space& space);
  TlbEntry* from_victims(u64 va, Access access, u32 mode);
  void evict(u64 va, u32 mode);
  void put_back(const SpareEntry& spare);
  void publish_write(TlbEntry& e, u64 write, std::atomic<u8>* flags);
  void note(Space& space, u32 mode, size_t index);
  void put_away(KeptSpace& to);
  void bring_back(KeptSpace& from);

  VcpuHeader& cpu_;
  AddressSpace& memory_;
  const TlbOptions options_;
  std::atomic<u64> seen_generation_{0};
  std::vector<std::unique_ptr<Space>> spaces_;  // kSpaces, or one if they are not kept
  Space* current_ = nullptr;
  KeptSpaces kept_spaces_;
  KeptSpace* kept_ = nullptr;  // the current one, when the CPU has no tags
  JumpCaches jumps_;
  std::vector<Victim> victims_;
  u64 epoch_ = 1, global_epoch_ = 1;  // of the victims
  std::bitset<kBloomBits> large_;     // 2 MiB numbers that hold pieces of large pages
  bool any_large_ = false;
  u64 stamp_ = 0;
  u64 a20_mask_ = ~u64{0};
  const AddressSpace::Flat* flat_ = nullptr;  // the last one found, in the layout flat_generation_
  u64 flat_generation_ = 0;
  struct Watch {
    u64 va, size;
  };
  std::vector<Watch> watches_;
  u64 mode_switches_ = 0;
  TlbCounters counters_;
};

}  // namespace doppel::mem
