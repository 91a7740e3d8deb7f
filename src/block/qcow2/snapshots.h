// Internal snapshots: a table of L1 tables, whose clusters are counted once more for each.
// Source: qcow2.txt, "Snapshots". While counts and flags change, the image is marked dirty (version 3), so that a power
// cut leaves an image that is repaired when it is opened; version 2 has no such mark: there counts rise before and fall
// after the table changes, and a power cut in between leaves clusters leaked and COPIED flags that disagree with
// counts.
#pragma once
#include <vector>

#include "block/image_info.h"
#include "block/qcow2/image.h"

namespace doppel::block::qcow2 {

struct Snapshot {
  SnapshotInfo info;
  u64 l1_offset = 0;
  u32 l1_size = 0;
  std::vector<u8> unknown;  // extra data behind what is known
};

struct SnapshotTable {
  std::vector<Snapshot> rows;
  u64 bytes = 0;  // that it takes in the file
};

Result<SnapshotTable> load_snapshots(Image& image);
// The L1 table of a snapshot, in host order. Error: 0 or an errno value.
int load_l1(Image& image, const Snapshot& snapshot, std::vector<u64>& l1);

Status create_snapshot(Image& image, const std::string& name);
Status apply_snapshot(Image& image, const std::string& id_or_name);
Status delete_snapshot(Image& image, const std::string& id_or_name);

// Reading goes to the snapshot's disk from now on; of an image opened read-only.
Status view_snapshot(Image& image, const std::string& id_or_name);

// The COPIED flags of all active tables, from the counts.
int update_copied_flags(Image& image);

}  // namespace doppel::block::qcow2
