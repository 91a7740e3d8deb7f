// The `pc` board from outside while it runs: input, power button, and what the monitor prints (media: pc_media.cpp).
#include <algorithm>
#include <cstdio>

#include "hw/bus/virtio/virtio_pci.h"
#include "machine/pc.h"

namespace doppel::machine {
namespace {
constexpr int kAbsoluteRange = 32768, kPointerWidth = 1024, kPointerHeight = 768;
}  // namespace

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

// A virtio device that a driver has taken goes before the board's own.
hw::VirtioInput* PcMachine::active_input(hw::VirtioInput::Kind kind) const {
  for (const auto& [name, device] : devices_by_name()) {
    auto* card = dynamic_cast<hw::VirtioPci*>(device);
    auto* input = card ? dynamic_cast<hw::VirtioInput*>(&card->device()) : nullptr;
    if (input && input->kind() == kind && input->active()) return input;
  }
  return nullptr;
}

bool PcMachine::pointer_is_absolute() const {
  if (vmport_ && vmport_->pointer_active()) return true;
  const std::lock_guard guard(device_lock_);
  return active_input(hw::VirtioInput::Kind::Tablet) != nullptr;
}

void PcMachine::key(u32 qemu_qcode, bool down) {
  const std::lock_guard guard(device_lock_);
  if (auto* virtio = active_input(hw::VirtioInput::Kind::Keyboard))
    virtio->key(qemu_qcode, down);
  else
    keyboard_->key(qemu_qcode, down);
}

void PcMachine::pointer_relative(int dx, int dy, int wheel, u32 buttons) {
  const std::lock_guard guard(device_lock_);
  if (auto* virtio = active_input(hw::VirtioInput::Kind::Mouse)) {
    virtio->move(dx, dy, wheel, buttons);
    return;
  }
  hw::VirtioInput* tablet = active_input(hw::VirtioInput::Kind::Tablet);
  if (!tablet && (!vmport_ || !vmport_->pointer_active())) {
    mouse_->move(dx, dy, wheel, buttons);
    return;
  }
  const auto moved = [](int from, int by, int size) {
    return std::clamp(std::max(from, 0) + by * (kAbsoluteRange / size), 0, kAbsoluteRange - 1);
  };
  pointer_x_ = moved(pointer_x_, std::clamp(dx, -kPointerWidth, kPointerWidth), kPointerWidth);
  pointer_y_ = moved(pointer_y_, std::clamp(dy, -kPointerHeight, kPointerHeight), kPointerHeight);
  if (tablet)
    tablet->point(pointer_x_, pointer_y_, wheel, buttons);
  else
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
  if (auto* tablet = active_input(hw::VirtioInput::Kind::Tablet)) {
    tablet->point(x, y, wheel, buttons);
  } else if (vmport_ && vmport_->pointer_active()) {
    vmport_->pointer(x, y, wheel, buttons);
  } else if (auto* mouse = active_input(hw::VirtioInput::Kind::Mouse)) {
    mouse->move(dx, dy, wheel, buttons);
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

}  // namespace doppel::machine
