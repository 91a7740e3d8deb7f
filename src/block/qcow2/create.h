// A new qcow2 image.
#pragma once
#include "block/qcow2/image.h"

namespace doppel::block::qcow2 {

enum class Preallocation { Off, Metadata, Falloc, Full };

struct CreateOptions {
  u64 size = 0;
  u32 version = 3;
  unsigned cluster_bits = 0;  // 0: 16, or what extended entries want
  unsigned refcount_order = 4;
  bool lazy_refcounts = false, extended_l2 = false, raw_data_file = false;
  Compression compression = Compression::Zlib;
  std::string backing_file, backing_format, data_file;
  Preallocation preallocation = Preallocation::Off;
};

// What doesn't go together is said by name.
Status check_options(const CreateOptions& options);
// Writes the tables of an empty image to an empty file.
Status create(File& file, const CreateOptions& options);
// Bytes of all tables of a new image, with `data` bytes of clusters in it.
u64 metadata_size(const CreateOptions& options, u64 data);

}  // namespace doppel::block::qcow2
