// Image: tables, their commit and the header. Reading: image_read.cpp; writing: image_write.cpp; zeroes:
// image_zero.cpp.
#include "block/qcow2/image.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace doppel::block::qcow2 {
namespace {

constexpr u64 kSector = 512;
constexpr u64 kMaxReleased = 64 << 20;  // bytes that wait for a commit to be free

}  // namespace

Image::Image(Params p)
    : header(std::move(p.header)),
      refcounts(*p.file, header, p.caches.refcounts, {[this] { return barrier(); }, [this] { return write_fields(); }}),
      l2(*p.file, p.caches.l2_slice, p.caches.l2),
      file_(std::move(p.file)),
      data_file_(std::move(p.data_file)),
      backing_(std::move(p.backing)),
      writable_(p.writable) {}

int Image::load() {
  std::vector<u8> raw(u64{header.l1_size} * 8);
  if (const int error = file_->read(header.l1_table_offset, raw)) return error;
  l1.resize(header.l1_size);
  for (size_t i = 0; i < l1.size(); i++) l1[i] = load_be<u64>(&raw[i * 8]);
  return refcounts.load_table();
}

int Image::barrier() {
  if (const int error = file_->flush()) return error;
  if (data_file_ != nullptr) {
    if (const int error = data_file_->flush()) return error;
  }
  return 0;
}

int Image::commit() {
  const bool lazy =
      (header.compatible & kLazyRefcounts) != 0 && header.has(kDirty) && refcounts.released_clusters() == 0;
  if (refcounts.dirty() && !(lazy && !refcounts.crowded())) {
    if (const int error = refcounts.write_blocks()) return error;
    if (refcounts.table_dirty()) {
      if (const int error = barrier()) return error;
      if (const int error = refcounts.write_table()) return error;
    }
  }
  const bool l1_dirty = first_dirty_l1_ < end_dirty_l1_;
  if (l2.dirty() || l1_dirty) {
    // Data and counts are stable before anything refers to them.
    if (const int error = barrier()) return error;
    if (const int error = l2.write_dirty()) return error;
  }
  if (l1_dirty) {
    if (const int error = write_l1()) return error;
  }
  if (!refcounts.has_releases()) return 0;
  if (const int error = barrier()) return error;
  return refcounts.apply_releases(!has_data_file());
}

void Image::drop_unused() {
  l2.drop_unused();
  refcounts.drop_unused();
}

int Image::flush() {
  if (!writable_) return 0;
  if (const int error = commit()) return error;
  return barrier();
}

bool Image::wants_commit() const {
  return l2.crowded() || refcounts.crowded() || refcounts.released_clusters() * cluster_size() >= kMaxReleased;
}

// Between two parts of a request, where the tables agree: makes room in the caches.
int Image::relieve() { return wants_commit() ? commit() : 0; }

int Image::close() {
  if (!writable_) return 0;
  int result = 0;
  // The second round writes the counts that fell in the first.
  for (int round = 0; round < 3 && result == 0; round++) {
    result = commit();
    if (result == 0 && refcounts.dirty()) {
      result = refcounts.write_blocks();
      if (result == 0) result = barrier();
      if (result == 0) result = refcounts.write_table();
    }
  }
  if (result == 0) result = barrier();
  if (result == 0 && header.has(kDirty)) result = set_dirty(false);
  writable_ = false;
  return result;
}

int Image::write_l1() {
  const u64 first = align_down(first_dirty_l1_, kSector / 8),
            end = std::min<u64>(align_up(end_dirty_l1_, kSector / 8), l1.size());
  std::vector<u8> raw((end - first) * 8);
  for (u64 i = first; i < end; i++) store_be<u64>(&raw[(i - first) * 8], l1[i]);
  if (const int error = file_->write(header.l1_table_offset + first * 8, raw)) return error;
  first_dirty_l1_ = ~u64{0};
  end_dirty_l1_ = 0;
  return 0;
}

