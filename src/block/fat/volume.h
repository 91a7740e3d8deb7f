// Volume: the size and layout of a FAT file system, and its sectors that say so: partition table, boot sector,
// information sector. Source: Microsoft, "FAT: General Overview of On-Disk Format" 1.03.
#pragma once
#include <functional>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::block::fat {

constexpr u64 kSector = 512, kEntry = 32;

struct Shape {
  unsigned bits = 0;    // 12, 16 or 32; 0: what fits
  bool floppy = false;  // without a partition table
};

struct Volume {
  unsigned bits = 16;
  bool floppy = false;
  u32 hidden = 0;   // sectors before the volume: the partition table's track
  u32 sectors = 0;  // of the volume
  u32 heads = 16, track = 63;
  u32 cluster_sectors = 1, reserved = 1, root_entries = 512, fat_sectors = 0, clusters = 0;

  u64 cluster_bytes() const { return cluster_sectors * kSector; }
  u64 disk_bytes() const { return (u64{hidden} + sectors) * kSector; }
  // Places on the disk, in bytes.
  u64 fat_at(unsigned copy) const { return (u64{hidden} + reserved + u64{copy} * fat_sectors) * kSector; }
  u64 root_at() const { return fat_at(2); }  // not of FAT32, whose root is in clusters
  u64 cluster_at(u32 cluster) const {
    return root_at() + u64{root_entries} * kEntry + u64{cluster - 2} * cluster_bytes();
  }
};

// `needed` tells how many clusters the content takes for a size of a cluster, ~0: too many entries in the root.
Result<Volume> choose_volume(const Shape& shape, const std::function<u64(const Volume&)>& needed);

using Sector = std::vector<u8>;
Sector partition_table(const Volume& v);
Sector boot_sector(const Volume& v);
Sector information_sector(u32 free, u32 next);
void put_fat_entry(std::vector<u8>& fat, unsigned bits, u32 index, u32 value);  // grows it

}  // namespace doppel::block::fat
