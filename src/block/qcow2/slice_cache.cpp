#include "block/qcow2/slice_cache.h"

#include <algorithm>

#include "base/assert.h"

namespace doppel::block::qcow2 {

SliceCache::SliceCache(File& file, u32 slice_size, u64 max_bytes)
    : file_(file), slice_size_(slice_size), max_slices_(std::max(max_bytes / slice_size, kMinSlices)) {}

u8* SliceCache::load(u64 offset, int& error) {
  if (last_ != nullptr && last_->offset == offset) return last_->data.data();
  if (const auto it = by_offset_.find(offset); it != by_offset_.end()) {
    if (!it->second->dirty) clean_.splice(clean_.begin(), clean_, it->second);
  } else {
    make_room(1);
    Slice slice{.offset = offset, .data = std::vector<u8>(slice_size_)};
    if (const int e = file_.read(offset, slice.data)) {
      error = e;
      return nullptr;
    }
    clean_.push_front(std::move(slice));
    by_offset_[offset] = clean_.begin();
    peak_ = std::max(peak_, by_offset_.size());
  }
  last_ = &*by_offset_[offset];
  last_->used = round_;
  return last_->data.data();
}

void SliceCache::drop(Place place) {
  if (last_ == &*place) last_ = nullptr;
  by_offset_.erase(place->offset);
  (place->dirty ? dirty_ : clean_).erase(place);
}

void SliceCache::make_room(size_t for_slices) {
  while (!clean_.empty() && by_offset_.size() + for_slices > max_slices_) drop(std::prev(clean_.end()));
}

void SliceCache::drop_unused() {
  for (auto it = clean_.begin(); it != clean_.end();) {
    const Place place = it++;
    if (place->used < round_) drop(place);
  }
  round_++;
  last_ = nullptr;  // so that its next use is noted
}

void SliceCache::mark_dirty(u64 offset) {
  const auto it = by_offset_.find(offset);
  ASSERT(it != by_offset_.end());
  if (it->second->dirty) return;
  it->second->dirty = true;
  dirty_.splice(dirty_.begin(), clean_, it->second);
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
  for (auto it = first; it != end; ++it) {
    (*it)->dirty = false;
    clean_.splice(clean_.begin(), dirty_, *it);
  }
  return 0;
}

int SliceCache::write_dirty() {
  if (dirty_.empty()) return 0;
  constexpr u64 kMaxRun = 256 << 10;
  const auto max_run = static_cast<std::ptrdiff_t>(std::max<u64>(kMaxRun / slice_size_, 1));
  std::vector<Place> dirty;
  dirty.reserve(dirty_.size());
  for (auto it = dirty_.begin(); it != dirty_.end(); ++it) dirty.push_back(it);
  std::sort(dirty.begin(), dirty.end(), [](Place a, Place b) { return a->offset < b->offset; });
  for (auto first = dirty.begin(); first != dirty.end();) {
    auto end = first + 1;
    while (end != dirty.end() && (*end)->offset == (*(end - 1))->offset + slice_size_ && end - first < max_run) ++end;
    if (const int error = write_run(first, end)) return error;
    first = end;
  }
  make_room(0);
  return 0;
}

void SliceCache::forget(u64 offset, u64 length) {
  for (u64 at = offset; at < offset + length; at += slice_size_) {
    if (const auto it = by_offset_.find(at); it != by_offset_.end()) drop(it->second);
  }
}

void SliceCache::forget_all() {
  clean_.clear();
  dirty_.clear();
  by_offset_.clear();
  last_ = nullptr;
}

}  // namespace doppel::block::qcow2
