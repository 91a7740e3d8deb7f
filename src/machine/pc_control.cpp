// The `pc` board from outside while it runs: input, power button, media, and what the monitor prints.
#include <algorithm>
#include <cstdio>

#include "machine/pc.h"

namespace doppel::machine {
namespace {
constexpr int kAbsoluteRange = 32768, kPointerWidth = 1024, kPointerHeight = 768;
}

void PcMachine::press_power_button() { pm_->press_power_button(); }

void PcMachine::inject_nmi() {
  const std::lock_guard guard(device_lock_);
  for (u32 i = 0; i < cpus_.size(); i++) {
    if (local_apics_.empty()) {
      on_cpu(i, &x86::X86Cpu::nmi);
    } else {
      local_apics_[i]->set_lint(1, true);
      local_apics_[i]->set_lint(1, false);
    }
  }
}

void PcMachine::key(u32 qemu_qcode, bool down) {
  const std::lock_guard guard(device_lock_);
  keyboard_->key(qemu_qcode, down);
}

void PcMachine::pointer_relative(int dx, int dy, int wheel, u32 buttons) {
  const std::lock_guard guard(device_lock_);
  if (!vmport_ || !vmport_->pointer_active()) {
    mouse_->move(dx, dy, wheel, buttons);
    return;
  }
  const auto moved = [](int from, int by, int size) {
    return std::clamp(std::max(from, 0) + by * (kAbsoluteRange / size), 0, kAbsoluteRange - 1);
  };
  pointer_x_ = moved(pointer_x_, std::clamp(dx, -kPointerWidth, kPointerWidth), kPointerWidth);
  pointer_y_ = moved(pointer_y_, std::clamp(dy, -kPointerHeight, kPointerHeight), kPointerHeight);
  vmport_->pointer(pointer_x_, pointer_y_, wheel, buttons);
}

// While the guest takes positions through the VMware port, they go there; else the board's pointer is a PS/2 mouse, and
// they become motion on a screen of its size.
void PcMachine::pointer_absolute(int x, int y, int wheel, u32 buttons) {
  const std::lock_guard guard(device_lock_);
  const auto motion = [](int from, int to, int size) {
    return from < 0 ? 0 : to * size / kAbsoluteRange - from * size / kAbsoluteRange;
  };
  const int dx = motion(pointer_x_, x, kPointerWidth), dy = motion(pointer_y_, y, kPointerHeight);
  pointer_x_ = x;
  pointer_y_ = y;
  if (vmport_ && vmport_->pointer_active()) {
    vmport_->pointer(x, y, wheel, buttons);
  } else {
    mouse_->move(dx, dy, wheel, buttons);
  }
}

std::string PcMachine::pic_info() {
  const std::lock_guard guard(device_lock_);
  std::string text = pic_->info();
  if (io_apic_) text += io_apic_->info();
  for (const hw::LocalApic* apic : local_apics_) text += apic->info();
  return text;
}

PcMachine::Slot PcMachine::find_slot(const std::string& id) {
  for (size_t channel = 0; channel < 2; channel++) {
    for (size_t unit = 0; unit < 2; unit++) {
      auto& place = drives_.ide[channel][unit];
      if (!place) continue;
      const std::string name =
          "ide" + std::to_string(channel) + (place->is_cdrom ? "-cd" : "-hd") + std::to_string(unit);
      if (id == place->id || id == name)
        return {&*place,
                dynamic_cast<hw::AtapiCd*>(ide_->drive(static_cast<unsigned>(channel), static_cast<unsigned>(unit))),
                -1};
    }
  }
  for (size_t n = 0; n < 2; n++) {
    auto& place = drives_.floppy[n];
    if (place && (id == place->id || id == "floppy" + std::to_string(n)))
      return {&*place, nullptr, static_cast<int>(n)};
  }
  return {};
}

Status PcMachine::change_medium(const std::string& id, const std::string& file, bool read_only) {
  const Slot slot = find_slot(id);
  if (!slot.place) return Error{"there is no drive '" + id + "'", "info block lists them"};
  if (!slot.cd && slot.floppy < 0) return Error{"the medium of '" + id + "' can't be changed", "it is a hard disk"};
  block::OpenOptions options;
  options.read_only = read_only || slot.cd;
  auto node = block::open(file, options);
  if (!node.ok()) return node.error();
  const std::lock_guard guard(device_lock_);
  if (slot.cd) {
    if (slot.cd->medium() && !slot.cd->eject(false))
      return Error{"the guest has locked the drive '" + id + "'", "unmount the disc in the guest, or eject -f " + id};
    slot.cd->insert(*node);
  } else {
    fdc_->change_medium(static_cast<unsigned>(slot.floppy), *node);
  }
  slot.place->node = *node;
  slot.place->file = file;
  nodes_.push_back(*node);
  return success();
}

Status PcMachine::eject(const std::string& id, bool force) {
  const Slot slot = find_slot(id);
  if (!slot.place) return Error{"there is no drive '" + id + "'", "info block lists them"};
  if (!slot.cd && slot.floppy < 0) return Error{"the medium of '" + id + "' can't be ejected", "it is a hard disk"};
  const std::lock_guard guard(device_lock_);
  if (slot.cd && !slot.cd->eject(force))
    return Error{"the guest has locked the drive '" + id + "'", "unmount the disc in the guest, or eject -f " + id};
  if (!slot.cd) fdc_->change_medium(static_cast<unsigned>(slot.floppy), nullptr);
  std::erase(nodes_, slot.place->node);
  slot.place->node = nullptr;
  slot.place->file.clear();
  return success();
}

std::string PcMachine::block_info() {
  const std::lock_guard guard(device_lock_);
  std::string text;
  const auto line = [&](const DrivePlace& place, bool removable) {
    text += place.id + ": ";
    text += place.node ? place.file + " (raw" + (place.node->read_only() ? ", read-only" : "") + ")" : "[not inserted]";
    text +=
        "\n    Size:             " + (place.node ? std::to_string(place.node->size()) + " bytes" : std::string("none"));
    if (removable) text += "\n    Removable device: yes";
    text += "\n";
  };
  for (const auto& channel : drives_.ide) {
    for (const auto& place : channel) {
      if (place) line(*place, place->is_cdrom);
    }
  }
  for (const auto& place : drives_.floppy) {
    if (place) line(*place, true);
  }
  return text;
}

}  // namespace doppel::machine
