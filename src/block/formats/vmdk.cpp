// VMware's VMDK: a descriptor (a file of its own or inside the first extent) and extents: sparse, stream-optimised
// (deflated grains), flat, zero; split over files; a parent image. Source: "Virtual Disk Format 5.0" (VMware);
// little-endian. Trap: of stream-optimised extents the header at the end counts, 1,024 bytes before the file's end.
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>

#include "block/formats/read_only_image.h"
#include "block/open.h"
#include "block/qcow2/qcow2.h"

namespace doppel::block {
namespace {

constexpr u64 kSector = 512, kMaxDescriptor = 1 << 20, kAtEnd = ~u64{0};
constexpr u32 kMagic = 0x564d444b;  // "KDMV"
enum Flags : u32 { kZeroedGrains = 4, kCompressed = 1 << 16 };
constexpr u32 kZeroGrain = 1;

struct ExtentFile {
  std::shared_ptr<File> file;  // null: zeroes
  u64 start = 0, size = 0;     // on the disk
  bool is_flat = false;
  u64 flat_offset = 0;
  u64 grain = 0;  // bytes
  u32 entries_per_table = 0, flags = 0;
  std::vector<u32> directory;
  u32 table_at = 0;  // sector of the table used last
  std::vector<u32> table;
};

std::string trimmed(std::string text) {
  while (!text.empty() && std::strchr(" \t\r\"", text.back()) != nullptr) text.pop_back();
  const size_t at = text.find_first_not_of(" \t\"");
  return at == std::string::npos ? "" : text.substr(at);
}

class Vmdk final : public ReadOnlyImage {
 public:
  Vmdk(std::shared_ptr<File> file, const OpenOptions& options, int depth)
      : ReadOnlyImage("vmdk", std::move(file)), options_(options), depth_(depth) {}

  Status load() {
    std::array<u8, 4> magic{};
    if (file_->read(0, magic) != 0) return bad("its header can't be read");
    if (load_le<u32>(magic.data()) != kMagic) {
      if (std::memcmp(magic.data(), "COWD", 4) == 0) return unsupported("ESX's sparse extents");
      std::vector<u8> text(std::min<u64>(file_->size(), kMaxDescriptor));
      if (file_->read(0, text) != 0) return bad("its descriptor can't be read");
      return parse_descriptor({text.begin(), text.end()}, true);
    }
    ExtentFile e{.file = file_};
    u64 descriptor = 0, length = 0;
    if (Status s = load_sparse(e, descriptor, length); !s) return s;
    size_ = e.size;
    extents_.push_back(std::move(e));
    if (descriptor == 0 || length > kMaxDescriptor / kSector) return success();
    std::vector<u8> text(length * kSector);
    if (file_->read(descriptor * kSector, text) != 0) return bad("its descriptor can't be read");
    return parse_descriptor({text.begin(), text.end()}, false);
  }

 private:
  Status load_sparse(ExtentFile& e, u64& descriptor, u64& descriptor_size) {
    std::array<u8, kSector> h{};
    if (e.file->read(0, h) != 0 || load_le<u32>(h.data()) != kMagic) return bad("a sparse extent's header");
    if (load_le<u64>(&h[56]) == kAtEnd) {
      const u64 end = e.file->size();
      if (end < 1536 || e.file->read(end - 1024, h) != 0 || load_le<u32>(h.data()) != kMagic)
        return bad("its footer is missing");
    }
    const u32 version = load_le<u32>(&h[4]);
    if (version > 3) return unsupported("version " + std::to_string(version));
    e.flags = load_le<u32>(&h[8]);
    const u64 sectors = load_le<u64>(&h[12]), grain = load_le<u64>(&h[20]);
    descriptor = load_le<u64>(&h[28]);
    descriptor_size = load_le<u64>(&h[36]);
    e.entries_per_table = load_le<u32>(&h[44]);
    if ((e.flags & kCompressed) != 0 && load_le<u16>(&h[77]) != 1)
      return unsupported("a compression that is not known");
    if (grain == 0 || (grain & (grain - 1)) != 0 || grain > kMaxPacked / kSector) return bad("its grain size");
    if (e.entries_per_table == 0 || e.entries_per_table > 512 || sectors > u64{1} << 50) return bad("its tables");
    e.grain = grain * kSector;
    e.size = sectors * kSector;
    const u64 tables = div_up(div_up(sectors, grain), e.entries_per_table);
    e.directory = table<u32>(*e.file, load_le<u64>(&h[56]) * kSector, tables);
    return e.directory.size() == tables ? success() : Status(bad("its grain directory lies outside the file"));
  }

  Status parse_descriptor(const std::string& text, bool with_extents) {
    std::istringstream in(text.substr(0, text.find('\0')));
    std::string parent_cid = "ffffffff", parent;
    for (std::string line; std::getline(in, line);) {
      const size_t equals = line.find('=');
      const std::string key = trimmed(line.substr(0, equals));
      const std::string value = equals == std::string::npos ? "" : trimmed(line.substr(equals + 1));
      if (key == "createType") create_type_ = value;
      if (key == "CID") cid_ = value;
      if (key == "parentCID") parent_cid = value;
      if (key == "parentFileNameHint") parent = value;
      if (with_extents && (line.starts_with("RW ") || line.starts_with("RDONLY "))) {
        if (Status s = add_extent(line); !s) return s;
      }
    }
    if (extents_.empty()) return bad("its descriptor names no extents");
    parent_cid_ = parent_cid;
    return parent_cid == "ffffffff" || parent.empty() ? success() : open_parent(parent);
  }

