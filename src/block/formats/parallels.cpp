// Parallels' expanding images. Source: QEMU's docs/interop/parallels.txt; little-endian. The older magic counts the
// table's offsets in sectors, the newer in clusters.
#include <array>
#include <cstring>

#include "block/formats/read_only_image.h"

namespace doppel::block {
namespace {

constexpr u64 kSector = 512, kTable = 64;

class Parallels final : public ReadOnlyImage {
 public:
  explicit Parallels(std::shared_ptr<File> file) : ReadOnlyImage("parallels", std::move(file)) {}

  Status load() {
    std::array<u8, kTable> h{};
    if (file_->read(0, h) != 0) return bad("its header can't be read");
    const bool old = std::memcmp(h.data(), "WithoutFreeSpace", 16) == 0;
    if (!old && std::memcmp(h.data(), "WithouFreSpacExt", 16) != 0) return bad("the magic is missing");
    if (load_le<u32>(&h[16]) != 2) return unsupported("version " + std::to_string(load_le<u32>(&h[16])));
    const u64 sectors = load_le<u32>(&h[28]), entries = load_le<u32>(&h[32]);
    if (sectors == 0 || sectors > (u64{1} << 22)) return bad("its cluster size");
    cluster_size_ = sectors * kSector;
    unit_ = old ? kSector : cluster_size_;
    size_ = (old ? load_le<u32>(&h[36]) : load_le<u64>(&h[36])) * kSector;
    if (size_ > u64{1} << 60 || entries < div_up(size_, cluster_size_))
      return bad("its table is too small for its disk");
    table_ = table<u32>(*file_, kTable, entries);
    return table_.size() == entries ? success() : Status(bad("its table lies outside the file"));
  }

 private:
  int locate(u64 offset, Place& p) override {
    const u64 entry = table_[offset / cluster_size_], inside = offset % cluster_size_;
    p.length = cluster_size_ - inside;
    if (entry == 0) return 0;
    p = {.kind = Place::Kind::Data, .length = p.length, .file = file_.get(), .host = entry * unit_ + inside};
    return 0;
  }
  u64 unit_ = kSector;
  std::vector<u32> table_;
};

}  // namespace

Result<std::shared_ptr<Node>> open_parallels(std::shared_ptr<File> file, const OpenOptions&, int) {
  auto image = std::make_shared<Parallels>(std::move(file));
  if (Status s = image->load(); !s) return s.error();
  return std::shared_ptr<Node>(std::move(image));
}

}  // namespace doppel::block
