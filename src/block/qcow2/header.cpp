#include "block/qcow2/header.h"

#include <algorithm>
#include <array>

#include "block/bytes.h"

namespace doppel::block::qcow2 {
namespace {

constexpr size_t kV2Length = 72, kV3Length = 104, kFieldsEnd = 105;  // the last known byte: compression_type
constexpr u32 kBackingFormat = 0xe2792aca, kFeatureNames = 0x6803f857, kBitmapsExtension = 0x23852875,
              kEncryption = 0x0537be77, kDataFileName = 0x44415441;
constexpr size_t kMaxBackingName = 1023;
constexpr size_t kFeatureNameEntry = 48;

struct FeatureRow {
  u8 kind;  // 0 incompatible, 1 compatible, 2 autoclear
  u8 bit;
  const char* name;
};
constexpr FeatureRow kFeatures[] = {
    {0, 0, "dirty bit"},        {0, 1, "corrupt bit"},         {0, 2, "external data file"},
    {0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
    {2, 0, "bitmaps"},          {2, 1, "raw external data"},
};

Error bad(const File& file, const std::string& what) {
  return {"'" + file.path() + "' is no usable qcow2 image: " + what, "restore it from a backup, or try img check"};
}

std::string text_of(std::span<const u8> data) { return {data.begin(), data.end()}; }

// Names for unknown bits, from the image's own feature name table where it has one.
std::string unknown_features(u64 bits, std::span<const u8> names) {
  std::string list;
  for (unsigned bit = 0; bit < 64; bit++) {
    if ((bits >> bit & 1) == 0) continue;
    std::string name = "incompatible feature bit " + std::to_string(bit);
    for (size_t at = 0; at + kFeatureNameEntry <= names.size(); at += kFeatureNameEntry) {
      if (names[at] != 0 || names[at + 1] != bit) continue;
      const std::string own = text_of(names.subspan(at + 2, kFeatureNameEntry - 2));
      name = own.substr(0, own.find('\0'));
      std::replace_if(
          name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, '?');
    }
    list += (list.empty() ? "" : ", ") + name;
  }
  return list;
}

class Parser {
 public:
  explicit Parser(File& file) : file_(file) {}

  Result<Header> run() {
    if (file_.read(0, first_) != 0) return bad(file_, "its header can't be read");
    if (Status s = fixed_fields(); !s) return s.error();
    if (Status s = extensions(); !s) return s.error();
    if (const u64 unknown = h_.incompatible & ~u64{kKnownIncompatible}; unknown != 0) {
      return Error{
          "'" + file_.path() + "' needs features that are not known here: " + unknown_features(unknown, names_),
          "convert it with the program that made it"};
    }
    if (Status s = checks(); !s) return s.error();
    return std::move(h_);
  }

 private:
  template <typename T>
  T field(size_t at) const {
    return load_be<T>(first_.data() + at);
  }

  Status fixed_fields() {
    if (field<u32>(0) != kMagic) return bad(file_, "it doesn't begin with QFI\\xfb");
    h_.version = field<u32>(4);
    if (h_.version != 2 && h_.version != 3)
      return Error{"'" + file_.path() + "' is a qcow2 image of version " + std::to_string(h_.version),
                   "versions 2 and 3 are known"};
    backing_offset_ = field<u64>(8);
    backing_size_ = field<u32>(16);
    h_.cluster_bits = field<u32>(20);
    if (h_.cluster_bits < kMinClusterBits || h_.cluster_bits > kMaxClusterBits)
      return bad(file_, "cluster_bits is " + std::to_string(h_.cluster_bits) + ", not 9 to 21");
    h_.size = field<u64>(24);
    h_.crypt_method = field<u32>(32);
    h_.l1_size = field<u32>(36);
    h_.l1_table_offset = field<u64>(40);
    h_.refcount_table_offset = field<u64>(48);
    h_.refcount_table_clusters = field<u32>(56);
    h_.snapshot_count = field<u32>(60);
    h_.snapshots_offset = field<u64>(64);
    length_ = kV2Length;
    return h_.version == 2 ? success() : version_3_fields();
  }

  Status version_3_fields() {
    h_.incompatible = field<u64>(72);
    h_.compatible = field<u64>(80);
    h_.autoclear = field<u64>(88);
    h_.refcount_order = field<u32>(96);
    length_ = field<u32>(100);
    if (length_ < kV3Length || length_ % 8 != 0 || length_ > h_.cluster_size())
      return bad(file_, "header_length is " + std::to_string(length_));
    if (h_.refcount_order > 6) return bad(file_, "refcount_order is " + std::to_string(h_.refcount_order));
    head_.resize(h_.cluster_size());
    if (file_.read(0, head_) != 0) return bad(file_, "its header can't be read");
    if (length_ <= kV3Length) return success();
    const u8 type = head_[kV3Length];
    if (h_.has(kCompressionType) && type > 1)
      return bad(file_, "compression_type is " + std::to_string(type) + "; zlib and zstd are known");
    if ((type != 0) != h_.has(kCompressionType)) return bad(file_, "compression_type contradicts its feature bit");
    h_.compression = static_cast<Compression>(type);
    h_.unknown_fields.assign(head_.begin() + kFieldsEnd, head_.begin() + static_cast<std::ptrdiff_t>(length_));
    return success();
  }

  // The area ends at the backing file's name, at the end of the cluster or at the end marker.
  Status extensions() {
    head_.resize(h_.cluster_size());
    if (file_.read(0, head_) != 0) return bad(file_, "its header can't be read");
    u64 end = h_.cluster_size();
    if (backing_offset_ != 0) {
      if (backing_size_ > kMaxBackingName || backing_offset_ > end || backing_size_ > end - backing_offset_)
        return bad(file_, "the backing file's name lies outside the first cluster");
      h_.backing_file = text_of(std::span(head_).subspan(backing_offset_, backing_size_));
      if (h_.backing_file.find('\0') != std::string::npos) return bad(file_, "the backing file's name has a zero byte");
      end = std::max<u64>(backing_offset_, length_);
    }
    for (u64 at = length_; end - at >= 8;) {
      const u32 type = load_be<u32>(&head_[at]), size = load_be<u32>(&head_[at + 4]);
      if (type == 0) break;
      if (size > end - at - 8) return bad(file_, "a header extension is longer than the header");
      if (Status s = extension(type, std::span(head_).subspan(at + 8, size)); !s) return s;
      at += std::min(8 + align_up(size, 8), end - at);
    }
    return success();
  }

  Status extension(u32 type, std::span<const u8> data) {
    switch (type) {
      case kBackingFormat: h_.backing_format = text_of(data); return success();
      case kDataFileName: h_.data_file = text_of(data); return success();
      case kFeatureNames: names_.assign(data.begin(), data.end()); return success();
      case kBitmapsExtension:
        if (data.size() != 24) return bad(file_, "the bitmaps extension has a wrong length");
        h_.bitmaps = BitmapsExtension{load_be<u32>(&data[0]), load_be<u64>(&data[8]), load_be<u64>(&data[16])};
        if (h_.bitmaps->count == 0 || h_.bitmaps->count > kMaxBitmaps ||
            h_.bitmaps->directory_size > u64{kMaxBitmaps} * 1088 ||
            h_.bitmaps->directory_offset % h_.cluster_size() != 0)
          return bad(file_, "the bitmaps extension is not valid");
        return success();
      case kEncryption:
        if (data.size() != 16) return bad(file_, "the encryption header pointer has a wrong length");
        h_.encryption = EncryptionPointer{load_be<u64>(&data[0]), load_be<u64>(&data[8])};
        return success();
      default: h_.unknown_extensions.push_back({type, {data.begin(), data.end()}}); return success();
    }
  }

  Status checks() {
    const u64 cluster = h_.cluster_size();
    if (h_.extended_l2() && h_.cluster_bits < 14) return bad(file_, "extended L2 entries with clusters below 16 KiB");
    if (h_.crypt_method > 2) return bad(file_, "crypt_method is " + std::to_string(h_.crypt_method));
    if (u64{h_.l1_size} * 8 > kMaxL1Bytes) return bad(file_, "the L1 table is larger than 32 MiB");
    if (h_.l1_size < h_.l1_entries_for(h_.size)) return bad(file_, "the L1 table is too small for the disk");
    if (h_.l1_size != 0 && !placed(h_.l1_table_offset, u64{h_.l1_size} * 8)) return bad(file_, "l1_table_offset");
    if (h_.refcount_table_clusters == 0) return bad(file_, "it has no refcount table");
    if (h_.refcount_table_clusters > kMaxRefcountTableBytes / cluster)
      return bad(file_, "the refcount table is larger than 8 MiB");
    if (!placed(h_.refcount_table_offset, h_.refcount_table_clusters * cluster))
      return bad(file_, "refcount_table_offset");
    if (h_.snapshot_count > kMaxSnapshots) return bad(file_, "it has more than 65536 snapshots");
    if (h_.snapshot_count != 0 && !placed(h_.snapshots_offset, 0)) return bad(file_, "snapshots_offset");
    if (h_.has(kDataFile) && h_.snapshot_count != 0) return bad(file_, "snapshots with an external data file");
    return success();
  }

  // A table's place: cluster-aligned, not the header's, and a number that a file can have.
  bool placed(u64 offset, u64 length) const {
    return offset != 0 && offset % h_.cluster_size() == 0 && offset < (u64{1} << 62) && length < (u64{1} << 62);
  }

  File& file_;
  std::array<u8, 512> first_{};
  std::vector<u8> head_, names_;
  Header h_;
  u64 backing_offset_ = 0;
  u32 backing_size_ = 0;
  size_t length_ = 0;
};

void put(std::vector<u8>& out, u32 type, std::span<const u8> data) {
  const size_t at = out.size();
  out.resize(at + 8 + align_up(data.size(), 8));
  store_be<u32>(&out[at], type);
  store_be<u32>(&out[at + 4], static_cast<u32>(data.size()));
  std::copy(data.begin(), data.end(), out.begin() + static_cast<std::ptrdiff_t>(at + 8));
}

void put(std::vector<u8>& out, u32 type, const std::string& text) {
  if (!text.empty()) put(out, type, std::vector<u8>(text.begin(), text.end()));
}

std::vector<u8> feature_names() {
  std::vector<u8> table;
  for (const FeatureRow& f : kFeatures) {
    const size_t at = table.size();
    table.resize(at + kFeatureNameEntry);
    table[at] = f.kind;
    table[at + 1] = f.bit;
    std::copy_n(f.name, std::char_traits<char>::length(f.name), table.begin() + static_cast<std::ptrdiff_t>(at + 2));
  }
  return table;
}

}  // namespace

u64 Header::l1_entries_for(u64 bytes) const { return div_up(div_up(bytes, cluster_size()), u64{1} << l2_bits()); }

Result<Header> parse_header(File& file) { return Parser(file).run(); }

size_t header_length(const Header& h) {
  if (h.version == 2) return kV2Length;
  const size_t end = kFieldsEnd + h.unknown_fields.size();
  return h.compression == Compression::Zlib && h.unknown_fields.empty() ? kV3Length : align_up(end, 8);
}

void store_fields(const Header& h, std::span<u8> out) {
  store_be<u32>(&out[0], kMagic);
  store_be<u32>(&out[4], h.version);
  store_be<u32>(&out[20], h.cluster_bits);
  store_be<u64>(&out[24], h.size);
  store_be<u32>(&out[32], h.crypt_method);
  store_be<u32>(&out[36], h.l1_size);
  store_be<u64>(&out[40], h.l1_table_offset);
  store_be<u64>(&out[48], h.refcount_table_offset);
  store_be<u32>(&out[56], h.refcount_table_clusters);
  store_be<u32>(&out[60], h.snapshot_count);
  store_be<u64>(&out[64], h.snapshots_offset);
  if (h.version == 2) return;
  store_be<u64>(&out[72], h.incompatible);
  store_be<u64>(&out[80], h.compatible);
  store_be<u64>(&out[88], h.autoclear);
  store_be<u32>(&out[96], h.refcount_order);
  store_be<u32>(&out[100], static_cast<u32>(header_length(h)));
}

Result<std::vector<u8>> serialise_header(const Header& h, bool names) {
  std::vector<u8> out(header_length(h));
  store_fields(h, out);
  if (out.size() > kV3Length) {
    out[kV3Length] = static_cast<u8>(h.compression);
    std::copy(h.unknown_fields.begin(), h.unknown_fields.end(), out.begin() + kFieldsEnd);
  }
  // First, so that it lies in the first sector with the flag that vouches for it.
  if (h.bitmaps) {
    std::array<u8, 24> b{};
    store_be<u32>(&b[0], h.bitmaps->count);
    store_be<u64>(&b[8], h.bitmaps->directory_size);
    store_be<u64>(&b[16], h.bitmaps->directory_offset);
    put(out, kBitmapsExtension, b);
  }
  put(out, kBackingFormat, h.backing_format);
  put(out, kDataFileName, h.data_file);
  if (h.encryption) {
    std::array<u8, 16> e{};
    store_be<u64>(&e[0], h.encryption->offset);
    store_be<u64>(&e[8], h.encryption->length);
    put(out, kEncryption, e);
  }
  // The names help programs that don't know a feature; 512-byte clusters have no room for them.
  if (names && h.version >= 3 && h.cluster_bits > kMinClusterBits) put(out, kFeatureNames, feature_names());
  for (const Extension& e : h.unknown_extensions) put(out, e.type, e.data);
  out.resize(out.size() + 8);  // end of the extensions
  if (!h.backing_file.empty()) {
    store_be<u64>(&out[8], out.size());
    store_be<u32>(&out[16], static_cast<u32>(h.backing_file.size()));
    out.insert(out.end(), h.backing_file.begin(), h.backing_file.end());
  }
  if (out.size() > h.cluster_size() || h.backing_file.size() > kMaxBackingName)
    return Error{"the backing file's name is too long for the image's header", "use a shorter or a relative path"};
  out.resize(h.cluster_size());
  return out;
}

}  // namespace doppel::block::qcow2
