#include "block/fat/fat.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <variant>

#include "block/bytes.h"
#include "block/fat/folder.h"
#include "block/fat/names.h"
#include "block/fat/volume.h"
#include "block/image_info.h"
#include "block/overlay.h"

namespace doppel::block::fat {
namespace {

constexpr u8 kReadOnly = 0x01, kVolume = 0x08, kFolder = 0x10, kArchive = 0x20;
constexpr u64 kMaxFolder = 65536 * kEntry;
constexpr std::string_view kLabel = "DOPPEL     ";

// A folder's entries but for the clusters, which are known later.
struct Folder {
  const Item* item = nullptr;
  size_t parent = 0;
  std::vector<Names> names;
  std::vector<size_t> child_folders;  // of the items, in order: an index, or ~0 for a file
  std::vector<u32> first;             // clusters of the items
  u64 entries = 0;
  u32 cluster = 0;
  u64 bytes() const { return entries * kEntry; }
};

class Layout {
 public:
  static Result<Layout> make(const std::string& path, const Shape& shape);

  struct Part {
    u64 start = 0, length = 0;
    std::variant<std::vector<u8>, const Item*> content;
  };
  Volume volume;
  std::vector<Part> parts;  // in order; what is between reads as zero
  std::unique_ptr<Item> root;

