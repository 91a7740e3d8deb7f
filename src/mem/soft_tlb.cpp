#include "mem/soft_tlb.h"

#include <algorithm>
#include <cstdio>

#include "base/assert.h"

namespace doppel::mem {

SoftTlb::SoftTlb(VcpuHeader& cpu, AddressSpace& memory) : cpu_(cpu), memory_(memory) {
  for (auto& s : spaces_) {
    s = std::make_unique<Space>();
    s->journal.reserve(kJournal);
    s->generation = next_generation_++;
  }
  current_ = spaces_[0].get();
  current_->tag = 0;
  cpu_.soft_tlb = this;
  cpu_.phys = &memory;
  cpu_.tlb = current_->entries[cpu_.mmu_mode];
  select_jump_cache(0, 0);
  memory_.add_tlb(this);
}

SoftTlb::~SoftTlb() { memory_.remove_tlb(this); }

void SoftTlb::select(Space& space) {
  current_ = &space;
  space.stamp = ++stamp_;
  cpu_.tlb = space.entries[cpu_.mmu_mode];
  update_generation();
}

void SoftTlb::set_mode(u32 mode) {
  cpu_.mmu_mode = mode;
  cpu_.tlb = current_->entries[mode];
}

TlbEntry* SoftTlb::fill(u64 va, Access access, u32 mode) {
  Translation t;
  if (!cpu_.mmu->translate(cpu_, va, access, mode, t)) return nullptr;
  counters_.fills++;
  const u64 page = va & kPageMask;
  const u64 phys = t.phys & a20_mask_ & kPageMask;
  const AddressSpace::Flat* flat = memory_.find(phys);
  const bool whole = flat && flat->start <= phys && phys + kPageSize <= flat->end;
  const bool ram = whole && flat->ram;
  const size_t i = index(va);
  Space& space = *current_;
  TlbEntry& e = space.entries[mode][i];
  TlbAux& a = space.aux[mode][i];
  u64 flags = ram ? u64{0} : u64{kTlbIo};
  if (!watches_.empty() && watched(page, kPageSize)) flags |= kTlbWatchpoint;
  a.phys = phys;
  a.global = t.global;
  if (!t.global && !space.journal_full) {
    if (space.journal.size() < kJournal)
      space.journal.push_back(static_cast<u16>(mode << 12 | i));
    else
      space.journal_full = true;
  }
  if (t.page_size > kPageSize) {
    space.any_large = true;
    space.large.set(bloom(va >> 21));
  }
  u8* host = ram ? flat->ram->host + flat->offset + (phys - flat->start) : nullptr;
  e.addend = ram ? reinterpret_cast<u64>(host) - page : 0;
  e.read.store(t.read ? page | flags : u64{kTlbInvalid}, std::memory_order_relaxed);
  e.exec.store(t.exec ? page | (ram ? u64{0} : u64{kTlbIo}) : u64{kTlbInvalid}, std::memory_order_relaxed);
  u64 write = kTlbInvalid;
  if (t.write) {
    write = page | flags;
    if (ram && flat->read_only) write |= kTlbIo;
    e.write.store(write, std::memory_order_seq_cst);
    if (ram) {
      // Published first, looked at after: a page that gets code meanwhile is seen here or by set_watch.
      const u8 f = memory_.page_flags(*flat, phys).load(std::memory_order_seq_cst);
      if ((f & kPageCode) || ((f & (kPageDirtyLog | kPageDirty)) == kPageDirtyLog))
        e.write.fetch_or(kTlbWatchWrite, std::memory_order_relaxed);
    }
  } else {
    e.write.store(kTlbInvalid, std::memory_order_relaxed);
  }
  return &e;
}

void SoftTlb::set_watch(const u8* host_page, u64 size) {
  const u64 lo = reinterpret_cast<u64>(host_page), hi = lo + size;
  for (auto& space : spaces_) {
    if (space->tag == ~u64{0}) continue;
    for (auto& table : space->entries) {
      for (TlbEntry& e : table) {
        const u64 w = e.write.load(std::memory_order_relaxed);
        if (w & (kTlbInvalid | kTlbIo)) continue;
        const u64 host = (w & kPageMask) + e.addend;
        if (host >= lo && host < hi) e.write.fetch_or(kTlbWatchWrite, std::memory_order_relaxed);
      }
    }
  }
}

namespace {
void clear(TlbEntry& e) {
  e.read.store(kTlbInvalid, std::memory_order_relaxed);
  e.write.store(kTlbInvalid, std::memory_order_relaxed);
  e.exec.store(kTlbInvalid, std::memory_order_relaxed);
}
}  // namespace

void SoftTlb::flush_entries(Space& space, bool globals_too) {
  if (globals_too) {
    for (auto& table : space.entries) {
      for (TlbEntry& e : table) clear(e);
    }
    space.large.reset();
    space.any_large = false;
  } else if (!space.journal_full) {
    for (const u16 j : space.journal) {
      if (!space.aux[j >> 12][j & 0xfff].global) clear(space.entries[j >> 12][j & 0xfff]);
    }
  } else {
    for (unsigned m = 0; m < kMmuModes; m++) {
      for (size_t i = 0; i < kTlbEntries; i++) {
        if (!space.aux[m][i].global) clear(space.entries[m][i]);
      }
    }
  }
  space.journal.clear();
  space.journal_full = false;
}

void SoftTlb::flush_all() {
  counters_.flushes++;
  for (auto& s : spaces_) {
    if (s->tag == ~u64{0}) continue;
    flush_entries(*s, true);
    if (s.get() != current_) s->tag = ~u64{0};
  }
  end_generation();
}

void SoftTlb::flush_nonglobal() {
  counters_.flushes++;
  flush_entries(*current_, false);
  current_->generation = next_generation_++;
  update_generation();
}

void SoftTlb::drop_page(Space& space, u64 va) {
  const size_t i = index(va);
  for (auto& table : space.entries) {
    TlbEntry& e = table[i];
    const u64 page = va & kPageMask;
    if ((e.read & kPageMask) == page || (e.write & kPageMask) == page || (e.exec & kPageMask) == page) clear(e);
  }
  if (!space.any_large || !space.large.test(bloom(va >> 21))) return;
  // Pieces of a large page: all of its 4 KiB entries go. 1 GiB and 4 MiB pages too, so drop the whole 1 GiB
  // neighbourhood.
  for (auto& table : space.entries) {
    for (TlbEntry& e : table) {
      if (((e.read ^ va) >> 30) == 0 || ((e.write ^ va) >> 30) == 0 || ((e.exec ^ va) >> 30) == 0) clear(e);
    }
  }
}

void SoftTlb::flush_page(u64 va) {
  counters_.flush_pages++;
  for (auto& s : spaces_) {
    if (s->tag != ~u64{0}) drop_page(*s, va);
  }
  if (jump_pages_.test(bloom(va >> kPageBits)) || current_->large.test(bloom(va >> 21))) end_generation();
}

void SoftTlb::flush_space(u64 tag, bool globals_too) {
  for (auto& s : spaces_) {
    if (s->tag != tag) continue;
    flush_entries(*s, globals_too);
    s->generation = next_generation_++;
  }
  if (globals_too)
    end_generation();
  else
    update_generation();
}

void SoftTlb::flush_space_page(u64 tag, u64 va) {
  for (auto& s : spaces_) {
    if (s->tag != tag) continue;
    drop_page(*s, va);
    s->generation = next_generation_++;
  }
  update_generation();
}

void SoftTlb::set_space(u64 tag, bool keep) {
  counters_.space_switches++;
  Space* found = nullptr;
  Space* oldest = nullptr;
  for (auto& s : spaces_) {
    if (s->tag == tag) found = s.get();
    if (s.get() != current_ && (!oldest || s->stamp < oldest->stamp)) oldest = s.get();
  }
  if (!keep) {
    if (found && found != current_) {
      found->tag = ~u64{0};
      flush_entries(*found, true);
    }
    current_->tag = tag;
    flush_nonglobal();
    return;
  }
  if (found) {
    counters_.space_hits++;
  } else {
    found = oldest;
    flush_entries(*found, true);
    found->generation = next_generation_++;
    found->tag = tag;
  }
  select(*found);
}

void SoftTlb::set_a20(bool enabled) {
  const u64 mask = enabled ? ~u64{0} : ~(u64{1} << 20);
  if (mask == a20_mask_) return;
  a20_mask_ = mask;
  flush_all();
}

void SoftTlb::watch_range(u64 va, u64 size) {
  watches_.push_back({va, size});
  flush_all();
}

void SoftTlb::clear_watches() {
  if (watches_.empty()) return;
  watches_.clear();
  flush_all();
}

bool SoftTlb::watched(u64 va, u64 size) const {
  return std::any_of(watches_.begin(), watches_.end(),
                     [&](const Watch& w) { return va < w.va + w.size && w.va < va + size; });
}

// --- jump caches

void SoftTlb::update_generation() {
  if (jump_) cpu_.jump_generation = jump_->nonglobal ? current_->generation : global_generation_;
}

void SoftTlb::end_generation() {
  serial_++;
  global_generation_ = next_generation_++;
  for (auto& s : spaces_) s->generation = next_generation_++;
  for (JumpCache& c : jump_caches_) c.nonglobal = false;
  jump_pages_.reset();
  update_generation();
}

void SoftTlb::select_jump_cache(u64 mode_word, u64 base) {
  if (jump_ && jump_->mode == mode_word && jump_->base == base) return;
  JumpCache* oldest = &jump_caches_[0];
  for (JumpCache& c : jump_caches_) {
    if (c.mode == mode_word && c.base == base && !c.entries.empty()) {
      oldest = &c;
      break;
    }
    if (c.stamp < oldest->stamp) oldest = &c;
  }
  if (oldest->entries.empty() || oldest->mode != mode_word || oldest->base != base) {
    oldest->entries.assign(size_t{1} << kJumpCacheBits, JumpCacheEntry{});
    oldest->mode = mode_word;
    oldest->base = base;
    oldest->nonglobal = false;
  }
  oldest->stamp = ++stamp_;
  jump_ = oldest;
  cpu_.jump_cache = jump_->entries.data();
  update_generation();
}

void SoftTlb::insert_jump(u64 pc, u64 linear, u64 last, u32 code, bool global) {
  if (!global && !jump_->nonglobal) {
    jump_->nonglobal = true;
    update_generation();
  }
  jump_->entries[jump_cache_index(pc)] = {pc, cpu_.jump_generation, code};
  jump_pages_.set(bloom(linear >> kPageBits));
  jump_pages_.set(bloom(last >> kPageBits));
}

void SoftTlb::remove_jump(u64 pc, u32 code) {
  for (JumpCache& c : jump_caches_) {
    if (c.entries.empty()) continue;
    JumpCacheEntry& e = c.entries[jump_cache_index(pc)];
    if (e.pc == pc && e.code == code) e = JumpCacheEntry{};
  }
}

std::string SoftTlb::describe() const {
  std::string text;
  char line[120];
  for (unsigned m = 0; m < kMmuModes; m++) {
    for (size_t i = 0; i < kTlbEntries; i++) {
      const TlbEntry& e = current_->entries[m][i];
      const u64 r = e.read, w = e.write, x = e.exec;
      const u64 page = !(r & kTlbInvalid) ? r : !(w & kTlbInvalid) ? w : x;
      if (page & kTlbInvalid) continue;
      std::snprintf(
          line, sizeof line, "%016llx: %016llx %c%c%c%c mode %u\n", static_cast<unsigned long long>(page & kPageMask),
          static_cast<unsigned long long>(current_->aux[m][i].phys), r & kTlbInvalid ? '-' : 'r',
          w & kTlbInvalid ? '-' : 'w', x & kTlbInvalid ? '-' : 'x', current_->aux[m][i].global ? 'G' : '-', m);
      text += line;
    }
  }
  return text;
}

// --- the free functions of guest_access.h

void tlb_flush_all(VcpuHeader& cpu) { cpu.soft_tlb->flush_all(); }
void tlb_flush_nonglobal(VcpuHeader& cpu) { cpu.soft_tlb->flush_nonglobal(); }
void tlb_flush_page(VcpuHeader& cpu, u64 va) { cpu.soft_tlb->flush_page(va); }
void tlb_set_mode(VcpuHeader& cpu, u32 mode) { cpu.soft_tlb->set_mode(mode); }
void tlb_set_space(VcpuHeader& cpu, u64 tag, bool keep) { cpu.soft_tlb->set_space(tag, keep); }
void tlb_flush_space(VcpuHeader& cpu, u64 tag, bool globals_too) { cpu.soft_tlb->flush_space(tag, globals_too); }
void tlb_flush_space_page(VcpuHeader& cpu, u64 tag, u64 va) { cpu.soft_tlb->flush_space_page(tag, va); }
void tlb_set_a20(VcpuHeader& cpu, bool enabled) { cpu.soft_tlb->set_a20(enabled); }
void tlb_watch_range(VcpuHeader& cpu, u64 va, u64 size) { cpu.soft_tlb->watch_range(va, size); }
void tlb_clear_watches(VcpuHeader& cpu) { cpu.soft_tlb->clear_watches(); }
TlbEntry* tlb_of(VcpuHeader& cpu, u32 mmu_mode) {
  return cpu.tlb + (static_cast<s64>(mmu_mode) - static_cast<s64>(cpu.mmu_mode)) * static_cast<s64>(kTlbEntries);
}

}  // namespace doppel::mem
