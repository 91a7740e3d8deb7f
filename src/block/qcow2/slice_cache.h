// SliceCache: a bounded cache of an image's tables (L2 tables or refcount blocks) in slices of up to 4 KiB, least
// recently used out first. Changed slices stay until write_dirty(): the owner orders the writes, so a cache full of
// changes asks for it (crowded) instead of writing by itself, and exceeds its bound until then.
// Cost: one hash look-up a load; none for the slice used last.
#pragma once
#include <list>
#include <unordered_map>
#include <vector>

#include "block/file.h"

namespace doppel::block::qcow2 {

class SliceCache {
 public:
  SliceCache(File& file, u32 slice_size, u64 max_bytes);
  u32 slice_size() const { return slice_size_; }
  // The slice at `offset` (a multiple of slice_size). Null: it can't be read, `error` says why. Valid until the next
  // load or forget.
  u8* load(u64 offset, int& error);
  void mark_dirty(u64 offset);  // of a slice just loaded
  bool dirty() const { return dirty_count_ != 0; }
  bool crowded() const { return dirty_count_ * 2 >= max_slices_; }
  int write_dirty();                    // in the file's order, neighbours in one write
  void forget(u64 offset, u64 length);  // the table was freed, or written past the cache
  void forget_all();
  size_t slices() const { return by_offset_.size(); }

 private:
  struct Slice {
    u64 offset = 0;
    bool dirty = false;
    std::vector<u8> data;
  };
  using Place = std::list<Slice>::iterator;
  void evict();
  int write_run(std::vector<Place>::iterator first, std::vector<Place>::iterator end);
  File& file_;
  u32 slice_size_;
  size_t max_slices_, dirty_count_ = 0;
  std::list<Slice> slices_;  // used last: first
  std::unordered_map<u64, Place> by_offset_;
};

}  // namespace doppel::block::qcow2
