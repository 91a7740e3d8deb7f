// Image: zeroes, discards and preallocation. Whole clusters and subclusters become flags in the tables; the rest of a
// range is written, unless it reads as zeroes already.
#include <algorithm>
#include <cerrno>

#include "block/qcow2/image.h"

namespace doppel::block::qcow2 {
namespace {

constexpr u64 kAllZero = 0xffffffff00000000;  // bitmap: every subcluster reads as zeroes

}  // namespace

int Image::write_zeroes(u64 offset, u64 length) {
  if (const int error = start_writing()) return error;
  if (on_write) on_write(offset, length);
  if (has_data_file() && (header.autoclear & kRawDataFile) != 0) {
    if (const int error = data_file_->write_zeroes(offset, length)) return error;
  }
  const u64 size = cluster_size(), end = offset + length;
  while (offset < end) {
    if (const int error = relieve()) return error;
    const u64 cluster_end = align_down(offset, size) + size;
    int error = 0;
    u64 next = std::min(end, cluster_end);
    // The disk's last cluster may be cut off.
    if (offset % size == 0 && (next == cluster_end || next == header.size)) {
      error = zero_clusters(offset, 1, true);
    } else if (header.extended_l2() && offset % unit_size() == 0 && next - offset >= unit_size()) {
      next = offset + align_down(next - offset, unit_size());
      error = zero_units(offset, next - offset);
    } else {
      if (header.extended_l2()) next = std::min(next, align_down(offset, unit_size()) + unit_size());
      error = zero_part(offset, next - offset);
    }
    if (error != 0) return error;
    offset = next;
  }
  return 0;
}

// Inside one unit.
int Image::zero_part(u64 offset, u64 length) {
  Piece piece;
  if (const int error = lookup(offset, length, piece)) return error;
  const bool no_backing = backing_ == nullptr || offset >= backing_->size();
  if (piece.kind == Kind::Zero || (piece.kind == Kind::Unallocated && no_backing)) return 0;
  const std::vector<u8> zeroes(length);
  return write(offset, zeroes);
}

// Subclusters of one cluster.
int Image::zero_units(u64 offset, u64 length) {
  u64 table = 0;
  if (const int error = own_table(offset, table)) return error;
  L2Entry e;
  if (const int error = entry_at(table, index_of(offset), e)) return error;
  if (e.compressed() || (e.offset() != 0 && (e.entry & kCopied) == 0)) {
    const std::vector<u8> zeroes(length);
    return write(offset, zeroes);
  }
  const u64 first = offset % cluster_size() / unit_size();
  const u64 touched = mask_bits(static_cast<unsigned>(length / unit_size())) << first;
  e.bitmap = (e.bitmap & ~touched) | touched << 32;
  return set_entry(table, index_of(offset), e);
}

// `keep`: clusters of the image's own stay, for later writes.
int Image::zero_clusters(u64 offset, u64 number, bool keep) {
  for (; number != 0; number--, offset += cluster_size()) {
    if (table_of(offset) == 0 && backing_ == nullptr) continue;
    Piece piece;
    if (const int error = lookup(offset, 1, piece)) return error;
    const L2Entry old = piece.entry;
    if (backing_ == nullptr && old == L2Entry{}) continue;
    if (header.version < 3 && backing_ != nullptr) {
      const std::vector<u8> zeroes(std::min(cluster_size(), header.size - offset));
      if (const int error = write(offset, zeroes)) return error;
      continue;
    }
    u64 table = 0;
    if (const int error = own_table(offset, table)) return error;
    const bool owned = !old.compressed() && (old.entry & kCopied) != 0 && (old.offset() != 0 || has_data_file());
    L2Entry e;
    if (header.version >= 3) {
      e = header.extended_l2() ? L2Entry{.bitmap = kAllZero} : L2Entry{.entry = kZeroFlag};
      if (owned && keep) e.entry |= old.offset() | kCopied;
    }
    if (e == old) continue;
    if (const int error = set_entry(table, index_of(offset), e)) return error;
    if (e.offset() == 0) release_entry(old);
  }
  return 0;
}

int Image::discard(u64 offset, u64 length) {
  if (const int error = start_writing()) return error;
  if (on_write) on_write(offset, length);
  const u64 size = cluster_size();
  u64 end = offset + length;
  end = end >= header.size ? align_up(end, size) : align_down(end, size);
  offset = align_up(offset, size);
  if (header.version < 3 && backing_ != nullptr) return 0;  // what lies below would come to light
  if (offset < end && has_data_file()) {
    const u64 n = std::min(end, data_file_->size()) - std::min(offset, data_file_->size());
    if (header.autoclear & kRawDataFile) return data_file_->write_zeroes(offset, std::min(n, header.size - offset));
    if (const int error = n == 0 ? 0 : data_file_->discard(offset, n)) return error;
  }
  for (; offset < end; offset += size) {
    if (const int error = relieve()) return error;
    Piece piece;
    if (const int error = lookup(offset, 1, piece)) return error;
    if (piece.entry == L2Entry{}) {
      // Nothing here: to the end of the run, table-wise.
      if (const int error = lookup(offset, end - offset, piece)) return error;
      offset += std::max(align_down(piece.length, size), size) - size;  // whole clusters of it
      continue;
    }
    if (const int error = zero_clusters(offset, 1, false)) return error;
    if (backing_ != nullptr) continue;
    u64 table = 0;
    if (const int error = own_table(offset, table)) return error;
    if (const int error = set_entry(table, index_of(offset), {})) return error;
  }
  return 0;
}

int Image::preallocate(u64 offset, u64 length) {
  if (const int error = start_writing()) return error;
  const u64 end = offset + length;
  offset = align_down(offset, cluster_size());
  while (offset < end) {
    if (const int error = relieve()) return error;
    u64 table = 0, host = 0;
    if (const int error = own_table(offset, table)) return error;
    const u64 index = index_of(offset);
    L2Entry e;
    if (const int error = entry_at(table, index, e)) return error;
    if (!(e == L2Entry{})) {
      offset += cluster_size();
      continue;
    }
    u64 number = 1;
    const u64 wanted = std::min(div_up(end - offset, cluster_size()), l2_entries() - index);
    for (; number < wanted; number++) {
      if (const int error = entry_at(table, index + number, e)) return error;
      if (!(e == L2Entry{})) break;
    }
    if (const int error = new_cluster_run(offset, number, host)) return error;
    const u64 host_end = host + number * cluster_size(), now = data_file().size();
    // Behind the file's end there are only zeroes; a cluster used before is cleared.
    if (host < now) {
      if (const int error = data_file().write_zeroes(host, std::min(host_end, now) - host)) return error;
    }
    if (host_end > now && !has_data_file()) {
      if (const int error = file_->truncate(host_end)) return error;
    }
    for (u64 k = 0; k < number; k++) {
      e = {.entry = (host + k * cluster_size()) | kCopied};
      if (backing_ != nullptr) e.entry |= header.extended_l2() ? 0 : kZeroFlag;
      if (header.extended_l2()) e.bitmap = backing_ != nullptr ? kAllZero : mask_bits(32);
      if (const int error = set_entry(table, index + k, e)) return error;
    }
    offset += number * cluster_size();
  }
  return 0;
}

}  // namespace doppel::block::qcow2
