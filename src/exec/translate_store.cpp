// The translator and the store of regions (code_store.h).
#include <cstring>
#include <initializer_list>
#include <vector>

#include "base/hash64.h"
#include "base/log.h"
#include "exec/code_store.h"
#include "exec/page_reader.h"
#include "exec/translate.h"

namespace doppel::exec {

// Of the options that change what is emitted. 0: nothing is to be stored.
u64 Translator::store_identity() const {
  const Config& c = config_;
  if (c.interpreter || c.lockstep || c.icount || c.limit >= 0) return 0;
  const u64 backend = backend_->code_identity();
  if (backend == 0) return 0;
  static_assert(std::has_unique_object_representations_v<ir::OptFlags>);
  u64 h = hash64({reinterpret_cast<const u8*>(&c.opt), sizeof c.opt}, backend);
  const u64 words[] = {c.max_insns, static_cast<u64>(c.max_pinned), c.direct != nullptr};
  h = hash64({reinterpret_cast<const u8*>(words), sizeof words}, h);
  return h | 1;
}

// Whole regions that go on to others, made as the configuration says; none that the log shall show.
bool Translator::may_be_stored(const CompileOptions& options) const {
  if (!use_store_ || options.single || !options.keyed || !options.chain || options.max_insns < config_.max_insns ||
      !breakpoints.empty())
    return false;
  for (const LogItem i : {LogItem::InAsm, LogItem::Ir, LogItem::IrOpt, LogItem::OutAsm})
    if (log_on(i)) return false;
  return true;
}

Installed* Translator::load(const RegionKey& key, PageReader& reader) {
  StoredRegion s;
  const bool found = config_.store->find(key.pc, key.mode, key.base, s, [&](const StoredRegion& r) {
    size_t at = 0;
    for (const CodeRange& e : r.extents) {
      const size_t bytes = e.last - e.first + 1;
      if (bytes > r.guest_code.size() - at) return false;
      guest_code_.resize(bytes);
      if (reader.fetch(e.first, guest_code_.data(), bytes) != bytes ||
          std::memcmp(guest_code_.data(), &r.guest_code[at], bytes) != 0)
        return false;
      at += bytes;
    }
    return at == r.guest_code.size();
  });
  if (!found || s.hot_size > s.code.size()) return nullptr;
  const CodeCache::Space at = cache_.allocate(s.hot_size, s.code.size() - s.hot_size);
  if (!at.code) return nullptr;
  Installed& block = begin_block(key, at, s.hot_size, s.code.size());
  block.guest_bytes = s.guest_bytes;
  block.insn_count = s.insn_count;
  block.pc_map = s.pc_map;
  block.faults = s.faults;
  block.recipes = s.recipes;
  block.recipe_ops = s.recipe_ops;
  links_.clear();
  for (const StoredRegion::Link& l : s.links) {
    backend::LinkSlot slot;
    slot.pc = l.pc;
    slot.patch = l.patch;
    slot.stub = l.stub;
    slot.leave = l.leave;
    slot.recipe = l.recipe;
    slot.skip = l.skip;
    slot.chainable = l.chainable != 0;
    slot.from = &block;
    links_.push_back(slot);
  }
  block.links = cache_.arena().copy(std::span<const backend::LinkSlot>(links_));
  extents_.assign(s.extents.begin(), s.extents.end());
  collect_ranges(reader, block);
  backend_->install(s.code, s.relocs, block);
  counters_.stored++;
  if (perf_) write_perf_map(block);
  return &block;
}

void Translator::put_in_store(const Installed& block, const backend::Emitted& host, PageReader& reader) {
  if (extents_.empty()) return;
  guest_code_.clear();
  for (const CodeRange& e : extents_) {
    const size_t at = guest_code_.size(), bytes = e.last - e.first + 1;
    guest_code_.resize(at + bytes);
    if (reader.fetch(e.first, &guest_code_[at], bytes) != bytes) return;
  }
  // Who writes to code that has been read asks for its end first: then these bytes may be newer than the region.
  if (cpu_.header().exit_request.load(std::memory_order_seq_cst) != 0) return;
  std::vector<StoredRegion::Link> links;
  for (const backend::LinkSlot& l : host.links)
    links.push_back({l.pc, l.patch, l.stub, l.leave, l.recipe, l.skip, l.chainable});
  config_.store->add(block.pc, block.mode, block.base,
                     {.guest_bytes = block.guest_bytes,
                      .insn_count = block.insn_count,
                      .hot_size = block.hot_size,
                      .extents = extents_,
                      .guest_code = guest_code_,
                      .code = host.code,
                      .relocs = host.relocs,
                      .links = links,
                      .pc_map = host.pc_map,
                      .faults = host.faults,
                      .recipes = block.recipes,
                      .recipe_ops = block.recipe_ops});
}

}  // namespace doppel::exec
