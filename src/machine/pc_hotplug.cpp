// Cards that come and go while the machine runs. A card is made without any lock, put on the bus with the device lock
// held, and the guest's ACPI methods are told. One that shall go is asked for in the same way; the guest lets go of it
// by a write to a port (hw::PciHotplug), and from that instant the bus does not know it any more. Its end comes on the
// main loop (BoardMachine::bury).
#include <algorithm>
#include <chrono>

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

bool is_card(const std::string& driver) { return is_nic(driver) || virtio_name(driver).has_value(); }

// What only makes sense together with something else of the command line.
bool needs_parts(const std::string& driver) { return is_virtio_port(driver) || is_storage(driver); }

bool can_go(const hw::PciDevice* card) {
  if (const auto* virtio = dynamic_cast<const hw::VirtioPci*>(card))
    return virtio->device().traits().id != hw::virtio::kIdScsi;
  return card == nullptr || dynamic_cast<const hw::PciNic*>(card) != nullptr;
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

Status PcMachine::check_new(const DeviceConfig& device) {
  const std::string& driver = device.driver;
  if (!hotplug_) return Error{"cards can't be plugged in while the machine runs: it has no ACPI", "leave out acpi=off"};
  const std::vector<std::string> known = device_properties(driver);
  if (known.empty()) return Error{"'" + driver + "' is no device that this machine has", "-device help lists them"};
  if (!is_card(driver) || needs_parts(driver))
    return Error{"the device '" + driver + "' can't be plugged in while the machine runs",
                 "network cards and virtio-*-pci can; give others with -device"};
  for (const auto& [key, value] : device.properties) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      return Error{driver + " has no property '" + key + "'", "device-list-properties lists what it has"};
  }
  const std::string id = text_of(device, "id");
  const std::lock_guard guard(device_lock_);
  bool taken = !id.empty() && devices_by_name().contains(id);
  for (const DeviceConfig& other : config_.devices) taken |= !id.empty() && text_of(other, "id") == id;
  if (taken) return Error{"there is already a device '" + id + "'", "choose another id"};
  auto place = pci_place(text_of(device, "addr"), *pci_);
  if (!place.ok()) return place.error();
  if (hw::pci::function_of(*place) != 0)
    return Error{"a card that comes while the machine runs must be function 0 of a slot", "write addr=SLOT alone"};
  return success();
}

// The drive that the device names, not used by another one.
Result<VirtioDisk> PcMachine::disk_of(const DeviceConfig& device) {
  const std::string id = text_of(device, "drive");
  if (id.empty()) return Error{"the device " + device.driver + " needs a drive", "add drive=ID"};
  for (const DriveInfo& used : drives()) {
    if (used.id == id || used.node_name == id)
      return Error{"the drive '" + id + "' is used by " + used.path, "give the device another one"};
  }
  for (const DriveConfig& drive : config_.drives) {
    if (drive.id == id && drive.interface == "none") return plan_virtio_disk(device, drive);
  }
  return Error{"there is no drive '" + id + "'", "make it with blockdev-add or drive_add"};
}

Result<PcMachine::NewCard> PcMachine::make_card(const DeviceConfig& device) {
  NewCard card{.address = text_of(device, "addr")};
  if (is_nic(device.driver)) {
    auto nic = nic_of_device(device);
    if (!nic.ok()) return nic.error();
    auto made = make_nic(config_, *nic, clock_, device_lock_);
    if (!made.ok()) return made.error();
    card.name = made->name;
    card.device = std::move(made->device);
    return card;
  }
  const VirtioContext context{config_, clock_, device_lock_, memory_};
  if (virtio_name(device.driver)->model == "virtio-blk") {
    auto disk = disk_of(device);
    if (!disk.ok()) return disk.error();
    card.disk = disk.take();
  }
  auto made = card.disk ? make_virtio_disk(context, *card.disk) : make_virtio(context, device);
  if (!made.ok()) return made.error();
  card.device = made.take();
  card.name = text_of(device, "id");
  const std::lock_guard guard(device_lock_);
  for (int n = 0; card.name.empty() || devices_by_name().contains(card.name); n++)
    card.name = device.driver + "." + std::to_string(n);
  return card;
}

Status PcMachine::plug(const DeviceConfig& device) {
  const std::lock_guard plugging(plug_lock_);
  if (Status s = check_new(device); !s.ok()) return s;
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
    config_.devices.push_back(device);
    config_.devices.back().properties.emplace("id", card.name);
    config_.devices.back().hotplugged = true;
    if (card.disk) {
      nodes_.push_back(card.disk->place.node);
      drives_.virtio.push_back(std::move(*card.disk));
      watch_drives();
    }
    hotplug_->came(hw::pci::slot_of(place));
  });
  return attached;
}

// --- going

Status PcMachine::unplug(const std::string& id) {
  const std::lock_guard plugging(plug_lock_);
  const std::lock_guard guard(device_lock_);
  const auto it = devices_by_name().find(id);
  auto* card = it == devices_by_name().end() ? nullptr : dynamic_cast<hw::PciDevice*>(it->second);
  const bool given = std::any_of(config_.devices.begin(), config_.devices.end(),
                                 [&](const DeviceConfig& d) { return text_of(d, "id") == id; });
  if (!given) return Error{"there is no device '" + id + "'", "info qdm lists them"};
  const unsigned slot = card ? hw::pci::slot_of(card->devfn()) : 0;
  if (!card || !hotplug_ || (hotplug_slots() >> slot & 1) == 0)
    return Error{"the device '" + id + "' can't be taken out while the machine runs",
                 hotplug_ ? "network cards and virtio-*-pci can" : "leave out acpi=off"};
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
    pci_->withdraw(*card);
    std::unique_ptr<hw::Device> owned = take_device(name);
    asked_.erase(name);
    bury(std::move(owned), [this, name] { forget(name); });
  }
  hotplug_->gone(slot);
}

// The main loop: the card is no more.
void PcMachine::forget(const std::string& name) {
  std::shared_ptr<block::Node> node;  // closed without a lock
  {
    const std::lock_guard plugging(plug_lock_);
    const std::lock_guard guard(device_lock_);
    std::erase_if(config_.devices, [&](const DeviceConfig& d) { return text_of(d, "id") == name; });
    const auto disk = std::find_if(drives_.virtio.begin(), drives_.virtio.end(), [&](const VirtioDisk& d) {
      return d.place.device_id.empty() ? d.place.id == name : d.place.device_id == name;
    });
    if (disk != drives_.virtio.end()) {
      node = disk->place.node;
      std::erase(nodes_, node);
      // A -drive goes with its device; a -blockdev stays.
      std::erase_if(config_.drives, [&](const DriveConfig& d) {
        return d.interface == "none" && !d.is_node && d.id == disk->place.id;
      });
      drives_.virtio.erase(disk);
    }
  }
  if (node && !node->read_only()) node->flush([](int) {});
  node.reset();
  if (config_.network) config_.network->remove_nic(name);
  tell({.kind = MachineEvent::Kind::DeviceDeleted, .name = name, .path = "/machine/peripheral/" + name});
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
