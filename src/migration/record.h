// A snapshot in a folder: NAME/snapshot.json says what it is, NAME/state and NAME/ram hold the machine; the disks'
// layers lie beside it (block/layers.h). The folder of a machine is that of the first disk, or of the file it boots.
#pragma once
#include <string>
#include <vector>

#include "base/bits.h"
#include "block/layers.h"

namespace doppel::migration {

// How a machine was started, so that another process can start the like.
struct Launch {
  std::string folder;                  // where its snapshots are: disk.img.snapshots
  std::string arch, directory;         // x86_64; the working directory
  std::vector<std::string> arguments;  // QEMU's command line
  // Disks that a clone has in place of those that the arguments name.
  struct Replacement {
    std::string disk;  // as disk_of has it
    block::Layer by;
  };
  std::vector<Replacement> replaced;
};

struct Record {
  std::string name, parent;
  s64 date_seconds = 0, clock_ns = 0;
  enum class Ram { None /* the disks only */, File, Packed } ram = Ram::None;
  struct Disk {
    std::string disk;    // whose layer it is
    block::Layer layer;  // nobody writes to it any more
  };
  std::vector<Disk> disks;
  Launch launch;
  u64 bytes = 0;  // on the host's disk: of the state and RAM

  bool has_state() const { return ram != Ram::None; }
};

Status check_name(const std::string& name);
std::string snapshot_folder(const std::string& folder, const std::string& name);
Status write_record(const std::string& where, const Record& record);  // into the folder `where`
Result<Record> read_record(const std::string& folder, const std::string& name);
std::vector<Record> all_records(const std::string& folder);  // by date
// The snapshot that the machine's present goes back to; the one to go on from at the next start; the launch of a clone.
// Empty: none.
std::string present_parent(const std::string& folder);
Status set_present_parent(const std::string& folder, const std::string& name);
std::string pending(const std::string& folder);
Status set_pending(const std::string& folder, const std::string& name);
std::vector<std::string> clones(const std::string& folder);
Status add_clone(const std::string& folder, const std::string& file);
std::string tree(const std::string& folder);

}  // namespace doppel::migration
