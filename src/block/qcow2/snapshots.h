// Internal snapshots: a table of L1 tables, whose clusters are counted once more for each.
// Source: qcow2.txt, "Snapshots". While counts and flags change, the image is marked dirty (version 3), so that a power
// cut leaves an image that is repaired when it is opened; version 2 has no such mark: there counts rise before and fall
// after the table changes, and a power cut in between leaves clusters leaked and COPIED flags that disagree with
// counts.
#pragma once
#include <optional>
#include <span>
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

// What a snapshot says of the machine whose disk it is.
struct MachineFacts {
  u64 state_bytes = 0;  // that write_vm_state has written
  u64 clock_ns = 0;
  std::optional<u64> icount = 0;
};
Status create_snapshot(Image& image, const std::string& name, const MachineFacts& machine = {});
Status apply_snapshot(Image& image, const std::string& id_or_name);
Status delete_snapshot(Image& image, const std::string& id_or_name);

// A machine's state lies behind the disk, where the L1 table's next entry begins ("VM state" in qcow2.txt's words). It
// is written there first; the snapshot that is created next takes it along. Errno values.
int write_vm_state(Image& image, u64 offset, std::span<const u8> data);
// Of a snapshot whose L1 table is `l1`.
int read_vm_state(Image& image, const Snapshot& snapshot, std::vector<u64>& l1, u64 offset, std::span<u8> data);

// Reading goes to the snapshot's disk from now on; of an image opened read-only.
Status view_snapshot(Image& image, const std::string& id_or_name);

// The COPIED flags of all active tables, from the counts.
int update_copied_flags(Image& image);

}  // namespace doppel::block::qcow2
