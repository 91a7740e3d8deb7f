// Cards that come and go while the machine runs. A card is made without any lock, put on the bus with the device lock
// held, and the guest's ACPI methods are told. One that shall go is asked for in the same way; the guest lets go of it
// by a write to a port (hw::PciHotplug), and from that instant the bus does not know it any more. Its end comes on the
// main loop (BoardMachine::bury).
#include <algorithm>
#include <chrono>

#include "base/nearest.h"
#include "hw/block/ahci.h"
#include "hw/block/nvme.h"
#include "hw/net/nic.h"
#include "machine/pc.h"
#include "machine/pc_network.h"
#include "machine/pc_slots.h"
#include "machine/pc_storage.h"
#include "machine/pc_virtio.h"
#include "net/network.h"

namespace doppel::machine {
namespace {

constexpr unsigned kFirstSlot = 2;        // behind the host bridge and the PIIX3
constexpr unsigned kGpe = 1;              // PIIX4's general purpose event
constexpr s64 kAskAgain = 5'000'000'000;  // ns: a guest that was not up yet has missed the first time

s64 host_ns() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

std::string text_of(const DeviceConfig& device, const char* key) { return PropertyReader(device).text(key); }

bool is_card(const std::string& driver) {
  return is_nic(driver) || virtio_name(driver).has_value() || is_disk_controller(driver);
}

bool can_go(const hw::PciDevice* card) {
  return card == nullptr || dynamic_cast<const hw::VirtioPci*>(card) != nullptr ||
         dynamic_cast<const hw::PciNic*>(card) != nullptr || dynamic_cast<const hw::Ahci*>(card) != nullptr ||
         dynamic_cast<const hw::Nvme*>(card) != nullptr;
}

}  // namespace

void PcMachine::build_hotplug() {
  if (!config_.acpi) return;
  hotplug_ = &add<hw::PciHotplug>(
      "pci-hotplug",
      hw::PciHotplug::Params{.notify = [this] { pm_->raise_gpe(kGpe); },
                             .eject = [this](unsigned slot) { eject(slot); },
                             .report = [this](unsigned slot, u32 event, u32 status) { refused(slot, event, status); }});
  ports("pci-hotplug", hw::PciHotplug::kFirstPort, hw::PciHotplug::kPorts, *hotplug_);
  for (unsigned slot = kFirstSlot; slot < 32; slot++) {
    if ((hotplug_slots() >> slot & 1) != 0 && pci_->at(hw::pci::devfn(slot, 0))) hotplug_->set_removable(slot, true);
  }
}

// Those that are empty or have cards that may go. The DSDT names them.
u32 PcMachine::hotplug_slots() const {
  u32 slots = 0;
  for (unsigned slot = kFirstSlot; slot < 32; slot++) {
    bool all = true;
    for (unsigned f = 0; f < 8; f++) {
      all &= can_go(pci_->at(hw::pci::devfn(slot, f)));
    }
    if (all) slots |= 1u << slot;
  }
  return slots;
}

std::string PcMachine::name_of(const hw::Device* device) const {
  for (const auto& [name, known] : devices_by_name()) {
    if (known == device) return name;
  }
  return {};
}

// --- coming

// Whatever its bus is. Without the device lock.
Status PcMachine::check_new(const DeviceConfig& device) {
  const std::string& driver = device.driver;
  const std::vector<std::string> known = device_properties(driver);
  if (known.empty()) {
    const std::string near = nearest(driver, device_names());
    return Error{"'" + driver + "' is no device that this machine has",
                 near.empty() ? "-device help lists them" : "did you mean '" + near + "'?"};
  }
  for (const auto& [key, value] : device.properties) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string near = nearest(key, known);
    return Error{driver + " has no property '" + key + "'",
                 near.empty() ? "device-list-properties lists what it has" : "did you mean '" + near + "'?"};
  }
  const std::string id = text_of(device, "id");
  const std::lock_guard guard(device_lock_);
  bool taken = !id.empty() && devices_by_name().contains(id);
  for (const DeviceConfig& other : config_.devices) taken |= !id.empty() && text_of(other, "id") == id;
  if (taken) return Error{"there is already a device '" + id + "'", "choose another id"};
  return success();
}

