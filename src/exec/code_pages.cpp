#include "exec/code_pages.h"

namespace doppel::exec {

void CodePages::set(u64 page, u32 index, u64 granules) {
  const u64 pa = page << mem::kPageBits;
  const mem::AddressSpace::Flat* flat = memory_.find(pa);
  const bool ram = flat && flat->ram && pa + mem::kPageSize <= flat->end;
  bool watch = false;
  {
    std::lock_guard lock(lock_);
    Page& p = pages_[page];
    if (p.granules.size() <= index) p.granules.resize(index + 1, 0);
    p.granules[index] = granules;
    bool any = false;
    for (const u64 g : p.granules) any |= g != 0;
    if (ram) {
      std::atomic<u8>& flags = memory_.page_flags(*flat, pa);
      if (any) {
        watch = !(flags.fetch_or(mem::kPageCode, std::memory_order_seq_cst) & mem::kPageCode);
      } else {
        flags.fetch_and(static_cast<u8>(~mem::kPageCode), std::memory_order_seq_cst);
      }
    }
    if (!any) pages_.erase(page);
  }
  if (watch) memory_.watch_writes(flat->ram->host + flat->offset + (pa - flat->start), mem::kPageSize);
}

bool CodePages::overlaps(u64 pa, u64 size, u32 except) {
  std::lock_guard lock(lock_);
  const u64 last = pa + size - 1;
  for (u64 page = pa >> mem::kPageBits; page <= last >> mem::kPageBits; page++) {
    const auto it = pages_.find(page);
    if (it == pages_.end()) continue;
    const u64 lo = std::max(pa, page << mem::kPageBits),
              hi = std::min(last, (page << mem::kPageBits) + mem::kPageSize - 1);
    u64 mask = 0;
    for (u64 g = lo >> 6; g <= hi >> 6; g++) mask |= u64{1} << (g & 63);
    for (size_t i = 0; i < it->second.granules.size(); i++) {
      if (i != except && (it->second.granules[i] & mask)) return true;
    }
  }
  return false;
}

void CodePages::add_listener(Listener l) {
  std::lock_guard lock(lock_);
  listeners_.push_back(std::move(l));
}

void CodePages::remove(u32 index) {
  std::lock_guard alone(exclusive_lock);
  std::erase_if(members, [&](const Member& m) { return m.index == index; });
  std::lock_guard lock(lock_);
  std::erase_if(listeners_, [&](const Listener& l) { return l.index == index; });
}

void CodePages::keep_only(u32 index) {
  std::erase_if(members, [&](const Member& m) { return m.index != index; });
  std::erase_if(listeners_, [&](const Listener& l) { return l.index != index; });
}

void CodePages::notify_others(u32 writer, u64 pa, u64 size) {
  std::lock_guard lock(lock_);
  for (const Listener& l : listeners_) {
    if (l.index != writer) l.notify(pa, size);
  }
}

}  // namespace doppel::exec
