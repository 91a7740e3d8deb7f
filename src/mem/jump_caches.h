// JumpCaches: virtual pc -> region, as generated code probes it in line. One cache a mode word, code base and address
// space: code of global pages is shared by all spaces, a space gets its own cache of a mode with its first other entry.
// Entries match by generation: to forget is to take a new number, nothing is cleared. They must forget what the soft
// TLB forgets, and lie beside it for that.
#pragma once
#include <array>
#include <bitset>
#include <cstdlib>
#include <memory>

#include "mem/vcpu_header.h"

namespace doppel::mem {

class JumpCaches {
 public:
  // An address space, as far as the caches need to know it.
  struct Owner {
    u64 serial = 0;
  };
  explicit JumpCaches(VcpuHeader& cpu) : cpu_(cpu) {}

  void select(u64 mode, u64 base) {
    if (selected_ && selected_->mode == mode && selected_->base == base) return;
    choose(mode, base);
  }
  void set_owner(Owner& owner);
  // Code offset of the region at `pc` in the selected cache, or 0.
  u32 find(u64 pc) const {
    const JumpCacheEntry& e = selected_->entries[jump_cache_index(pc)];
    return e.pc == pc && e.generation == selected_->generation ? e.code : 0;
  }
  // The region at `linear`, whose last byte lies on the page of `last`.
  void insert(u64 pc, u64 linear, u64 last, u32 code, bool global);
  void remove(u64 pc, u32 code);
  void forget(Owner& owner);
  void forget_all();
  void forget_page(u64 va) {
    if (pages_.test(bloom(va))) forget_all();
  }

 private:
  static constexpr unsigned kCaches = 24, kHints = 16, kBloomBits = 15;
  struct Free {
    void operator()(JumpCacheEntry* entries) const { std::free(entries); }
  };
  struct Cache {
    u64 mode = ~u64{0}, base = 0;
    Owner* owner = nullptr;  // null: global pages
    u64 stamp = 0;
    u64 epoch = 0, serial = 0;  // of the caches, of the owner, when the generation began
    u32 generation = 0;
    std::unique_ptr<JumpCacheEntry[], Free> entries;  // kJumpCacheEntries; memory is used where pcs have been
  };
  struct Hint {
    u64 mode = ~u64{0}, base = 0;
    Owner* owner = nullptr;
    Cache* cache = nullptr;
  };
  static size_t bloom(u64 va) { return ((va >> kPageBits) * 0x9e3779b97f4a7c15ull) >> (64 - kBloomBits); }
  Hint& hint(u64 mode, u64 base) {
    const u64 key = mode ^ base ^ reinterpret_cast<u64>(owner_);
    return hints_[(key * 0x9e3779b97f4a7c15ull) >> 60];
  }
  void choose(u64 mode, u64 base);
  Cache* search(u64 mode, u64 base, const Owner* owner);
  Cache& make(u64 mode, u64 base, Owner* owner);
  void use(Cache& cache);
  void new_generation(Cache& cache);

  VcpuHeader& cpu_;
  std::array<Cache, kCaches> caches_;
  std::array<Hint, kHints> hints_;
  Cache* selected_ = nullptr;
  Owner* owner_ = nullptr;
  u64 epoch_ = 1, serial_ = 0, stamp_ = 0;
  u32 generation_ = 0;
  std::bitset<size_t{1} << kBloomBits> pages_;  // pages with entries
};

}  // namespace doppel::mem
