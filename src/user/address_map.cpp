// Guest memory at the host's own addresses. Pages that code was translated from are read-only for the host, where the
// program may write to them, until it does (watch_code, code_page_written). The host's protection of a guest page is
// never executable: only translations run.
#include "user/address_map.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "base/assert.h"
#include "mem/vcpu_header.h"

namespace doppel::user {
namespace {

constexpr u64 kPage = mem::kPageSize;
constexpr u8 kCode = 1, kWatched = 2;  // flags of a page: code was made from it; the host's page is read-only for that

s64 result_of(void* p) { return p == MAP_FAILED ? -errno : static_cast<s64>(reinterpret_cast<u64>(p)); }
u64 page_up(u64 v) { return align_up(v, kPage); }

}  // namespace

int AddressMap::host_protection(int guest) {
  int prot = guest & (PROT_READ | PROT_WRITE);
  if (guest & (PROT_EXEC | PROT_WRITE)) prot |= PROT_READ;
  return prot;
}

AddressMap::AddressMap() = default;

AddressMap::~AddressMap() {
  for (auto& leaf : leaves_)
    if (Flags* p = leaf.load()) munmap(static_cast<void*>(p), sizeof(Flags) << kLeafBits);
}

void AddressMap::create(u64 end, u64 top, bool exec_needs_x) {
  end_ = end;
  top_ = top;
  exec_needs_x_ = exec_needs_x;
}

// --- areas

// The area that begins at `va`, after cutting the one that it is in; else the next one.
std::map<u64, AddressMap::Area>::iterator AddressMap::split(u64 va) {
  auto next = areas_.upper_bound(va);
  if (next == areas_.begin()) return next;
  const auto it = std::prev(next);
  if (it->first == va) return it;
  if (it->second.end <= va) return next;
  const Area rest = it->second;
  it->second.end = va;
  return areas_.emplace_hint(next, va, rest);
}

void AddressMap::erase_area(u64 va, u64 size) {
  const auto first = split(va);
  const auto last = split(va + size);
  areas_.erase(first, last);
}

void AddressMap::set_area(u64 va, u64 size, int prot) {
  erase_area(va, size);
  auto it = areas_.emplace(va, Area{va + size, prot}).first;
  if (const auto next = std::next(it);
      next != areas_.end() && next->first == it->second.end && next->second.prot == prot) {
    it->second.end = next->second.end;
    areas_.erase(next);
  }
  if (it != areas_.begin()) {
    const auto before = std::prev(it);
    if (before->second.end == va && before->second.prot == prot) {
      before->second.end = it->second.end;
      areas_.erase(it);
    }
  }
  close_pages(va, va + size - 1);
}

bool AddressMap::covered(u64 va, u64 size) const {
  auto it = areas_.upper_bound(va);
  if (it == areas_.begin()) return false;
  --it;
  for (u64 at = va; at < va + size; ++it) {
    if (it == areas_.end() || it->first > at || it->second.end <= at) return false;
    at = it->second.end;
  }
  return true;
}

int AddressMap::protection_locked(u64 va) const {
  auto it = areas_.upper_bound(va);
  if (it == areas_.begin()) return -1;
  --it;
  return va < it->second.end ? it->second.prot : -1;
}

int AddressMap::protection(u64 va) const {
  std::lock_guard lock(lock_);
  return protection_locked(va);
}

bool AddressMap::mapped(u64 va, u64 size) const {
  std::lock_guard lock(lock_);
  return covered(va, size);
}

void AddressMap::note(u64 va, u64 size, int prot) {
  std::lock_guard lock(lock_);
  code_gone(va, page_up(size));
  set_area(va, page_up(size), prot);
}

void AddressMap::forget(u64 va, u64 size) {
  std::lock_guard lock(lock_);
  code_gone(va, page_up(size));
  erase_area(va, page_up(size));
}

// --- room

// The highest free place that ends at `below` or under it; 0: none.
u64 AddressMap::find_room(u64 size, u64 below) const {
  constexpr u64 kLowest = 0x10000;
  u64 end = below;
  while (end >= size + kLowest) {
    const u64 start = end - size;
    u64 blocker = 0;
    bool blocked = false;
    const auto look = [&](u64 from, u64 to) {
      if (from < end && to > start) {
        blocker = blocked ? std::min(blocker, from) : from;
        blocked = true;
      }
    };
    if (auto it = areas_.lower_bound(end); it != areas_.begin()) look(std::prev(it)->first, std::prev(it)->second.end);
    if (auto it = foreign_.lower_bound(end); it != foreign_.begin()) look(std::prev(it)->first, std::prev(it)->second);
    if (!blocked) return start;
    end = align_down(blocker, kPage);
  }
  return 0;
}

u64 AddressMap::room(u64 size) {
  std::lock_guard lock(lock_);
  return find_room(page_up(size), top_);
}

// Makes all of the range the program's, so that MAP_FIXED may go over it. -ENOMEM: something of the emulator is there.
s64 AddressMap::claim(u64 va, u64 size) {
  std::map<u64, u64> taken;
  s64 error = 0;
  for (u64 at = va; at < va + size && !error;) {
    auto it = areas_.upper_bound(at);
    if (it != areas_.begin() && std::prev(it)->second.end > at) {
      at = std::prev(it)->second.end;
      continue;
    }
    const u64 stop = std::min(va + size, it == areas_.end() ? va + size : it->first);
    const s64 got = result_of(
        mmap(host(at), stop - at, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0));
    if (got < 0)
      error = got == -EEXIST ? -ENOMEM : got;
    else
      taken[at] = stop;
    at = stop;
  }
  if (error)
    for (const auto& [from, to] : taken) munmap(host(from), to - from);
  return error;
}

// --- what the program asks for

s64 AddressMap::map_there(u64 va, u64 size, int prot, int flags, int fd, u64 offset) {
  return result_of(mmap(host(va), size, host_protection(prot), (flags & ~MAP_FIXED) | MAP_FIXED_NOREPLACE, fd,
                        static_cast<off_t>(offset)));
}

s64 AddressMap::map_somewhere(u64 hint, u64 size, int prot, int flags, int fd, u64 offset) {
  if (hint && hint < end_ && size <= end_ - hint && find_room(size, hint + size) == hint) {
    const s64 got = map_there(hint, size, prot, flags, fd, offset);
    if (got != -EEXIST) return got;
  }
  u64 below = top_;
  if (flags & MAP_32BIT) below = std::min<u64>(below, u64{1} << 31);
  for (;;) {
    u64 va = find_room(size, below);
    if (!va && below == top_) va = find_room(size, below = end_);  // under the stack there is no room left: above it
    if (!va) return -ENOMEM;
    const s64 got = map_there(va, size, prot, flags, fd, offset);
    if (got != -EEXIST) return got;
    foreign_[va] = va + size;
  }
}

s64 AddressMap::map(u64 va, u64 size, int prot, int flags, int fd, u64 offset) {
  if (size == 0) return -EINVAL;
  size = page_up(size);
  if (size == 0 || size > end_) return -ENOMEM;
  flags &= ~MAP_GROWSDOWN;
  const bool no_replace = (flags & MAP_FIXED_NOREPLACE) == MAP_FIXED_NOREPLACE;
  const bool fixed = (flags & MAP_FIXED) || no_replace;
  std::lock_guard lock(lock_);
  s64 got;
  if (!fixed) {
    got = map_somewhere(align_down(va, kPage), size, prot, flags, fd, offset);
  } else {
    if (va & (kPage - 1)) return -EINVAL;
    if (va >= end_ || size > end_ - va) return -ENOMEM;
    if (no_replace) {
      got = map_there(va, size, prot, flags, fd, offset);
    } else {
      if (const s64 error = claim(va, size); error < 0) return error;
      code_gone(va, size);
      got = result_of(mmap(host(va), size, host_protection(prot), flags | MAP_FIXED, fd, static_cast<off_t>(offset)));
      if (got < 0 && !covered(va, size)) {  // what was claimed only
        for (u64 at = va; at < va + size; at += kPage)
          if (protection_locked(at) < 0) munmap(host(at), kPage);
      }
    }
  }
  if (got < 0) return got;
  const u64 start = static_cast<u64>(got) - base;
  set_area(start, size, prot);
  return static_cast<s64>(start);
}

s64 AddressMap::unmap(u64 va, u64 size) {
  size = page_up(size);
  if ((va & (kPage - 1)) || size == 0 || va >= end_ || size > end_ - va) return -EINVAL;
  std::lock_guard lock(lock_);
  code_gone(va, size);
  const auto first = split(va), last = split(va + size);
  for (auto it = first; it != last; ++it)
    if (munmap(host(it->first), it->second.end - it->first) != 0) return -errno;
  areas_.erase(first, last);
  return 0;
}

s64 AddressMap::protect(u64 va, u64 size, int prot) {
  size = page_up(size);
  if (va & (kPage - 1)) return -EINVAL;
  if (size == 0) return 0;
  if (va >= end_ || size > end_ - va) return -ENOMEM;
  prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
  std::lock_guard lock(lock_);
  if (!covered(va, size)) return -ENOMEM;
  code_gone(va, size);
  if (mprotect(host(va), size, host_protection(prot)) != 0) return -errno;
  set_area(va, size, prot);
  return 0;
}

s64 AddressMap::remap(u64 va, u64 old_size, u64 new_size, int flags, u64 new_va) {
  const u64 old_pages = page_up(old_size), new_pages = page_up(new_size);
  if ((va & (kPage - 1)) || new_pages == 0 || (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)))
    return -EINVAL;
  if (va >= end_ || old_pages > end_ - va) return -EFAULT;
  if (new_pages > end_) return -ENOMEM;
  std::lock_guard lock(lock_);
  if (!covered(va, std::max(old_pages, kPage))) return -EFAULT;
  const int prot = protection_locked(va);
  code_gone(va, old_pages);
  if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
    if (!(flags & MREMAP_MAYMOVE)) return -EINVAL;
    if (!(flags & MREMAP_FIXED)) new_va = find_room(new_pages, top_);
    if ((new_va & (kPage - 1)) || new_va >= end_ || new_pages > end_ - new_va) return -EINVAL;
    if (new_va < va + old_pages && va < new_va + new_pages) return -EINVAL;
    if (const s64 error = claim(new_va, new_pages); error < 0) return error;
    code_gone(new_va, new_pages);
  } else if (new_pages <= old_pages ||
             (new_pages <= end_ - va && find_room(new_pages - old_pages, va + new_pages) == va + old_pages)) {
    const s64 got = result_of(mremap(host(va), old_pages, new_pages, 0));  // in place, if only the program is there
    if (got >= 0) {
      erase_area(va, old_pages);
      set_area(va, new_pages, prot);
      return static_cast<s64>(va);
    }
    if (!(flags & MREMAP_MAYMOVE) || got != -ENOMEM) return got;
    if (!(new_va = find_room(new_pages, top_))) return -ENOMEM;
  } else {
    if (!(flags & MREMAP_MAYMOVE) || !(new_va = find_room(new_pages, top_))) return -ENOMEM;
  }
  const s64 got = result_of(
      mremap(host(va), old_pages, new_pages, MREMAP_MAYMOVE | MREMAP_FIXED | (flags & MREMAP_DONTUNMAP), host(new_va)));
  if (got < 0) return got;
  if (!(flags & MREMAP_DONTUNMAP) && old_pages) erase_area(va, old_pages);
  set_area(new_va, new_pages, prot);
  return static_cast<s64>(new_va);
}

