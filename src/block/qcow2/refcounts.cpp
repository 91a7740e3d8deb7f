#include "block/qcow2/refcounts.h"

#include <algorithm>
#include <cerrno>

#include "block/bytes.h"

namespace doppel::block::qcow2 {
namespace {

constexpr u64 kOffsetMask = ~u64{511};  // of a refcount table entry
constexpr u64 kMaxSlice = 4096;

}  // namespace

u64 read_count(const u8* block, u64 index, unsigned order) {
  switch (order) {
    case 3: return block[index];
    case 4: return load_be<u16>(block + index * 2);
    case 5: return load_be<u32>(block + index * 4);
    case 6: return load_be<u64>(block + index * 8);
    default: {
      const unsigned width = 1u << order, per_byte = 8 / width;
      return block[index / per_byte] >> (index % per_byte * width) & ((1u << width) - 1);
    }
  }
}

void write_count(u8* block, u64 index, unsigned order, u64 count) {
  switch (order) {
    case 3: block[index] = static_cast<u8>(count); return;
    case 4: store_be<u16>(block + index * 2, static_cast<u16>(count)); return;
    case 5: store_be<u32>(block + index * 4, static_cast<u32>(count)); return;
    case 6: store_be<u64>(block + index * 8, count); return;
    default: {
      const unsigned width = 1u << order, per_byte = 8 / width, shift = static_cast<unsigned>(index % per_byte) * width;
      u8& byte = block[index / per_byte];
      byte = static_cast<u8>((byte & ~(((1u << width) - 1) << shift)) | count << shift);
    }
  }
}

Refcounts::Refcounts(File& file, Header& header, u64 cache_bytes, Owner owner)
    : file_(file),
      header_(header),
      cache_(file, static_cast<u32>(std::min(header.cluster_size(), kMaxSlice)), cache_bytes),
      owner_(std::move(owner)) {}

int Refcounts::load_table() {
  const u64 bytes = header_.refcount_table_clusters * header_.cluster_size();
  std::vector<u8> raw(bytes);
  if (const int error = file_.read(header_.refcount_table_offset, raw)) return error;
  table_.resize(bytes / 8);
  for (size_t i = 0; i < table_.size(); i++) table_[i] = load_be<u64>(&raw[i * 8]) & kOffsetMask;
  return 0;
}

// The cache's slice that holds a cluster's count; null without an error: there is no block, the count is zero.
u8* Refcounts::slice_of(u64 cluster, u64& slice, u64& index, int& error) {
  const u64 block = cluster >> header_.block_bits();
  if (block >= table_.size() || table_[block] == 0) return nullptr;
  if (table_[block] % header_.cluster_size() != 0) {
    error = EIO;
    return nullptr;
  }
  const u64 per_slice = u64{cache_.slice_size()} * 8 >> header_.refcount_order;
  const u64 inside = cluster & (entries_per_block() - 1);
  slice = table_[block] + inside / per_slice * cache_.slice_size();
  index = inside % per_slice;
  if (cache_.crowded() && (error = cache_.write_dirty()) != 0) return nullptr;
  return cache_.load(slice, error);
}

int Refcounts::get(u64 cluster, u64& count) {
  u64 slice = 0, index = 0;
  int error = 0;
  const u8* data = slice_of(cluster, slice, index, error);
  count = data == nullptr ? 0 : read_count(data, index, header_.refcount_order);
  return error;
}

int Refcounts::set(u64 cluster, u64 count) {
  if (count > max_count()) return ERANGE;
  if (const int error = ensure_block(cluster >> header_.block_bits())) return error;
  u64 slice = 0, index = 0;
  int error = 0;
  u8* data = slice_of(cluster, slice, index, error);
  if (data == nullptr) return error != 0 ? error : EIO;
  write_count(data, index, header_.refcount_order, count);
  cache_.mark_dirty(slice);
  if (count == 0) hint_ = std::min(hint_, cluster);
  return 0;
}

int Refcounts::add(u64 cluster, u64 number, int delta) {
  for (u64 i = 0; i < number; i++) {
    u64 count = 0;
    if (const int error = get(cluster + i, count)) return error;
    if (delta < 0 && count < static_cast<u64>(-delta)) return EINVAL;
    if (delta > 0 && max_count() - count < static_cast<u64>(delta)) return ERANGE;
    if (const int error = set(cluster + i, count + static_cast<u64>(static_cast<s64>(delta)))) return error;
  }
  return 0;
}

// The first run of free clusters from the hint on; past the table all are free.
int Refcounts::find_free(u64 wanted, u64& first, u64& found) {
  for (u64 at = hint_;; at++) {
    u64 count = 0;
    if (const int error = get(at, count)) return error;
    if (count != 0) {
      hint_ = at + 1;  // all clusters so far are in use
      continue;
    }
    hint_ = at;
    first = at;
    found = 1;
    while (found < wanted) {
      if (const int error = get(at + found, count)) return error;
      if (count != 0) break;
      found++;
    }
    return 0;
  }
}

int Refcounts::allocate(u64& wanted, u64& first) {
  for (;;) {
    u64 found = 0;
    if (const int error = find_free(wanted, first, found)) return error;
    bool made = false;
    const u64 last = (first + found - 1) >> header_.block_bits();
    for (u64 block = first >> header_.block_bits(); block <= last; block++) {
      if (block < table_.size() && table_[block] != 0) continue;
      if (const int error = ensure_block(block)) return error;
      made = true;  // it lies in its own range, perhaps in the run
    }
    if (made) continue;
    if (const int error = add(first, found, 1)) return error;
    wanted = found;
    if (hint_ == first) hint_ = first + found;
    return 0;
  }
}

int Refcounts::allocate_all(u64 number, u64& first) {
  for (u64 from = hint_;;) {
    // find_free looks for the first run; longer ones need a walk over the shorter.
    u64 run = 0, count = 0, at = from;
    for (first = at; run < number; at++) {
      if (const int error = get(at, count)) return error;
      run = count == 0 ? run + 1 : 0;
      if (run == 1) first = at;
    }
    bool made = false;
    const u64 last = (first + number - 1) >> header_.block_bits();
    for (u64 block = first >> header_.block_bits(); block <= last; block++) {
      if (block < table_.size() && table_[block] != 0) continue;
      if (const int error = ensure_block(block)) return error;
      made = true;
    }
    if (!made) return add(first, number, 1);
    from = first;
  }
}

void Refcounts::release(u64 cluster, u64 number) {
  released_ += number;
  if (!releases_.empty() && releases_.back().first + releases_.back().number == cluster) {
    releases_.back().number += number;
    return;
  }
  releases_.push_back({cluster, number});
}

int Refcounts::apply_releases(bool punch) {
  const u64 cluster_size = header_.cluster_size();
  std::vector<Run> runs;
  runs.swap(releases_);
  released_ = 0;
  int result = 0;
  for (const Run& run : runs) {
    for (u64 i = 0; i < run.number; i++) {
      const u64 cluster = run.first + i;
      if (const int error = add(cluster, 1, -1)) {
        result = error == EINVAL ? EIO : error;  // a count that is too low: only check can tell what is right
        continue;
      }
      u64 count = 0;
      if (get(cluster, count) != 0 || count != 0) continue;
      cache_.forget(cluster * cluster_size, cluster_size);
      if (punch) file_.discard(cluster * cluster_size, cluster_size);
    }
  }
  return result;
}

// A new block lies in the first cluster of the range it describes: all of that is free, and it counts itself.
int Refcounts::ensure_block(u64 index) {
  if (index < table_.size() && table_[index] != 0) return 0;
  if (index >= table_.size()) {
    if (const int error = grow_table(index + 1)) return error;
    if (table_[index] != 0) return 0;
  }
  const u64 cluster = index << header_.block_bits(), offset = cluster << header_.cluster_bits;
  if (offset == 0) return EIO;  // the header's block is missing: the image is corrupt
  if (const int error = file_.write_zeroes(offset, header_.cluster_size())) return error;
  cache_.forget(offset, header_.cluster_size());
  table_[index] = offset;
  first_dirty_ = std::min(first_dirty_, index);
  end_dirty_ = std::max(end_dirty_, index + 1);
  return set(cluster, 1);
}

// Clusters of a table of at least `min_entries` that also covers itself and the blocks for itself from `start` on.
u64 Refcounts::new_table_clusters(u64 start, u64 min_entries, u64& blocks) const {
  const u64 per_cluster = header_.cluster_size() / 8;
  u64 clusters = div_up(std::max(min_entries, table_.size() + table_.size() / 2), per_cluster);
  for (;;) {
    blocks = 1;
    while (blocks << header_.block_bits() < blocks + clusters) blocks++;
    const u64 needed = div_up((start >> header_.block_bits()) + blocks, per_cluster);
    if (needed <= clusters) return clusters;
    clusters = needed;
  }
}

// The new table lies behind all that the old one covers, after the blocks that describe it. Nothing refers to it until
// the header does.
int Refcounts::grow_table(u64 min_entries) {
  const u64 start = table_.size() << header_.block_bits();
  u64 blocks = 0;
  const u64 clusters = new_table_clusters(start, min_entries, blocks);
  if (clusters * header_.cluster_size() > kMaxRefcountTableBytes) return EFBIG;
  const u64 cluster_size = header_.cluster_size();
  std::vector<u64> table = table_;
  table.resize(clusters * cluster_size / 8);
  std::vector<u8> block(cluster_size * blocks);
  for (u64 i = 0; i < blocks + clusters; i++) {
    write_count(&block[(i >> header_.block_bits()) * cluster_size], i & (entries_per_block() - 1),
                header_.refcount_order, 1);
  }
  for (u64 i = 0; i < blocks; i++) table[(start >> header_.block_bits()) + i] = (start + i) * cluster_size;
  if (const int error = file_.write(start * cluster_size, block)) return error;
  cache_.forget(start * cluster_size, blocks * cluster_size);
  if (const int error = cache_.write_dirty()) return error;
  const u64 old_first = header_.refcount_table_offset / cluster_size, old_number = header_.refcount_table_clusters;
  if (const int error = adopt_table((start + blocks) * cluster_size, clusters, std::move(table))) return error;
  release(old_first, old_number);
  return 0;
}

int Refcounts::adopt_table(u64 offset, u64 clusters, std::vector<u64> table) {
  std::vector<u8> raw(table.size() * 8);
  for (size_t i = 0; i < table.size(); i++) store_be<u64>(&raw[i * 8], table[i]);
  if (const int error = file_.write(offset, raw)) return error;
  if (const int error = owner_.barrier()) return error;
  header_.refcount_table_offset = offset;
  header_.refcount_table_clusters = static_cast<u32>(clusters);
  if (const int error = owner_.write_fields()) return error;
  if (const int error = owner_.barrier()) return error;
  table_ = std::move(table);
  first_dirty_ = ~u64{0};
  end_dirty_ = 0;
  return 0;
}

int Refcounts::start_over(const std::vector<u32>& counts) {
  const u64 start = counts.size(), cluster_size = header_.cluster_size();
  u64 blocks = 1, clusters = 1;
  while (blocks << header_.block_bits() < start + blocks + clusters || clusters * cluster_size / 8 < blocks) {
    blocks++;
    clusters = div_up(blocks, cluster_size / 8);
  }
  if (clusters * cluster_size > kMaxRefcountTableBytes) return EFBIG;
  cache_.forget_all();
  std::vector<u64> table(clusters * cluster_size / 8);
  std::vector<u8> block(cluster_size);
  for (u64 b = 0; b < blocks; b++) {
    std::fill(block.begin(), block.end(), u8{0});
    for (u64 i = 0; i < entries_per_block(); i++) {
      const u64 at = (b << header_.block_bits()) + i;
      const u64 count = at < start ? counts[at] : at < start + blocks + clusters ? 1 : 0;
      if (count > max_count()) return ERANGE;
      write_count(block.data(), i, header_.refcount_order, count);
    }
    table[b] = (start + b) * cluster_size;
    if (const int error = file_.write(table[b], block)) return error;
  }
  hint_ = 1;
  releases_.clear();
  released_ = 0;
  return adopt_table((start + blocks) * cluster_size, clusters, std::move(table));
}

int Refcounts::drop_empty_blocks() {
  for (u64 i = 1; i < table_.size(); i++) {
    if (table_[i] == 0 || table_[i] % header_.cluster_size() != 0) continue;
    const u64 first = i << header_.block_bits(), own = table_[i] >> header_.cluster_bits;
    const bool inside = own >= first && own - first < entries_per_block();
    u64 used = 0, count = 0;
    for (u64 at = first; at < first + entries_per_block() && used == 0; at++) {
      if (const int error = get(at, count)) return error;
      used += at == own ? count - std::min<u64>(count, 1) : count;
    }
    if (used != 0) continue;
    if (!inside) release(own);
    cache_.forget(table_[i], header_.cluster_size());
    hint_ = std::min(hint_, first);
    table_[i] = 0;
    first_dirty_ = std::min(first_dirty_, i);
    end_dirty_ = std::max(end_dirty_, i + 1);
  }
  return 0;
}

int Refcounts::write_table() {
  if (!table_dirty()) return 0;
  const u64 first = align_down(first_dirty_, 64), end = std::min<u64>(align_up(end_dirty_, 64), table_.size());
  std::vector<u8> raw((end - first) * 8);
  for (u64 i = first; i < end; i++) store_be<u64>(&raw[(i - first) * 8], table_[i]);
  if (const int error = file_.write(header_.refcount_table_offset + first * 8, raw)) return error;
  first_dirty_ = ~u64{0};
  end_dirty_ = 0;
  return 0;
}

}  // namespace doppel::block::qcow2
