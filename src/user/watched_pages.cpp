// A debugger's watchpoints on memory that the host's CPU accesses without asking: pages with one are read-only, or
// can't be accessed at all where reads are watched. An access that fails for that is done once more, alone, with the
// pages open (exec::VcpuLoop). Other threads' accesses meanwhile are not seen.
#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "mem/vcpu_header.h"
#include "user/address_map.h"

namespace doppel::user {

namespace {
constexpr u64 kPage = mem::kPageSize;
}

bool AddressMap::set_watchpoints(std::vector<Watchpoint> watchpoints) {
  std::lock_guard lock(lock_);
  std::map<u64, bool> pages;  // true: reads too
  for (const Watchpoint& w : watchpoints) {
    const u64 last = w.va + std::max<u64>(w.size, 1) - 1;
    if (w.size > kMostWatched || last < w.va) return false;
    for (u64 page = w.va & mem::kPageMask; page <= last; page += kPage) {
      const int prot = protection_locked(page);
      // What code is translated from must stay readable.
      if (prot < 0 || (w.read && (prot & PROT_EXEC))) return false;
      pages[page] = pages[page] || w.read;
    }
  }
  for (const auto& [page, reads] : watched_pages_) mprotect(host(page), kPage, open_protection(page));
  watchpoints_ = std::move(watchpoints);
  watched_pages_ = std::move(pages);
  has_watchpoints = !watched_pages_.empty();
  close_pages(0, ~u64{0});
  return true;
}

// The lock is held. The host's protection of a page without its watchpoints.
int AddressMap::open_protection(u64 page) const {
  const int prot = std::max(protection_locked(page), 0);
  const Flags* f = flags_of(page);
  return f && (f->load() & 2 /* read-only for its code's sake */) ? PROT_READ : host_protection(prot);
}

// The lock is held. After protections of [va, last] were set.
void AddressMap::close_pages(u64 va, u64 last) {
  if (watches_open_) return;
  for (auto it = watched_pages_.lower_bound(va & mem::kPageMask); it != watched_pages_.end() && it->first <= last; ++it)
    if (protection_locked(it->first) >= 0 && it->first != lifted_)
      mprotect(host(it->first), kPage, it->second ? PROT_NONE : open_protection(it->first) & ~PROT_WRITE);
}

bool AddressMap::watched_page(u64 va, bool write) const {
  std::lock_guard lock(lock_);
  const auto it = watched_pages_.find(va & mem::kPageMask);
  if (it == watched_pages_.end() || (!write && !it->second)) return false;
  const int prot = protection_locked(va);
  return prot >= 0 && (write ? prot & PROT_WRITE : host_protection(prot) & PROT_READ);
}

u64 AddressMap::watchpoint_hit(u64 va, u64 size, bool write) const {
  std::lock_guard lock(lock_);
  for (const Watchpoint& w : watchpoints_)
    if (va < w.va + w.size && w.va < va + size && (write ? w.write : w.read)) return w.va;
  return 0;
}

void AddressMap::open_watched_pages() {
  std::lock_guard lock(lock_);
  if (watches_open_++) return;
  for (const auto& [page, reads] : watched_pages_)
    if (protection_locked(page) >= 0) mprotect(host(page), kPage, open_protection(page));
}

void AddressMap::close_watched_pages() {
  std::lock_guard lock(lock_);
  watches_open_--;
  close_pages(0, ~u64{0});
}

bool AddressMap::lift_watch(u64 va) {
  std::lock_guard lock(lock_);
  const u64 page = va & mem::kPageMask;
  const auto it = watched_pages_.find(page);
  if (it == watched_pages_.end() || watches_open_ || std::exchange(lifted_, page) == page) return false;
  return mprotect(host(page), kPage, open_protection(page)) == 0;
}

void AddressMap::restore_watches() {
  std::lock_guard lock(lock_);
  if (lifted_ == 0) return;
  lifted_ = 0;
  close_pages(0, ~u64{0});
}

}  // namespace doppel::user
