#include "block/qcow2/bitmap_edit.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace doppel::block::qcow2 {
namespace {

struct Clusters {
  u64 first = 0, number = 0;
};

Status failed(Image& image, int error) {
  return Error{"can't write the bitmaps of '" + image.file().path() + "': " + std::strerror(error), ""};
}

u64 row_length(const Bitmap& b) { return align_up(kBitmapRow + b.extra_size + b.name.size(), 8); }

// A new directory; the extra data of rows comes from the old one.
int write_directory(Image& image, const std::vector<Bitmap>& list, BitmapsExtension& ext) {
  u64 size = 0;
  for (const Bitmap& b : list) size += row_length(b);
  std::vector<u8> raw(align_up(size, image.cluster_size()));
  u64 at = 0;
  for (const Bitmap& b : list) {
    u8* row = &raw[at];
    store_be<u64>(row, b.table_offset);
    store_be<u32>(row + 8, b.table_size);
    store_be<u32>(row + 12, b.flags);
    row[16] = 1;  // a dirty tracking bitmap
    row[17] = static_cast<u8>(b.granularity_bits);
    store_be<u16>(row + 18, static_cast<u16>(b.name.size()));
    store_be<u32>(row + 20, b.extra_size);
    if (b.extra_size != 0) {
      if (const int error = image.file().read(b.entry_offset + kBitmapRow, {row + kBitmapRow, b.extra_size}))
        return error;
    }
    std::copy(b.name.begin(), b.name.end(), row + kBitmapRow + b.extra_size);
    at += row_length(b);
  }
  u64 first = 0;
  if (const int error = image.refcounts.allocate_all(raw.size() >> image.header.cluster_bits, first)) return error;
  ext = {static_cast<u32>(list.size()), size, first << image.header.cluster_bits};
  return image.file().write(ext.directory_offset, raw);
}

// Tables are there already. `unused`: what only the old directory refers to.
Status replace_directory(Image& image, const std::vector<Bitmap>& list, std::vector<Clusters> unused) {
  const bool vouched = (image.header.autoclear & kBitmaps) != 0;
  if (image.header.bitmaps && vouched) {
    const BitmapsExtension& old = *image.header.bitmaps;
    unused.push_back(
        {old.directory_offset >> image.header.cluster_bits, div_up(old.directory_size, image.cluster_size())});
  }
  BitmapsExtension ext;
  int error = list.empty() ? 0 : write_directory(image, list, ext);
  if (error == 0) error = image.flush();  // what is new is stable and counted
  if (error != 0) return failed(image, error);
  image.header.bitmaps.reset();
  image.header.autoclear &= ~u64{kBitmaps};
  if (!list.empty()) {
    image.header.bitmaps = ext;
    image.header.autoclear |= kBitmaps;
  }
  if (Status s = image.rewrite_header(); !s) return s;
  for (const Clusters& c : unused) image.refcounts.release(c.first, c.number);
  error = image.flush();
  return error == 0 ? success() : failed(image, error);
}

int write_bits(Image& image, Bitmap& b, const ReadBits& read, u64 bytes) {
  const u64 cluster = image.cluster_size(), entries = div_up(bytes, cluster);
  std::vector<u8> table(align_up(std::max<u64>(entries, 1) * 8, cluster)), bits(cluster);
  for (u64 i = 0; read && i < entries; i++) {
    if (const int error = read(i * cluster, bits)) return error;
    if (std::all_of(bits.begin(), bits.end(), [](u8 v) { return v == 0; })) continue;
    u64 one = 1, first = 0;
    if (const int error = image.refcounts.allocate(one, first)) return error;
    if (const int error = image.file().write(first << image.header.cluster_bits, bits)) return error;
    store_be<u64>(&table[i * 8], first << image.header.cluster_bits);
  }
  u64 first = 0;
  if (const int error = image.refcounts.allocate_all(table.size() >> image.header.cluster_bits, first)) return error;
  b.table_offset = first << image.header.cluster_bits;
  b.table_size = static_cast<u32>(entries);
  return image.file().write(b.table_offset, table);
}

int clusters_of(Image& image, const Bitmap& b, std::vector<Clusters>& list) {
  std::vector<u64> table;
  if (const int error = load_bitmap_table(image, b, table)) return error;
  for (const u64 entry : table) {
    if ((entry & kOffsetMask) != 0) list.push_back({(entry & kOffsetMask) >> image.header.cluster_bits, 1});
  }
  if (b.table_size != 0)
    list.push_back({b.table_offset >> image.header.cluster_bits, div_up(u64{b.table_size} * 8, image.cluster_size())});
  return 0;
}

// Finds the bitmap in the list and lets `change` do its work.
template <typename Fn>
Status edit(Image& image, const std::string& name, bool consistent, Fn&& change) {
  auto list = valid_bitmaps(image);
  if (!list) return list.error();
  const auto it = std::find_if(list->begin(), list->end(), [&](const Bitmap& b) { return b.name == name; });
  if (it == list->end()) return Error{"Dirty bitmap '" + name + "' not found", ""};
  if (consistent && (it->flags & Bitmap::kInUse) != 0)
    return Error{"Bitmap '" + name + "' is inconsistent and cannot be used", "remove it"};
  if (const int error = image.start_writing()) return failed(image, error);
  return change(*list, it);
}

Status rewrite_bits(Image& image, std::vector<Bitmap>& list, Bitmap& b, const ReadBits& read) {
  std::vector<Clusters> unused;
  int error = clusters_of(image, b, unused);
  if (error == 0) error = write_bits(image, b, read, bitmap_bytes(image.header.size, b.granularity_bits));
  return error != 0 ? failed(image, error) : replace_directory(image, list, std::move(unused));
}

Status check_new(Image& image, const std::vector<Bitmap>& list, const NewBitmap& b) {
  if (image.header.version < 3) return Error{"Cannot store dirty bitmaps in qcow2 v2 files", ""};
  for (const Bitmap& other : list) {
    if (other.name == b.name) return Error{"Bitmap already exists: " + b.name, ""};
  }
  if (b.name.empty()) return Error{"Bitmap name must not be empty", ""};
  if (b.name.size() > kMaxBitmapName) return Error{"Bitmap name too long", ""};
  if (b.granularity_bits < kMinGranularityBits || b.granularity_bits > kMaxGranularityBits)
    return Error{"Granularity must be between 512 bytes and 2 GiB", ""};
  if (bitmap_bytes(image.header.size, b.granularity_bits) > kMaxBitmapBytes)
    return Error{"Too much space will be occupied by the bitmap", "use a larger granularity"};
  return list.size() >= kMaxBitmaps ? Status(Error{"Too many persistent bitmaps", ""}) : success();
}

}  // namespace