void Image::set_l1(u64 index, u64 entry) {
  l1[index] = entry;
  first_dirty_l1_ = std::min(first_dirty_l1_, index);
  end_dirty_l1_ = std::max(end_dirty_l1_, index + 1);
}

// The new table is complete and counted before the header points to it.
int Image::replace_l1(std::vector<u64> entries, const std::function<void()>& also) {
  if (entries.size() * 8 > kMaxL1Bytes) return EFBIG;
  if (const int error = commit()) return error;
  const u64 old_first = header.l1_table_offset >> header.cluster_bits;
  const u64 old_clusters = div_up(l1.size() * 8, cluster_size());
  const u64 clusters = div_up(std::max<u64>(entries.size(), 1) * 8, cluster_size());
  u64 first = 0;
  if (const int error = refcounts.allocate_all(clusters, first)) return error;
  std::vector<u8> raw(clusters * cluster_size());
  for (size_t i = 0; i < entries.size(); i++) store_be<u64>(&raw[i * 8], entries[i]);
  if (const int error = file_->write(first << header.cluster_bits, raw)) return error;
  if (const int error = commit()) return error;
  if (const int error = barrier()) return error;
  header.l1_table_offset = first << header.cluster_bits;
  header.l1_size = static_cast<u32>(entries.size());
  also();
  l1 = std::move(entries);
  if (const int error = write_fields()) return error;
  if (const int error = barrier()) return error;
  if (old_clusters != 0) refcounts.release(old_first, old_clusters);
  return 0;
}

int Image::write_fields() {
  std::array<u8, kSector> sector{};
  if (const int error = file_->read(0, sector)) return error;
  store_fields(header, sector);
  return file_->write(0, sector);
}

Status Image::rewrite_header() {
  auto bytes = serialise_header(header), brief = serialise_header(header, false);
  if (!bytes) return bytes.error();
  // Where all but the names of features fits in the first sector, the header changes with that sector alone: first to
  // one without names, then, when these are stable, to the whole.
  const auto sector = [](std::vector<u8>& b) { return std::span(b).first(kSector); };
  int error = 0;
  if (brief && std::all_of(brief->begin() + kSector, brief->end(), [](u8 b) { return b == 0; })) {
    error = file_->write(0, sector(*brief));
    if (error == 0) error = barrier();
    if (error == 0) error = file_->write(kSector, std::span(*bytes).subspan(kSector));
    if (error == 0) error = barrier();
    if (error == 0) error = file_->write(0, sector(*bytes));
  } else {
    error = file_->write(0, *bytes);
  }
  if (error == 0) error = barrier();
  if (error != 0) return Error{"can't write the header of '" + file_->path() + "': " + std::strerror(error), ""};
  return success();
}

int Image::set_feature(u64 bit, bool on) {
  if (header.version < 3 || ((header.incompatible & bit) != 0) == on) return 0;
  if (const int error = barrier()) return error;
  header.incompatible = on ? header.incompatible | bit : header.incompatible & ~bit;
  if (const int error = write_fields()) return error;
  return barrier();
}

int Image::set_dirty(bool dirty) { return set_feature(kDirty, dirty); }

int Image::set_corrupt(bool corrupt) { return set_feature(kCorrupt, corrupt); }

int Image::make_empty() {
  if (const int error = start_writing()) return error;
  if (on_write) on_write(0, header.size);
  for (u64 i = 0; i < l1.size(); i++) {
    const u64 table = l1[i] & kOffsetMask;
    if (table == 0) continue;
    for (u64 k = 0; k < l2_entries(); k++) {
      L2Entry e;
      if (const int error = entry_at(table, k, e)) return error;
      release_entry(e);
    }
    l2.forget(table, cluster_size());
    refcounts.release(table >> header.cluster_bits);
    set_l1(i, 0);
    if (const int error = relieve()) return error;
  }
  return flush();
}

