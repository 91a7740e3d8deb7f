#include "exec/code_cache.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace doppel::exec {

Status CodeCache::create(size_t bytes) {
  if (!memory_.allocate(bytes)) {
    return Error{"the host refuses executable memory (" + std::to_string(bytes >> 20) + " MiB)",
                 "allow it (SELinux execmem, seccomp), or run with -accel interp"};
  }
  cold_from_ = memory_.size();
  return success();
}

// Nothing is linked to it, and nothing of it is linked elsewhere: nobody knows it any more.
void CodeCache::drop_passing() {
  if (!std::exchange(passing_, false)) return;
  blocks_.back()->~Installed();
  blocks_.pop_back();
  used_ = used_before_;
  cold_from_ = cold_before_;
  arena_.rewind(arena_before_);
}

CodeCache::Space CodeCache::allocate(size_t hot, size_t cold) {
  drop_passing();
  used_before_ = used_;
  cold_before_ = cold_from_;
  arena_before_ = arena_.mark();
  const size_t at = align_up(used_, 16);
  if (at + hot + cold > cold_from_) return {};
  used_ = at + hot;
  cold_from_ -= cold;
  return {memory_.data() + at, memory_.data() + cold_from_};
}

// --- the table

u64 CodeCache::hash(const RegionKey& k) {
  u64 h = (k.phys * 0x9e3779b97f4a7c15ull) ^ (k.pc * 0xc2b2ae3d27d4eb4full) ^ (k.mode << 17) ^ k.base;
  h ^= h >> 29;
  h *= 0x9e3779b97f4a7c15ull;
  return (h ^ (h >> 32)) | 1;
}

size_t CodeCache::slot_of(const RegionKey& key) const {
  const u64 h = hash(key);
  const size_t mask = slots_.size() - 1;
  if (slots_.empty()) return 0;
  for (size_t i = (h >> 1) & mask; slots_[i].block; i = (i + 1) & mask) {
    if (slots_[i].hash != h) continue;
    const Installed& b = *slots_[i].block;
    if (RegionKey{b.phys, b.pc, b.mode, b.base} == key) return i;
  }
  return slots_.size();
}

Installed* CodeCache::find(const RegionKey& key) const {
  const size_t at = slot_of(key);
  return at == slots_.size() ? nullptr : slots_[at].block;
}

void CodeCache::grow() {
  std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(std::max<size_t>(4096, 4 * count_ + 1)));
  slots_.resize(std::bit_ceil(slots_.size()));
  taken_ = count_ = 0;
  for (const Slot& s : old) {
    if (s.block && s.hash) insert(*s.block);
  }
}

void CodeCache::insert(Installed& b) {
  if (8 * taken_ >= 5 * slots_.size()) grow();
  const RegionKey key{b.phys, b.pc, b.mode, b.base};
  const size_t known = slot_of(key);
  if (known != slots_.size()) {
    slots_[known].block = &b;
    return;
  }
  const u64 h = hash(key);
  size_t i = (h >> 1) & (slots_.size() - 1);
  while (slots_[i].block) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = {&b, h};
  taken_++;
  count_++;
}

// --- regions

Installed& CodeCache::create_block() { return *arena_.create<Installed>(); }

void CodeCache::add(Installed& block, bool keyed) {
  blocks_.push_back(&block);
  passing_ = !keyed && block.links.empty();
  if (!keyed) return;
  insert(block);
  for (const CodeRange& r : block.ranges) {
    for (u64 number = r.first >> mem::kPageBits; number <= r.last >> mem::kPageBits; number++) {
      Page& page = pages_[number];
      if (page.blocks.empty() || page.blocks.back() != &block) page.blocks.push_back(&block);
      page.granules |= granules_of(r, number);
    }
  }
}

void CodeCache::remove(Installed& b) {
  const size_t at = slot_of({b.phys, b.pc, b.mode, b.base});
  if (at != slots_.size() && slots_[at].block == &b) {
    slots_[at].hash = 0;
    count_--;
  }
  for (const CodeRange& r : b.ranges) {
    for (u64 page = r.first >> mem::kPageBits; page <= r.last >> mem::kPageBits; page++) {
      const auto p = pages_.find(page);
      if (p == pages_.end()) continue;
      std::erase(p->second.blocks, &b);
      p->second.granules = 0;
      for (const Installed* other : p->second.blocks) {
        for (const CodeRange& o : other->ranges) p->second.granules |= granules_of(o, page);
      }
      if (p->second.blocks.empty()) pages_.erase(p);
    }
  }
  b.valid = false;
}

void CodeCache::destroy_blocks() {
  for (Installed* b : blocks_) b->~Installed();
  blocks_.clear();
  passing_ = false;
}

void CodeCache::flush() {
  destroy_blocks();
  slots_.clear();
  taken_ = count_ = 0;
  pages_.clear();
  arena_.reset();
  used_ = kThunkBytes;
  cold_from_ = memory_.size();
  flushes++;
}

Installed* CodeCache::at_host(const u8* address) const {
  if (address >= memory_.data() + cold_from_) {
    const auto it =
        std::partition_point(blocks_.begin(), blocks_.end(), [&](const Installed* b) { return address < b->cold; });
    if (it == blocks_.end()) return nullptr;
    return address < (*it)->cold + ((*it)->code_size - (*it)->hot_size) ? *it : nullptr;
  }
  const auto it =
      std::partition_point(blocks_.begin(), blocks_.end(), [&](const Installed* b) { return b->code <= address; });
  if (it == blocks_.begin()) return nullptr;
  Installed* b = *std::prev(it);
  return address <= b->code + b->hot_size ? b : nullptr;
}

u64 CodeCache::granules_of(const CodeRange& r, u64 page) {
  const u64 start = page << mem::kPageBits;
  const u64 lo = std::max(r.first, start), hi = std::min(r.last, start + mem::kPageSize - 1);
  if (lo > hi) return 0;
  const unsigned first = (lo >> 6) & 63, last = (hi >> 6) & 63;
  return (~u64{0} >> (63 - last)) & (~u64{0} << first);
}

u64 CodeCache::granules(u64 page) const {
  const auto it = pages_.find(page);
  return it == pages_.end() ? 0 : it->second.granules;
}

const u8* CodeCache::host(u64 page) const {
  const auto it = pages_.find(page);
  return it == pages_.end() ? nullptr : it->second.host;
}

std::vector<u64> CodeCache::pages() const {
  std::vector<u64> out;
  for (const auto& [page, list] : pages_) out.push_back(page);
  return out;
}

}  // namespace doppel::exec