Result<std::vector<Bitmap>> valid_bitmaps(Image& image) {
  if ((image.header.autoclear & kBitmaps) == 0) return std::vector<Bitmap>{};
  return load_bitmaps(image);
}

u64 bitmap_bytes(u64 disk, unsigned granularity_bits) { return div_up(div_up(disk, u64{1} << granularity_bits), 8); }

u64 bitmaps_size(const std::vector<Bitmap>& list, u64 disk, u64 cluster_size) {
  u64 directory = 0, size = 0;
  for (const Bitmap& b : list) {
    const u64 clusters = div_up(bitmap_bytes(disk, b.granularity_bits), cluster_size);
    size += clusters * cluster_size + align_up(clusters * 8, cluster_size);
    directory += align_up(kBitmapRow + b.name.size(), 8);
  }
  return size + align_up(directory, cluster_size);
}

Result<ReadBits> bitmap_reader(Image& image, const Bitmap& bitmap) {
  auto table = std::make_shared<std::vector<u64>>();
  const u64 bytes = bitmap_bytes(image.header.size, bitmap.granularity_bits);
  if (bitmap.table_size < div_up(bytes, image.cluster_size()) || load_bitmap_table(image, bitmap, *table) != 0)
    return Error{"the table of the bitmap '" + bitmap.name + "' is not valid", "remove the bitmap"};
  const u64 bits = div_up(image.header.size, u64{1} << bitmap.granularity_bits);
  return ReadBits([&image, table, bytes, bits](u64 offset, std::span<u8> out) {
    std::fill(out.begin(), out.end(), u8{0});
    for (u64 at = offset, n = 0; at < std::min(offset + out.size(), bytes); at += n) {
      const u64 inside = at % image.cluster_size(), entry = (*table)[at / image.cluster_size()];
      n = std::min(image.cluster_size() - inside, std::min(offset + out.size(), bytes) - at);
      const auto part = out.subspan(at - offset, n);
      if ((entry & kOffsetMask) == 0) {
        std::fill(part.begin(), part.end(), (entry & kAllOnes) != 0 ? u8{0xff} : u8{0});
      } else if (const int error = image.file().read((entry & kOffsetMask) + inside, part)) {
        return error;
      }
      if (at + n == bytes && bits % 8 != 0) part.back() &= static_cast<u8>((1u << bits % 8) - 1);
    }
    return 0;
  });
}

