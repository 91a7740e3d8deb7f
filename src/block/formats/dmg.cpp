// Apple's disk images (UDIF, .dmg): a trailer, a property list with base64 tables of runs; raw, zero and zlib runs.
// Source: "Demystifying the DMG File Format" (J. Levin); big-endian. bzip2, LZFSE, LZMA and ADC runs are refused by
// name.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "block/formats/read_only_image.h"

namespace doppel::block {
namespace {

constexpr u64 kSector = 512, kMaxList = 64 << 20, kRow = 40, kRows = 204;
enum RunType : u32 {
  kZero = 0,
  kRaw = 1,
  kIgnore = 2,
  kAdc = 0x80000004,
  kZlib = 0x80000005,
  kBzip2 = 0x80000006,
  kLzfse = 0x80000007,
  kLzma = 0x80000008,
  kComment = 0x7ffffffe,
  kEnd = 0xffffffff
};

struct Run {
  u64 start, size;  // bytes of the disk
  u32 type;
  u64 host, packed_size;
};

// Ignores what is not of the alphabet.
std::vector<u8> decode_base64(std::string_view text) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<u8> out;
  u32 bits = 0;
  unsigned number = 0;
  for (const char c : text) {
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) continue;
    bits = bits << 6 | static_cast<u32>(value);
    number += 6;
    if (number < 8) continue;
    number -= 8;
    out.push_back(static_cast<u8>(bits >> number));
  }
  return out;
}

const char* packing_name(u32 type) {
  switch (type) {
    case kAdc: return "ADC";
    case kBzip2: return "bzip2";
    case kLzfse: return "LZFSE";
    case kLzma: return "LZMA";
    default: return nullptr;
  }
}

class Dmg final : public ReadOnlyImage {
 public:
  explicit Dmg(std::shared_ptr<File> file) : ReadOnlyImage("dmg", std::move(file)) {}

  Status load() {
    std::array<u8, 512> t{};
    const u64 end = file_->size();
    if (end < t.size() || file_->read(end - t.size(), t) != 0 || std::memcmp(t.data(), "koly", 4) != 0)
      return bad("its trailer is missing");
    data_fork_ = load_be<u64>(&t[24]);
    size_ = load_be<u64>(&t[492]) * kSector;
    const u64 at = load_be<u64>(&t[216]), length = load_be<u64>(&t[224]);
    if (length == 0) return unsupported("a resource fork instead of a property list");
    if (length > kMaxList || at > end || length > end - at) return bad("its property list lies outside the file");
    std::vector<u8> list(length);
    if (file_->read(at, list) != 0) return bad("its property list can't be read");
    if (Status s = parse_list({reinterpret_cast<const char*>(list.data()), list.size()}); !s) return s;
    std::sort(runs_.begin(), runs_.end(), [](const Run& a, const Run& b) { return a.start < b.start; });
    u64 disk_end = 0;
    for (const Run& r : runs_) disk_end = std::max(disk_end, r.start + r.size);
    if (disk_end > u64{1} << 60) return bad("its disk size");
    size_ = size_ != 0 ? std::min(size_, u64{1} << 60) : disk_end;
    return success();
  }

 private:
  // The <data> of each entry under "blkx" is a table.
  Status parse_list(std::string_view list) {
    const size_t from = list.find("<key>blkx</key>"), to = list.find("</array>", from);
    if (from == std::string_view::npos) return bad("its property list has no tables");
    for (size_t at = from; (at = list.find("<data>", at)) < to;) {
      const size_t end = list.find("</data>", at);
      if (end == std::string_view::npos) return bad("its property list ends early");
      if (Status s = parse_table(decode_base64(list.substr(at + 6, end - at - 6))); !s) return s;
      at = end;
    }
    return success();
  }

  Status parse_table(const std::vector<u8>& t) {
    if (t.size() < kRows || std::memcmp(t.data(), "mish", 4) != 0) return bad("a table of runs");
    const u64 first = load_be<u64>(&t[8]), offset = load_be<u64>(&t[24]), count = load_be<u32>(&t[200]);
    if (count > (t.size() - kRows) / kRow) return bad("a table of runs is cut off");
    for (u64 i = 0; i < count; i++) {
      const u8* row = &t[kRows + i * kRow];
      const u32 type = load_be<u32>(row);
      if (type == kComment || type == kEnd) continue;
      if (const char* name = packing_name(type)) return unsupported(std::string(name) + " compression");
      const u64 start = load_be<u64>(row + 8) + first, sectors = load_be<u64>(row + 16);
      if (start > u64{1} << 50 || sectors > u64{1} << 50) return bad("a run of sectors");
      if (type == kZlib && sectors * kSector > kMaxPacked) return bad("a packed run is too large");
      runs_.push_back({start * kSector, sectors * kSector, type, data_fork_ + offset + load_be<u64>(row + 24),
                       load_be<u64>(row + 32)});
    }
    return success();
  }

  int locate(u64 offset, Place& p) override {
    auto it = std::upper_bound(runs_.begin(), runs_.end(), offset, [](u64 at, const Run& r) { return at < r.start; });
    const u64 next = it == runs_.end() ? size_ : it->start;
    if (it == runs_.begin() || offset >= (it - 1)->start + (it - 1)->size) {
      p.length = std::max(next, offset + 1) - offset;
      return 0;
    }
    const Run& r = *(it - 1);
    p.length = r.start + r.size - offset;
    if (r.type == kZero || r.type == kIgnore) return 0;
    if (r.type == kRaw) {
      p = {.kind = Place::Kind::Data, .length = p.length, .file = file_.get(), .host = r.host + (offset - r.start)};
    } else if (r.type == kZlib) {
      p = {.kind = Place::Kind::Packed,
           .length = p.length,
           .file = file_.get(),
           .host = r.host,
           .packed_size = r.packed_size,
           .start = r.start,
           .size = r.size};
    } else {
      return EIO;
    }
    return 0;
  }

  bool unpack(std::span<const u8> in, std::span<u8> out) override { return inflate_zlib(in, out); }

  u64 data_fork_ = 0;
  std::vector<Run> runs_;  // by start
};

}  // namespace

Result<std::shared_ptr<Node>> open_dmg(std::shared_ptr<File> file, const OpenOptions&, int) {
  auto image = std::make_shared<Dmg>(std::move(file));
  if (Status s = image->load(); !s) return s.error();
  return std::shared_ptr<Node>(std::move(image));
}

}  // namespace doppel::block
