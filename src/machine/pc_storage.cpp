#include "machine/pc_storage.h"

#include <algorithm>
#include <cstdlib>

#include "hw/block/ahci.h"
#include "hw/block/ata_disk.h"
#include "hw/block/atapi_cd.h"
#include "hw/block/nvme.h"
#include "hw/block/scsi_cd.h"
#include "hw/block/scsi_disk.h"
#include "hw/block/virtio_scsi.h"
#include "machine/pc_slots.h"

namespace doppel::machine {
namespace {

constexpr u32 kClassScsi = 0x010000;
constexpr int kBoardIdeBuses = 2;  // ide.0 and ide.1

std::string controller_model(const std::string& driver) {
  if (driver == "nvme") return "nvme";
  if (driver == "ahci" || driver == "ich9-ahci") return "ahci";
  if (const auto name = virtio_name(driver); name && name->model == "virtio-scsi") return "virtio-scsi";
  return {};
}

// "ID.N" or "STEM.N": N, or -1.
int bus_number(const std::string& bus, const std::string& stem) {
  if (!bus.starts_with(stem + ".") || bus.size() == stem.size() + 1) return -1;
  const std::string digits = bus.substr(stem.size() + 1);
  if (digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string::npos) return -1;
  return std::atoi(digits.c_str());
}

// The port that a bus= means on an AHCI controller; -1: another bus.
int ahci_port(const DiskController& c, const std::string& bus) {
  const int n = c.id.empty() ? bus_number(bus, "ide") - kBoardIdeBuses - c.number * static_cast<int>(hw::ahci::kPorts)
                             : bus_number(bus, c.id);
  return n >= 0 && n < static_cast<int>(hw::ahci::kPorts) ? n : -1;
}

bool is_scsi_bus(const DiskController& c, const std::string& bus) {
  if (bus.empty()) return true;
  return c.id.empty() ? bus == "scsi." + std::to_string(c.number) : bus == c.id + ".0" || bus == c.id;
}

bool taken(const DiskController& c, unsigned unit, unsigned lun) {
  return std::any_of(c.drives.begin(), c.drives.end(),
                     [&](const BusDrive& d) { return d.unit == unit && d.lun == lun; });
}

Error no_bus(const DeviceConfig& device, const std::string& bus) {
  if (is_scsi_drive(device.driver))
    return {"-device " + device.driver + ": there is no SCSI bus" + (bus.empty() ? "" : " '" + bus + "'"),
            "add -device virtio-scsi-pci,id=scsi0 before it, and bus=scsi0.0"};
  return {"-device " + device.driver + ": there is no bus '" + bus + "'",
          "the board has ide.0 and ide.1; -device ahci,id=ahci adds ahci.0 to ahci.5"};
}

Result<DiskController*> place_on_ahci(DiskController& c, PropertyReader& p, BusDrive& drive, int port) {
  drive.unit = static_cast<unsigned>(port);
  p.number("unit", 0, 0, 0);
  if (taken(c, drive.unit, 0)) p.fail("bus=" + p.text("bus") + " has a drive already", "use another bus=");
  if (p.error()) return *p.error();
  return &c;
}

Result<DiskController*> place_on_scsi(DiskController& c, PropertyReader& p, BusDrive& drive) {
  p.number("channel", 0, 0, 0);
  drive.lun = static_cast<unsigned>(p.number("lun", 0, 0, hw::ScsiBus::kUnits - 1));
  while (drive.unit < hw::ScsiBus::kTargets && taken(c, drive.unit, drive.lun)) drive.unit++;
  drive.unit = static_cast<unsigned>(p.number("scsi-id", drive.unit, 0, hw::ScsiBus::kTargets - 1));
  if (drive.unit >= hw::ScsiBus::kTargets || taken(c, drive.unit, drive.lun))
    p.fail("its place on the SCSI bus is taken", "give another scsi-id= or lun=");
  if (p.error()) return *p.error();
  return &c;
}

std::mutex* lock_of(const VirtioContext& context) { return context.repeatable() ? nullptr : &context.device_lock; }

std::string serial_of(PropertyReader& p, size_t most, const std::string& otherwise) {
  const std::string serial = p.text("serial", otherwise);
  if (serial.size() > most) p.fail("serial= is longer than " + std::to_string(most) + " characters", "shorten it");
  return serial;
}

void check_bus(PropertyReader& p) {
  if (const std::string bus = p.text("bus", "pci.0"); bus != "pci.0")
    p.fail("there is no PCI bus '" + bus + "'", "the board has pci.0");
}

Result<std::unique_ptr<hw::PciDevice>> make_nvme(const VirtioContext& context, DiskController& c) {
  PropertyReader p(c.device);
  check_bus(p);
  const DrivePlace& place = c.drives.front().place;
  hw::Nvme::Params n{.node = place.disk(), .device_lock = lock_of(context), .policy = place.policy};
  n.serial = serial_of(p, 20, place.serial);
  if (n.serial.empty()) p.fail("it needs a serial number", "add serial=TEXT");
  n.io_queues = static_cast<u16>(p.number("max_ioqpairs", 64, 1, 1024));
  if (p.error()) return *p.error();
  return std::unique_ptr<hw::PciDevice>(std::make_unique<hw::Nvme>(std::move(n)));
}

Result<std::unique_ptr<hw::PciDevice>> make_ahci(const VirtioContext& context, DiskController& c) {
  PropertyReader own(c.device);
  check_bus(own);
  if (own.error()) return *own.error();
  hw::Ahci::Params a{.device_lock = lock_of(context)};
  for (BusDrive& d : c.drives) {
    PropertyReader p(d.device);
    const std::string serial =
        serial_of(p, 20, d.place.serial.empty() ? "DPA000" + std::to_string(d.unit + 1) : d.place.serial);
    if (p.error()) return *p.error();
    if (d.place.is_cdrom) {
      auto cd = std::make_unique<hw::AtapiCd>(hw::AtapiCd::Params{.node = d.place.node, .serial = serial});
      d.cd = cd.get();
      a.drives[d.unit] = std::move(cd);
    } else {
      a.drives[d.unit] = std::make_unique<hw::AtaDisk>(
          hw::AtaDisk::Params{.node = d.place.disk(), .serial = serial, .policy = d.place.policy, .sata = true});
    }
  }
  return std::unique_ptr<hw::PciDevice>(std::make_unique<hw::Ahci>(std::move(a)));
}

Result<std::unique_ptr<hw::PciDevice>> make_virtio_scsi(const VirtioContext& context, DiskController& c) {
  PropertyReader p(c.device);
  hw::VirtioScsi::Params s{.clock = context.clock, .device_lock = lock_of(context)};
  s.queues = static_cast<u16>(p.number("num_queues", std::min<u32>(context.config.cpus, 64), 1, 256));
  s.queue_size = static_cast<u16>(p.number("virtqueue_size", 256, 16, 1024));
  if (!std::has_single_bit(s.queue_size)) p.fail("virtqueue_size must be a power of two", "256 is the default");
  s.max_sectors = static_cast<u32>(p.number("max_sectors", 0xffff, 8, 0xffff));
  s.commands_per_lun = static_cast<u32>(p.number("cmd_per_lun", 128, 1, 1024));
  s.event_idx = p.is_on("event_idx", true);
  s.indirect = p.is_on("indirect_desc", true);
  if (p.error()) return *p.error();
  for (BusDrive& d : c.drives) {
    auto unit = make_scsi_drive(d);
    if (!unit.ok()) return unit.error();
    s.units.push_back({static_cast<u8>(d.unit), static_cast<u16>(d.lun), unit.take()});
  }
  const unsigned vectors = s.queues + 3u;
  auto device = std::make_unique<hw::VirtioScsi>(std::move(s));
  c.scsi = device.get();
  auto made = on_pci(p, std::move(device), kClassScsi, vectors);
  if (!made.ok()) return made.error();
  return std::unique_ptr<hw::PciDevice>(made.take());
}

}  // namespace

const std::vector<StorageModel>& storage_models() {
  static const std::vector<StorageModel> rows = {
      {"nvme",
       "PCI",
       "NVMe disk: drive=, serial=, bootindex=",
       {"drive", "serial", "max_ioqpairs", "bootindex", "addr", "bus"}},
      {"ahci", "PCI", "SATA controller (ICH9) with buses ID.0 to ID.5 for ide-hd and ide-cd", {"addr", "bus"}},
      {"ich9-ahci", "PCI", "SATA controller (ICH9) with buses ID.0 to ID.5 for ide-hd and ide-cd", {"addr", "bus"}},
      {"scsi-hd",
       "SCSI",
       "SCSI disk: drive=, bus=, scsi-id=, lun=, serial=, bootindex=",
       {"drive", "bus", "channel", "scsi-id", "lun", "serial", "device_id", "vendor", "product", "ver", "wwn",
        "removable", "bootindex", "werror", "rerror"}},
      {"scsi-cd",
       "SCSI",
       "SCSI CD-ROM drive: drive=, bus=, scsi-id=, lun=, bootindex=",
       {"drive", "bus", "channel", "scsi-id", "lun", "serial", "vendor", "product", "ver", "bootindex"}},
  };
  return rows;
}

bool is_disk_controller(const std::string& driver) { return !controller_model(driver).empty(); }
bool is_scsi_drive(const std::string& driver) { return driver == "scsi-hd" || driver == "scsi-cd"; }
bool is_storage(const std::string& driver) { return is_disk_controller(driver) || is_scsi_drive(driver); }

DiskController plan_controller(const DeviceConfig& device, int number) {
  const PropertyReader p(device);
  return {.device = device, .model = controller_model(device.driver), .id = p.text("id"), .number = number};
}

Result<DiskController*> place_drive(std::vector<DiskController>& all, const DeviceConfig& device, BusDrive& drive) {
  PropertyReader p(device);
  const std::string bus = p.text("bus");
  const bool scsi = is_scsi_drive(device.driver);
  if (!scsi && (bus.empty() || bus == "ide.0" || bus == "ide.1")) return nullptr;
  for (DiskController& c : all) {
    if (scsi && c.model == "virtio-scsi" && is_scsi_bus(c, bus)) return place_on_scsi(c, p, drive);
    const int port = !scsi && c.model == "ahci" ? ahci_port(c, bus) : -1;
    if (port >= 0) return place_on_ahci(c, p, drive, port);
  }
  return no_bus(device, bus);
}

Result<std::unique_ptr<hw::PciDevice>> make_controller(const VirtioContext& context, DiskController& controller) {
  if (controller.model == "nvme") return make_nvme(context, controller);
  return controller.model == "ahci" ? make_ahci(context, controller) : make_virtio_scsi(context, controller);
}

Result<std::unique_ptr<hw::ScsiDevice>> make_scsi_drive(BusDrive& d) {
  PropertyReader p(d.device);
  const std::string serial = serial_of(p, 36, d.place.serial);
  const std::string vendor = p.text("vendor", "DOPPEL"), version = p.text("ver", "1.0");
  if (vendor.size() > 8) p.fail("vendor= is longer than 8 characters", "shorten it");
  if (version.size() > 4) p.fail("ver= is longer than 4 characters", "shorten it");
  if (d.place.is_cdrom) {
    if (p.error()) return *p.error();
    const std::string product = p.text("product", "DVD-ROM");
    auto cd = std::make_unique<hw::ScsiCd>(hw::AtapiCd::Params{
        .node = d.place.node, .serial = serial, .model = vendor + " " + product, .firmware = version});
    d.cd = &cd->drive();
    return std::unique_ptr<hw::ScsiDevice>(std::move(cd));
  }
  hw::ScsiDisk::Params s{.node = d.place.disk(), .serial = serial, .vendor = vendor, .version = version};
  s.product = p.text("product", "HARDDISK");
  if (s.product.size() > 16) p.fail("product= is longer than 16 characters", "shorten it");
  s.device_id = p.text("device_id");
  if (s.device_id.size() > 235) p.fail("device_id= is longer than 235 characters", "shorten it");
  s.wwn = p.number("wwn", 0, 0, ~u64{0});
  s.removable = p.is_on("removable", false);
  s.policy = d.place.policy;
  if (p.error()) return *p.error();
  return std::unique_ptr<hw::ScsiDevice>(std::make_unique<hw::ScsiDisk>(std::move(s)));
}

std::vector<std::pair<int, std::string>> boot_paths(const DiskController& controller, u8 devfn) {
  std::vector<std::pair<int, std::string>> out;
  for (const BusDrive& d : controller.drives) {
    if (d.place.boot_index < 0) continue;
    char rest[60];
    const char* kind = "scsi";
    if (controller.model == "nvme") {
      kind = "nvme";
      std::snprintf(rest, sizeof rest, "/namespace@1,0");
    } else if (controller.model == "ahci") {
      kind = "pci8086,2922";
      std::snprintf(rest, sizeof rest, "/drive@%x/disk@0", d.unit);
    } else {
      std::snprintf(rest, sizeof rest, "/channel@0/disk@%x,%x", d.unit, d.lun);
    }
    out.emplace_back(d.place.boot_index, pci_boot_path(kind, devfn, rest));
  }
  return out;
}

}  // namespace doppel::machine
