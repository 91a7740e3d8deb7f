// CodeCache: the installed regions of one vCPU. Keyed by physical address, virtual pc, mode and base; indexed by page
// for invalidation and by host address for exceptions. Space is handed out in order; when it is full everything goes.
// Owner thread only.
#pragma once
#include <array>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "base/os/exec_memory.h"
#include "base/result.h"

namespace doppel::exec {

using backend::CodeBlock;

struct RegionKey {
  u64 phys, pc, mode, base;
  bool operator==(const RegionKey&) const = default;
};
struct RegionKeyHash {
  size_t operator()(const RegionKey& k) const {
    return static_cast<size_t>((k.phys * 0x9e3779b97f4a7c15ull) ^ (k.pc * 0xc2b2ae3d27d4eb4full) ^ (k.mode << 17) ^
                               k.base);
  }
};

// Bytes [first, last] of a physical page that a region was made from.
struct CodeRange {
  u64 first, last;
};

struct Installed : CodeBlock {
  std::vector<CodeRange> ranges;  // physical byte ranges
};

class CodeCache {
 public:
  static constexpr size_t kThunkBytes = 64 << 10;
  Status create(size_t bytes);
  u8* base() { return memory_.data(); }
  u8* thunk_area() { return memory_.data(); }

  Installed* find(const RegionKey& key) const {
    const auto it = table_.find(key);
    return it == table_.end() ? nullptr : it->second;
  }
  // Space for `bytes` of code; null when full (the caller flushes and asks again).
  u8* allocate(size_t bytes);
  Installed& add(std::unique_ptr<Installed> block, bool keyed);
  // Drops all regions with bytes in [pa, pa+size); `drop` is called for each. Returns whether any were.
  template <typename Fn>
  bool invalidate(u64 pa, u64 size, Fn&& drop);
  void remove(Installed& block);  // from the tables; the object stays until flush()
  void flush();
  // The region whose code holds the host address, or null.
  Installed* at_host(const u8* address) const;

  // Own code bytes on a page, 64 bytes a bit.
  u64 granules(u64 page) const;
  std::vector<u64> pages() const;
  size_t used() const { return used_; }
  size_t capacity() const { return memory_.size(); }
  size_t count() const { return table_.size(); }
  u64 flushes = 0;

 private:
  os::ExecMemory memory_;
  size_t used_ = kThunkBytes;
  std::unordered_map<RegionKey, Installed*, RegionKeyHash> table_;
  std::unordered_map<u64, std::vector<Installed*>> pages_;
  std::vector<std::unique_ptr<Installed>> blocks_;  // ascending code addresses
};

template <typename Fn>
bool CodeCache::invalidate(u64 pa, u64 size, Fn&& drop) {
  bool any = false;
  for (u64 page = pa >> mem::kPageBits; page <= (pa + size - 1) >> mem::kPageBits; page++) {
    const auto it = pages_.find(page);
    if (it == pages_.end()) continue;
    const std::vector<Installed*> list = it->second;
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
