#include "hw/misc/vmport.h"

#include <algorithm>

namespace doppel::hw {
namespace {
constexpr u32 kMagic = 0x564d5868;  // "VMXh"
enum Command : u16 {
  kGetVersion = 10,
  kGetUuid = 19,
  kGetRamSize = 20,
  kGetTime = 23,
  kPointerData = 39,
  kPointerStatus = 40,
  kPointerCommand = 41
};
constexpr u32 kEnable = 0x45414552, kDisable = 0xf5, kRelative = 0x4c455252, kAbsolute = 0x53424152,
              kPointerVersion = 0x3442554a;
constexpr size_t kMostWords = 1024;
}  // namespace

void Vmport::reset() {
  mouse_enabled_ = absolute_ = false;
  last_buttons_ = 0;
  mouse_queue_.clear();
  update_active();
}

void Vmport::mouse_command(u32 argument) {
  switch (argument) {
    case kEnable:
      mouse_enabled_ = true;
      mouse_queue_ = {kPointerVersion};
      break;
    case kDisable: reset(); break;
    case kRelative: absolute_ = false; break;
    case kAbsolute: absolute_ = true; break;
    default: break;
  }
  update_active();
}

void Vmport::pointer(int x, int y, int wheel, u32 buttons) {
  if (!pointer_active() || mouse_queue_.size() + 4 > kMostWords) return;
  u32 state = 0;
  if (buttons & 1) state |= 0x20;
  if (buttons & 2) state |= 0x10;
  if (buttons & 4) state |= 0x08;
  last_buttons_ = state;
  auto scale = [](int v) { return static_cast<u32>(std::clamp(v, 0, 32767)) * 2; };
  mouse_queue_.insert(mouse_queue_.end(), {state, scale(x), scale(y), static_cast<u32>(-wheel)});
  if (p_.wake_mouse) p_.wake_mouse();
}

u32 Vmport::command(VmportRegisters& r) {
  switch (static_cast<u16>(r.ecx)) {
    case kGetVersion:
      r.ebx = kMagic;
      r.ecx = 2;
      return 6;
    case kGetUuid: {
      auto word = [&](unsigned i) { return load_le<u32>(&p_.uuid[i * 4]); };
      r.ebx = word(1);
      r.ecx = word(2);
      r.edx = word(3);
      return word(0);
    }
    case kGetRamSize: r.ebx = 0x1177; return static_cast<u32>(p_.ram_bytes);
    case kGetTime: {
      const s64 now = p_.wall_ns ? p_.wall_ns() : 0;
      r.ebx = static_cast<u32>(now % kNsPerSecond / 1000);
      r.ecx = 1'000'000;  // largest lag in microseconds
      return static_cast<u32>(now / kNsPerSecond);
    }
    case kPointerStatus: return mouse_enabled_ ? static_cast<u32>(mouse_queue_.size()) : 0xffff0000u;
    case kPointerCommand: mouse_command(r.ebx); return r.ebx;
    case kPointerData: {
      std::array<u32, 4> words{};
      const u32 count = r.ebx;
      if (count == 0 || count > 4 || count > mouse_queue_.size()) {
        reset();  // the guest has lost step: it starts again with enable
        return 0xffffffffu;
      }
      for (u32 i = 0; i < count; i++) {
        words[i] = mouse_queue_.front();
        mouse_queue_.pop_front();
      }
      r.ebx = words[1];
      r.ecx = words[2];
      r.edx = words[3];
      return words[0];
    }
    default: return r.eax;
  }
}

u64 Vmport::read(u64 offset, unsigned size) {
  VmportRegisters r;
  if (offset != 0 || size != 4) return mask_bits(8 * size);
  if (!p_.load_registers || !p_.load_registers(r) || r.eax != kMagic) return mask_bits(8 * size);
  const u32 value = command(r);
  if (p_.store_registers) p_.store_registers(r);
  return value;
}

void Vmport::write(u64 offset, u64, unsigned size) { read(offset, size); }

void Vmport::archive(StateArchive& ar) {
  ar.field("mouse_enabled", mouse_enabled_);
  ar.field("absolute", absolute_);
  ar.field("last_buttons", last_buttons_);
  std::vector<u8> bytes(mouse_queue_.size() * 4);
  size_t at = 0;
  for (const u32 w : mouse_queue_) {
    store_le<u32>(&bytes[at], w);
    at += 4;
  }
  ar.blob("queue", bytes);
  if (!ar.loading()) return;
  update_active();
  mouse_queue_.clear();
  for (size_t i = 0; i + 4 <= bytes.size() && mouse_queue_.size() < kMostWords; i += 4)
    mouse_queue_.push_back(load_le<u32>(&bytes[i]));
}

}  // namespace doppel::hw
