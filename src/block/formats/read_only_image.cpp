#include "block/formats/read_only_image.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>

#include "block/sync.h"

namespace doppel::block {

void ReadOnlyImage::write(u64, std::span<const u8>, Completion done) { done(EROFS); }
void ReadOnlyImage::discard(u64, u64, Completion done) { done(EROFS); }
void ReadOnlyImage::write_zeroes(u64, u64, Completion done) { done(EROFS); }

void ReadOnlyImage::read(u64 offset, std::span<u8> data, Completion done) {
  int error = 0;
  {
    const std::lock_guard hold(lock_);
    while (!data.empty() && error == 0) {
      if (offset >= size_) {
        std::fill(data.begin(), data.end(), u8{0});
        break;
      }
      Place place;
      error = locate(offset, place);
      const u64 n = std::min<u64>({data.size(), std::max<u64>(place.length, 1), size_ - offset});
      if (error == 0) error = read_part(place, offset, data.first(n));
      offset += n;
      data = data.subspan(n);
    }
  }
  done(error);
}

int ReadOnlyImage::read_part(const Place& place, u64 offset, std::span<u8> data) {
  switch (place.kind) {
    case Place::Kind::Data: return place.file->read(place.host, data);
    case Place::Kind::Packed: return read_packed(place, offset, data);
    case Place::Kind::Backing:
      if (backing_ != nullptr) return read_sync(*backing_, offset, data);
      [[fallthrough]];
    case Place::Kind::Zero: std::fill(data.begin(), data.end(), u8{0}); return 0;
  }
  return EIO;
}

int ReadOnlyImage::read_packed(const Place& place, u64 offset, std::span<u8> data) {
  if (unpacked_start_ != place.start) {
    if (place.packed_size > kMaxPacked || place.size > kMaxPacked || place.host > place.file->size()) return EIO;
    std::vector<u8> packed(std::min(place.packed_size, place.file->size() - place.host));
    if (const int error = place.file->read(place.host, packed)) return error;
    unpacked_start_ = ~u64{0};
    unpacked_.assign(place.size, 0);
    if (!unpack(packed, unpacked_)) return EIO;
    unpacked_start_ = place.start;
  }
  const u64 inside = offset - place.start;
  if (inside + data.size() > unpacked_.size()) return EIO;
  std::copy_n(unpacked_.begin() + static_cast<std::ptrdiff_t>(inside), data.size(), data.begin());
  return 0;
}

Extent ReadOnlyImage::extent(u64 offset, u64 length) {
  const std::lock_guard hold(lock_);
  Extent e{.length = offset < size_ ? std::min(length, size_ - offset) : 0};
  if (e.length == 0) return e;
  Place first;
  const u64 end = offset + e.length;
  u64 at = offset;
  while (at < end) {
    Place next;
    if (locate(at, next) != 0) {
      if (at == offset) return {.length = e.length, .data = true, .present = true};  // reading it gives the error
      break;
    }
    const bool follows =
        at == offset || (next.kind == first.kind && next.file == first.file && next.kind != Place::Kind::Packed &&
                         (next.kind != Place::Kind::Data || next.host == first.host + (at - offset)));
    if (!follows) break;
    if (at == offset) first = next;
    at += std::max<u64>(next.length, 1);
    if (next.kind == Place::Kind::Packed) break;
  }
  e.length = std::min(at, end) - offset;
  const bool backing = first.kind == Place::Kind::Backing && backing_ != nullptr;
  e.present = first.kind != Place::Kind::Backing;
  e.zero = !backing && (first.kind == Place::Kind::Zero || first.kind == Place::Kind::Backing);
  e.data = first.kind == Place::Kind::Data || first.kind == Place::Kind::Packed;
  e.compressed = first.kind == Place::Kind::Packed;
  if (first.kind == Place::Kind::Data) {
    e.offset = first.host;
    if (first.file != file_.get()) e.file = first.file->path();
  }
  return e;
}

ImageInfo ReadOnlyImage::info() const {
  ImageInfo i{.format = name_, .virtual_size = size_, .cluster_size = cluster_size_};
  i.backing_file = backing_file_;
  i.backing_format = backing_format_;
  i.full_backing_file = backing_ ? backing_->filename() : backing_file_;
  return i;
}

bool inflate_zlib(std::span<const u8> in, std::span<u8> out) {
  uLongf size = out.size();
  const int result = uncompress(out.data(), &size, in.data(), in.size());
  return result == Z_OK && size == out.size();
}

}  // namespace doppel::block
