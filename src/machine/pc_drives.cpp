#include "machine/pc_drives.h"

#include <cstdlib>
#include <map>

#include "block/switch.h"
#include "machine/pc_storage.h"
#include "machine/pc_virtio.h"

namespace doppel::machine {
namespace {

std::string property(const DeviceConfig& device, const std::string& name) {
  const auto it = device.properties.find(name);
  return it == device.properties.end() ? std::string() : it->second;
}

Result<DrivePlace> open_place(const DriveConfig& drive, bool is_cdrom, const std::string& default_id) {
  DrivePlace place;
  place.id = drive.id.empty() ? default_id : drive.id;
  place.device_id = drive.device_id;
  place.file = drive.file;
  place.is_cdrom = is_cdrom;
  place.given = true;
  place.is_node = drive.is_node;
  if (drive.is_node) place.node_name = drive.id;
  place.serial = drive.serial;
  place.tuning = drive.tuning;
  place.policy = std::make_shared<hw::DiskPolicy>(drive.tuning);
  if (drive.file.empty()) {
    if (!is_cdrom && drive.interface != "floppy") return Error{"a disk needs a file", "give it with file=..."};
    return place;
  }
  if (drive.node) {
    place.node = drive.node;
    return place;
  }
  block::OpenOptions options = block::open_options(drive.tuning);
  options.read_only = drive.read_only || is_cdrom;
  options.snapshot = drive.snapshot;
  options.format = drive.format;
  auto node = block::open(drive.file, options);
  if (!node.ok()) return node.error();
  place.node = options.read_only ? node.take() : std::make_shared<block::Switch>(node.take(), options);
  return place;
}

std::string ide_name(int channel, int unit, bool is_cdrom) {
  return "ide" + std::to_string(channel) + (is_cdrom ? "-cd" : "-hd") + std::to_string(unit);
}

// -device werror= and rerror= of a disk; "auto", or none: what its drive says.
Status take_error_rules(const DeviceConfig& device, block::Tuning& tuning) {
  for (const bool of_writes : {false, true}) {
    const std::string word = property(device, of_writes ? "werror" : "rerror");
    if (word.empty() || word == "auto") continue;
    auto rule = block::parse_error_rule(word, of_writes);
    if (!rule.ok()) return Error{"-device " + device.driver + ": " + rule.error().cause, rule.error().fix + ", auto"};
    (of_writes ? tuning.write_error : tuning.read_error) = *rule;
  }
  return success();
}

class Planner {
 public:
  explicit Planner(const MachineConfig& config) : config_(config) {}

  Result<PcDrives> run() {
    // Drives with a place of their own first, so that the others fill the gaps.
    for (const bool placed : {true, false}) {
      for (const DriveConfig& drive : config_.drives) {
        const bool has_place = drive.index >= 0 || drive.bus >= 0 || drive.unit >= 0;
        if (has_place != placed) continue;
        if (Status s = add_drive(drive); !s.ok()) return s.error();
      }
    }
    for (const DeviceConfig& device : config_.devices) add_controller(device);
    for (const DeviceConfig& device : config_.devices) {
      if (Status s = add_device(device); !s.ok()) return s.error();
    }
    if (!config_.no_defaults) add_defaults();
    return std::move(out_);
  }

 private:
  Status add_drive(const DriveConfig& drive) {
    if (drive.interface == "none") {
      if (!drive.id.empty()) loose_[drive.id] = drive;
      return success();
    }
    if (drive.interface == "ide") return add_ide(drive, {});
    if (drive.interface == "floppy") return add_floppy(drive, {});
    if (drive.interface == "pflash") return add_flash(drive);
    if (drive.interface == "virtio") return add_virtio(drive, {.driver = "virtio-blk-pci", .properties = {}});
    if (drive.interface == "scsi")
      return Error{"the board pc has no SCSI adapter of its own for -drive if=scsi",
                   "use -drive if=none,id=d0,... -device virtio-scsi-pci -device scsi-hd,drive=d0"};
    return Error{"-drive if=" + drive.interface + " is not built yet", "use if=ide, if=virtio or if=floppy"};
  }

