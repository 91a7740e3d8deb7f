// Image: from guest bytes to pieces of one kind, and their bytes.
#include <algorithm>
#include <cerrno>

#include "block/qcow2/compress.h"
#include "block/qcow2/image.h"
#include "block/sync.h"

namespace doppel::block::qcow2 {

// The table of L2 entries for a guest offset; 0: none. Not aligned: corrupt, ~0.
u64 Image::table_of(u64 offset) const {
  const u64 index = offset >> (header.cluster_bits + header.l2_bits());
  return index < l1.size() ? l1[index] & kOffsetMask : 0;
}

Kind Image::kind_of(const L2Entry& e, u64 unit) const {
  if (e.compressed()) return Kind::Compressed;
  if (header.extended_l2()) {
    if ((e.bitmap >> (32 + unit) & 1) != 0) return Kind::Zero;
    return (e.bitmap >> unit & 1) != 0 ? Kind::Data : Kind::Unallocated;
  }
  if (header.version >= 3 && (e.entry & kZeroFlag) != 0) return Kind::Zero;
  // An external data file's first cluster has offset 0.
  return e.offset() != 0 || (has_data_file() && (e.entry & kCopied) != 0) ? Kind::Data : Kind::Unallocated;
}

// Joins units (clusters or subclusters) of one kind, as far as one slice of the table goes; data must go on in the
// file.
int Image::lookup(u64 offset, u64 length, Piece& piece) {
  const u64 unit = unit_size(), table = table_of(offset), index = index_of(offset);
  const u64 per_slice = std::min(u64{l2.slice_size()} >> header.l2_entry_bits(), l2_entries());
  const u64 left_in_table = ((l2_entries() - index) << header.cluster_bits) - offset % cluster_size();
  piece = {};
  if (table == 0) {
    piece.length = std::min(length, left_in_table);
    return 0;
  }
  if (table % cluster_size() != 0) return EIO;
  if (const int error = entry_at(table, index, piece.entry)) return error;
  piece.kind = kind_of(piece.entry, offset % cluster_size() / unit);
  if (!piece.entry.compressed()) piece.host = piece.entry.offset();
  if (piece.kind == Kind::Data && piece.host % cluster_size() != 0) return EIO;
  if (piece.kind == Kind::Compressed) {
    piece.length = std::min(length, cluster_size() - offset % cluster_size());
    return 0;
  }
  const u64 end_index = std::min(l2_entries(), (index / per_slice + 1) * per_slice);
  const u64 limit = std::min(length, ((end_index - index) << header.cluster_bits) - offset % cluster_size());
  u64 end = align_down(offset % cluster_size(), unit) + unit;  // from the start of the first cluster
  const u64 start = offset % cluster_size();
  L2Entry e = piece.entry;
  for (u64 at = index; end < start + limit; end += unit) {
    if (const u64 now = index + (end >> header.cluster_bits); now != at) {
      at = now;
      if (const int error = entry_at(table, at, e)) return error;
    }
    if (kind_of(e, end % cluster_size() / unit) != piece.kind) break;
    if (piece.kind == Kind::Data && e.offset() != piece.host + align_down(end, cluster_size())) break;
  }
  piece.length = std::min(end - start, limit);
  if (piece.host != 0 || piece.kind == Kind::Data) piece.host += start;
  return 0;
}

int Image::read(u64 offset, std::span<u8> data) {
  while (!data.empty()) {
    Piece piece;
    if (const int error = lookup(offset, data.size(), piece)) return error;
    if (const int error = read_piece(piece, offset, data.first(piece.length))) return error;
    offset += piece.length;
    data = data.subspan(piece.length);
  }
  return 0;
}

int Image::read_piece(const Piece& piece, u64 offset, std::span<u8> data) {
  switch (piece.kind) {
    case Kind::Unallocated: return read_backing(offset, data);
    case Kind::Zero: std::fill(data.begin(), data.end(), u8{0}); return 0;
    case Kind::Data: return data_file().read(piece.host, data);
    case Kind::Compressed:
      return read_compressed(piece.entry.entry, align_down(offset, cluster_size()), offset % cluster_size(), data);
  }
  return EIO;
}

int Image::read_piece(const Piece& piece, u64 offset, Pieces data) {
  const u64 length = size_of(data);
  const u64 below = backing_ == nullptr ? 0 : std::min(backing_->size(), header.size);
  if (piece.kind == Kind::Data) return data_file().read_pieces(piece.host, data);
  if (piece.kind == Kind::Unallocated && offset <= below && length <= below - offset)
    return read_sync(*backing_, offset, data);
  if (piece.kind == Kind::Zero || (piece.kind == Kind::Unallocated && offset >= below)) {
    clear(data);
    return 0;
  }
  std::vector<u8> buffer(length);
  const int error = read_piece(piece, offset, buffer);
  if (error == 0) copy_in(data, buffer);
  return error;
}

int Image::read_backing(u64 offset, std::span<u8> data) {
  // VM state lies behind the disk; the backing image's has nothing to do with it.
  const u64 size = backing_ == nullptr ? 0 : std::min(backing_->size(), header.size);
  const u64 n = offset < size ? std::min<u64>(data.size(), size - offset) : 0;
  std::fill(data.begin() + static_cast<std::ptrdiff_t>(n), data.end(), u8{0});
  return n == 0 ? 0 : read_sync(*backing_, offset, data.first(n));
}

int Image::read_compressed(u64 entry, u64 cluster, u64 inside, std::span<u8> data) {
  if (unpacked_ != cluster || unpacked_entry_ != entry) {
    unpacked_data_.resize(cluster_size());
    unpacked_ = ~u64{0};
    if (const int error = read_whole_compressed(entry, unpacked_data_)) return error;
    unpacked_ = cluster;
    unpacked_entry_ = entry;
  }
  std::copy_n(unpacked_data_.begin() + static_cast<std::ptrdiff_t>(inside), data.size(), data.begin());
  return 0;
}

int Image::read_whole_compressed(u64 entry, std::span<u8> cluster) {
  const CompressedPlace place = compressed_place(entry);
  if (place.offset >= file_->size()) return EIO;
  std::vector<u8> packed(place.length);
  if (const int error = file_->read(place.offset, packed)) return error;
  return decompress_cluster(header.compression, packed, cluster) ? 0 : EIO;
}

}  // namespace doppel::block::qcow2
