// The cards that the command line plugs into the PCI bus: network cards and virtio devices.
#include <algorithm>

#include "hw/bus/usb/piix3_uhci.h"
#include "hw/misc/virtio_balloon.h"
#include "machine/pc.h"
#include "machine/pc_network.h"
#include "machine/pc_slots.h"
#include "machine/pc_storage.h"
#include "machine/pc_virtio.h"

namespace doppel::machine {

Status PcMachine::attach(const std::string& name, std::unique_ptr<hw::PciDevice> device, const std::string& address,
                         u8& place) {
  auto found = pci_place(address, *pci_);
  if (!found.ok()) return found.error();
  place = *found;
  pci_->attach(place, *device);
  register_device(name, std::move(device));
  return success();
}

Status PcMachine::build_network() {
  auto nics = plan_nics(config_, "e1000");
  if (!nics.ok()) return nics.error();
  for (NicConfig& nic : *nics) {
    auto card = make_nic(virtio_context(), nic);
    if (!card.ok()) return card.error();
    u8 place;
    if (Status s = attach(card->name, std::move(card->device), nic.address, place); !s.ok()) return s;
    if (nic.boot_index >= 0)
      pci_boot_.emplace_back(nic.boot_index, pci_boot_path("ethernet", place, "/ethernet-phy@0"));
  }
  return success();
}

Status PcMachine::build_storage() {
  const VirtioContext context = virtio_context();
  std::map<std::string, int> numbers;
  for (DiskController& c : drives_.controllers) {
    auto made = make_controller(context, c);
    if (!made.ok()) return made.error();
    const std::string& stem = c.device.driver;
    const std::string name = c.id.empty() ? stem + "." + std::to_string(numbers[stem]++) : c.id;
    u8 place;
    if (Status s = attach(name, made.take(), PropertyReader(c.device).text("addr"), place); !s.ok()) return s;
    c.name = name;
    for (const BusDrive& d : c.drives) {
      if (d.place.node) nodes_.push_back(d.place.node);
    }
    for (auto& path : boot_paths(c, place)) pci_boot_.push_back(std::move(path));
  }
  return success();
}

Status PcMachine::build_virtio() {
  const VirtioContext context = virtio_context();
  std::map<std::string, int> numbers;
  const auto add_one = [&](Result<std::unique_ptr<hw::VirtioPci>> made, const DeviceConfig& device, u8& place) {
    if (!made.ok()) return Status(made.error());
    const PropertyReader p(device);
    const std::string stem = device.driver, id = p.text("id");
    const std::string name = id.empty() ? stem + "." + std::to_string(numbers[stem]++) : id;
    return attach(name, made.take(), p.text("addr"), place);
  };
  u8 place;
  for (const VirtioDisk& disk : drives_.virtio) {
    if (Status s = add_one(make_virtio_disk(context, disk), disk.device, place); !s.ok()) return s;
    nodes_.push_back(disk.place.node);
    if (disk.place.boot_index >= 0)
      pci_boot_.emplace_back(disk.place.boot_index, pci_boot_path("scsi", place, "/disk@0,0"));
  }
  for (const DeviceConfig& device : config_.devices) {
    const auto name = virtio_name(device.driver);
    if (!name || name->model == "virtio-blk" || is_nic(device.driver) || is_disk_controller(device.driver)) continue;
    if (Status s = add_one(make_virtio(context, device), device, place); !s.ok()) return s;
  }
  for (const DeviceConfig& device : config_.devices) {
    if (device.driver != "piix3-usb-uhci") continue;
    const PropertyReader p(device);
    const std::string name = p.text("id").empty() ? "usb" : p.text("id");
    if (p.text("bus", "pci.0") != "pci.0")
      return Error{"there is no PCI bus '" + p.text("bus") + "'", "the board has pci.0"};
    if (devices_by_name().contains(name))
      return Error{"there are two devices '" + name + "'", "give one of them another id="};
    if (Status s = attach(name, std::make_unique<hw::Piix3Uhci>(clock_), p.text("addr"), place); !s.ok()) return s;
  }
  return check_ports();
}

// Every port has a console device that takes it.
Status PcMachine::check_ports() const {
  bool any = false;
  std::vector<std::string> buses;
  for (const DeviceConfig& device : config_.devices) {
    const auto name = virtio_name(device.driver);
    if (!name || name->model != "virtio-serial") continue;
    any = true;
    const std::string id = PropertyReader(device).text("id");
    if (!id.empty()) buses.insert(buses.end(), {id, id + ".0"});
  }
  for (const DeviceConfig& device : config_.devices) {
    if (!is_virtio_port(device.driver)) continue;
    const std::string bus = PropertyReader(device).text("bus");
    if (!any) return Error{"-device " + device.driver + " needs a console device", "add -device virtio-serial-pci"};
    if (!bus.empty() && std::find(buses.begin(), buses.end(), bus) == buses.end())
      return Error{"there is no bus '" + bus + "'", "give the console device a name: -device virtio-serial-pci,id=vs"};
  }
  return success();
}

// --- the balloon

hw::VirtioBalloon* PcMachine::balloon() const {
  for (const auto& [name, device] : devices_by_name()) {
    if (auto* card = dynamic_cast<hw::VirtioPci*>(device)) {
      if (auto* found = dynamic_cast<hw::VirtioBalloon*>(&card->device())) return found;
    }
  }
  return nullptr;
}

namespace {
const Error kNoBalloon{"this machine has no balloon", "add -device virtio-balloon-pci"};
}

Status PcMachine::set_balloon(u64 bytes) {
  const std::lock_guard guard(device_lock_);
  hw::VirtioBalloon* b = balloon();
  if (b == nullptr) return kNoBalloon;
  b->set_target(bytes);
  return success();
}

Result<u64> PcMachine::balloon_bytes() {
  const std::lock_guard guard(device_lock_);
  hw::VirtioBalloon* b = balloon();
  if (b == nullptr) return kNoBalloon;
  return b->actual();
}

Result<std::vector<u64>> PcMachine::balloon_stats() {
  const std::lock_guard guard(device_lock_);
  hw::VirtioBalloon* b = balloon();
  if (b == nullptr) return kNoBalloon;
  std::vector<u64> out;
  for (unsigned tag = 0; tag < hw::VirtioBalloon::kStats; tag++) out.push_back(b->stat(tag));
  b->refresh_stats();
  return out;
}

}  // namespace doppel::machine