 private:
  Status collect(const Item& item, size_t parent);
  u64 needed(const Volume& v) const;
  u32 take(u64 bytes);
  void assign();
  std::vector<u8> table(const Folder& f) const;
  void put_parts();
  void add(u64 at, std::vector<u8> bytes);
  std::vector<Folder> folders_;
  std::vector<u8> fat_;
  u32 next_ = 2;
};

Result<Layout> Layout::make(const std::string& path, const Shape& shape) {
  Layout out;
  auto root = look_at_folder(path);
  if (!root) return root.error();
  out.root = root.take();
  const auto wrong = [&](const Error& e) {
    return Error{"can't show the folder '" + path + "' as a disk: " + e.cause, e.fix};
  };
  if (Status s = out.collect(*out.root, 0); !s) return wrong(s.error());
  auto volume = choose_volume(shape, [&](const Volume& v) { return out.needed(v); });
  if (!volume) return wrong(volume.error());
  out.volume = *volume;
  out.assign();
  out.put_parts();
  return out;
}

Status Layout::collect(const Item& item, size_t parent) {
  const size_t self = folders_.size();
  folders_.push_back({.item = &item, .parent = parent});
  NameMaker maker;
  std::vector<Names> names;
  u64 entries = self == 0 ? 1 : 2;  // the label; "." and ".."
  for (const auto& child : item.items) {
    names.push_back(maker.add(child->name));
    entries += 1 + long_entries(names.back());
  }
  if (entries * kEntry > kMaxFolder)
    return Error{"'" + item.path + "' has too many files: a folder on a FAT disk has room for 65536 entries",
                 "use several folders"};
  folders_[self].names = std::move(names);
  folders_[self].entries = entries;
  for (const auto& child : item.items) {
    folders_[self].child_folders.push_back(child->is_folder ? folders_.size() : ~size_t{0});
    if (!child->is_folder) continue;
    if (Status s = collect(*child, self); !s) return s;
  }
  return success();
}

u64 Layout::needed(const Volume& v) const {
  const u64 size = v.cluster_bytes();
  u64 clusters = 0;
  for (size_t i = 0; i < folders_.size(); i++) {
    const Folder& f = folders_[i];
    if (i == 0 && v.bits != 32) {
      if (f.entries > v.root_entries) return ~u64{0};
    } else {
      clusters += div_up(std::max(f.bytes(), u64{1}), size);
    }
    for (const auto& child : f.item->items) clusters += div_up(child->size, size);
  }
  return clusters;
}

// Neighbouring clusters, chained.
u32 Layout::take(u64 bytes) {
  const u32 count = static_cast<u32>(div_up(bytes, volume.cluster_bytes())), first = next_;
  if (count == 0) return 0;
  for (u32 i = 0; i < count; i++)
    put_fat_entry(fat_, volume.bits, next_ + i, i + 1 == count ? 0x0fffffff : next_ + i + 1);
  next_ += count;
  return first;
}

void Layout::assign() {
  put_fat_entry(fat_, volume.bits, 0, 0x0fffff00 | (volume.floppy ? 0xf0 : 0xf8));
  put_fat_entry(fat_, volume.bits, 1, 0x0fffffff);
  for (size_t i = 0; i < folders_.size(); i++) {
    if (i != 0 || volume.bits == 32) folders_[i].cluster = take(std::max(folders_[i].bytes(), u64{1}));
  }
  for (Folder& f : folders_) {
    for (const auto& child : f.item->items) f.first.push_back(child->is_folder ? 0 : take(child->size));
  }
}

void put_entry(std::vector<u8>& table, const ShortName& name, u8 attributes, const Item& item, u32 cluster) {
  std::array<u8, kEntry> e{};
  std::copy(name.begin(), name.end(), e.begin());
  const Stamp stamp = stamp_of(item.changed);
  e[11] = attributes;
  store_le<u16>(&e[14], stamp.time);
  store_le<u16>(&e[16], stamp.date);
  store_le<u16>(&e[18], stamp.date);
  store_le<u16>(&e[20], static_cast<u16>(cluster >> 16));
  store_le<u16>(&e[22], stamp.time);
  store_le<u16>(&e[24], stamp.date);
  store_le<u16>(&e[26], static_cast<u16>(cluster));
  store_le<u32>(&e[28], static_cast<u32>(item.size));
  table.insert(table.end(), e.begin(), e.end());
}

ShortName short_name(std::string_view text) {
  ShortName out;
  out.fill(' ');
  std::copy(text.begin(), text.end(), out.begin());
  return out;
}

std::vector<u8> Layout::table(const Folder& f) const {
  std::vector<u8> out;
  if (&f == &folders_[0]) {
    put_entry(out, short_name(kLabel), kVolume, *f.item, 0);
  } else {
    put_entry(out, short_name("."), kFolder, *f.item, f.cluster);
    put_entry(out, short_name(".."), kFolder, *folders_[f.parent].item, f.parent == 0 ? 0 : folders_[f.parent].cluster);
  }
  for (size_t i = 0; i < f.names.size(); i++) {
    const Item& item = *f.item->items[i];
    put_long_name(out, f.names[i]);
    const u8 attributes = static_cast<u8>((item.is_folder ? kFolder : kArchive) | (item.read_only ? kReadOnly : 0));
    put_entry(out, f.names[i].short_name, attributes, item,
              item.is_folder ? folders_[f.child_folders[i]].cluster : f.first[i]);
  }
  return out;
}

void Layout::add(u64 at, std::vector<u8> bytes) {
  const u64 length = bytes.size();
  if (length != 0) parts.push_back({at, length, std::move(bytes)});
}

void Layout::put_parts() {
  const u64 start = u64{volume.hidden} * kSector;
  if (volume.hidden != 0) add(0, partition_table(volume));
  add(start, boot_sector(volume));
  if (volume.bits == 32) {
    add(start + kSector, information_sector(volume.clusters - (next_ - 2), next_));
    add(start + 6 * kSector, boot_sector(volume));
    add(start + 7 * kSector, information_sector(volume.clusters - (next_ - 2), next_));
  }
  fat_.resize(std::min<u64>(fat_.size(), volume.fat_sectors * kSector));
  add(volume.fat_at(0), fat_);
  add(volume.fat_at(1), std::move(fat_));
  for (const Folder& f : folders_) {
    add(f.cluster == 0 ? volume.root_at() : volume.cluster_at(f.cluster), table(f));
    for (size_t i = 0; i < f.first.size(); i++) {
      if (f.first[i] != 0)
        parts.push_back({volume.cluster_at(f.first[i]), f.item->items[i]->size, f.item->items[i].get()});
    }
  }
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.start < b.start; });
}

