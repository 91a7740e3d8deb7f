// Microsoft's VHDX: fixed and dynamic disks. Source: [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format";
// little-endian. Traps: of two headers the one with the larger sequence number counts, if its checksum is right; every
// chunk of the block table is followed by an entry for a sector bitmap. A log that was not replayed is refused.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "block/formats/read_only_image.h"

namespace doppel::block {
namespace {

using Guid = std::array<u8, 16>;
constexpr Guid kBatRegion = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                             0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
constexpr Guid kMetadataRegion = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                  0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
constexpr Guid kFileParameters = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                  0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
constexpr Guid kVirtualDiskSize = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                   0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
constexpr Guid kLogicalSectorSize = {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                     0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f};
constexpr u64 kHeader1 = 64 << 10, kHeader2 = 128 << 10, kRegionTable1 = 192 << 10, kRegionTable2 = 256 << 10;
constexpr u64 kMega = 1 << 20;
constexpr u32 kMaxRegions = 2047, kMaxItems = 2047;
enum BlockState : u64 {
  kNotPresent = 0,
  kUndefined = 1,
  kZero = 2,
  kUnmapped = 3,
  kFullyPresent = 6,
  kPartlyPresent = 7
};

u32 crc32c(std::span<const u8> data, size_t zeroed_at) {  // the four bytes of the checksum count as zero
  u32 crc = ~0u;
  for (size_t i = 0; i < data.size(); i++) {
    crc ^= i >= zeroed_at && i < zeroed_at + 4 ? 0 : data[i];
    for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

bool has_guid(const u8* at, const Guid& guid) { return std::memcmp(at, guid.data(), guid.size()) == 0; }

class Vhdx final : public ReadOnlyImage {
 public:
  explicit Vhdx(std::shared_ptr<File> file) : ReadOnlyImage("vhdx", std::move(file)) {}

  Status load() {
    if (Status s = check_headers(); !s) return s;
    if (Status s = load_regions(); !s) return s;
    if (Status s = load_metadata(); !s) return s;
    chunk_ratio_ = (u64{1} << 23) * sector_size_ / cluster_size_;
    const u64 blocks = div_up(size_, cluster_size_);
    const u64 entries = blocks + (blocks == 0 ? 0 : (blocks - 1) / chunk_ratio_);
    if (entries * 8 > bat_length_) return bad("its block table is too small for its disk");
    bat_ = table<u64>(*file_, bat_offset_, entries);
    return bat_.size() == entries ? success() : Status(bad("its block table lies outside the file"));
  }

 private:
  Status check_headers() {
    std::vector<u8> best;
    for (const u64 at : {kHeader1, kHeader2}) {
      std::vector<u8> h(4096);
      if (file_->read(at, h) != 0 || std::memcmp(h.data(), "head", 4) != 0 || crc32c(h, 4) != load_le<u32>(&h[4]))
        continue;
      if (best.empty() || load_le<u64>(&h[8]) > load_le<u64>(&best[8])) best = std::move(h);
    }
    if (best.empty()) return bad("neither of its headers is valid");
    if (load_le<u16>(&best[66]) != 1) return unsupported("version " + std::to_string(load_le<u16>(&best[66])));
    const Guid none{};
    if (!has_guid(&best[48], none)) return unsupported("a log that must be replayed (it was not closed)");
    return success();
  }

  Status load_regions() {
    std::vector<u8> t(64 << 10);
    bool valid = false;
    for (const u64 at : {kRegionTable1, kRegionTable2}) {
      valid = file_->read(at, t) == 0 && std::memcmp(t.data(), "regi", 4) == 0 && crc32c(t, 4) == load_le<u32>(&t[4]);
      if (valid) break;
    }
    const u32 count = load_le<u32>(&t[8]);
    if (!valid || count > kMaxRegions) return bad("neither of its region tables is valid");
    for (u32 i = 0; i < count; i++) {
      const u8* e = &t[16 + i * 32];
      const u64 offset = load_le<u64>(e + 16), length = load_le<u32>(e + 24);
      if (has_guid(e, kBatRegion)) {
        bat_offset_ = offset;
        bat_length_ = length;
      } else if (has_guid(e, kMetadataRegion)) {
        metadata_offset_ = offset;
      } else if ((e[28] & 1) != 0) {
        return unsupported("a required region that is not known");
      }
    }
    return bat_offset_ != 0 && metadata_offset_ != 0 ? success() : Status(bad("a region is missing"));
  }

  Status load_metadata() {
    std::vector<u8> t(64 << 10);
    if (file_->read(metadata_offset_, t) != 0 || std::memcmp(t.data(), "metadata", 8) != 0)
      return bad("its metadata is missing");
    const u32 count = load_le<u16>(&t[10]);
    if (count > kMaxItems) return bad("its metadata table");
    for (u32 i = 0; i < count; i++) {
      const u8* e = &t[32 + i * 32];
      std::array<u8, 8> value{};
      if (file_->read(metadata_offset_ + load_le<u32>(e + 16), value) != 0) return bad("its metadata can't be read");
      if (has_guid(e, kFileParameters)) {
        cluster_size_ = load_le<u32>(value.data());
        if ((value[4] & 2) != 0) return unsupported("a parent (a differencing disk)");
      } else if (has_guid(e, kVirtualDiskSize)) {
        size_ = load_le<u64>(value.data());
      } else if (has_guid(e, kLogicalSectorSize)) {
        sector_size_ = load_le<u32>(value.data());
      }
    }
    if (cluster_size_ < kMega || cluster_size_ > 256 * kMega || (cluster_size_ & (cluster_size_ - 1)) != 0)
      return bad("its block size");
    if (sector_size_ != 512 && sector_size_ != 4096) return bad("its sector size");
    return size_ <= u64{64} << 40 ? success() : Status(bad("its disk size"));
  }

  int locate(u64 offset, Place& p) override {
    const u64 block = offset / cluster_size_, inside = offset % cluster_size_;
    const u64 entry = bat_[block + block / chunk_ratio_];
    p.length = cluster_size_ - inside;
    const u64 state = entry & 7;
    if (state != kFullyPresent) return state >= kPartlyPresent ? EIO : 0;
    p = {.kind = Place::Kind::Data, .length = p.length, .file = file_.get(), .host = align_down(entry, kMega) + inside};
    return 0;
  }

  u64 bat_offset_ = 0, bat_length_ = 0, metadata_offset_ = 0, chunk_ratio_ = 1;
  u32 sector_size_ = 512;
  std::vector<u64> bat_;
};

}  // namespace

Result<std::shared_ptr<Node>> open_vhdx(std::shared_ptr<File> file, const OpenOptions&, int) {
  auto image = std::make_shared<Vhdx>(std::move(file));
  if (Status s = image->load(); !s) return s.error();
  return std::shared_ptr<Node>(std::move(image));
}

}  // namespace doppel::block
