#include "block/qcow2/create.h"

#include <algorithm>
#include <cstring>

namespace doppel::block::qcow2 {
namespace {

struct Layout {  // in clusters
  u64 refcount_table = 0, refcount_table_clusters = 0, blocks = 0, block_clusters = 0, l1 = 0, l1_clusters = 0, end = 0;
};

Header header_for(const CreateOptions& o) {
  Header h;
  h.version = o.version;
  h.cluster_bits = o.cluster_bits != 0 ? o.cluster_bits : 16;
  h.size = align_up(o.size, 512);
  h.refcount_order = o.refcount_order;
  h.compression = o.compression;
  if (o.compression != Compression::Zlib) h.incompatible |= kCompressionType;
  if (o.extended_l2) h.incompatible |= kExtendedL2;
  if (!o.data_file.empty()) h.incompatible |= kDataFile;
  if (o.lazy_refcounts) h.compatible |= kLazyRefcounts;
  if (o.raw_data_file) h.autoclear |= kRawDataFile;
  h.backing_file = o.backing_file;
  h.backing_format = o.backing_format;
  h.data_file = o.data_file;
  h.l1_size = static_cast<u32>(std::max<u64>(h.l1_entries_for(h.size), 1));
  return h;
}

// Header, refcount table, blocks, L1 table.
Layout plan(const Header& h) {
  Layout p;
  const u64 per_table_cluster = h.cluster_size() / 8;
  p.l1_clusters = div_up(u64{h.l1_size} * 8, h.cluster_size());
  p.refcount_table = 1;
  p.refcount_table_clusters = p.block_clusters = 1;
  for (;;) {
    p.end = 1 + p.refcount_table_clusters + p.block_clusters + p.l1_clusters;
    if (p.block_clusters << h.block_bits() < p.end) {
      p.block_clusters++;
    } else if (p.refcount_table_clusters * per_table_cluster < p.block_clusters) {
      p.refcount_table_clusters++;
    } else {
      break;
    }
  }
  p.blocks = p.refcount_table + p.refcount_table_clusters;
  p.l1 = p.blocks + p.block_clusters;
  return p;
}

Error unfit(const std::string& what, const std::string& fix) { return {what, fix, 1}; }

}  // namespace

Status check_options(const CreateOptions& o) {
  const Header h = header_for(o);
  if (h.cluster_bits < kMinClusterBits || h.cluster_bits > kMaxClusterBits)
    return unfit("Cluster size must be a power of two between 512 and 2048k", "");
  if (o.size > (u64{1} << 62) || h.l1_entries_for(h.size) * 8 > kMaxL1Bytes)
    return unfit("Image size too large for cluster size", "use a larger cluster_size");
  if (o.version < 3) {
    if (o.lazy_refcounts) return unfit("Lazy refcounts need compatibility level 1.1", "use compat=1.1");
    if (o.refcount_order != 4)
      return unfit("Refcount widths other than 16 bits need compatibility level 1.1", "use compat=1.1");
    if (o.extended_l2) return unfit("Extended L2 entries need compatibility level 1.1", "use compat=1.1");
    if (o.compression != Compression::Zlib) return unfit("zstd needs compatibility level 1.1", "use compat=1.1");
    if (!o.data_file.empty()) return unfit("External data files need compatibility level 1.1", "use compat=1.1");
  }
  if (o.extended_l2 && h.cluster_bits < 14)
    return unfit("Extended L2 entries are only supported with cluster sizes of at least 16384 bytes", "");
  if (o.raw_data_file && o.data_file.empty()) return unfit("data_file_raw requires data_file", "");
  if (o.raw_data_file && !o.backing_file.empty())
    return unfit("Backing file and data_file_raw cannot be used at the same time", "");
  return success();
}

Status create(File& file, const CreateOptions& o) {
  if (Status s = check_options(o); !s) return s;
  Header h = header_for(o);
  const Layout p = plan(h);
  const u64 size = h.cluster_size();
  h.refcount_table_offset = p.refcount_table * size;
  h.refcount_table_clusters = static_cast<u32>(p.refcount_table_clusters);
  h.l1_table_offset = p.l1 * size;
  auto head = serialise_header(h);
  if (!head) return head.error();
  std::vector<u8> tables((p.l1 - p.refcount_table) * size);
  for (u64 i = 0; i < p.block_clusters; i++) store_be<u64>(&tables[i * 8], (p.blocks + i) * size);
  u8* blocks = &tables[p.refcount_table_clusters * size];
  for (u64 i = 0; i < p.end; i++)
    write_count(blocks + (i >> h.block_bits()) * size, i & mask_bits(h.block_bits()), h.refcount_order, 1);
  int error = file.truncate(0);
  if (error == 0) error = file.write(p.refcount_table * size, tables);
  if (error == 0) error = file.write_zeroes(p.l1 * size, p.l1_clusters * size);
  if (error == 0) error = file.write(0, *head);
  if (error == 0) error = file.flush();
  if (error != 0) return Error{"can't write '" + file.path() + "': " + std::strerror(error), ""};
  return success();
}

u64 metadata_size(const CreateOptions& o, u64 data) {
  const Header h = header_for(o);
  const u64 size = h.cluster_size();
  const u64 tables = div_up(div_up(h.size, size), u64{1} << h.l2_bits()) + div_up(u64{h.l1_size} * 8, size);
  const u64 fixed = 1 + tables + div_up(data, size);
  u64 blocks = 1, table = 1;
  for (;;) {
    const u64 wanted = div_up(fixed + blocks + table, u64{1} << h.block_bits());
    const u64 wanted_table = div_up(wanted, size / 8);
    if (wanted <= blocks && wanted_table <= table) break;
    blocks = std::max(blocks, wanted);
    table = std::max(table, wanted_table);
  }
  return (fixed - div_up(data, size) + blocks + table) * size;
}

}  // namespace doppel::block::qcow2
