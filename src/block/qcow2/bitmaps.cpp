#include "block/qcow2/bitmaps.h"

#include <algorithm>
#include <cerrno>

namespace doppel::block::qcow2 {
namespace {

Error bad(Image& image) {
  return {"the bitmap directory of '" + image.file().path() + "' is not valid", "remove the bitmaps"};
}

}  // namespace

Result<std::vector<Bitmap>> load_bitmaps(Image& image) {
  std::vector<Bitmap> list;
  if (!image.header.bitmaps) return list;
  const BitmapsExtension& ext = *image.header.bitmaps;
  const u64 end = align_up(image.file().size(), image.cluster_size());
  if (ext.directory_offset > end || ext.directory_size > end - ext.directory_offset) return bad(image);
  std::vector<u8> raw(ext.directory_size);
  if (image.file().read(ext.directory_offset, raw) != 0) return bad(image);
  for (u64 at = 0; list.size() < ext.count;) {
    if (at + kBitmapRow > raw.size()) return bad(image);
    Bitmap b{.entry_offset = ext.directory_offset + at,
             .table_offset = load_be<u64>(&raw[at]),
             .table_size = load_be<u32>(&raw[at + 8]),
             .flags = load_be<u32>(&raw[at + 12]),
             .granularity_bits = raw[at + 17],
             .extra_size = load_be<u32>(&raw[at + 20])};
    const u64 name = load_be<u16>(&raw[at + 18]), length = kBitmapRow + b.extra_size + name;
    if (length > raw.size() - at || name == 0 || name > kMaxBitmapName) return bad(image);
    if (b.granularity_bits < kMinGranularityBits || b.granularity_bits > kMaxGranularityBits) return bad(image);
    if (b.table_size > kMaxBitmapEntries || b.table_size > kMaxBitmapBytes >> image.header.cluster_bits)
      return bad(image);
    if (b.table_offset % image.cluster_size() != 0 || b.table_offset > image.file().size() ||
        u64{b.table_size} * 8 > image.file().size() - b.table_offset)
      return bad(image);
    const auto text = raw.begin() + static_cast<std::ptrdiff_t>(at + kBitmapRow + b.extra_size);
    b.name.assign(text, text + static_cast<std::ptrdiff_t>(name));
    list.push_back(std::move(b));
    at += align_up(length, 8);
  }
  return list;
}

int load_bitmap_table(Image& image, const Bitmap& bitmap, std::vector<u64>& table) {
  std::vector<u8> raw(u64{bitmap.table_size} * 8);
  if (const int error = image.file().read(bitmap.table_offset, raw)) return error;
  table.resize(bitmap.table_size);
  for (size_t i = 0; i < table.size(); i++) table[i] = load_be<u64>(&raw[i * 8]);
  return 0;
}

BitmapTracker::BitmapTracker(Image& image, std::vector<Bitmap> bitmaps) : image_(image) {
  if ((image.header.autoclear & kBitmaps) == 0) return;  // inconsistent already
  for (Bitmap& b : bitmaps) {
    const bool foreign = b.extra_size != 0 && (b.flags & Bitmap::kExtraCompatible) == 0;
    if ((b.flags & Bitmap::kAuto) == 0 || (b.flags & Bitmap::kInUse) != 0 || foreign) continue;
    Tracked t{.bitmap = std::move(b)};
    if (load_bitmap_table(image, t.bitmap, t.table) == 0) bitmaps_.push_back(std::move(t));
  }
}

int BitmapTracker::write_flags(const Bitmap& b) {
  std::array<u8, 4> raw{};
  store_be<u32>(raw.data(), b.flags);
  return image_.file().write(b.entry_offset + 12, raw);
}

int BitmapTracker::begin() {
  begun_ = true;
  for (Tracked& t : bitmaps_) {
    t.bitmap.flags |= Bitmap::kInUse;
    if (const int error = write_flags(t.bitmap)) return error;
  }
  return image_.barrier();
}

void BitmapTracker::on_write(u64 offset, u64 length) {
  if (length == 0 || bitmaps_.empty()) return;
  if (!begun_ && begin() != 0) lost_ = true;
  for (Tracked& t : bitmaps_) {
    if (set_bits(t, offset >> t.bitmap.granularity_bits, (offset + length - 1) >> t.bitmap.granularity_bits) != 0)
      lost_ = true;
  }
}

int BitmapTracker::set_bits(Tracked& t, u64 first, u64 last) {
  const u64 per_cluster = image_.cluster_size() * 8;
  std::vector<u8>* bits = nullptr;
  for (u64 at = first; at <= last; at++) {
    if (bits == nullptr || at % per_cluster == 0) {
      bits = cluster_of(t, at / per_cluster);
      if (bits == nullptr) return EIO;
    }
    (*bits)[at % per_cluster / 8] |= static_cast<u8>(1u << at % 8);
  }
  return 0;
}

std::vector<u8>* BitmapTracker::cluster_of(Tracked& t, u64 index) {
  if (const auto it = t.clusters.find(index); it != t.clusters.end()) return &it->second;
  if (index >= t.table.size()) return nullptr;
  const u64 entry = t.table[index], offset = entry & kOffsetMask;
  std::vector<u8> bits(image_.cluster_size(), offset == 0 && (entry & kAllOnes) != 0 ? 0xff : 0);
  if (offset != 0 && image_.file().read(offset, bits) != 0) return nullptr;
  return &(t.clusters[index] = std::move(bits));
}

int BitmapTracker::store(Tracked& t) {
  for (auto& [index, bits] : t.clusters) {
    u64& entry = t.table[index];
    if ((entry & kOffsetMask) == 0) {
      u64 one = 1, first = 0;
      if (const int error = image_.refcounts.allocate(one, first)) return error;
      entry = first << image_.header.cluster_bits;
    }
    if (const int error = image_.file().write(entry & kOffsetMask, bits)) return error;
  }
  if (const int error = image_.flush()) return error;
  std::vector<u8> raw(t.table.size() * 8);
  for (size_t i = 0; i < t.table.size(); i++) store_be<u64>(&raw[i * 8], t.table[i]);
  if (const int error = image_.file().write(t.bitmap.table_offset, raw)) return error;
  t.clusters.clear();
  if (const int error = image_.barrier()) return error;
  t.bitmap.flags &= ~u32{Bitmap::kInUse};
  return write_flags(t.bitmap);
}

int BitmapTracker::store() {
  if (!begun_ || lost_) return 0;
  for (Tracked& t : bitmaps_) {
    if (const int error = store(t)) return error;
  }
  begun_ = false;
  return image_.barrier();
}

}  // namespace doppel::block::qcow2