Status PcMachine::check_card(const DeviceConfig& device) {
  if (!hotplug_) return Error{"cards can't be plugged in while the machine runs: it has no ACPI", "leave out acpi=off"};
  if (!is_card(device.driver))
    return Error{"the device '" + device.driver + "' can't be plugged in while the machine runs",
                 "network cards, virtio-*-pci, disk controllers, scsi-hd, scsi-cd and ports of virtio-serial can"};
  const std::lock_guard guard(device_lock_);
  auto place = pci_place(text_of(device, "addr"), *pci_);
  if (!place.ok()) return place.error();
  if (hw::pci::function_of(*place) != 0)
    return Error{"a card that comes while the machine runs must be function 0 of a slot", "write addr=SLOT alone"};
  return success();
}

// The drive that the device names, not used by another one.
Result<DriveConfig> PcMachine::drive_of(const DeviceConfig& device) {
  const std::string id = text_of(device, "drive");
  if (id.empty()) return Error{"the device " + device.driver + " needs a drive", "add drive=ID"};
  for (const DriveInfo& used : drives()) {
    if (used.id == id || used.node_name == id)
      return Error{"the drive '" + id + "' is used by " + used.path, "give the device another one"};
  }
  for (const DriveConfig& drive : config_.drives) {
    if (drive.id == id && drive.interface == "none") return drive;
  }
  return Error{"there is no drive '" + id + "'", "make it with blockdev-add or drive_add"};
}

// Device lock held.
std::string PcMachine::free_name(const std::string& driver) const {
  for (int n = 0;; n++) {
    const std::string name = driver + "." + std::to_string(n);
    const bool given = std::any_of(config_.devices.begin(), config_.devices.end(),
                                   [&](const DeviceConfig& d) { return text_of(d, "id") == name; });
    if (!given && !devices_by_name().contains(name)) return name;
  }
}

void PcMachine::keep_config(const DeviceConfig& device, const std::string& name) {
  config_.devices.push_back(device);
  config_.devices.back().properties.emplace("id", name);
  config_.devices.back().hotplugged = true;
}

Result<PcMachine::NewCard> PcMachine::make_card(const DeviceConfig& device) {
  NewCard card{.address = text_of(device, "addr")};
  if (is_nic(device.driver)) {
    auto nic = nic_of_device(device);
    if (!nic.ok()) return nic.error();
    auto made = make_nic(virtio_context(), *nic);
    if (!made.ok()) return made.error();
    card.name = made->name;
    card.device = std::move(made->device);
    return card;
  }
  const VirtioContext context = virtio_context();
  Result<std::unique_ptr<hw::PciDevice>> made = std::unique_ptr<hw::PciDevice>();
  const auto as_card = [](Result<std::unique_ptr<hw::VirtioPci>> v) -> Result<std::unique_ptr<hw::PciDevice>> {
    if (!v.ok()) return v.error();
    return std::unique_ptr<hw::PciDevice>(v.take());
  };
  if (is_disk_controller(device.driver)) {
    card.controller = plan_controller(device, 0);
    for (const DiskController& c : drives_.controllers) {
      if (c.model == card.controller->model && c.id.empty())
        card.controller->number = std::max(card.controller->number, c.number + 1);
    }
    if (card.controller->model == "nvme") {
      auto drive = drive_of(device);
      if (!drive.ok()) return drive.error();
      auto planned = plan_bus_drive(*card.controller, drive.take(), {.place = {}, .device = device});
      if (!planned.ok()) return planned.error();
      card.controller->drives.push_back(planned.take());
    }
    made = make_controller(context, *card.controller);
  } else if (virtio_name(device.driver)->model == "virtio-blk") {
    auto drive = drive_of(device);
    if (!drive.ok()) return drive.error();
    auto disk = plan_virtio_disk(device, drive.take());
    if (!disk.ok()) return disk.error();
    card.disk = disk.take();
    made = as_card(make_virtio_disk(context, *card.disk));
  } else {
    made = as_card(make_virtio(context, device));
  }
  if (!made.ok()) return made.error();
  card.device = made.take();
  card.name = text_of(device, "id");
  if (!card.name.empty()) return card;
  const std::lock_guard guard(device_lock_);
  card.name = free_name(device.driver);
  return card;
}

