// Drives and ports that come and go on the buses of cards: SCSI drives of a virtio-scsi, consoles and streams of a
// virtio-serial. Nobody is asked: the driver hears of what comes, and of what has gone. IDE has no such way, as on the
// boards that QEMU has.
#include <algorithm>

#include "hw/block/virtio_scsi.h"
#include "machine/pc.h"
#include "machine/pc_storage.h"
#include "machine/pc_virtio.h"

namespace doppel::machine {
namespace {

std::string text_of(const DeviceConfig& device, const char* key) { return PropertyReader(device).text(key); }

Error no_hotplug(const DeviceConfig& device, const std::string& bus) {
  return {"the bus '" + bus + "' does not support hotplugging: " + device.driver +
              " can't come or go while the machine runs",
          "use scsi-hd or scsi-cd on a virtio-scsi-pci, virtio-blk-pci or nvme"};
}

}  // namespace

// --- drives

// A place that was chosen by the order in which things came is written down once the order changes, so that a machine
// made anew from this configuration has them where they are. Device lock held.
void PcMachine::pin(DiskController& controller) {
  for (BusDrive& d : controller.drives) {
    const auto own = std::find(config_.devices.begin(), config_.devices.end(), d.device);
    if (own == config_.devices.end()) continue;
    own->properties.emplace("scsi-id", std::to_string(d.unit));
    d.device = *own;
  }
}

void PcMachine::pin(const hw::VirtioSerial& serial) {
  for (const hw::VirtioPort& port : serial.ports()) {
    for (DeviceConfig& d : config_.devices) {
      if (!port.id.empty() && text_of(d, "id") == port.id) d.properties.emplace("nr", std::to_string(port.number));
    }
  }
}

Status PcMachine::plug_drive(const DeviceConfig& device) {
  BusDrive planned{.place = {}, .device = device};
  auto controller = place_drive(drives_.controllers, device, planned);
  if (!controller.ok()) return controller.error();
  const std::string bus = text_of(device, "bus");
  if (*controller == nullptr || (*controller)->model != "virtio-scsi")
    return no_hotplug(device, bus.empty() ? "ide.0" : bus);
  DriveConfig drive;
  if (device.driver.ends_with("-hd") || !text_of(device, "drive").empty()) {
    auto found = drive_of(device);
    if (!found.ok()) return found.error();
    drive = found.take();
  }
  auto with_medium = plan_bus_drive(**controller, std::move(drive), std::move(planned));
  if (!with_medium.ok()) return with_medium.error();
  BusDrive& unit = *with_medium;
  auto made = make_scsi_drive(unit);
  if (!made.ok()) return made.error();
  Status plugged = success();
  change_devices([&](bool) {
    DiskController& c = **controller;
    if (c.scsi == nullptr) {  // the guest has let go of it meanwhile
      plugged = Error{"there is no SCSI bus '" + bus + "' any more", "info qdm lists the devices"};
      return;
    }
    const std::string id = text_of(device, "id"), name = id.empty() ? free_name(device.driver) : id;
    keep_config(device, name);
    unit.device = config_.devices.back();
    unit.place.device_id = name;
    if (unit.place.node) nodes_.push_back(unit.place.node);
    c.scsi->plug({static_cast<u8>(unit.unit), static_cast<u16>(unit.lun), made.take()});
    c.drives.push_back(std::move(unit));
    pin(c);
    watch_drives();
  });
  return plugged;
}

Status PcMachine::unplug_drive(const DeviceConfig& device) {
  const std::string id = text_of(device, "id");
  std::shared_ptr<block::Node> node;     // closed without a lock
  std::unique_ptr<hw::ScsiDevice> unit;  // the same
  {
    const std::lock_guard guard(device_lock_);
    for (DiskController& c : drives_.controllers) {
      const auto it =
          std::find_if(c.drives.begin(), c.drives.end(), [&](const BusDrive& d) { return d.place.device_id == id; });
      if (it == c.drives.end() || c.scsi == nullptr) continue;
      unit = c.scsi->unplug(static_cast<u8>(it->unit), static_cast<u16>(it->lun));
      node = release(it->place);
      pin(c);
      c.drives.erase(it);
      break;
    }
    if (!unit) return no_hotplug(device, text_of(device, "bus").empty() ? "ide.0" : text_of(device, "bus"));
    std::erase_if(config_.devices, [&](const DeviceConfig& d) { return text_of(d, "id") == id; });
  }
  if (node && !node->read_only()) node->flush([](int) {});
  tell({.kind = MachineEvent::Kind::DeviceDeleted, .name = id, .path = "/machine/peripheral/" + id});
  return success();
}

// --- ports

hw::VirtioSerial* PcMachine::serial_of(hw::Device* card) {
  auto* pci = dynamic_cast<hw::VirtioPci*>(card);
  return pci == nullptr ? nullptr : dynamic_cast<hw::VirtioSerial*>(&pci->device());
}

// Device lock held. Empty: any one.
hw::VirtioSerial* PcMachine::serial_of_bus(const std::string& bus) const {
  for (const auto& [name, device] : devices_by_name()) {
    hw::VirtioSerial* serial = serial_of(device);
    if (serial != nullptr && (bus.empty() || bus == name || bus == name + ".0")) return serial;
  }
  return nullptr;
}

// One that nobody else listens to.
Status PcMachine::check_chardev(const DeviceConfig& device) const {
  const std::string id = text_of(device, "chardev");
  const auto it = config_.chardevs.find(id);
  if (it == config_.chardevs.end()) return success();  // told when the port is planned
  std::string user;
  for (const DeviceConfig& other : config_.devices) {
    if (text_of(other, "chardev") == id) user = text_of(other, "id").empty() ? other.driver : text_of(other, "id");
  }
  for (size_t n = 0; n < config_.serial.size(); n++) {
    if (config_.serial[n] == it->second) user = "serial port " + std::to_string(n);
  }
  if (config_.debugcon == it->second) user = "the debug console";
  if (user.empty()) return success();
  return Error{"the character device '" + id + "' is used by " + user, "make another one with chardev-add"};
}

Status PcMachine::plug_port(const DeviceConfig& device) {
  if (Status s = check_chardev(device); !s.ok()) return s;
  Status plugged = success();
  change_devices([&](bool) {
    const std::string bus = text_of(device, "bus");
    hw::VirtioSerial* serial = serial_of_bus(bus);
    if (serial == nullptr) {
      plugged = bus.empty() ? Error{device.driver + " needs a console device", "add virtio-serial-pci first"}
                            : Error{"there is no bus '" + bus + "'", "info qdm lists the devices: bus=ID.0"};
      return;
    }
    DeviceConfig named = device;
    named.properties.emplace("id", free_name(device.driver));
    auto port = plan_port(config_, named, serial->ports(), serial->max_ports());
    if (!port.ok()) {
      plugged = port.error();
      return;
    }
    keep_config(named, text_of(named, "id"));
    serial->plug(port.take());
    pin(*serial);
  });
  return plugged;
}

Status PcMachine::unplug_port(const std::string& id) {
  {
    const std::lock_guard guard(device_lock_);
    for (const auto& [name, device] : devices_by_name()) {
      hw::VirtioSerial* serial = serial_of(device);
      if (serial == nullptr) continue;
      for (const hw::VirtioPort& port : serial->ports()) {
        if (port.id != id) continue;
        pin(*serial);
        serial->unplug(port.number);
      }
    }
    std::erase_if(config_.devices, [&](const DeviceConfig& d) { return text_of(d, "id") == id; });
  }
  tell({.kind = MachineEvent::Kind::DeviceDeleted, .name = id, .path = "/machine/peripheral/" + id});
  return success();
}

}  // namespace doppel::machine
