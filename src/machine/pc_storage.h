// The disk controllers that -device plugs into a PC's PCI bus, NVMe, AHCI and virtio-scsi, with the drives on their
// buses. Names and properties are QEMU's.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "hw/block/scsi_device.h"
#include "hw/bus/pci/pci_device.h"
#include "machine/machine.h"
#include "machine/pc_drives.h"
#include "machine/pc_virtio.h"

namespace doppel::machine {

// What -device help says of them, and of scsi-hd and scsi-cd.
struct StorageModel {
  const char* name;
  const char* bus;
  const char* description;
  std::vector<std::string> properties;  // beside id=
};
const std::vector<StorageModel>& storage_models();
bool is_disk_controller(const std::string& driver);  // virtio-scsi under all its names too
bool is_scsi_drive(const std::string& driver);       // scsi-hd, scsi-cd
bool is_storage(const std::string& driver);          // a controller or a SCSI drive

// A controller without drives yet. `number`: of those like it that have no id before it.
DiskController plan_controller(const DeviceConfig& device, int number);
// The controller and the place on it that a drive's bus=, unit=, scsi-id= and lun= mean. Null: the board's own IDE.
Result<DiskController*> place_drive(std::vector<DiskController>& all, const DeviceConfig& device, BusDrive& drive);

// The device, and in `controller` what belongs to its drives.
Result<std::unique_ptr<hw::PciDevice>> make_controller(const VirtioContext& context, DiskController& controller);
// A drive for a SCSI bus, and in `drive` what belongs to it.
Result<std::unique_ptr<hw::ScsiDevice>> make_scsi_drive(BusDrive& drive);
// Open Firmware paths of drives with a boot index, for the firmware.
std::vector<std::pair<int, std::string>> boot_paths(const DiskController& controller, u8 devfn);

}  // namespace doppel::machine
