// CodeCache: the installed regions of one vCPU. Keyed by physical address, virtual pc, mode and base; indexed by page
// for invalidation and by host address for exceptions. Space is handed out in order, the parts of code that run each
// time from the front and the others from the back of the memory, and for what belongs to the regions too; when it is
// full everything goes. Regions without a key run once: guests whose programs come and go fault on their first
// instructions all the time, so such a region's space is free again when the next region is made. Owner thread only.
#pragma once
#include <span>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "base/arena.h"
#include "base/os/exec_memory.h"
#include "base/result.h"

namespace doppel::exec {

using backend::CodeBlock;

struct RegionKey {
  u64 phys, pc, mode, base;
  bool operator==(const RegionKey&) const = default;
};
// Bytes [first, last] of a physical page that a region was made from.
struct CodeRange {
  u64 first, last;
};

struct Installed : CodeBlock {
  std::span<const CodeRange> ranges;  // physical byte ranges
  const u8* host[2] = {};             // of its first and its second page: the memory that was there then
};

class CodeCache {
 public:
  CodeCache() = default;
  CodeCache(const CodeCache&) = delete;
  CodeCache& operator=(const CodeCache&) = delete;
  ~CodeCache() { destroy_blocks(); }
  static constexpr size_t kThunkBytes = 64 << 10;
  Status create(size_t bytes);
  u8* base() { return memory_.data(); }
  u8* thunk_area() { return memory_.data(); }

  Installed* find(const RegionKey& key) const;
  // Space for the two parts of a region's code; null when full (the caller flushes and asks again).
  struct Space {
    u8 *code = nullptr, *cold = nullptr;
  };
  Space allocate(size_t hot, size_t cold);
  // A region to be filled in; then add() makes it known. In between, nothing else may be asked for.
  Installed& create_block();
  Arena& arena() { return arena_; }  // for the arrays of a region
  void add(Installed& block, bool keyed);
  // Drops all regions with bytes in [pa, pa+size); `drop` is called for each. Returns whether any were.
  template <typename Fn>
  bool invalidate(u64 pa, u64 size, Fn&& drop);
  void remove(Installed& block);  // from the tables; the object stays until flush()
  void flush();
  // The region whose code holds the host address, or null.
  Installed* at_host(const u8* address) const;
  bool contains(const u8* address) const {
    return address >= memory_.data() && address < memory_.data() + memory_.size();
  }

  // The memory that a page's regions were made from; null: there are none.
  const u8* host(u64 page) const;
  // Own code bytes on a page, 64 bytes a bit.
  u64 granules(u64 page) const;
  std::vector<u64> pages() const;
  size_t used() const { return used_ + (memory_.size() - cold_from_); }
  size_t capacity() const { return memory_.size(); }
  size_t count() const { return count_; }
  u64 flushes = 0;

 private:
  // Open addressing, linear probing; a power of two of slots, at most 5/8 of them taken.
  struct Slot {
    Installed* block;  // null: free
    u64 hash;          // 0 with a block: removed
  };
  struct Page {
    std::vector<Installed*> blocks;
    const u8* host = nullptr;
    u64 granules = 0;
  };
  void destroy_blocks();
  void drop_passing();
  static u64 hash(const RegionKey& key);
  static u64 granules_of(const CodeRange& range, u64 page);
  void insert(Installed& block);
  void grow();
  size_t slot_of(const RegionKey& key) const;  // of the region, or slots_.size()

  os::ExecMemory memory_;
  size_t used_ = kThunkBytes, cold_from_ = 0;  // in between: free
  Arena arena_;
  std::vector<Slot> slots_;
  size_t taken_ = 0, count_ = 0;  // slots not free; regions in them
  std::unordered_map<u64, Page> pages_;
  std::vector<Installed*> blocks_;  // ascending addresses of code, descending ones of its second parts
  // What was in use before the last region, which has no key if `passing_`.
  bool passing_ = false;
  size_t used_before_ = 0, cold_before_ = 0;
  Arena::Mark arena_before_;
};

template <typename Fn>
bool CodeCache::invalidate(u64 pa, u64 size, Fn&& drop) {
  bool any = false;
  for (u64 page = pa >> mem::kPageBits; page <= (pa + size - 1) >> mem::kPageBits; page++) {
    const auto it = pages_.find(page);
    if (it == pages_.end()) continue;
    const std::vector<Installed*> list = it->second.blocks;
    for (Installed* b : list) {
      bool hit = false;
      for (const CodeRange& r : b->ranges) hit |= r.first < pa + size && pa <= r.last;
      if (!hit || !b->valid) continue;
      drop(*b);
      remove(*b);
      any = true;
    }
  }
  return any;
}

}  // namespace doppel::exec