  // RW 4192256 SPARSE "disk-s001.vmdk" [offset]
  Status add_extent(const std::string& line) {
    std::istringstream words(line);
    std::string access, sectors_text, type;
    words >> access >> sectors_text >> type;
    u64 sectors = 0;
    std::from_chars(sectors_text.data(), sectors_text.data() + sectors_text.size(), sectors);
    if (sectors == 0 || sectors > u64{1} << 50 || extents_.size() > 4096) return bad("an extent's size");
    ExtentFile e{.start = size_, .size = sectors * kSector};
    size_ += e.size;
    if (type != "ZERO") {
      const size_t open = line.find('"'), close = line.find('"', open + 1);
      if (close == std::string::npos) return bad("an extent without a name");
      auto path = qcow2::resolve_path(file_->path(), line.substr(open + 1, close - open - 1));
      if (!path) return path.error();
      auto file = open_file(*path, {.read_only = true, .sharing = options_.shared ? Sharing::Shared : Sharing::Locked});
      if (!file) return file.error();
      e.file = file.take();
      e.is_flat = type == "FLAT" || type == "VMFS";
      u64 unused = 0, unused_too = 0;
      if (!e.is_flat && type != "SPARSE") return unsupported("extents of type " + type);
      if (e.is_flat) {
        std::from_chars(line.data() + std::min(line.find_first_not_of(' ', close + 1), line.size()),
                        line.data() + line.size(), e.flat_offset);
        e.flat_offset *= kSector;
      } else {
        const u64 size = e.size;
        if (Status s = load_sparse(e, unused, unused_too); !s) return s;
        if (e.size < size) return bad("an extent is smaller than the descriptor says");
        e.size = size;
      }
    }
    extents_.push_back(std::move(e));
    return success();
  }

  Status open_parent(const std::string& name) {
    backing_file_ = name;
    if (options_.no_backing) return success();
    auto path = qcow2::resolve_path(file_->path(), name);
    if (!path) return path.error();
    auto node = open_at_depth(*path, {.read_only = true, .format = "vmdk", .shared = options_.shared}, depth_ + 1);
    if (!node) return node.error();
    backing_ = node.take();
    return success();
  }

  int locate(u64 offset, Place& p) override {
    for (ExtentFile& e : extents_) {
      if (offset < e.start || offset >= e.start + e.size) continue;
      return locate_in(e, offset - e.start, p);
    }
    return EIO;
  }

  int locate_in(ExtentFile& e, u64 offset, Place& p) {
    p.length = e.size - offset;
    if (e.file == nullptr) return 0;
    if (e.is_flat) {
      p = {.kind = Place::Kind::Data, .length = p.length, .file = e.file.get(), .host = e.flat_offset + offset};
      return 0;
    }
    const u64 inside = offset % e.grain, grain = offset / e.grain;
    p = {.kind = Place::Kind::Backing, .length = std::min(e.grain - inside, p.length)};
    const u32 table_at = e.directory[grain / e.entries_per_table];
    if (table_at == 0) return 0;
    if (table_at != e.table_at) {
      e.table = table<u32>(*e.file, table_at * kSector, e.entries_per_table);
      e.table_at = e.table.empty() ? 0 : table_at;
      if (e.table.empty()) return EIO;
    }
    const u32 sector = e.table[grain % e.entries_per_table];
    if (sector == 0) return 0;
    if (sector == kZeroGrain && (e.flags & kZeroedGrains) != 0) {
      p.kind = Place::Kind::Zero;
    } else if ((e.flags & kCompressed) == 0) {
      p = {.kind = Place::Kind::Data, .length = p.length, .file = e.file.get(), .host = sector * kSector + inside};
    } else {
      return locate_packed(e, sector * kSector, offset, p);
    }
    return 0;
  }

  // A marker (sector number, length) and a zlib stream.
  int locate_packed(const ExtentFile& e, u64 host, u64 offset, Place& p) {
    std::array<u8, 12> marker{};
    if (const int error = e.file->read(host, marker)) return error;
    p = {.kind = Place::Kind::Packed,
         .length = p.length,
         .file = e.file.get(),
         .host = host + marker.size(),
         .packed_size = load_le<u32>(&marker[8]),
         .start = e.start + align_down(offset, e.grain),
         .size = e.grain};
    return 0;
  }

  bool unpack(std::span<const u8> in, std::span<u8> out) override { return inflate_zlib(in, out); }

  ImageInfo info() const override {
    ImageInfo i = ReadOnlyImage::info();
    i.cluster_size = extents_.front().grain;
    const auto number = [](const std::string& hex) { return u64{std::strtoull(hex.c_str(), nullptr, 16)}; };
    i.specific = {{"cid", number(cid_)}, {"parent cid", number(parent_cid_)}, {"create type", create_type_}};
    return i;
  }

  OpenOptions options_;
  int depth_;
  std::vector<ExtentFile> extents_;
  std::string create_type_, cid_, parent_cid_ = "ffffffff";
};

}  // namespace

Result<std::shared_ptr<Node>> open_vmdk(std::shared_ptr<File> file, const OpenOptions& options, int depth) {
  auto image = std::make_shared<Vmdk>(std::move(file), options, depth);
  if (Status s = image->load(); !s) return s.error();
  return std::shared_ptr<Node>(std::move(image));
}

}  // namespace doppel::block
