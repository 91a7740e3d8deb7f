// Microsoft's VHD ("vpc"): fixed and dynamic disks. Source: "Virtual Hard Disk Image Format Specification",
// version 1.0; big-endian. Trap: older creators mean the size of the geometry, not the field for the size; which ones
// is known by their four letters.
#include <algorithm>
#include <array>
#include <string_view>

#include "block/formats/read_only_image.h"

namespace doppel::block {
namespace {

constexpr u32 kFixed = 2, kDynamic = 3, kDifferencing = 4;
constexpr u32 kUnallocated = 0xffffffff;
constexpr u64 kSector = 512, kMaxGeometry = u64{65535} * 16 * 255;

std::string_view letters(std::span<const u8> at, size_t number) {
  return {reinterpret_cast<const char*>(at.data()), number};
}

class Vpc final : public ReadOnlyImage {
 public:
  explicit Vpc(std::shared_ptr<File> file) : ReadOnlyImage("vpc", std::move(file)) {}

  Status load() {
    std::array<u8, kSector> f{};
    const bool in_front = file_->read(0, f) == 0 && letters(f, 8) == "conectix";
    if (!in_front &&
        (file_->size() < kSector || file_->read(file_->size() - kSector, f) != 0 || letters(f, 8) != "conectix"))
      return bad("it has no footer");
    const u32 type = load_be<u32>(&f[60]);
    size_ = disk_size(f);
    if (type == kDifferencing) return unsupported("a parent (a differencing disk)");
    if (type == kFixed) {
      size_ = std::min(size_, align_down(file_->size(), kSector) - kSector);
      return success();
    }
    if (type != kDynamic) return bad("its type is " + std::to_string(type));
    return load_dynamic(load_be<u64>(&f[16]));
  }

 private:
  static u64 disk_size(std::span<const u8> f) {
    const u64 geometry = u64{load_be<u16>(&f[56])} * f[58] * f[59];
    const u64 current = load_be<u64>(&f[48]);
    const std::string_view creator = letters(f.subspan(28), 4);
    for (const char* name : {"win ", "qem2", "d2v ", "CTXS"}) {
      if (creator == name) return current;
    }
    if (creator == std::string_view("tap\0", 4) || geometry >= kMaxGeometry || geometry == 0) return current;
    return geometry * kSector;
  }

  Status load_dynamic(u64 at) {
    std::array<u8, 1024> h{};
    if (file_->read(at, h) != 0 || letters(h, 8) != "cxsparse") return bad("its dynamic header is missing");
    const u64 entries = load_be<u32>(&h[28]);
    cluster_size_ = load_be<u32>(&h[32]);
    if (cluster_size_ < kSector || (cluster_size_ & (cluster_size_ - 1)) != 0 || cluster_size_ > 256 << 20)
      return bad("its block size");
    if (entries < div_up(size_, cluster_size_)) return bad("its table is too small for its disk");
    table_ = table<u32>(*file_, load_be<u64>(&h[16]), entries);
    if (table_.size() != entries) return bad("its table lies outside the file");
    bitmap_size_ = align_up(cluster_size_ / kSector / 8, kSector);
    return success();
  }

  // A block's bitmap says which sectors were written; the others were cleared when the block was made.
  int locate(u64 offset, Place& p) override {
    if (cluster_size_ == 0) {
      p = {.kind = Place::Kind::Data, .length = size_ - offset, .file = file_.get(), .host = offset};
      return 0;
    }
    const u64 inside = offset % cluster_size_;
    const u32 sector = swap_bytes(table_[offset / cluster_size_]);
    p.length = cluster_size_ - inside;
    if (sector == kUnallocated) return 0;
    p = {.kind = Place::Kind::Data,
         .length = p.length,
         .file = file_.get(),
         .host = sector * kSector + bitmap_size_ + inside};
    return 0;
  }
  u64 bitmap_size_ = 0;
  std::vector<u32> table_;  // big-endian
};

}  // namespace

Result<std::shared_ptr<Node>> open_vpc(std::shared_ptr<File> file, const OpenOptions&, int) {
  auto image = std::make_shared<Vpc>(std::move(file));
  if (Status s = image->load(); !s) return s.error();
  return std::shared_ptr<Node>(std::move(image));
}

}  // namespace doppel::block
