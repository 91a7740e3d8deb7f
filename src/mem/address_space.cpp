// AddressSpace: ranges with priorities are flattened into a sorted list. Readers take the list by one atomic load. A
// list that was replaced is freed when every vCPU has been at a safe point since and it is not among the last
// kKeptViews: the other readers hold the device lock, as those who change the layout do.
#include "mem/address_space.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/assert.h"
#include "base/os/exec_memory.h"
#include "mem/soft_tlb.h"

namespace doppel::mem {

namespace {
constexpr size_t kKeptViews = 1024;
}

AddressSpace::AddressSpace() {
  views_.push_back(std::make_unique<View>());
  view_.store(views_.back().get());
}

AddressSpace::~AddressSpace() {
  for (auto& b : blocks_) {
    if (b->owned) os::release_memory(b->host, b->size);
  }
}

RamBlock* AddressSpace::wrap_ram(std::string name, u8* host, u64 size, bool read_only) {
  auto block = std::make_unique<RamBlock>();
  block->name = std::move(name);
  block->host = host;
  block->size = size;
  block->read_only = read_only;
  block->flags = std::make_unique<std::atomic<u8>[]>((size + kPageSize - 1) >> kPageBits);
  std::lock_guard lock(lock_);
  block->id = blocks_.size() + 1;
  blocks_.push_back(std::move(block));
  return blocks_.back().get();
}

void AddressSpace::release_ram(RamBlock* block) {
  const std::lock_guard lock(lock_);
  std::erase_if(blocks_, [&](const auto& b) { return b.get() == block; });
}

Result<RamBlock*> AddressSpace::create_ram(std::string name, u64 size) {
  const u64 host_bytes = static_cast<u64>(sysconf(_SC_PHYS_PAGES)) * static_cast<u64>(sysconf(_SC_PAGESIZE));
  u8* host = size > host_bytes ? nullptr : os::reserve_memory(size);
  if (!host) {
    return Error{"the host can't give " + std::to_string(size >> 20) + " MiB of memory for the guest (it has " +
                     std::to_string(host_bytes >> 20) + " MiB)",
                 "ask for less with -m"};
  }
  RamBlock* block = wrap_ram(std::move(name), host, size, false);
  block->owned = true;
  return block;
}

Result<RamBlock*> AddressSpace::create_ram_on_file(std::string name, u64 size, const std::string& path, bool shared) {
  u8* host = os::map_memory_file(path.c_str(), size, shared);
  if (!host) {
    return Error{"can't use the file " + path + " as memory: " + std::strerror(errno),
                 "check mem-path= and the space there"};
  }
  RamBlock* block = wrap_ram(std::move(name), host, size, false);
  block->owned = true;
  block->backing = RamBlock::Backing::File;
  return block;
}

u32 AddressSpace::map_ram(std::string name, u64 start, RamBlock* block, u64 offset, u64 size, int priority,
                          bool read_only) {
  auto r = std::make_unique<MapRange>();
  *r = MapRange{start, size, block, nullptr, offset, std::move(name), priority, true, read_only};
  {
    std::lock_guard lock(lock_);
    ranges_.push_back(std::move(r));
  }
  flatten();
  return static_cast<u32>(ranges_.size() - 1);
}

u32 AddressSpace::map_io(std::string name, u64 start, u64 size, IoHandler* io, int priority) {
  auto r = std::make_unique<MapRange>();
  *r = MapRange{start, size, nullptr, io, 0, std::move(name), priority, true, false};
  {
    std::lock_guard lock(lock_);
    ranges_.push_back(std::move(r));
  }
  flatten();
  return static_cast<u32>(ranges_.size() - 1);
}

u32 AddressSpace::map_rom_device(std::string name, u64 start, RamBlock* block, u64 size, IoHandler* io, int priority) {
  auto r = std::make_unique<MapRange>();
  *r = MapRange{start, size, block, io, 0, std::move(name), priority, true, true};
  {
    std::lock_guard lock(lock_);
    ranges_.push_back(std::move(r));
  }
  flatten();
  return static_cast<u32>(ranges_.size() - 1);
}

void AddressSpace::set_range(u32 id, bool enabled, u64 start) {
  MapRange& r = *ranges_[id];
  if (r.enabled == enabled && r.start == start) return;
  r.enabled = enabled;
  r.start = start;
  flatten();
}

void AddressSpace::set_read_only(u32 id, bool read_only) {
  if (ranges_[id]->read_only == read_only) return;
  ranges_[id]->read_only = read_only;
  flatten();
}

void AddressSpace::unmap(u32 id) {
  ranges_[id]->enabled = false;
  ranges_[id]->ram = nullptr;
  ranges_[id]->io = nullptr;
  flatten();
}

void AddressSpace::begin() { batch_++; }
void AddressSpace::commit() {
  if (--batch_ == 0) flatten();
}

namespace {

bool same(const AddressSpace::Flat& a, const AddressSpace::Flat& b) {
  return a.start == b.start && a.end == b.end && a.ram == b.ram && a.io == b.io && a.offset == b.offset &&
         a.read_only == b.read_only && a.name == b.name;
}

u64 hash_of(const std::vector<AddressSpace::Flat>& flats) {
  u64 hash = 0;
  for (const AddressSpace::Flat& f : flats) {
    for (const u64 word :
         {f.start, f.end, f.offset, reinterpret_cast<u64>(f.ram), reinterpret_cast<u64>(f.io), u64{f.read_only}})
      hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
  }
  return hash;
}

}  // namespace

// A layout that was there before is taken again: SMRAM and video banks go back and forth all the time.
// Sweep over all range boundaries; in each interval the highest priority (then the latest) wins. Neighbours of one
// range merge.
void AddressSpace::flatten() {
  if (batch_ > 0) return;
  {
    std::lock_guard lock(lock_);
    std::vector<const MapRange*> active;
    std::vector<u64> cuts;
    for (const auto& r : ranges_) {
      if (!r->enabled || r->size == 0 || (!r->ram && !r->io)) continue;
      active.push_back(r.get());
      cuts.push_back(r->start);
      cuts.push_back(r->start + r->size);
    }
    std::stable_sort(active.begin(), active.end(),
                     [](const MapRange* a, const MapRange* b) { return a->priority > b->priority; });
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    auto view = std::make_unique<View>();
    for (size_t i = 0; i + 1 < cuts.size(); i++) {
      const u64 a = cuts[i], b = cuts[i + 1];
      const auto it = std::find_if(active.begin(), active.end(),
                                   [&](const MapRange* r) { return r->start <= a && b <= r->start + r->size; });
      if (it == active.end()) continue;
      const MapRange& r = **it;
      const bool ro = r.ram && (r.ram->read_only || r.read_only);
      Flat f{a, b, r.ram, r.io, r.offset + (a - r.start), ro, r.name.c_str()};
      if (!view->flats.empty()) {
        Flat& p = view->flats.back();
        if (p.end == a && p.ram == f.ram && p.io == f.io && p.read_only == f.read_only &&
            p.offset + (p.end - p.start) == f.offset && p.name == f.name) {
          p.end = b;
          continue;
        }
      }
      view->flats.push_back(f);
    }
    view->hash = hash_of(view->flats);
    auto seen = std::find_if(views_.begin(), views_.end(), [&](const std::unique_ptr<View>& v) {
      return v->hash == view->hash && v->flats.size() == view->flats.size() &&
             std::equal(v->flats.begin(), v->flats.end(), view->flats.begin(), same);
    });
    if (seen == views_.end()) seen = views_.insert(seen, std::move(view));
    std::rotate(seen, seen + 1, views_.end());
    publish(*views_.back());
    free_old_views();
  }
  if (on_change) on_change();
}

void AddressSpace::publish(View& view) {
  View* before = view_.load(std::memory_order_relaxed);
  if (before == &view) return;
  view_.store(&view, std::memory_order_release);
  before->retired = generation_.fetch_add(1, std::memory_order_acq_rel) + 1;
}

void AddressSpace::free_old_views() {
  if (views_.size() <= kKeptViews) return;
  u64 seen = generation();
  {
    std::lock_guard lock(tlbs_lock_);
    for (const SoftTlb* tlb : tlbs_) seen = std::min(seen, tlb->seen_generation());
  }
  const auto end = views_.end() - kKeptViews;
  views_.erase(views_.begin(), std::find_if(views_.begin(), end, [&](const auto& v) { return v->retired > seen; }));
}

const AddressSpace::Flat* AddressSpace::find(u64 pa) const {
  const std::vector<Flat>& v = view_.load(std::memory_order_acquire)->flats;
  size_t lo = 0, hi = v.size();
  while (lo < hi) {
    const size_t mid = (lo + hi) / 2;
    if (v[mid].end <= pa)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo < v.size() && v[lo].start <= pa ? &v[lo] : nullptr;
}

u64 AddressSpace::io_read(const Flat& range, u64 pa, unsigned size) {
  if (!io_lock) return range.io->io_read(pa - range.start + range.offset, size);
  std::lock_guard lock(*io_lock);
  return range.io->io_read(pa - range.start + range.offset, size);
}

void AddressSpace::io_write(const Flat& range, u64 pa, u64 value, unsigned size) {
  if (!io_lock) return range.io->io_write(pa - range.start + range.offset, value, size);
  std::lock_guard lock(*io_lock);
  range.io->io_write(pa - range.start + range.offset, value, size);
}

// Bus masters: RAM and ROM only. A device window reads as ones to another device (peer DMA is not modelled).
bool AddressSpace::read(u64 pa, void* out, u64 size) {
  u8* to = static_cast<u8*>(out);
  bool all = true;
  while (size > 0) {
    const Flat* f = find(pa);
    if (!f || !f->ram) {
      *to++ = 0xff;
      pa++;
      size--;
      all = false;
      continue;
    }
    const u64 n = std::min(size, f->end - pa);
    std::memcpy(to, f->ram->host + f->offset + (pa - f->start), n);
    to += n;
    pa += n;
    size -= n;
  }
  return all;
}

bool AddressSpace::write(u64 pa, const void* data, u64 size) {
  const u8* from = static_cast<const u8*>(data);
  bool all = true;
  while (size > 0) {
    const Flat* f = find(pa);
    u64 n = std::min(size, kPageSize - (pa & (kPageSize - 1)));
    if (f) n = std::min(n, f->end - pa);
    if (f && f->ram && !f->read_only) {
      std::atomic<u8>& flags = page_flags(*f, pa);
      std::memcpy(f->ram->host + f->offset + (pa - f->start), from, n);
      std::atomic_thread_fence(std::memory_order_seq_cst);  // who translates marks the page, then reads it
      if ((flags.load(std::memory_order_relaxed) & kPageCode) && on_code_write) on_code_write(pa, n);
      if (flags.load(std::memory_order_relaxed) & kPageDirtyLog) flags.fetch_or(kPageDirty);
    } else {
      if (!f) n = 1;
      all = false;
    }
    from += n;
    pa += n;
    size -= n;
  }
  return all;
}

void AddressSpace::discard(u64 pa, u64 size) {
  const u64 last = align_down(size > ~u64{0} - pa ? ~u64{0} : pa + size, kPageSize);
  pa = align_up(pa, kPageSize);
  while (pa < last) {
    const Flat* f = find(pa);
    if (!f) return;
    const u64 n = align_down(std::min(last, f->end) - pa, kPageSize);
    if (n == 0) return;
    if (f->ram && f->ram->owned && !f->read_only) {
      u8* host = f->ram->host + f->offset + (pa - f->start);
      if (f->ram->backing == RamBlock::Backing::Anonymous)
        os::discard_memory(host, n);
      else if (f->ram->backing == RamBlock::Backing::File || !os::clear_memory(host, n))
        std::memset(host, 0, n);  // what lies below is not zero
      for (u64 at = pa; at < pa + n; at += kPageSize) {
        std::atomic<u8>& flags = page_flags(*f, at);
        if ((flags.load(std::memory_order_relaxed) & kPageCode) && on_code_write) on_code_write(at, kPageSize);
        if (flags.load(std::memory_order_relaxed) & kPageDirtyLog) flags.fetch_or(kPageDirty);
      }
    }
    pa += n;
  }
}

u8* AddressSpace::ram_pointer(u64 pa, u64 size, bool write) {
  const Flat* f = find(pa);
  if (!f || !f->ram || f->end - pa < size || (write && f->read_only)) return nullptr;
  return f->ram->host + f->offset + (pa - f->start);
}

u8* AddressSpace::lasting_ram(u64 pa, u64 size, bool write) {
  const Flat* f = find(pa);
  return f && f->ram && f->ram->owned ? ram_pointer(pa, size, write) : nullptr;
}

void AddressSpace::wrote(const u8* host, u64 pa, u64 size) {
  RamBlock* block = nullptr;
  {
    const std::lock_guard lock(lock_);
    for (const auto& b : blocks_) {
      if (b->owned && host >= b->host && host + size <= b->host + b->size) block = b.get();
    }
  }
  ASSERT_MSG(block != nullptr, "wrote() is for what lasting_ram() gave");
  std::atomic_thread_fence(std::memory_order_seq_cst);  // who translates marks the page, then reads it
  u64 at = static_cast<u64>(host - block->host);
  while (size > 0) {
    const u64 n = std::min(size, kPageSize - (at & (kPageSize - 1)));
    std::atomic<u8>& flags = block->flags[at >> kPageBits];
    const u8 now = flags.load(std::memory_order_relaxed);
    if ((now & kPageCode) && on_code_write) on_code_write(pa, n);
    if (now & kPageDirtyLog) flags.fetch_or(kPageDirty);
    at += n;
    pa += n;
    size -= n;
  }
}

void AddressSpace::take_dirty(RamBlock& block, u64 offset, u64 size, std::vector<bool>& pages) {
  const u64 first = offset >> kPageBits, count = (size + kPageSize - 1) >> kPageBits;
  pages.assign(count, false);
  bool rearm = false;
  for (u64 i = 0; i < count; i++) {
    const u8 old = block.flags[first + i].fetch_and(static_cast<u8>(~kPageDirty));
    block.flags[first + i].fetch_or(kPageDirtyLog);
    if (old & kPageDirty || !(old & kPageDirtyLog)) {
      pages[i] = true;
      rearm = true;
    }
  }
  if (rearm) watch_writes(block.host + offset, size);
}

void AddressSpace::add_tlb(SoftTlb* tlb) {
  std::lock_guard lock(tlbs_lock_);
  tlbs_.push_back(tlb);
}

void AddressSpace::remove_tlb(SoftTlb* tlb) {
  std::lock_guard lock(tlbs_lock_);
  std::erase(tlbs_, tlb);
}

void AddressSpace::watch_writes(const u8* host, u64 size) {
  std::lock_guard lock(tlbs_lock_);
  for (SoftTlb* tlb : tlbs_) tlb->set_watch(host, size);
}

void AddressSpace::run_exclusive(VcpuHeader& cpu, void (*body)(void*), void* context) {
  if (exclusive_hook)
    exclusive_hook(cpu, body, context);
  else
    body(context);
}

std::string AddressSpace::describe() const {
  std::string text = "address-space: memory\n";
  char line[200];
  for (const Flat& f : view_.load()->flats) {
    std::snprintf(line, sizeof line, "  %016llx-%016llx (%s): %s\n", static_cast<unsigned long long>(f.start),
                  static_cast<unsigned long long>(f.end - 1),
                  f.io && f.ram ? "romd"
                  : f.io        ? "i/o"
                  : f.read_only ? "rom"
                                : "ram",
                  f.name);
    text += line;
  }
  return text;
}

}  // namespace doppel::mem
