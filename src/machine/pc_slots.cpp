#include "machine/pc_slots.h"

#include <cstdio>
#include <cstdlib>

namespace doppel::machine {

Result<u8> pci_place(const std::string& address, const hw::PciBus& bus) {
  if (address.empty()) {
    const int slot = bus.free_slot();
    if (slot < 0) return Error{"the PCI bus is full", "leave out a device"};
    return hw::pci::devfn(static_cast<unsigned>(slot), 0);
  }
  char* end = nullptr;
  const unsigned long slot = std::strtoul(address.c_str(), &end, 16);
  unsigned long function = 0;
  if (*end == '.') function = std::strtoul(end + 1, &end, 16);
  if (*end != 0 || slot > 31 || function > 7)
    return Error{"addr=" + address + " is no place on a PCI bus", "write SLOT[.FUNCTION] in hexadecimal"};
  const u8 place = hw::pci::devfn(static_cast<unsigned>(slot), static_cast<unsigned>(function));
  if (bus.at(place)) return Error{"addr=" + address + " is taken by " + bus.at(place)->name(), "choose another"};
  return place;
}

std::string pci_boot_path(const char* kind, u8 devfn, const char* rest) {
  char text[80];
  const unsigned function = hw::pci::function_of(devfn);
  std::snprintf(text, sizeof text, "/pci@i0cf8/%s@%x%s%s", kind, hw::pci::slot_of(devfn),
                function ? ("," + std::to_string(function)).c_str() : "", rest);
  return text;
}

}  // namespace doppel::machine
