#include "mem/jump_caches.h"

#include <algorithm>

#include "base/assert.h"

namespace doppel::mem {

JumpCaches::Cache* JumpCaches::search(u64 mode, u64 base, const Owner* owner) {
  const auto it = std::find_if(caches_.begin(), caches_.end(), [&](const Cache& c) {
    return c.mode == mode && c.base == base && c.owner == owner && c.entries;
  });
  return it == caches_.end() ? nullptr : &*it;
}

// The longest unused cache. Its old entries have generations that never come back.
JumpCaches::Cache& JumpCaches::make(u64 mode, u64 base, Owner* owner) {
  Cache& c = *std::min_element(caches_.begin(), caches_.end(),
                               [](const Cache& a, const Cache& b) { return a.stamp < b.stamp; });
  if (!c.entries) {
    // All zero: a generation that never comes.
    c.entries.reset(static_cast<JumpCacheEntry*>(std::calloc(kJumpCacheEntries, sizeof(JumpCacheEntry))));
    ASSERT_MSG(c.entries, "no memory for a jump cache");
  }
  c.mode = mode;
  c.base = base;
  c.owner = owner;
  c.epoch = 0;
  hints_.fill({});
  return c;
}

void JumpCaches::choose(u64 mode, u64 base) {
  Hint& h = hint(mode, base);
  if (!h.cache || h.mode != mode || h.base != base || h.owner != owner_) {
    Cache* c = owner_ ? search(mode, base, owner_) : nullptr;
    if (!c) c = search(mode, base, nullptr);
    if (!c) c = &make(mode, base, nullptr);
    h = {mode, base, owner_, c};
  }
  use(*h.cache);
}

void JumpCaches::new_generation(Cache& cache) {
  if (++generation_ == 0) {  // the numbers begin anew: now old entries would match
    for (Cache& c : caches_) {
      if (c.entries) std::fill_n(c.entries.get(), kJumpCacheEntries, JumpCacheEntry{});
      c.epoch = 0;
    }
    ++generation_;
  }
  cache.generation = generation_;
}

void JumpCaches::use(Cache& cache) {
  const u64 serial = cache.owner ? cache.owner->serial : 0;
  if (cache.epoch != epoch_ || cache.serial != serial) {
    new_generation(cache);
    cache.epoch = epoch_;
    cache.serial = serial;
  }
  cache.stamp = ++stamp_;
  selected_ = &cache;
  cpu_.jump_cache = cache.entries.get();
  cpu_.jump_generation = cache.generation;
}

void JumpCaches::set_owner(Owner& owner) {
  if (owner_ == &owner) return;
  owner_ = &owner;
  if (selected_) choose(selected_->mode, selected_->base);
}

void JumpCaches::insert(u64 pc, u64 linear, u64 last, u32 code, bool global) {
  if (!global && !selected_->owner && owner_) {
    Cache& c = make(selected_->mode, selected_->base, owner_);
    use(c);
  }
  selected_->entries[jump_cache_index(pc)] = {pc, selected_->generation, code};
  pages_.set(bloom(linear));
  pages_.set(bloom(last));
}

void JumpCaches::remove(u64 pc, u32 code) {
  for (Cache& c : caches_) {
    if (!c.entries) continue;
    JumpCacheEntry& e = c.entries[jump_cache_index(pc)];
    if (e.pc == pc && e.code == code) e = JumpCacheEntry{};
  }
}

void JumpCaches::forget(Owner& owner) {
  owner.serial = ++serial_;
  if (selected_) use(*selected_);
}

void JumpCaches::forget_all() {
  epoch_++;
  pages_.reset();
  if (selected_) use(*selected_);
}

}  // namespace doppel::mem
