// The cards that the command line plugs into the PCI bus: network cards and virtio devices.
#include "machine/pc.h"
#include "machine/pc_network.h"
#include "machine/pc_slots.h"
#include "machine/pc_virtio.h"

namespace doppel::machine {

Status PcMachine::plug(const std::string& name, std::unique_ptr<hw::PciDevice> device, const std::string& address,
                       u8& place) {
  auto found = pci_place(address, *pci_);
  if (!found.ok()) return found.error();
  place = *found;
  pci_->attach(place, *device);
  register_device(name, std::move(device));
  return success();
}

Status PcMachine::build_network() {
  auto nics = plan_nics(config_);
  if (!nics.ok()) return nics.error();
  for (NicConfig& nic : *nics) {
    auto card = make_nic(config_, nic, clock_, device_lock_);
    if (!card.ok()) return card.error();
    u8 place;
    if (Status s = plug(card->name, std::move(card->device), nic.address, place); !s.ok()) return s;
    if (nic.boot_index >= 0)
      pci_boot_.emplace_back(nic.boot_index, pci_boot_path("ethernet", place, "/ethernet-phy@0"));
  }
  return success();
}

Status PcMachine::build_virtio() {
  const VirtioContext context{config_, clock_, device_lock_};
  std::map<std::string, int> numbers;
  const auto add_one = [&](Result<std::unique_ptr<hw::VirtioPci>> made, const DeviceConfig& device, u8& place) {
    if (!made.ok()) return Status(made.error());
    const PropertyReader p(device);
    const std::string stem = device.driver, id = p.text("id");
    const std::string name = id.empty() ? stem + "." + std::to_string(numbers[stem]++) : id;
    return plug(name, made.take(), p.text("addr"), place);
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
    if (!name || name->model == "virtio-blk" || is_nic(device.driver)) continue;
    if (Status s = add_one(make_virtio(context, device), device, place); !s.ok()) return s;
  }
  return success();
}

}  // namespace doppel::machine