int Image::start_writing() {
  if (!writable_) return EROFS;
  if (started_) return 0;
  const u64 kept = header.autoclear & kKnownAutoclear;
  if (kept != header.autoclear) {
    header.autoclear = kept;
    if (const int error = write_fields()) return error;
    if (const int error = barrier()) return error;
  }
  started_ = true;
  return (header.compatible & kLazyRefcounts) != 0 ? set_dirty(true) : 0;
}

void Image::mark_corrupt() {
  if (writable_ && header.version >= 3 && !header.has(kCorrupt)) {
    header.incompatible |= kCorrupt;
    if (write_fields() == 0) barrier();
  }
  writable_ = false;
}

int Image::entry_at(u64 table, u64 index, L2Entry& e) {
  const u64 at = table + (index << header.l2_entry_bits()), slice = align_down(at, l2.slice_size());
  int error = 0;
  const u8* data = l2.load(slice, error);
  if (data == nullptr) return error;
  e.entry = load_be<u64>(data + (at - slice));
  e.bitmap = header.extended_l2() ? load_be<u64>(data + (at - slice) + 8) : 0;
  return 0;
}

int Image::set_entry(u64 table, u64 index, const L2Entry& e) {
  const u64 at = table + (index << header.l2_entry_bits()), slice = align_down(at, l2.slice_size());
  int error = 0;
  u8* data = l2.load(slice, error);
  if (data == nullptr) return error;
  store_be<u64>(data + (at - slice), e.entry);
  if (header.extended_l2()) store_be<u64>(data + (at - slice) + 8, e.bitmap);
  l2.mark_dirty(slice);
  return 0;
}

CompressedPlace Image::compressed_place(u64 entry) const {
  const unsigned x = 62 - (header.cluster_bits - 8);
  const u64 offset = entry & mask_bits(x);
  const u64 sectors = bit_field(entry, x, header.cluster_bits - 8) + 1;
  return {offset, sectors * kSector - offset % kSector};
}

bool Image::overlaps_metadata(u64 offset, u64 length) const {
  const auto hits = [&](u64 at, u64 size) { return size != 0 && offset < at + size && at < offset + length; };
  return hits(0, cluster_size()) || hits(header.l1_table_offset, u64{header.l1_size} * 8) ||
         hits(header.refcount_table_offset, header.refcount_table_clusters * cluster_size()) ||
         (header.snapshot_count != 0 && hits(header.snapshots_offset, cluster_size()));
}

Status Image::resize(u64 size) {
  const auto failed = [&](int error) {
    return Error{"can't resize '" + file_->path() + "': " + std::strerror(error), ""};
  };
  if (header.snapshot_count != 0 && header.version < 3)
    return Error{"can't resize '" + file_->path() + "': it is of version 2 and has snapshots", "delete the snapshots"};
  if (int error = start_writing()) return failed(error);
  const u64 old = header.size;
  if (size < old) {
    const u64 whole = std::min(align_up(size, cluster_size()), old);
    if (int error = write_zeroes(size, whole - size)) return failed(error);
    if (int error = discard(whole, align_up(old, cluster_size()) - whole)) return failed(error);
    if (int error = flush()) return failed(error);
  } else if (old % cluster_size() != 0) {
    // What lies behind the old end in its cluster becomes visible.
    header.size = std::min(size, align_up(old, cluster_size()));
    if (int error = write_zeroes(old, header.size - old)) return failed(error);
    header.size = old;
  }
  const u64 entries = header.l1_entries_for(size);
  int error = 0;
  if (entries > l1.size()) {
    std::vector<u64> table = l1;
    table.resize(entries);
    error = replace_l1(std::move(table), [&] { header.size = size; });
  } else {
    if (error = flush(); error == 0) {
      header.size = size;
      error = write_fields();
    }
  }
  if (error == 0 && has_data_file() && (header.autoclear & kRawDataFile)) error = data_file_->truncate(size);
  if (error == 0) error = flush();
  return error != 0 ? Status(failed(error)) : success();
}

}  // namespace doppel::block::qcow2