  Status add_ide(const DriveConfig& drive, const DeviceConfig& device) {
    const bool is_cdrom = drive.media == "cdrom";
    int index = drive.index;
    if (index < 0 && (drive.bus >= 0 || drive.unit >= 0)) index = std::max(drive.bus, 0) * 2 + std::max(drive.unit, 0);
    if (index < 0) {
      const int from = is_cdrom && !out_.ide[1][0] ? 2 : 0;
      for (index = from; index < 4 && out_.ide[static_cast<size_t>(index) / 2][static_cast<size_t>(index) % 2];
           index++) {
      }
    }
    if (index > 3 || index < 0)
      return Error{"there is no place for another IDE drive", "the board has four: index=0 to 3"};
    auto& slot = out_.ide[static_cast<size_t>(index) / 2][static_cast<size_t>(index) % 2];
    if (slot)
      return Error{"two drives have the same place, IDE index " + std::to_string(index),
                   "give one of them another index="};
    auto place = open_place(drive, is_cdrom, ide_name(index / 2, index % 2, is_cdrom));
    if (!place.ok()) return place.error();
    slot = place.take();
    if (const std::string serial = property(device, "serial"); !serial.empty()) slot->serial = serial;
    const std::string boot = property(device, "bootindex");
    if (!boot.empty()) slot->boot_index = std::atoi(boot.c_str());
    return success();
  }

  Status add_flash(const DriveConfig& drive) {
    if (out_.flash || drive.index > 0)
      return Error{"the board has one flash: there is no place for another -drive if=pflash", "leave one out"};
    auto place = open_place(drive, false, "pflash0");
    if (!place.ok()) return place.error();
    out_.flash = place.take();
    return success();
  }

  Status add_floppy(const DriveConfig& drive, const DeviceConfig& device) {
    int index = std::max(drive.index, drive.unit);
    if (index < 0) index = out_.floppy[0] ? 1 : 0;
    if (index > 1)
      return Error{"there is no floppy drive " + std::to_string(index), "the board has two: index=0 and 1"};
    auto& slot = out_.floppy[static_cast<size_t>(index)];
    if (slot)
      return Error{"two drives have the same place, floppy " + std::to_string(index),
                   "give one of them another index="};
    DriveConfig floppy = drive;
    floppy.interface = "floppy";
    auto place = open_place(floppy, false, "floppy" + std::to_string(index));
    if (!place.ok()) return place.error();
    slot = place.take();
    const std::string boot = property(device, "bootindex");
    if (!boot.empty()) slot->boot_index = std::atoi(boot.c_str());
    return success();
  }

  Status add_virtio(DriveConfig drive, const DeviceConfig& device) {
    if (drive.id.empty()) drive.id = "virtio" + std::to_string(out_.virtio.size());
    auto disk = plan_virtio_disk(device, std::move(drive));
    if (!disk.ok()) return disk.error();
    out_.virtio.push_back(disk.take());
    return success();
  }

  void add_controller(const DeviceConfig& device) {
    if (!is_disk_controller(device.driver)) return;
    const std::string model = plan_controller(device, 0).model;
    int number = 0;
    for (const DiskController& c : out_.controllers) number += c.model == model && c.id.empty();
    out_.controllers.push_back(plan_controller(device, number));
    out_.controllers.back().index = static_cast<size_t>(&device - config_.devices.data());
  }

  static Status add_to(DiskController& controller, DriveConfig drive, BusDrive bus_drive) {
    auto planned = plan_bus_drive(controller, std::move(drive), std::move(bus_drive));
    if (!planned.ok()) return planned.error();
    controller.drives.push_back(planned.take());
    return success();
  }