s64 AddressMap::advise(u64 va, u64 size, int advice) {
  size = page_up(size);
  if (va & (kPage - 1)) return -EINVAL;
  if (size == 0) return 0;
  if (va >= end_ || size > end_ - va) return -ENOMEM;
  std::lock_guard lock(lock_);
  if (!covered(va, size)) return -ENOMEM;
  code_gone(va, size);
  return madvise(host(va), size, advice) == 0 ? 0 : -errno;
}

// --- code

// The lock is held. What was translated from the range goes, and is watched no longer. Only pages with code are told
// of: the range may be as large as the address space.
void AddressMap::code_gone(u64 va, u64 size) {
  u64 first = 0, last = 0;
  const auto tell = [&] {
    if (last > first && on_code_gone) on_code_gone(first, last - first);
  };
  for (u64 at = va, end = va + size; at < end;) {
    const u64 leaf_end = align_down(at, u64{1} << (kLeafBits + 12)) + (u64{1} << (kLeafBits + 12));
    const u64 stop = std::min(end, leaf_end);
    if (Flags* f = flags_of(at)) {
      for (u64 page = at; page < stop; page += kPage, f++) {
        if (f->load(std::memory_order_relaxed) == 0) continue;
        const u8 was = f->exchange(0);
        if (page != last) {
          tell();
          first = page;
        }
        last = page + kPage;
        if (!(was & kWatched)) continue;
        const int prot = protection_locked(page);
        if (prot >= 0) mprotect(host(page), kPage, host_protection(prot));
        close_pages(page, page);
      }
    }
    at = stop;
  }
  tell();
}

