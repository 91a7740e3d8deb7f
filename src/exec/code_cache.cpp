#include "exec/code_cache.h"

#include <algorithm>

namespace doppel::exec {

Status CodeCache::create(size_t bytes) {
  if (!memory_.allocate(bytes)) {
    return Error{"the host refuses executable memory (" + std::to_string(bytes >> 20) + " MiB)",
                 "allow it (SELinux execmem, seccomp), or run with -accel interp"};
  }
  return success();
}

u8* CodeCache::allocate(size_t bytes) {
  const size_t at = align_up(used_, 16);
  if (at + bytes > memory_.size()) return nullptr;
  used_ = at + bytes;
  return memory_.data() + at;
}

Installed& CodeCache::add(std::unique_ptr<Installed> block, bool keyed) {
  Installed& b = *block;
  blocks_.push_back(std::move(block));
  if (!keyed) return b;
  table_[{b.phys, b.pc, b.mode, b.base}] = &b;
  for (const CodeRange& r : b.ranges) {
    for (u64 page = r.first >> mem::kPageBits; page <= r.last >> mem::kPageBits; page++) {
      std::vector<Installed*>& list = pages_[page];
      if (list.empty() || list.back() != &b) list.push_back(&b);
    }
  }
  return b;
}

void CodeCache::remove(Installed& b) {
  const auto it = table_.find({b.phys, b.pc, b.mode, b.base});
  if (it != table_.end() && it->second == &b) table_.erase(it);
  for (const CodeRange& r : b.ranges) {
    for (u64 page = r.first >> mem::kPageBits; page <= r.last >> mem::kPageBits; page++) {
      const auto p = pages_.find(page);
      if (p == pages_.end()) continue;
      std::erase(p->second, &b);
      if (p->second.empty()) pages_.erase(p);
    }
  }
  b.valid = false;
}

void CodeCache::flush() {
  table_.clear();
  pages_.clear();
  blocks_.clear();
  used_ = kThunkBytes;
  flushes++;
}

Installed* CodeCache::at_host(const u8* address) const {
  auto it =
      std::upper_bound(blocks_.begin(), blocks_.end(), address, [](const u8* a, const auto& b) { return a < b->code; });
  if (it == blocks_.begin()) return nullptr;
  Installed* b = std::prev(it)->get();
  return address <= b->code + b->code_size ? b : nullptr;
}

u64 CodeCache::granules(u64 page) const {
  const auto it = pages_.find(page);
  if (it == pages_.end()) return 0;
  u64 bits = 0;
  for (const Installed* b : it->second) {
    for (const CodeRange& r : b->ranges) {
      const u64 lo = std::max(r.first, page << mem::kPageBits),
                hi = std::min(r.last, (page << mem::kPageBits) + mem::kPageSize - 1);
      for (u64 g = lo >> 6; lo <= hi && g <= hi >> 6; g++) bits |= u64{1} << (g & 63);
    }
  }
  return bits;
}

std::vector<u64> CodeCache::pages() const {
  std::vector<u64> out;
  for (const auto& [page, list] : pages_) out.push_back(page);
  return out;
}

}  // namespace doppel::exec