class FatDisk final : public Node {
 public:
  FatDisk(std::string name, Layout layout) : name_(std::move(name)), layout_(std::move(layout)) {}
  u64 size() const override { return layout_.volume.disk_bytes(); }
  bool read_only() const override { return true; }
  std::string filename() const override { return name_; }
  std::string format() const override { return "vvfat"; }
  void read(u64 offset, std::span<u8> data, Completion done) override;
  void write(u64, std::span<const u8>, Completion done) override { done(EROFS); }
  void flush(Completion done) override { done(0); }
  void discard(u64, u64, Completion done) override { done(EROFS); }
  void write_zeroes(u64, u64, Completion done) override { done(EROFS); }
  Extent extent(u64 offset, u64 length) override;
  u64 allocated_bytes() const override { return 0; }

 private:
  // The first part that ends behind `offset`.
  std::vector<Layout::Part>::const_iterator part_at(u64 offset) const {
    return std::partition_point(layout_.parts.begin(), layout_.parts.end(),
                                [&](const Layout::Part& p) { return p.start + p.length <= offset; });
  }
  std::string name_;
  Layout layout_;
  FileReader files_;
};

void FatDisk::read(u64 offset, std::span<u8> data, Completion done) {
  int error = 0;
  for (auto part = part_at(offset); !data.empty() && error == 0; ++part) {
    const bool none = part == layout_.parts.end();
    const u64 gap = none ? data.size() : std::min<u64>(data.size(), std::max(part->start, offset) - offset);
    std::fill_n(data.begin(), gap, u8{0});
    offset += gap;
    data = data.subspan(gap);
    if (none || data.empty()) break;
    const u64 inside = offset - part->start, n = std::min<u64>(data.size(), part->length - inside);
    if (const auto* bytes = std::get_if<std::vector<u8>>(&part->content)) {
      std::copy_n(bytes->begin() + static_cast<std::ptrdiff_t>(inside), n, data.begin());
    } else {
      error = files_.read(*std::get<const Item*>(part->content), inside, data.data(), n);
    }
    offset += n;
    data = data.subspan(n);
  }
  done(error);
}

Extent FatDisk::extent(u64 offset, u64 length) {
  Extent e{.length = offset < size() ? std::min(length, size() - offset) : 0, .zero = true, .present = true};
  const auto part = part_at(offset);
  if (part == layout_.parts.end() || e.length == 0) return e;
  e.data = part->start <= offset;
  e.zero = !e.data;
  e.length = std::min(e.length, e.data ? part->start + part->length - offset : part->start - offset);
  return e;
}

struct Name {
  Shape shape;
  bool writable = false;
  std::string folder;
};

// The words before the folder may come in any order.
Name parse(const std::string& text) {
  Name out;
  std::string_view rest = std::string_view(text).substr(4);
  const auto word = [&rest](std::string_view w) {
    if (!rest.starts_with(w)) return false;
    rest.remove_prefix(w.size());
    return true;
  };
  for (;;) {
    if (word("floppy:")) {
      out.shape.floppy = true;
    } else if (word("rw:")) {
      out.writable = true;
    } else if (word("12:")) {
      out.shape.bits = 12;
    } else if (word("16:")) {
      out.shape.bits = 16;
    } else if (word("32:")) {
      out.shape.bits = 32;
    } else {
      break;
    }
  }
  out.folder = rest;
  return out;
}

}  // namespace

bool is_name(const std::string& path) { return path.starts_with("fat:"); }

Result<std::shared_ptr<Node>> open_folder(const std::string& text, const OpenOptions& options) {
  const Name name = parse(text);
  if (name.folder.empty()) return Error{"'" + text + "' names no folder", "fat:[floppy:][12:|16:|32:][rw:]DIR"};
  if (name.shape.floppy && name.shape.bits == 32) return Error{"a floppy can't have FAT32", "use fat:floppy:DIR"};
  if (!options.format.empty() && options.format != "raw" && options.format != "vvfat")
    return Error{"'" + text + "' is a folder: it has no format '" + options.format + "'", "use format=raw"};
  const bool to_write = !options.read_only && (name.writable || options.snapshot);
  auto layout = Layout::make(name.folder, name.shape);
  if (!layout) return layout.error();
  auto disk = std::make_shared<FatDisk>(text, layout.take());
  if (!to_write) return std::shared_ptr<Node>(std::move(disk));
  auto overlay = Overlay::create(std::move(disk));
  if (!overlay) return overlay.error();
  return std::shared_ptr<Node>(overlay.take());
}

}  // namespace doppel::block::fat
