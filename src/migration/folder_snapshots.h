// Snapshots in a folder, of any disks: the disks get a new layer each, the state lies beside them. RAM is a file that
// is mapped when the snapshot is restored (docs/adr/0010), or packed into the state.
#pragma once
#include <functional>

#include "machine/machine.h"
#include "migration/record.h"

namespace doppel::migration {

struct SnapshotOptions {
  bool packed = false;  // RAM compressed: smaller, and slower to restore
};
// Of a running or paused machine. Any thread but its own. Errors leave the machine as it was.
Status save_to_folder(machine::Machine& machine, const Launch& launch, const std::string& name,
                      const SnapshotOptions& options = {});
Status restore_from_folder(machine::Machine& machine, const Launch& launch, const std::string& name);
// `file`: the new machine's disk, or without a disk its name; the original goes on.
Status clone_machine(machine::Machine& machine, const Launch& launch, const std::string& file);
// Before a snapshot is read that a clone begins with: its memory may still be on its way. `busy` is called when it is.
Status wait_for_snapshot(const std::string& folder, const std::string& name, const std::function<void()>& busy);
// Of a machine that has ended: what its disks' temporary overlays hold becomes a snapshot, with its state unless the
// guest had switched itself off.
Status keep_throwaway(machine::Machine& machine, const Launch& launch, const std::string& name);
// Into a machine that has not run yet, whose disks are on the snapshot's layers.
Status start_from_folder(machine::Machine& machine, const std::string& folder, const Record& record);

// Without a machine.
Status save_disks(const Launch& launch, const std::vector<block::Layer>& disks, const std::string& name);
Status clone_disks(const Launch& launch, const std::vector<block::Layer>& disks, const std::string& file);
// New layers on those of the snapshot become current. Returns what was current before.
Result<std::vector<Record::Disk>> return_disks(const Record& record);
Status delete_from_folder(const std::string& folder, const std::string& name);
// Deletes the layers that no snapshot, no clone and no present needs, and merges those that only another layer needs.
// `disks`: whose layers to look at beside those of the folder's snapshots.
void collect_layers(const std::string& folder, const std::vector<Record::Disk>& disks = {});
Status verify_in_folder(const std::string& folder, const Record& record);

}  // namespace doppel::migration