Status PcMachine::plug(const DeviceConfig& device) {
  const std::lock_guard plugging(plug_lock_);
  if (Status s = check_new(device); !s.ok()) return s;
  if (is_virtio_port(device.driver)) return plug_port(device);
  if (is_scsi_drive(device.driver) || device.driver.starts_with("ide-")) return plug_drive(device);
  return plug_card(device);
}

Status PcMachine::plug_card(const DeviceConfig& device) {
  if (Status s = check_card(device); !s.ok()) return s;
  auto made = make_card(device);
  if (!made.ok()) return made.error();
  NewCard card = made.take();
  Status attached = success();
  change_devices([&](bool runs) {
    hw::PciDevice& on_bus = *card.device;
    u8 place = 0;
    attached = attach(card.name, std::move(card.device), card.address, place);
    if (!attached.ok()) return;
    if (!runs) on_bus.sleep();
    keep_config(device, card.name);
    if (card.disk) {
      nodes_.push_back(card.disk->place.node);
      drives_.virtio.push_back(std::move(*card.disk));
    }
    if (card.controller) {
      card.controller->name = card.name;
      for (const BusDrive& d : card.controller->drives) nodes_.push_back(d.place.node);
      drives_.controllers.push_back(std::move(*card.controller));
    }
    watch_drives();
    hotplug_->came(hw::pci::slot_of(place));
  });
  return attached;
}

// --- going

Status PcMachine::unplug(const std::string& id) {
  const std::lock_guard plugging(plug_lock_);
  const auto given = std::find_if(config_.devices.begin(), config_.devices.end(),
                                  [&](const DeviceConfig& d) { return text_of(d, "id") == id; });
  if (given == config_.devices.end()) return Error{"there is no device '" + id + "'", "info qdm lists them"};
  const DeviceConfig device = *given;
  if (is_virtio_port(device.driver)) return unplug_port(id);
  if (is_scsi_drive(device.driver) || device.driver.starts_with("ide-")) return unplug_drive(device);
  return unplug_card(id);
}

Status PcMachine::unplug_card(const std::string& id) {
  const std::lock_guard guard(device_lock_);
  const auto it = devices_by_name().find(id);
  auto* card = it == devices_by_name().end() ? nullptr : dynamic_cast<hw::PciDevice*>(it->second);
  const unsigned slot = card ? hw::pci::slot_of(card->devfn()) : 0;
  if (!card || !hotplug_ || (hotplug_slots() >> slot & 1) == 0)
    return Error{"the device '" + id + "' can't be taken out while the machine runs",
                 hotplug_ ? "network cards, virtio-*-pci and disk controllers can" : "leave out acpi=off"};
  const s64 now = host_ns();
  const auto before = asked_.find(id);
  if (before != asked_.end() && now - before->second < kAskAgain)
    return Error{"the device '" + id + "' is already in the process of unplug", "wait for the guest to let go of it"};
  asked_[id] = now;
  hotplug_->ask(slot);
  return success();
}

