#include "hw/display/std_vga.h"

#include "hw/display/edid.h"

namespace doppel::hw {
namespace {
constexpr u64 kRegisterBytes = 0x1000, kPortsAt = 0x400, kPortsSize = 0x20, kVbeAt = 0x500, kVbeSize = kVbeCount * 2,
              kExtAt = 0x600;
constexpr u32 kLittleEndian = 0x1e1e1e1e;
}  // namespace

StdVga::StdVga(Params p)
    : PciDevice("vga", {.vendor = 0x1234, .device = 0x1111, .revision = 2, .class_code = 0x030000}),
      core_(p.core),
      edid_(make_edid(1024, 768)) {
  add_ram_bar(0, core_.vram_bytes(), core_.vram());
  add_mmio_bar(2, kRegisterBytes, *this);
  if (!p.rom.empty()) add_rom(std::move(p.rom));
}

u64 StdVga::read(u64 offset, unsigned size) {
  if (offset >= kVbeAt && offset < kVbeAt + kVbeSize) {
    const u64 at = offset - kVbeAt;
    const u32 low = core_.read_vbe(static_cast<u16>(at / 2)), high = core_.read_vbe(static_cast<u16>(at / 2 + 1));
    return (u64{low | high << 16} >> ((at & 1) * 8)) & mask_bits(size * 8);
  }
  u64 value = 0;
  for (unsigned i = 0; i < size; i++) {
    const u64 at = offset + i;
    u8 byte = 0;
    if (at < edid_.size()) byte = edid_[at];
    if (at >= kPortsAt && at < kPortsAt + kPortsSize) byte = core_.read_port(static_cast<u32>(at - kPortsAt + 0x10));
    if (at >= kExtAt && at < kExtAt + 8)
      byte = static_cast<u8>((at < kExtAt + 4 ? 8u : kLittleEndian) >> (8 * (at & 3)));
    value |= u64{byte} << (8 * i);
  }
  return value;
}

void StdVga::write(u64 offset, u64 value, unsigned size) {
  if (offset >= kVbeAt && offset < kVbeAt + kVbeSize) {
    if (size == 1 || (offset & 1)) return;
    core_.write_vbe(static_cast<u16>((offset - kVbeAt) / 2), static_cast<u16>(value));
    if (size == 4) core_.write_vbe(static_cast<u16>((offset - kVbeAt) / 2 + 1), static_cast<u16>(value >> 16));
    return;
  }
  for (unsigned i = 0; i < size; i++) {
    const u64 at = offset + i;
    if (at >= kPortsAt && at < kPortsAt + kPortsSize)
      core_.write_port(static_cast<u32>(at - kPortsAt + 0x10), static_cast<u8>(value >> (8 * i)));
  }
}

void StdVga::reset() {
  PciDevice::reset();
  core_.reset();
}

void StdVga::archive(StateArchive& ar) {
  PciDevice::archive(ar);
  core_.archive(ar);
}

}  // namespace doppel::hw
