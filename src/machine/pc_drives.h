// The drives of a PC from the command line: which image is on which IDE or floppy place, and what the places are
// called.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hw/block/disk_policy.h"
#include "machine/machine.h"

namespace doppel::hw {
class AtapiCd;
class VirtioScsi;
}  // namespace doppel::hw
namespace doppel::machine {

struct DrivePlace {
  std::string id;         // "ide1-cd0" or what the user called it
  std::string device_id;  // of -device id=
  std::string file;
  bool is_cdrom = false;
  std::string node_name;              // of the medium, when it is a -blockdev
  bool is_node = false;               // of -blockdev
  bool given = false;                 // by the user, not a default
  std::shared_ptr<block::Node> node;  // null: no medium
  std::string serial;
  int boot_index = -1;
  block::Tuning tuning = {};
  std::shared_ptr<hw::DiskPolicy> policy = nullptr;  // of disks
  // The medium as a disk's controller has it.
  std::shared_ptr<block::Node> disk() const { return block::tuned(node, tuning); }
};

// A disk of -drive if=virtio or -device virtio-blk-pci.
struct VirtioDisk {
  DrivePlace place;
  DeviceConfig device;
};

// A drive on the bus of a controller that -device plugs in.
struct BusDrive {
  DrivePlace place;
  DeviceConfig device;
  unsigned unit = 0, lun = 0;  // AHCI: the port; SCSI: the target
  hw::AtapiCd* cd = nullptr;   // once it is made; null: no CD drive
};
// nvme, ahci, virtio-scsi.
struct DiskController {
  DeviceConfig device;
  std::string model;
  std::string id;    // empty: none
  int number = 0;    // among those like it without an id
  size_t index = 0;  // of the -device
  std::vector<BusDrive> drives = {};
  std::string name = {};           // of the device, once it is made
  hw::VirtioScsi* scsi = nullptr;  // the same; null: another kind
};

struct PcDrives {
  std::array<std::array<std::optional<DrivePlace>, 2>, 2> ide;  // [channel][master, slave]
  std::array<std::optional<DrivePlace>, 2> floppy;
  std::optional<DrivePlace> flash;  // -drive if=pflash
  std::vector<VirtioDisk> virtio;
  std::vector<DiskController> controllers;
};

// The disk of a -device virtio-blk-* whose drive is `drive`.
Result<VirtioDisk> plan_virtio_disk(const DeviceConfig& device, DriveConfig drive);
// A drive of `controller`, whose place on it is in `bus_drive`, with the medium that `drive` names.
Result<BusDrive> plan_bus_drive(const DiskController& controller, DriveConfig drive, BusDrive bus_drive);
// Errors: files that can't be opened, places taken twice or that don't exist, interfaces that aren't there.
Result<PcDrives> plan_drives(const MachineConfig& config);

}  // namespace doppel::machine
