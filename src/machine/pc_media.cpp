// The drives and the PCI functions of the `pc` board as the monitor sees them, and changes of media while it runs.
#include <algorithm>

#include "block/switch.h"
#include "hw/block/virtio_scsi.h"
#include "machine/pc.h"

namespace doppel::machine {
namespace {

std::string ide_name(size_t channel, size_t unit, const DrivePlace& place) {
  return "ide" + std::to_string(channel) + (place.is_cdrom ? "-cd" : "-hd") + std::to_string(unit);
}

std::string drive_path(const DrivePlace& place, const std::string& name) {
  return place.device_id.empty() ? "/machine/unattached/" + name : "/machine/peripheral/" + place.device_id;
}

bool is_called(const DrivePlace& place, const std::string& name, const std::string& id) {
  return id == place.id || id == name || (!id.empty() && id == place.device_id) || id == drive_path(place, name);
}

void show_tray(DriveInfo& info, const hw::AtapiCd& cd) {
  info.has_tray = true;
  info.tray_open = cd.tray_open();
  info.locked = cd.locked();
}

Error no_drive(const std::string& id) { return {"there is no drive '" + id + "'", "info block lists them"}; }
Error locked(const std::string& id) {
  return {"the guest has locked the drive '" + id + "'", "unmount the disc in the guest, or eject -f " + id};
}

}  // namespace

// What becomes of a disk's failed requests is told, and stops the machine where the drive's rules say so.
void PcMachine::watch_drives() {
  const auto watch = [this](const DrivePlace& place, const std::string& name) {
    if (place.is_cdrom || place.policy == nullptr) return;
    place.policy->on_error = [this, id = place.id, path = drive_path(place, name)](bool is_read, int error,
                                                                                   hw::DiskPolicy::Action action) {
      tell({.kind = MachineEvent::Kind::BlockError,
            .name = id,
            .path = path,
            .error = error,
            .is_read = is_read,
            .action = static_cast<MachineEvent::Action>(action)});
      if (action == hw::DiskPolicy::Action::Stop) request_io_error();
    };
  };
  for (size_t channel = 0; channel < 2; channel++) {
    for (size_t unit = 0; unit < 2; unit++) {
      if (const auto& place = drives_.ide[channel][unit]) watch(*place, ide_name(channel, unit, *place));
    }
  }
  for (const VirtioDisk& disk : drives_.virtio) watch(disk.place, disk.place.id);
  for (const DiskController& c : drives_.controllers) {
    for (const BusDrive& d : c.drives) watch(d.place, d.place.id);
  }
}

PcMachine::Slot PcMachine::find_slot(const std::string& id) {
  for (size_t channel = 0; channel < 2; channel++) {
    for (size_t unit = 0; unit < 2; unit++) {
      auto& place = drives_.ide[channel][unit];
      if (!place) continue;
      const std::string name = ide_name(channel, unit, *place);
      if (is_called(*place, name, id)) return {&*place, cd_at(channel, unit), -1, drive_path(*place, name)};
    }
  }
  for (size_t n = 0; n < 2; n++) {
    auto& place = drives_.floppy[n];
    const std::string name = "floppy" + std::to_string(n);
    if (place && is_called(*place, name, id)) return {&*place, nullptr, static_cast<int>(n), drive_path(*place, name)};
  }
  for (VirtioDisk& disk : drives_.virtio) {
    if (is_called(disk.place, disk.place.id, id))
      return {&disk.place, nullptr, -1, drive_path(disk.place, disk.place.id)};
  }
  for (DiskController& controller : drives_.controllers) {
    for (BusDrive& d : controller.drives) {
      if (is_called(d.place, d.place.id, id))
        return {&d.place, d.cd, -1, drive_path(d.place, d.place.id), controller.scsi, d.unit, d.lun};
    }
  }
  return {};
}

hw::AtapiCd* PcMachine::cd_at(size_t channel, size_t unit) const {
  return dynamic_cast<hw::AtapiCd*>(ide_->drive(static_cast<unsigned>(channel), static_cast<unsigned>(unit)));
}

// Device lock held.
void PcMachine::Slot::medium_changed() const {
  if (scsi != nullptr) scsi->medium_changed(static_cast<u8>(unit), static_cast<u16>(lun));
}

Status PcMachine::change_medium(const std::string& id, const std::string& file, const MediumOptions& wanted) {
  const std::lock_guard plugging(plug_lock_);
  Slot slot = find_slot(id);
  if (!slot.place) return no_drive(id);
  if (!slot.cd && slot.floppy < 0) return Error{"the medium of '" + id + "' can't be changed", "it is a hard disk"};
  block::OpenOptions options;
  options.read_only = wanted.read_only || slot.cd;
  options.format = wanted.format;
  auto node = block::open(file, options);
  if (!node.ok()) return node.error();
  if (!options.read_only) node = std::shared_ptr<block::Node>(std::make_shared<block::Switch>(node.take()));
  const std::lock_guard guard(device_lock_);
  slot = find_slot(id);  // a guest may have let go of the card meanwhile
  if (!slot.cd && slot.floppy < 0) return no_drive(id);
  const bool was_there = slot.place->node != nullptr;
  if (slot.cd) {
    if (slot.cd->medium() && !slot.cd->eject(wanted.force)) return locked(id);
    slot.cd->insert(*node);
  } else {
    fdc_->change_medium(static_cast<unsigned>(slot.floppy), *node);
  }
  if (was_there) tell({.kind = MachineEvent::Kind::TrayMoved, .name = slot.place->id, .path = slot.path, .open = true});
  tell({.kind = MachineEvent::Kind::TrayMoved, .name = slot.place->id, .path = slot.path, .open = false});
  std::erase(nodes_, slot.place->node);
  slot.place->node = *node;
  slot.place->file = file;
  slot.place->node_name.clear();
  nodes_.push_back(*node);
  slot.medium_changed();
  return success();
}

Status PcMachine::eject(const std::string& id, bool force) {
  const std::lock_guard plugging(plug_lock_);
  const std::lock_guard guard(device_lock_);
  const Slot slot = find_slot(id);
  if (!slot.place) return no_drive(id);
  if (!slot.cd && slot.floppy < 0) return Error{"the medium of '" + id + "' can't be ejected", "it is a hard disk"};
  if (slot.cd && !slot.cd->eject(force)) return locked(id);
  if (!slot.cd) fdc_->change_medium(static_cast<unsigned>(slot.floppy), nullptr);
  if (slot.place->node)
    tell({.kind = MachineEvent::Kind::TrayMoved, .name = slot.place->id, .path = slot.path, .open = true});
  std::erase(nodes_, slot.place->node);
  slot.place->node = nullptr;
  slot.place->file.clear();
  slot.place->node_name.clear();
  slot.medium_changed();
  return success();
}

Status PcMachine::move_tray(const std::string& id, bool open, bool force) {
  const std::lock_guard plugging(plug_lock_);
  const std::lock_guard guard(device_lock_);
  const Slot slot = find_slot(id);
  if (!slot.place) return no_drive(id);
  if (!slot.cd && slot.floppy < 0) return Error{"the drive '" + id + "' has no tray", "it is a hard disk"};
  if (!slot.cd || slot.cd->tray_open() == open) return success();
  if (!open)
    slot.cd->insert(slot.place->node);
  else if (!slot.cd->eject(force))
    return locked(id);
  tell({.kind = MachineEvent::Kind::TrayMoved, .name = slot.place->id, .path = slot.path, .open = open});
  slot.medium_changed();
  return success();
}

Status PcMachine::remove_medium(const std::string& id) {
  const std::lock_guard plugging(plug_lock_);
  const std::lock_guard guard(device_lock_);
  const Slot slot = find_slot(id);
  if (!slot.place) return no_drive(id);
  if (!slot.cd && slot.floppy < 0) return Error{"the medium of '" + id + "' can't be removed", "it is a hard disk"};
  if (slot.cd && !slot.cd->tray_open())
    return Error{"the tray of '" + id + "' is not open", "open it first: blockdev-open-tray"};
  if (!slot.cd) fdc_->change_medium(static_cast<unsigned>(slot.floppy), nullptr);
  std::erase(nodes_, slot.place->node);
  slot.place->node = nullptr;
  slot.place->file.clear();
  slot.place->node_name.clear();
  slot.medium_changed();
  return success();
}

Status PcMachine::insert_medium(const std::string& id, const std::string& node_name) {
  const std::lock_guard plugging(plug_lock_);
  Slot slot = find_slot(id);
  if (!slot.place) return no_drive(id);
  if (!slot.cd && slot.floppy < 0) return Error{"the medium of '" + id + "' can't be changed", "it is a hard disk"};
  const auto drive = std::find_if(config_.drives.begin(), config_.drives.end(),
                                  [&](const DriveConfig& d) { return d.is_node && d.id == node_name; });
  if (drive == config_.drives.end())
    return Error{"there is no block node '" + node_name + "'", "make it with blockdev-add"};
  for (const DriveInfo& used : drives()) {
    if (used.node_name == node_name)
      return Error{"the node '" + node_name + "' is used by " + used.path, "take it out there first"};
  }
  std::shared_ptr<block::Node> node = drive->node;
  if (!node) {
    auto opened =
        block::open(drive->file, {.read_only = drive->read_only || slot.cd != nullptr, .format = drive->format});
    if (!opened.ok()) return opened.error();
    node = opened.take();
  }
  const std::lock_guard guard(device_lock_);
  slot = find_slot(id);
  if (!slot.cd && slot.floppy < 0) return no_drive(id);
  if (slot.place->node) return Error{"there is a medium in '" + id + "'", "take it out first: blockdev-remove-medium"};
  if (slot.cd && !slot.cd->tray_open())
    return Error{"the tray of '" + id + "' is not open", "open it first: blockdev-open-tray"};
  if (!slot.cd) fdc_->change_medium(static_cast<unsigned>(slot.floppy), node);
  slot.place->node = node;
  slot.place->file = drive->file;
  slot.place->node_name = node_name;
  nodes_.push_back(node);
  return success();
}

std::vector<DriveInfo> PcMachine::drives() {
  const std::lock_guard guard(device_lock_);
  std::vector<DriveInfo> out;
  const auto add = [&](const DrivePlace& place, const std::string& name, bool removable) {
    out.push_back({.id = place.id,
                   .is_node = place.is_node,
                   .node_name = place.node_name,
                   .path = drive_path(place, name),
                   .removable = removable,
                   .file = place.file,
                   .node = place.node,
                   .limits = place.policy ? place.policy->limits() : block::Limits{}});
  };
  for (size_t channel = 0; channel < 2; channel++) {
    for (size_t unit = 0; unit < 2; unit++) {
      const auto& place = drives_.ide[channel][unit];
      if (!place) continue;
      add(*place, ide_name(channel, unit, *place), place->is_cdrom);
      if (const hw::AtapiCd* cd = cd_at(channel, unit)) show_tray(out.back(), *cd);
    }
  }
  for (size_t n = 0; n < 2; n++) {
    if (drives_.floppy[n]) add(*drives_.floppy[n], "floppy" + std::to_string(n), true);
  }
  for (const VirtioDisk& disk : drives_.virtio) {
    add(disk.place, disk.place.id, false);
    out.back().is_virtio = true;
  }
  for (const DiskController& controller : drives_.controllers) {
    for (const BusDrive& d : controller.drives) {
      add(d.place, d.place.id, d.cd != nullptr);
      if (d.cd) show_tray(out.back(), *d.cd);
    }
  }
  return out;
}

Status PcMachine::set_drive_limits(const std::string& id, const block::Limits& limits) {
  const std::lock_guard plugging(plug_lock_);
  const Slot slot = find_slot(id);
  if (!slot.place) return no_drive(id);
  if (slot.place->is_cdrom || slot.floppy >= 0 || !slot.place->policy)
    return Error{"the requests of '" + id + "' can't be limited", "only a hard disk's can"};
  slot.place->policy->set_limits(limits);
  return success();
}

std::string PcMachine::block_info() {
  std::string text;
  for (const DriveInfo& d : drives()) {
    text += d.id + ": ";
    text +=
        d.node ? d.file + " (" + d.node->format() + (d.node->read_only() ? ", read-only" : "") + ")" : "[not inserted]";
    text += "\n    Size:             " + (d.node ? std::to_string(d.node->size()) + " bytes" : std::string("none"));
    if (d.removable) text += "\n    Removable device: yes";
    if (d.tray_open) text += ", tray open";
    if (d.locked) text += ", locked";
    text += "\n";
  }
  return text;
}

std::vector<PciFunctionInfo> PcMachine::pci_functions() {
  const std::lock_guard guard(device_lock_);
  std::vector<PciFunctionInfo> out;
  for (unsigned devfn = 0; devfn < 256; devfn++) {
    const hw::PciDevice* device = pci_->at(static_cast<u8>(devfn));
    if (!device) continue;
    PciFunctionInfo info{.slot = devfn >> 3, .function = devfn & 7};
    for (const auto& [name, known] : devices_by_name()) {
      const bool by_user = std::any_of(config_.devices.begin(), config_.devices.end(), [&](const DeviceConfig& d) {
        const auto it = d.properties.find("id");
        return it != d.properties.end() && it->second == name;
      });
      if (known == device && by_user) info.id = name;
    }
    for (u8 i = 0; i < 64; i++) info.config.push_back(device->config8(i));
    for (int bar = 0; bar < 7; bar++) {
      const hw::PciBar* b = device->bars()[static_cast<size_t>(bar)].get();
      if (!b) continue;
      info.regions.push_back({.bar = bar,
                              .io = b->kind == hw::PciBar::Kind::Io,
                              .prefetchable = b->prefetchable,
                              .is_64bit = b->is_64bit,
                              .size = b->size,
                              .address = b->mapped ? static_cast<s64>(b->address) : -1});
    }
    out.push_back(std::move(info));
  }
  return out;
}

}  // namespace doppel::machine
