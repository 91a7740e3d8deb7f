#include "block/qcow2/slice_cache.h"

#include <algorithm>

#include "base/assert.h"

namespace doppel::block::qcow2 {

SliceCache::SliceCache(File& file, u32 slice_size, u64 max_bytes)
    : file_(file), slice_size_(slice_size), max_slices_(std::max<u64>(max_bytes / slice_size, 4)) {}

u8* SliceCache::load(u64 offset, int& error) {
  if (!slices_.empty() && slices_.front().offset == offset) return slices_.front().data.data();
  if (const auto it = by_offset_.find(offset); it != by_offset_.end()) {
    slices_.splice(slices_.begin(), slices_, it->second);
    return it->second->data.data();
  }
  evict();
  Slice slice{.offset = offset, .data = std::vector<u8>(slice_size_)};
  if (const int e = file_.read(offset, slice.data)) {
    error = e;
    return nullptr;
  }
  slices_.push_front(std::move(slice));
  by_offset_[offset] = slices_.begin();
  return slices_.front().data.data();
}

void SliceCache::evict() {
  if (by_offset_.size() < max_slices_ || dirty_count_ == by_offset_.size()) return;
  for (auto it = slices_.end(); it != slices_.begin();) {
    --it;
    if (it->dirty) continue;
    by_offset_.erase(it->offset);
    slices_.erase(it);
    return;
  }
}

void SliceCache::mark_dirty(u64 offset) {
  const auto it = by_offset_.find(offset);
  ASSERT(it != by_offset_.end());
  if (!it->second->dirty) dirty_count_++;
  it->second->dirty = true;
}

int SliceCache::write_run(std::vector<Place>::iterator first, std::vector<Place>::iterator end) {
  int error = 0;
  if (end - first == 1) {
    error = file_.write((*first)->offset, (*first)->data);
  } else {
    std::vector<u8> joined;
    joined.reserve(static_cast<size_t>(end - first) * slice_size_);
    for (auto it = first; it != end; ++it) joined.insert(joined.end(), (*it)->data.begin(), (*it)->data.end());
    error = file_.write((*first)->offset, joined);
  }
  if (error != 0) return error;
  for (auto it = first; it != end; ++it) (*it)->dirty = false;
  dirty_count_ -= static_cast<size_t>(end - first);
  return 0;
}

int SliceCache::write_dirty() {
  if (dirty_count_ == 0) return 0;
  constexpr std::ptrdiff_t kMaxRun = 64;
  std::vector<Place> dirty;
  dirty.reserve(dirty_count_);
  for (auto it = slices_.begin(); it != slices_.end(); ++it) {
    if (it->dirty) dirty.push_back(it);
  }
  std::sort(dirty.begin(), dirty.end(), [](Place a, Place b) { return a->offset < b->offset; });
  for (auto first = dirty.begin(); first != dirty.end();) {
    auto end = first + 1;
    while (end != dirty.end() && (*end)->offset == (*(end - 1))->offset + slice_size_ && end - first < kMaxRun) ++end;
    if (const int error = write_run(first, end)) return error;
    first = end;
  }
  while (by_offset_.size() > max_slices_) evict();
  return 0;
}

void SliceCache::forget(u64 offset, u64 length) {
  for (u64 at = offset; at < offset + length; at += slice_size_) {
    const auto it = by_offset_.find(at);
    if (it == by_offset_.end()) continue;
    if (it->second->dirty) dirty_count_--;
    slices_.erase(it->second);
    by_offset_.erase(it);
  }
}

void SliceCache::forget_all() {
  slices_.clear();
  by_offset_.clear();
  dirty_count_ = 0;
}

}  // namespace doppel::block::qcow2