// The guest lets go. Device lock held, on the thread of its CPU.
void PcMachine::eject(unsigned slot) {
  for (unsigned f = 0; f < 8; f++) {
    hw::PciDevice* card = pci_->at(hw::pci::devfn(slot, f));
    if (card == nullptr) continue;
    const std::string name = name_of(card);
    std::vector<std::string> ports;
    if (const hw::VirtioSerial* serial = serial_of(card)) {
      for (const hw::VirtioPort& port : serial->ports()) {
        if (!port.id.empty()) ports.push_back(port.id);
      }
    }
    pci_->withdraw(*card);
    for (DiskController& c : drives_.controllers) {
      if (c.name != name) continue;
      c.scsi = nullptr;
      for (BusDrive& d : c.drives) d.cd = nullptr;
    }
    std::unique_ptr<hw::Device> owned = take_device(name);
    asked_.erase(name);
    bury(std::move(owned), [this, name, ports] { forget(name, ports); });
  }
  hotplug_->gone(slot);
}

// A drive's device is no more: neither is its medium's use. A -drive goes with its device; a -blockdev stays. Device
// lock held. The result is for the caller to flush and close without a lock.
std::shared_ptr<block::Node> PcMachine::release(const DrivePlace& place) {
  std::shared_ptr<block::Node> node = place.node;
  std::erase(nodes_, node);
  std::erase_if(config_.drives, [&](const DriveConfig& d) {
    return d.interface == "none" && !d.is_node && !d.id.empty() && d.id == place.id;
  });
  return node;
}

// The main loop: the card is no more, and what was on its buses.
void PcMachine::forget(const std::string& name, const std::vector<std::string>& ports) {
  std::vector<std::shared_ptr<block::Node>> nodes;  // closed without a lock
  std::vector<std::string> gone = ports;
  {
    const std::lock_guard plugging(plug_lock_);
    const std::lock_guard guard(device_lock_);
    std::erase_if(config_.devices, [&](const DeviceConfig& d) {
      const std::string id = text_of(d, "id");
      return id == name || std::find(ports.begin(), ports.end(), id) != ports.end();
    });
    const auto disk = std::find_if(drives_.virtio.begin(), drives_.virtio.end(), [&](const VirtioDisk& d) {
      return d.place.device_id.empty() ? d.place.id == name : d.place.device_id == name;
    });
    if (disk != drives_.virtio.end()) {
      nodes.push_back(release(disk->place));
      drives_.virtio.erase(disk);
    }
    const auto controller = std::find_if(drives_.controllers.begin(), drives_.controllers.end(),
                                         [&](const DiskController& c) { return c.name == name; });
    if (controller != drives_.controllers.end()) {
      for (const BusDrive& d : controller->drives) {
        nodes.push_back(release(d.place));
        std::erase(config_.devices, d.device);
        if (!d.place.device_id.empty() && d.place.device_id != name) gone.push_back(d.place.device_id);
      }
      drives_.controllers.erase(controller);
    }
  }
  for (auto& node : nodes) {
    if (node && !node->read_only()) node->flush([](int) {});
    node.reset();
  }
  if (config_.network) config_.network->remove_nic(name);
  gone.push_back(name);
  for (const std::string& device : gone)
    tell({.kind = MachineEvent::Kind::DeviceDeleted, .name = device, .path = "/machine/peripheral/" + device});
}

// _OST of a request to eject (ACPI 6.4, table 6.13): 0x84 is not an end yet, all others but success are.
void PcMachine::refused(unsigned slot, u32 event, u32 status) {
  constexpr u32 kEjectRequest = 3, kOspmEject = 0x103, kInProgress = 0x84;
  if ((event != kEjectRequest && event != kOspmEject) || status == 0 || status == kInProgress) return;
  const hw::PciDevice* card = pci_->at(hw::pci::devfn(slot, 0));
  if (card == nullptr || !hotplug_->asked(slot)) return;
  const std::string name = name_of(card);
  asked_.erase(name);
  hotplug_->keep(slot);
  tell({.kind = MachineEvent::Kind::UnplugRefused, .name = name, .path = "/machine/peripheral/" + name});
}

}  // namespace doppel::machine
