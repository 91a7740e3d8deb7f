#include "mem/soft_tlb.h"

#include <algorithm>
#include <cstdio>

#include "base/assert.h"

namespace doppel::mem {

SoftTlb::SoftTlb(VcpuHeader& cpu, AddressSpace& memory, TlbOptions options)
    : cpu_(cpu), memory_(memory), options_(options), jumps_(cpu), victims_(kVictimSets * kVictimWays) {
  spaces_.resize(options.spaces ? kSpaces : 1);
  for (auto& s : spaces_) {
    s = std::make_unique<Space>();
    s->epoch = ++epoch_;
  }
  current_ = spaces_[0].get();
  current_->tag = 0;
  cpu_.soft_tlb = this;
  cpu_.phys = &memory;
  cpu_.tlb = current_->entries[cpu_.mmu_mode];
  jumps_.set_owner(*current_);
  jumps_.select(0, 0);
  memory_.add_tlb(this);
}

SoftTlb::~SoftTlb() { memory_.remove_tlb(this); }

void SoftTlb::select(Space& space) {
  current_ = &space;
  space.stamp = ++stamp_;
  cpu_.tlb = space.entries[cpu_.mmu_mode];
}

void SoftTlb::set_mode(u32 mode) {
  mode_switches_++;
  cpu_.mmu_mode = mode;
  cpu_.tlb = current_->entries[mode];
}

const AddressSpace::Flat* SoftTlb::flat(u64 pa) {
  const u64 generation = memory_.generation();
  if (flat_ && generation == flat_generation_ && pa >= flat_->start && pa < flat_->end) return flat_;
  flat_generation_ = generation;
  return flat_ = memory_.find(pa);
}

// --- fill

TlbEntry* SoftTlb::fill(u64 va, Access access, u32 mode) {
  if (TlbEntry* e = from_victims(va, access, mode)) return e;
  Translation t;
  if (!cpu_.mmu->translate(cpu_, va, access, mode, t)) return nullptr;
  counters_.fills++;
  const u64 page = va & kPageMask;
  const u64 phys = t.phys & a20_mask_ & kPageMask;
  const AddressSpace::Flat* flat = this->flat(phys);
  const bool ram = flat && flat->ram && flat->start <= phys && phys + kPageSize <= flat->end;
  evict(va, mode);
  Space& space = *current_;
  TlbEntry& e = space.entries[mode][index(va)];
  u64 flags = ram ? u64{0} : u64{kTlbIo};
  if (!watches_.empty() && watched(page, kPageSize)) flags |= kTlbWatchpoint;
  std::atomic<u8>* page_flags = ram ? &memory_.page_flags(*flat, phys) : nullptr;
  space.aux[mode][index(va)] = {phys, t.global, page_flags, t.table_count ? t.tables[t.table_count - 1] : TableEntry{}};
  if (!t.global) {
    note(space, mode, index(va));
    if (kept_) kept_->note_walk(t);
  }
  if (t.page_size > kPageSize) {
    any_large_ = true;
    large_.set(bloom(va >> 21));
  }
  u8* host = ram ? flat->ram->host + flat->offset + (phys - flat->start) : nullptr;
  e.addend = ram ? reinterpret_cast<u64>(host) - page : 0;
  const u64 device = ram && flat->io ? u64{kTlbIo} : u64{0};  // its code is memory, its data is not
  e.read.store(t.read ? page | flags | device : u64{kTlbInvalid}, std::memory_order_relaxed);
  e.exec.store(t.exec ? page | (ram ? u64{0} : u64{kTlbIo}) : u64{kTlbInvalid}, std::memory_order_relaxed);
  const u64 rom = ram && flat->read_only ? u64{kTlbIo} : u64{0};
  publish_write(e, t.write ? page | flags | rom : u64{kTlbInvalid}, page_flags);
  return &e;
}

// Published first, looked at after: a page that gets code meanwhile is seen here or by set_watch.
void SoftTlb::publish_write(TlbEntry& e, u64 write, std::atomic<u8>* flags) {
  if (write & kTlbInvalid) {
    e.write.store(kTlbInvalid, std::memory_order_relaxed);
    return;
  }
  e.write.store(write, std::memory_order_seq_cst);
  if (!flags) return;
  const u8 f = flags->load(std::memory_order_seq_cst);
  if ((f & kPageCode) || ((f & (kPageDirtyLog | kPageDirty)) == kPageDirtyLog))
    e.write.fetch_or(kTlbWatchWrite, std::memory_order_relaxed);
}

void SoftTlb::note(Space& space, u32 mode, size_t index) {
  const size_t number = mode * kTlbEntries + index;
  if (space.noted.test(number)) return;
  space.noted.set(number);
  space.journal.push_back(static_cast<u16>(number));
}

// --- what is not in the table now

namespace {

void clear(TlbEntry& e) {
  e.read.store(kTlbInvalid, std::memory_order_relaxed);
  e.write.store(kTlbInvalid, std::memory_order_relaxed);
  e.exec.store(kTlbInvalid, std::memory_order_relaxed);
}

// False for entries that are not worth it: invalid ones, devices, pages with watchpoints.
bool copy_out(const TlbEntry& e, const TlbAux& aux, u32 mode, SpareEntry& out) {
  const u64 r = e.read.load(std::memory_order_relaxed), x = e.exec.load(std::memory_order_relaxed);
  const u64 w = e.write.load(std::memory_order_relaxed) & ~u64{kTlbWatchWrite};
  if (!aux.flags || ((r | w | x) & (kTlbIo | kTlbWatchpoint))) return false;
  const u64 page = !(r & kTlbInvalid) ? r : !(x & kTlbInvalid) ? x : w;
  if (page & kTlbInvalid) return false;
  out = {page, mode, r, w, x, e.addend, aux};
  return true;
}

u64 right(const SpareEntry& spare, Access access) {
  return access == Access::Read ? spare.read : access == Access::Write ? spare.write : spare.exec;
}

}  // namespace

// Makes room at `va`'s place in the table.
void SoftTlb::evict(u64 va, u32 mode) {
  if (!options_.victims) return;
  const size_t i = index(va);
  Victim victim;
  if (!copy_out(current_->entries[mode][i], current_->aux[mode][i], mode, victim)) return;
  if (victim.page == (va & kPageMask)) return;
  victim.epoch = victim.aux.global ? global_epoch_ : current_->epoch;
  Victim* set = victims(victim.page);
  if (set[0].page != victim.page || set[0].mode != mode) set[1] = set[0];
  set[0] = victim;
}

TlbEntry* SoftTlb::from_victims(u64 va, Access access, u32 mode) {
  if (!options_.victims) return nullptr;
  Victim* set = victims(va);
  for (unsigned way = 0; way < kVictimWays; way++) {
    Victim& v = set[way];
    if (v.page != (va & kPageMask) || v.mode != mode || (right(v, access) & kTlbInvalid)) continue;
    if (v.epoch != (v.aux.global ? global_epoch_ : current_->epoch)) continue;
    counters_.victim_hits++;
    const SpareEntry& what = v;
    const SpareEntry spare = what;  // evict() may write v
    v.epoch = 0;
    evict(va, mode);
    put_back(spare);
    return &current_->entries[mode][index(va)];
  }
  return nullptr;
}

void SoftTlb::put_back(const SpareEntry& spare) {
  const size_t i = index(spare.page);
  TlbEntry& e = current_->entries[spare.mode][i];
  current_->aux[spare.mode][i] = spare.aux;
  if (!spare.aux.global) note(*current_, spare.mode, i);
  e.addend = spare.addend;
  e.read.store(spare.read, std::memory_order_relaxed);
  e.exec.store(spare.exec, std::memory_order_relaxed);
  publish_write(e, spare.write, spare.aux.flags);
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

// --- flushes

void SoftTlb::flush_entries(Space& space, bool globals_too) {
  if (globals_too) {
    for (auto& table : space.entries) {
      for (TlbEntry& e : table) clear(e);
    }
  } else {
    for (const u16 j : space.journal) {
      const size_t mode = j / kTlbEntries, i = j % kTlbEntries;
      if (!space.aux[mode][i].global) clear(space.entries[mode][i]);
    }
  }
  for (const u16 j : space.journal) space.noted.reset(j);
  space.journal.clear();
  space.epoch = ++epoch_;
}

void SoftTlb::flush_all() {
  counters_.flushes++;
  for (auto& s : spaces_) {
    if (s->tag == ~u64{0}) continue;
    flush_entries(*s, true);
    if (s.get() != current_) s->tag = ~u64{0};
  }
  large_.reset();
  any_large_ = false;
  global_epoch_ = ++epoch_;
  kept_spaces_.clear();
  end_generation();
}

void SoftTlb::flush_nonglobal() {
  counters_.flushes++;
  flush_entries(*current_, false);
  if (kept_) {
    kept_->clear();
    jumps_.forget(*kept_);
  } else {
    jumps_.forget(*current_);
  }
}

void SoftTlb::drop_page(Space& space, u64 va) {
  const size_t i = index(va);
  const u64 page = va & kPageMask;
  for (auto& table : space.entries) {
    TlbEntry& e = table[i];
    if ((e.read & kPageMask) == page || (e.write & kPageMask) == page || (e.exec & kPageMask) == page) clear(e);
  }
  Victim* set = victims(va);
  for (unsigned way = 0; way < kVictimWays; way++) {
    if (set[way].page == page) set[way].epoch = 0;
  }
  if (!large(va)) return;
  // Pieces of a large page: all of its 4 KiB entries go. 1 GiB and 4 MiB pages too, so drop the whole 1 GiB
  // neighbourhood.
  for (auto& table : space.entries) {
    for (TlbEntry& e : table) {
      if (((e.read ^ va) >> 30) == 0 || ((e.write ^ va) >> 30) == 0 || ((e.exec ^ va) >> 30) == 0) clear(e);
    }
  }
  global_epoch_ = ++epoch_;
  space.epoch = ++epoch_;
}

void SoftTlb::flush_page(u64 va) {
  counters_.flush_pages++;
  for (auto& s : spaces_) {
    if (s->tag != ~u64{0}) drop_page(*s, va);
  }
  if (large(va))
    jumps_.forget_all();
  else
    jumps_.forget_page(va);
}

void SoftTlb::flush_space(u64 tag, bool globals_too) {
  for (auto& s : spaces_) {
    if (s->tag != tag) continue;
    flush_entries(*s, globals_too);
    jumps_.forget(*s);
  }
  if (!globals_too) return;
  global_epoch_ = ++epoch_;
  end_generation();
}

void SoftTlb::flush_space_page(u64 tag, u64 va) {
  for (auto& s : spaces_) {
    if (s->tag != tag) continue;
    drop_page(*s, va);
    jumps_.forget(*s);
  }
}

// --- address spaces

// By tags. A table of its own for each of the latest.
void SoftTlb::set_space(u64 tag, bool keep) {
  counters_.space_switches++;
  kept_ = nullptr;
  Space* found = nullptr;
  Space* oldest = nullptr;
  for (auto& s : spaces_) {
    if (s->tag == tag) found = s.get();
    if (s.get() != current_ && (!oldest || s->stamp < oldest->stamp)) oldest = s.get();
  }
  if (!keep || !options_.spaces) {
    if (found && found != current_) {
      found->tag = ~u64{0};
      flush_entries(*found, true);
    }
    current_->tag = tag;
    flush_nonglobal();
    jumps_.set_owner(*current_);
    return;
  }
  if (found) {
    counters_.space_hits++;
  } else {
    ASSERT(oldest);  // kSpaces is more than one
    found = oldest;
    flush_entries(*found, true);
    jumps_.forget(*found);
    found->tag = tag;
  }
  select(*found);
  jumps_.set_owner(*found);
}

// Without tags: one table for all.
void SoftTlb::switch_tables(u64 root) {
  counters_.space_switches++;
  if (kept_) {
    put_away(*kept_);
  } else {
    if (current_ != spaces_[0].get()) {
      current_->tag = ~u64{0};
      flush_entries(*current_, true);
      select(*spaces_[0]);
      current_->tag = 0;
    }
    flush_entries(*current_, false);
  }
  if (!options_.spaces) {
    jumps_.forget(*current_);
    return jumps_.set_owner(*current_);
  }
  bool found;
  kept_ = &kept_spaces_.take(root, found);
  if (found && kept_->tables_hold()) {
    counters_.space_hits++;
    bring_back(*kept_);
  } else {
    kept_->clear();
    jumps_.forget(*kept_);
  }
  jumps_.set_owner(*kept_);
}

void SoftTlb::put_away(KeptSpace& to) {
  to.entries.clear();
  if (current_->journal.size() <= KeptSpace::kMaxEntries) {
    SpareEntry spare;
    for (const u16 j : current_->journal) {
      const u32 mode = j / kTlbEntries;
      const size_t i = j % kTlbEntries;
      const TlbAux& aux = current_->aux[mode][i];
      if (!aux.global && aux.leaf.host && copy_out(current_->entries[mode][i], aux, mode, spare))
        to.entries.push_back(spare);
    }
  }
  flush_entries(*current_, false);
}

void SoftTlb::bring_back(KeptSpace& from) {
  // Now and then nothing, so that what is no longer used gets lost.
  if (++from.visits % KeptSpace::kRenewal == 0) from.entries.clear();
  for (const SpareEntry& spare : from.entries) {
    if (!spare.aux.leaf.holds()) continue;
    evict(spare.page, spare.mode);
    put_back(spare);
    counters_.restored++;
  }
  if (from.code_holds()) return;
  from.forget_code();
  jumps_.forget(from);
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

void SoftTlb::insert_jump(u64 pc, u64 linear, u64 last, u32 code) {
  bool global = true;
  for (const u64 va : {linear, last}) {
    const TlbAux& a = aux(va, cpu_.mmu_mode);
    global = global && a.global;
    if (!a.global && kept_) kept_->note_code(va & kPageMask, a);
  }
  jumps_.insert(pc, linear, last, code, global);
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
u64 tlb_mode_switches(const VcpuHeader& cpu) { return cpu.soft_tlb->mode_switches(); }
void tlb_set_space(VcpuHeader& cpu, u64 tag, bool keep) { cpu.soft_tlb->set_space(tag, keep); }
void tlb_switch_tables(VcpuHeader& cpu, u64 root) { cpu.soft_tlb->switch_tables(root); }
void tlb_flush_space(VcpuHeader& cpu, u64 tag, bool globals_too) { cpu.soft_tlb->flush_space(tag, globals_too); }
void tlb_flush_space_page(VcpuHeader& cpu, u64 tag, u64 va) { cpu.soft_tlb->flush_space_page(tag, va); }
void tlb_select_code(VcpuHeader& cpu, u64 mode_word, u64 base) { cpu.soft_tlb->select_jump_cache(mode_word, base); }
void tlb_set_a20(VcpuHeader& cpu, bool enabled) { cpu.soft_tlb->set_a20(enabled); }
void tlb_watch_range(VcpuHeader& cpu, u64 va, u64 size) { cpu.soft_tlb->watch_range(va, size); }
void tlb_clear_watches(VcpuHeader& cpu) { cpu.soft_tlb->clear_watches(); }
TlbEntry* tlb_of(VcpuHeader& cpu, u32 mmu_mode) {
  return cpu.tlb + (static_cast<s64>(mmu_mode) - static_cast<s64>(cpu.mmu_mode)) * static_cast<s64>(kTlbEntries);
}

}  // namespace doppel::mem
