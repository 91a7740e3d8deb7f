// Drivers of what the Malta board has and a PC has not: flash, and the Cirrus display (which a PC can have).
#include "display/surface.h"
#include "hw/block/cfi_flash.h"
#include "hw/display/cirrus_vga.h"
#include "world.h"

namespace doppel::fuzz {
namespace {

constexpr u8 kFunction = 0x10;

class FlashWorld final : public World {
 public:
  FlashWorld() : array_(hw::CfiFlash::kBytes, 0xff) {
    auto& d = rig_.make<hw::CfiFlash>(hw::CfiFlash::Params{.array = {array_.data(), array_.size()}});
    rig_.windows = {&d};
  }
  ~FlashWorld() override { rig_.device.reset(); }

 private:
  // The beginnings of sequences at a place, and their ends.
  void drive(u8 what, u32 offset, u64 value) override {
    static constexpr u8 kFirst[] = {0x10, 0x20, 0x30, 0x40, 0x60, 0x90, 0x98, 0xe8};
    hw::MmioHandler& flash = *rig_.windows[0];
    flash.write(offset, kFirst[what & 7], 1);
    if ((what & 7) == 7) {
      flash.write(offset, value & 31, 4);
      for (u64 i = 0; i <= (value & 31); i++) flash.write(offset + 4 * i, value >> (i & 31), 4);
    }
    flash.write(offset, what & 8 ? 0xd0 : value, 4);
  }
  std::vector<u8> array_;
};

class CirrusWorld final : public World {
 public:
  CirrusWorld() {
    auto& d = rig_.make<hw::CirrusVga>(
        hw::CirrusVga::Params{.core = {.memory = rig_.address_bus, .clock = rig_.clock, .lock = rig_.lock}, .rom = {}});
    card_ = &d;
    rig_.pci.attach(kFunction, d);
    d.reset();
    place();
    rig_.windows.push_back(&d.core().ports());
  }
  ~CirrusWorld() override { rig_.device.reset(); }

 private:
  void place() {
    rig_.pci.config_write(0, kFunction, 0x10, 0xe0000000, 4);
    rig_.pci.config_write(0, kFunction, 0x14, 0xe4000000, 4);
    rig_.pci.config_write(0, kFunction, 0x04, 3, 2);
  }
  void set(u32 index_port, u8 index, u64 value) {
    card_->core().write_port(index_port, index);
    card_->core().write_port(index_port + 1, static_cast<u8>(value));
  }
  void drive(u8 what, u32 offset, u64 value) override {
    constexpr u32 kSeq = 0x14, kGfx = 0x1e, kCrtc = 0x24;
    switch (what & 7) {
      case 0:  // a transfer
        for (u8 i = 0; i < 8; i++) set(kGfx, static_cast<u8>(0x20 + i), value >> (8 * i));
        for (u8 i = 0; i < 4; i++) set(kGfx, static_cast<u8>(0x28 + i), offset >> (8 * i));
        for (u8 i = 0; i < 4; i++) set(kGfx, static_cast<u8>(0x30 + 2 * (i & 1)), (offset ^ value) >> (7 * i));
        set(kGfx, 0x31, 2);
        break;
      case 1: set(kGfx, static_cast<u8>(offset), value); break;
      case 2: set(kSeq, static_cast<u8>(offset), value); break;
      case 3: set(kCrtc, static_cast<u8>(offset), value); break;
      case 4: set(kGfx, 0x30, value), set(kGfx, 0x31, 0), set(kGfx, 0x31, 2); break;
      case 5: {
        card_->core().write_port(0x12, 0x23);
        card_->core().read_port(0x2a), card_->core().write_port(0x10, 0x20);
        card_->core().refresh(picture_);
        break;
      }
      case 6:
        for (u64 i = 0; i < (value & 0x1ff); i++)
          card_->core().write_port(offset & 0x2f, static_cast<u8>(value >> (i & 31)));
        break;
      default: place();
    }
  }
  hw::CirrusVga* card_ = nullptr;
  display::Surface picture_;
};

}  // namespace

std::vector<Family> board_families() {
  return {{"cfi_flash", [] { return std::unique_ptr<World>(std::make_unique<FlashWorld>()); }},
          {"cirrus_vga", [] { return std::unique_ptr<World>(std::make_unique<CirrusWorld>()); }}};
}

}  // namespace doppel::fuzz
