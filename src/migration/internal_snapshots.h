// Snapshots inside the disks: savevm, loadvm, delvm. Every disk that the guest may write to is qcow2 and gets a
// snapshot of the same name; the first one's takes the machine's state along, behind the disk. Errors are worded as
// users of QEMU know them. Any thread but the machine's own.
#pragma once
#include <string>
#include <vector>

#include "block/image_info.h"
#include "machine/machine.h"

namespace doppel::migration {

Status save_snapshot(machine::Machine& machine, const std::string& name);  // takes the place of one of that name
Status load_snapshot(machine::Machine& machine, const std::string& name);
Status delete_snapshot(machine::Machine& machine, const std::string& name);
// The same on disks that are named (by node or drive), whatever the others are: what QMP's jobs ask for. `vmstate` is
// the one of them that holds the machine's state. A snapshot of that name is not replaced.
struct ChosenDisks {
  std::string vmstate;  // not needed for deleting
  std::vector<std::string> names;
};
Status save_snapshot_on(machine::Machine& machine, const std::string& name, const ChosenDisks& disks);
Status load_snapshot_on(machine::Machine& machine, const std::string& name, const ChosenDisks& disks);
Status delete_snapshot_on(machine::Machine& machine, const std::string& name, const ChosenDisks& disks);

struct SnapshotList {
  bool possible = false;                    // a disk is there that can have snapshots
  std::vector<block::SnapshotInfo> on_all;  // on every disk: can be loaded
  struct Partial {
    std::string disk;
    std::vector<block::SnapshotInfo> rows;
  };
  std::vector<Partial> on_some;
};
SnapshotList list_snapshots(machine::Machine& machine);
std::string describe(const SnapshotList& list);  // as `info snapshots` prints it

}  // namespace doppel::migration