bool AddressMap::watch_code(u64 page) {
  page &= mem::kPageMask;
  if (Flags* f = flags_of(page); f && (f->load() & kCode)) {
    // Watched already, or not writable: as long as the flag is there, the protection is what it was.
    return true;
  }
  std::lock_guard lock(lock_);
  const int prot = protection_locked(page);
  if (prot < 0 || !(prot & (exec_needs_x_ ? PROT_EXEC : PROT_READ | PROT_EXEC))) return false;
  const u64 index = page >> (12 + kLeafBits);
  if (index >= kLeaves) return false;
  Flags* leaf = leaves_[index].load();
  if (!leaf) {
    void* p = mmap(nullptr, sizeof(Flags) << kLeafBits, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return false;
    leaf = static_cast<Flags*>(p);
    leaves_[index].store(leaf, std::memory_order_release);
  }
  u8 flags = kCode;
  if (prot & PROT_WRITE) {
    if (mprotect(host(page), kPage, PROT_READ) != 0) return false;
    flags |= kWatched;
  }
  flags_of(page)->store(flags);
  if (const auto it = watched_pages_.find(page); it != watched_pages_.end()) {
    it->second = false;  // code must stay readable
    if (!watches_open_) mprotect(host(page), kPage, PROT_READ);
  }
  return true;
}

bool AddressMap::code_page_written(u64 va) {
  const u64 page = va & mem::kPageMask;
  if (va >= end_) return false;
  std::lock_guard lock(lock_);
  const int prot = protection_locked(page);
  if (prot < 0 || !(prot & PROT_WRITE)) return false;
  // Somebody else may have been here first: then the store is only to be done again.
  if (Flags* f = flags_of(page)) f->store(0);
  const bool done = mprotect(host(page), kPage, host_protection(prot)) == 0;
  close_pages(page, page);
  return done;
}

void AddressMap::prepare_write(u64 va, u64 size) {
  if (size == 0 || va >= end_) return;
  const u64 end = size > end_ - va ? end_ : va + size;
  for (u64 page = va & mem::kPageMask; page < end; page += kPage) {
    Flags* f = flags_of(page);
    if (!f) {
      page |= (u64{1} << (kLeafBits + 12)) - kPage;
      continue;
    }
    if (!(f->load(std::memory_order_relaxed) & kWatched)) continue;
    std::lock_guard lock(lock_);
    code_gone(page, kPage);
  }
}

void AddressMap::changed(u64 va, u64 size) {
  std::lock_guard lock(lock_);
  const u64 first = va & mem::kPageMask;
  code_gone(first, page_up(va + size - first));
}

// --- /proc/self/maps

// The host's file with the program's protections in it, lines of the emulator left out.
std::string AddressMap::describe() const {
  std::string text, last_rest;
  u64 last_start = 0, last_end = 0;
  const auto flush = [&] {
    if (last_end == last_start) return;
    char head[64];
    std::snprintf(head, sizeof head, "%08llx-%08llx", static_cast<unsigned long long>(last_start),
                  static_cast<unsigned long long>(last_end));
    text += head + last_rest + "\n";
    last_start = last_end = 0;
  };
  std::ifstream in("/proc/self/maps");
  std::string line;
  std::lock_guard lock(lock_);
  while (std::getline(in, line)) {
    unsigned long long from = 0, to = 0, offset = 0;
    char perms[8] = {};
    int at = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx %7s %llx%n", &from, &to, perms, &offset, &at) != 4) continue;
    const std::string tail = line.substr(static_cast<size_t>(at));
    const bool file = tail.find('/') != std::string::npos;
    for (u64 page = from - base; page < to - base;) {
      auto it = areas_.upper_bound(page);
      if (it == areas_.begin() || std::prev(it)->second.end <= page) {
        if (it == areas_.end() || it->first >= to - base) break;
        page = it->first;
        continue;
      }
      --it;
      const u64 stop = std::min<u64>(it->second.end, to - base);
      const int p = it->second.prot;
      char middle[40];
      std::snprintf(middle, sizeof middle, " %c%c%c%c %08llx", p & PROT_READ ? 'r' : '-', p & PROT_WRITE ? 'w' : '-',
                    p & PROT_EXEC ? 'x' : '-', perms[3],
                    static_cast<unsigned long long>(file ? offset + (page - (from - base)) : 0));
      const std::string rest = middle + tail;
      if (page == last_end && !file && rest == last_rest) {
        last_end = stop;
      } else {
        flush();
        last_start = page;
        last_end = stop;
        last_rest = rest;
      }
      page = stop;
    }
  }
  flush();
  return text;
}

}  // namespace doppel::user
