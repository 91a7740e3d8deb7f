// SoftTlb: a vCPU's translations from guest virtual pages to host memory, tagged by address space. Fixed-size
// direct-mapped tables, one a mode and address space, so that a switch of either is a pointer swap. Generated code and
// guest_access.h probe the current table; all else is here. Only set_watch is called by other threads.
//
// Jump caches (generated code's virtual pc -> region) live beside it, because they must forget what the TLB forgets. A
// cache belongs to a mode word. Entries match by generation: a flush is a new number, nothing is cleared.
#pragma once
#include <array>
#include <bitset>
#include <memory>
#include <vector>

#include "mem/address_space.h"
#include "mem/guest_access.h"

namespace doppel::mem {

struct TlbAux {
  u64 phys = 0;  // of the page
  bool global = false;
};

struct TlbCounters {
  u64 fills = 0, flushes = 0, flush_pages = 0, space_switches = 0, space_hits = 0, slow = 0;
};

class SoftTlb {
 public:
  SoftTlb(VcpuHeader& cpu, AddressSpace& memory);
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
  void set_space(u64 tag, bool keep);
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
  void select_jump_cache(u64 mode_word, u64 base);
  // Code offset of the region at `pc` in the selected cache, or 0.
  u32 find_jump(u64 pc) const {
    const JumpCacheEntry& e = jump_->entries[jump_cache_index(pc)];
    return e.pc == pc && e.generation == cpu_.jump_generation ? e.code : 0;
  }
  // `last` lies in the last page that the region was made from.
  void insert_jump(u64 pc, u64 linear, u64 last, u32 code, bool global);
  void remove_jump(u64 pc, u32 code);
  void end_generation();  // all caches, all spaces
  u64 generation_serial() const { return serial_; }
  const TlbCounters& counters() const { return counters_; }
  std::string describe() const;  // info tlb: the valid entries of the current space

 private:
  static constexpr unsigned kSpaces = 4, kJumpCaches = 8, kJournal = 1024, kBloomBits = 2048;
  struct Space {
    u64 tag = ~u64{0};
    u64 stamp = 0;
    u32 generation = 0;  // of non-global jump cache entries
    bool journal_full = false;
    std::vector<u16> journal;       // non-global entries filled: mode << 12 | index
    std::bitset<kBloomBits> large;  // 2 MiB numbers that hold pieces of large pages
    bool any_large = false;
    TlbEntry entries[kMmuModes][kTlbEntries];
    TlbAux aux[kMmuModes][kTlbEntries];
  };
  struct JumpCache {
    u64 mode = ~u64{0}, base = 0, stamp = 0;
    bool nonglobal = false;  // holds entries of non-global pages
    std::vector<JumpCacheEntry> entries;
  };
  static size_t bloom(u64 number) { return (number * 0x9e3779b97f4a7c15ull) >> (64 - 11); }
  void flush_entries(Space& space, bool globals_too);
  void drop_page(Space& space, u64 va);
  void update_generation();
  void select(Space& space);

  VcpuHeader& cpu_;
  AddressSpace& memory_;
  std::atomic<u64> seen_generation_{0};
  std::array<std::unique_ptr<Space>, kSpaces> spaces_;
  Space* current_ = nullptr;
  std::array<JumpCache, kJumpCaches> jump_caches_;
  JumpCache* jump_ = nullptr;
  u32 global_generation_ = 1, next_generation_ = 2;
  u64 stamp_ = 0, serial_ = 0;
  u64 a20_mask_ = ~u64{0};
  std::bitset<kBloomBits> jump_pages_;  // pages with entries in a jump cache
  struct Watch {
    u64 va, size;
  };
  std::vector<Watch> watches_;
  TlbCounters counters_;
};

}  // namespace doppel::mem
