// The header of a qcow2 image: fields, feature bits and extensions, read and written whole.
// Source: QEMU's docs/interop/qcow2.txt, "Header" to "Bitmaps extension". Big-endian.
// Trap: what we don't know (additional fields, extensions, compatible features) is kept as it is when the header is
// written again; unknown incompatible features are refused.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "block/file.h"

namespace doppel::block::qcow2 {

constexpr u32 kMagic = 0x514649fb;  // "QFI\xfb"
constexpr unsigned kMinClusterBits = 9, kMaxClusterBits = 21;
constexpr u64 kMaxL1Bytes = 32 << 20, kMaxRefcountTableBytes = 8 << 20;
constexpr u32 kMaxSnapshots = 65536, kMaxBitmaps = 65535;
constexpr u64 kMaxSnapshotTableBytes = 64 << 20;

enum Incompatible : u64 { kDirty = 1, kCorrupt = 2, kDataFile = 4, kCompressionType = 8, kExtendedL2 = 16 };
constexpr u64 kKnownIncompatible = 31;
enum Compatible : u64 { kLazyRefcounts = 1 };
enum Autoclear : u64 { kBitmaps = 1, kRawDataFile = 2 };
constexpr u64 kKnownAutoclear = 3;

enum class Compression : u8 { Zlib = 0, Zstd = 1 };

struct Extension {
  u32 type = 0;
  std::vector<u8> data;
};

struct BitmapsExtension {
  u32 count = 0;
  u64 directory_size = 0, directory_offset = 0;
};

struct EncryptionPointer {  // "Full disk encryption header pointer"
  u64 offset = 0, length = 0;
};

struct Header {
  u32 version = 3;
  unsigned cluster_bits = 16;
  u64 size = 0;
  u32 crypt_method = 0;
  u32 l1_size = 0;  // entries
  u64 l1_table_offset = 0;
  u64 refcount_table_offset = 0;
  u32 refcount_table_clusters = 0;
  u32 snapshot_count = 0;
  u64 snapshots_offset = 0;
  u64 incompatible = 0, compatible = 0, autoclear = 0;
  unsigned refcount_order = 4;
  Compression compression = Compression::Zlib;
  std::vector<u8> unknown_fields;  // from byte 105 on
  std::string backing_file, backing_format, data_file;
  std::optional<BitmapsExtension> bitmaps;
  std::optional<EncryptionPointer> encryption;
  std::vector<Extension> unknown_extensions;

  u64 cluster_size() const { return u64{1} << cluster_bits; }
  bool has(Incompatible bit) const { return (incompatible & bit) != 0; }
  bool extended_l2() const { return has(kExtendedL2); }
  unsigned l2_entry_bits() const { return extended_l2() ? 4 : 3; }           // log2 of an entry's bytes
  unsigned l2_bits() const { return cluster_bits - l2_entry_bits(); }        // log2 of a table's entries
  unsigned block_bits() const { return cluster_bits + 3 - refcount_order; }  // log2 of a refcount block's entries
  u64 l1_entries_for(u64 bytes) const;                                       // that cover a disk
};

// Errors name what is wrong with which field.
Result<Header> parse_header(File& file);
// The header with its extensions and the backing file's name, padded to a cluster. Error: it doesn't fit in one.
// Features' names may be left out.
Result<std::vector<u8>> serialise_header(const Header& header, bool names = true);
// Puts the fields (not the extensions) into the first bytes of `out`; they lie in one sector of the disk, so that an
// update is there or not there after a power cut.
void store_fields(const Header& header, std::span<u8> out);
size_t header_length(const Header& header);

}  // namespace doppel::block::qcow2