Status add_bitmaps(Image& image, const std::vector<NewBitmap>& bitmaps) {
  auto list = valid_bitmaps(image);
  if (!list) return list.error();
  for (const NewBitmap& n : bitmaps) {
    if (Status s = check_new(image, *list, n); !s) return s;
  }
  if (const int error = image.start_writing()) return failed(image, error);
  for (const NewBitmap& n : bitmaps) {
    Bitmap b{.name = n.name, .flags = n.enabled ? u32{Bitmap::kAuto} : 0, .granularity_bits = n.granularity_bits};
    if (const int error = write_bits(image, b, n.read, bitmap_bytes(image.header.size, n.granularity_bits)))
      return failed(image, error);
    list->push_back(std::move(b));
  }
  return bitmaps.empty() ? success() : replace_directory(image, *list, {});
}

Status remove_bitmap(Image& image, const std::string& name) {
  return edit(image, name, false, [&](std::vector<Bitmap>& list, auto it) -> Status {
    std::vector<Clusters> unused;
    if (const int error = clusters_of(image, *it, unused)) return failed(image, error);
    list.erase(it);
    return replace_directory(image, list, std::move(unused));
  });
}

Status clear_bitmap(Image& image, const std::string& name) {
  return edit(image, name, true,
              [&](std::vector<Bitmap>& list, auto it) { return rewrite_bits(image, list, *it, {}); });
}

Status enable_bitmap(Image& image, const std::string& name, bool enabled) {
  return edit(image, name, true, [&](std::vector<Bitmap>& list, auto it) {
    it->flags = (it->flags & ~u32{Bitmap::kAuto}) | (enabled ? u32{Bitmap::kAuto} : 0);
    return replace_directory(image, list, {});
  });
}

Status merge_bitmap(Image& image, const std::string& name, const NewBitmap& other) {
  return edit(image, name, true, [&](std::vector<Bitmap>& list, auto it) -> Status {
    auto own = bitmap_reader(image, *it);
    if (!own) return own.error();
    const u64 bits = div_up(image.header.size, u64{1} << it->granularity_bits);
    const unsigned from = other.granularity_bits, to = it->granularity_bits;
    std::vector<u8> all(bitmap_bytes(image.header.size, to)), part(65536);
    if (const int error = (*own)(0, all)) return failed(image, error);
    const u64 theirs = bitmap_bytes(image.header.size, from);
    for (u64 at = 0; at < theirs; at += part.size()) {
      if (const int error = other.read(at, part)) return failed(image, error);
      for (u64 i = 0; i < part.size() * 8; i++) {
        if ((part[i / 8] >> i % 8 & 1) == 0) continue;
        const u64 first = (at * 8 + i) << from >> to, last = std::min((((at * 8 + i + 1) << from) - 1) >> to, bits - 1);
        for (u64 k = first; k <= last; k++) all[k / 8] |= static_cast<u8>(1u << k % 8);
      }
    }
    return rewrite_bits(image, list, *it, [&](u64 offset, std::span<u8> out) {
      const u64 n = std::min<u64>(out.size(), all.size() - offset);
      std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(offset), n, out.begin());
      std::fill(out.begin() + static_cast<std::ptrdiff_t>(n), out.end(), u8{0});
      return 0;
    });
  });
}

}  // namespace doppel::block::qcow2
