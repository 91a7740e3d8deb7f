// Places on the PC's PCI bus, for whatever the command line plugs in.
#pragma once
#include <string>

#include "base/result.h"
#include "hw/bus/pci/pci_bus.h"

namespace doppel::machine {

// `address`: "SLOT[.FUNCTION]" in hexadecimal; empty: the first free slot. The result is a devfn.
Result<u8> pci_place(const std::string& address, const hw::PciBus& bus);
// The firmware's name of a function: "/pci@i0cf8/scsi@4" and what follows it.
std::string pci_boot_path(const char* kind, u8 devfn, const char* rest);

}  // namespace doppel::machine
