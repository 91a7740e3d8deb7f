// VirtualBox's VDI, versions 1.1: a header and a map of blocks. Source: VirtualBox's documentation of the format
// ("All about VDIs"); little-endian.
#include <array>

#include "block/formats/read_only_image.h"

namespace doppel::block {
namespace {

constexpr u32 kSignature = 0xbeda107f, kVersion = 0x00010001;
constexpr u32 kDynamic = 1, kStatic = 2;
constexpr u32 kUnallocated = 0xffffffff, kDiscarded = 0xfffffffe;

class Vdi final : public ReadOnlyImage {
 public:
  explicit Vdi(std::shared_ptr<File> file) : ReadOnlyImage("vdi", std::move(file)) {}

  Status load() {
    std::array<u8, 512> h{};
    if (file_->read(0, h) != 0) return bad("its header can't be read");
    if (load_le<u32>(&h[0x40]) != kSignature) return bad("the signature is missing");
    if (load_le<u32>(&h[0x44]) != kVersion) return unsupported("a version other than 1.1");
    const u32 type = load_le<u32>(&h[0x4c]);
    if (type != kDynamic && type != kStatic) return unsupported("type " + std::to_string(type));
    data_offset_ = load_le<u32>(&h[0x158]);
    size_ = load_le<u64>(&h[0x170]);
    cluster_size_ = load_le<u32>(&h[0x178]);
    const u64 blocks = load_le<u32>(&h[0x180]);
    if (cluster_size_ < 512 || (cluster_size_ & (cluster_size_ - 1)) != 0 || cluster_size_ > 64 << 20)
      return bad("its block size");
    if (blocks < div_up(size_, cluster_size_)) return bad("it has fewer blocks than its disk");
    map_ = table<u32>(*file_, load_le<u32>(&h[0x154]), blocks);
    if (map_.size() != blocks) return bad("its map of blocks lies outside the file");
    return success();
  }

 private:
  int locate(u64 offset, Place& p) override {
    const u32 block = map_[offset / cluster_size_];
    const u64 inside = offset % cluster_size_;
    p.length = cluster_size_ - inside;
    if (block == kUnallocated || block == kDiscarded) return 0;
    p = {.kind = Place::Kind::Data,
         .length = p.length,
         .file = file_.get(),
         .host = data_offset_ + block * cluster_size_ + inside};
    return 0;
  }
  u64 data_offset_ = 0;
  std::vector<u32> map_;
};

}  // namespace

Result<std::shared_ptr<Node>> open_vdi(std::shared_ptr<File> file, const OpenOptions&, int) {
  auto image = std::make_shared<Vdi>(std::move(file));
  if (Status s = image->load(); !s) return s.error();
  return std::shared_ptr<Node>(std::move(image));
}

}  // namespace doppel::block