  // -device ide-hd,drive=ID,bus=ide.1,unit=0
  Status add_device(const DeviceConfig& device) {
    const bool is_floppy = device.driver == "floppy";
    const auto virtio = virtio_name(device.driver);
    const bool is_virtio = virtio && virtio->model == "virtio-blk";
    const bool is_nvme = device.driver == "nvme", is_scsi = device.driver == "scsi-hd" || device.driver == "scsi-cd";
    const bool is_ide = device.driver == "ide-hd" || device.driver == "ide-cd";
    if (!is_ide && !is_floppy && !is_virtio && !is_nvme && !is_scsi) return success();
    const std::string id = property(device, "drive");
    DriveConfig drive;
    if (!id.empty()) {
      const auto it = loose_.find(id);
      if (it == loose_.end())
        return Error{"-device " + device.driver + ": there is no drive '" + id + "'",
                     "define it with -drive if=none,id=" + id + ",file=..."};
      drive = it->second;
    } else if (device.driver.ends_with("-hd") || is_virtio || is_nvme) {
      return Error{"-device " + device.driver + " needs a drive", "add drive=ID of a -drive if=none,id=ID,file=..."};
    }
    if (is_virtio) return add_virtio(drive, device);
    BusDrive bus_drive{.place = {}, .device = device};
    if (is_nvme) {
      for (DiskController& c : out_.controllers) {
        if (&device == &config_.devices[c.index]) return add_to(c, drive, std::move(bus_drive));
      }
    }
    if (is_ide || is_scsi) {
      auto found = place_drive(out_.controllers, device, bus_drive);
      if (!found.ok()) return found.error();
      if (*found != nullptr) return add_to(**found, drive, std::move(bus_drive));
    }
    const std::string own = property(device, "id"), unit = property(device, "unit"), bus = property(device, "bus");
    drive.device_id = own;
    if (id.empty() && !own.empty()) drive.id = own;
    if (!unit.empty()) drive.unit = std::atoi(unit.c_str());
    if (bus.starts_with("ide.")) drive.bus = std::atoi(bus.c_str() + 4);
    if (Status s = take_error_rules(device, drive.tuning); !s.ok()) return s;
    drive.media = device.driver == "ide-cd" ? "cdrom" : "disk";
    return is_floppy ? add_floppy(drive, device) : add_ide(drive, device);
  }

  void add_defaults() {
    if (!out_.floppy[0]) out_.floppy[0] = DrivePlace{.id = "floppy0"};
    if (!out_.ide[1][0]) out_.ide[1][0] = DrivePlace{.id = ide_name(1, 0, true), .is_cdrom = true};
  }

  const MachineConfig& config_;
  PcDrives out_;
  std::map<std::string, DriveConfig> loose_;
};

}  // namespace

Result<VirtioDisk> plan_virtio_disk(const DeviceConfig& device, DriveConfig drive) {
  if (drive.media == "cdrom") return Error{"a virtio disk is no CD drive", "use if=ide,media=cdrom"};
  drive.device_id = property(device, "id");
  if (Status s = take_error_rules(device, drive.tuning); !s.ok()) return s.error();
  auto place = open_place(drive, false, drive.id);
  if (!place.ok()) return place.error();
  const std::string boot = property(device, "bootindex");
  if (!boot.empty()) place->boot_index = std::atoi(boot.c_str());
  return VirtioDisk{place.take(), device};
}

Result<BusDrive> plan_bus_drive(const DiskController& controller, DriveConfig drive, BusDrive bus_drive) {
  const DeviceConfig& device = bus_drive.device;
  const bool is_cdrom = device.driver.ends_with("-cd");
  if (Status s = take_error_rules(device, drive.tuning); !s.ok()) return s.error();
  drive.device_id = property(device, "id");
  const std::string stem = controller.id.empty() ? controller.model : controller.id;
  auto place = open_place(drive, is_cdrom, stem + (is_cdrom ? "-cd" : "-hd") + std::to_string(bus_drive.unit));
  if (!place.ok()) return place.error();
  if (is_cdrom && drive.file.empty() && drive.id.empty() && !drive.device_id.empty()) place->id = drive.device_id;
  const std::string boot = property(device, "bootindex");
  if (!boot.empty()) place->boot_index = std::atoi(boot.c_str());
  bus_drive.place = place.take();
  return bus_drive;
}

Result<PcDrives> plan_drives(const MachineConfig& config) { return Planner(config).run(); }

}  // namespace doppel::machine
