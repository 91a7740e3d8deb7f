#include "hw/bus/pci/pci_config_ports.h"

namespace doppel::hw {
namespace {
constexpr u32 kEnable = u32{1} << 31;
constexpr u32 kAddressBits = 0x80fffffc;
}  // namespace

u64 PciConfigPorts::read(u64 offset, unsigned size) {
  if (offset < 4) {
    if (offset == 1 && size == 1 && p_.reset_control != nullptr) return p_.reset_control->read(0, 1);
    return offset == 0 && size == 4 ? address_ : mask_bits(8 * size);  // only dword accesses reach CONFADD
  }
  if ((address_ & kEnable) == 0) return mask_bits(8 * size);
  u32 value = 0;
  // An access past port 0xcff ends there; one that is not aligned stays inside the dword.
  for (unsigned i = 0; i < size; i++) {
    if (offset + i > 7) return value | (mask_bits(8 * size) & ~mask_bits(8 * i));
    if (i == 0 && (offset & (size - 1)) == 0) {
      return p_.bus.config_read(static_cast<u8>(address_ >> 16), static_cast<u8>(address_ >> 8),
                                static_cast<u8>((address_ & 0xfc) | (offset & 3)), size);
    }
    value |= p_.bus.config_read(static_cast<u8>(address_ >> 16), static_cast<u8>(address_ >> 8),
                                static_cast<u8>((address_ & 0xfc) | ((offset + i) & 3)), 1)
             << (8 * i);
  }
  return value;
}

void PciConfigPorts::write(u64 offset, u64 value, unsigned size) {
  if (offset < 4) {
    if (offset == 0 && size == 4) address_ = static_cast<u32>(value) & kAddressBits;
    if (offset == 1 && size == 1 && p_.reset_control != nullptr) p_.reset_control->write(0, value, 1);
    return;
  }
  if ((address_ & kEnable) == 0) return;
  const u8 bus = static_cast<u8>(address_ >> 16), devfn = static_cast<u8>(address_ >> 8);
  if ((offset & (size - 1)) == 0) {
    p_.bus.config_write(bus, devfn, static_cast<u8>((address_ & 0xfc) | (offset & 3)), static_cast<u32>(value), size);
    return;
  }
  for (unsigned i = 0; i < size && offset + i < 8; i++) {
    p_.bus.config_write(bus, devfn, static_cast<u8>((address_ & 0xfc) | ((offset + i) & 3)),
                        static_cast<u8>(value >> (8 * i)), 1);
  }
}

}  // namespace doppel::hw
