// SliceCache: a bounded cache of an image's tables (L2 tables or refcount blocks) in slices, least recently used out
// first. Changed slices stay until write_dirty(): the owner orders the writes, so a cache full of changes asks for it
// (crowded) instead of writing by itself, and exceeds its bound until then.
// Cost: one hash look-up a load, none for the slice used last; O(1) to make room.
#pragma once
#include <list>
#include <unordered_map>
#include <vector>

#include "block/file.h"

namespace doppel::block::qcow2 {

class SliceCache {
 public:
  static constexpr u64 kMinSlices = 4;
  SliceCache(File& file, u32 slice_size, u64 max_bytes);
  u32 slice_size() const { return slice_size_; }
  // The slice at `offset` (a multiple of slice_size). Null: it can't be read, `error` says why. Valid until the next
  // load, forget or drop_unused.
  u8* load(u64 offset, int& error);
  void mark_dirty(u64 offset);  // of a slice just loaded
  bool dirty() const { return !dirty_.empty(); }
  bool crowded() const { return dirty_.size() * 2 >= max_slices_; }
  int write_dirty();                    // in the file's order, neighbours in one write
  void forget(u64 offset, u64 length);  // the table was freed, or written past the cache
  void forget_all();
  void drop_unused();  // what was not used since the last call, unless it is dirty
  u64 bytes() const { return u64{slice_size_} * by_offset_.size(); }
  u64 peak_bytes() const { return u64{slice_size_} * peak_; }

 private:
  struct Slice {
    u64 offset = 0, used = 0;
    bool dirty = false;
    std::vector<u8> data;
  };
  using Place = std::list<Slice>::iterator;
  void make_room(size_t for_slices);
  void drop(Place place);
  int write_run(std::vector<Place>::iterator first, std::vector<Place>::iterator end);
  File& file_;
  u32 slice_size_;
  size_t max_slices_, peak_ = 0;
  u64 round_ = 0;                   // counts drop_unused()
  std::list<Slice> clean_, dirty_;  // used last: first (only of the clean ones)
  Slice* last_ = nullptr;           // used last
  std::unordered_map<u64, Place> by_offset_;
};

}  // namespace doppel::block::qcow2
