// QEMU's first copy-on-write format (qcow, version 1): two levels of tables, deflated clusters, a backing image.
// Source: the header and tables as described in "The QCOW Image Format" (M. McLoughlin); big-endian.
#include <array>
#include <cerrno>

#include "block/formats/read_only_image.h"
#include "block/open.h"
#include "block/qcow2/compress.h"
#include "block/qcow2/qcow2.h"

namespace doppel::block {
namespace {

constexpr u64 kCompressed = u64{1} << 63;
constexpr u32 kMaxName = 1023;

class Qcow1 final : public ReadOnlyImage {
 public:
  explicit Qcow1(std::shared_ptr<File> file) : ReadOnlyImage("qcow", std::move(file)) {}

  Status load(const OpenOptions& options, int depth) {
    std::array<u8, 48> h{};
    if (file_->read(0, h) != 0) return bad("its header can't be read");
    size_ = load_be<u64>(&h[24]);
    cluster_bits_ = h[32];
    l2_bits_ = h[33];
    if (cluster_bits_ < 9 || cluster_bits_ > 16 || l2_bits_ < 6 || l2_bits_ > 13)
      return bad("its cluster or table size");
    if (load_be<u32>(&h[36]) != 0) return unsupported("encryption");
    if (size_ > u64{1} << 56) return bad("its disk size");
    cluster_size_ = u64{1} << cluster_bits_;
    const u64 entries = div_up(size_, u64{1} << (cluster_bits_ + l2_bits_));
    l1_ = table<u64>(*file_, load_be<u64>(&h[40]), entries);
    if (l1_.size() != entries) return bad("its L1 table lies outside the file");
    return load_backing(load_be<u64>(&h[8]), load_be<u32>(&h[16]), options, depth);
  }

 private:
  Status load_backing(u64 offset, u32 length, const OpenOptions& options, int depth) {
    if (offset == 0) return success();
    if (length > kMaxName || offset + length > file_->size()) return bad("the backing file's name");
    std::vector<u8> name(length);
    if (file_->read(offset, name) != 0) return bad("the backing file's name can't be read");
    backing_file_.assign(name.begin(), name.end());
    if (options.no_backing) return success();
    auto path = qcow2::resolve_path(file_->path(), backing_file_);
    if (!path) return path.error();
    auto node = open_at_depth(*path, {.read_only = true, .shared = options.shared}, depth + 1);
    if (!node) return node.error();
    backing_ = node.take();
    return success();
  }

  int locate(u64 offset, Place& p) override {
    const u64 inside = offset & (cluster_size_ - 1), index = offset >> cluster_bits_ & mask_bits(l2_bits_);
    p = {.kind = Place::Kind::Backing, .length = cluster_size_ - inside};
    const u64 l2 = swap_bytes(l1_[offset >> (cluster_bits_ + l2_bits_)]);
    if (l2 == 0) return 0;
    if (l2 != l2_offset_) {
      l2_.resize(u64{8} << l2_bits_);
      l2_offset_ = 0;
      if (const int error = file_->read(l2, l2_)) return error;
      l2_offset_ = l2;
    }
    const u64 entry = load_be<u64>(&l2_[index * 8]);
    if (entry == 0) return 0;
    if ((entry & kCompressed) == 0) {
      p = {.kind = Place::Kind::Data, .length = p.length, .file = file_.get(), .host = entry + inside};
      return 0;
    }
    const unsigned shift = 63 - cluster_bits_;
    p = {.kind = Place::Kind::Packed,
         .length = p.length,
         .file = file_.get(),
         .host = entry & mask_bits(shift),
         .packed_size = entry >> shift & (cluster_size_ - 1),
         .start = offset - inside,
         .size = cluster_size_};
    return 0;
  }

  bool unpack(std::span<const u8> in, std::span<u8> out) override {
    return qcow2::decompress_cluster(qcow2::Compression::Zlib, in, out);
  }

  unsigned cluster_bits_ = 12, l2_bits_ = 9;
  std::vector<u64> l1_;  // big-endian
  u64 l2_offset_ = 0;
  std::vector<u8> l2_;  // the table used last
};

}  // namespace

Result<std::shared_ptr<Node>> open_qcow1(std::shared_ptr<File> file, const OpenOptions& options, int depth) {
  auto image = std::make_shared<Qcow1>(std::move(file));
  if (Status s = image->load(options, depth); !s) return s.error();
  return std::shared_ptr<Node>(std::move(image));
}

}  // namespace doppel::block
