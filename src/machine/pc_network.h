// The network cards of a PC: from the command line to devices on the PCI bus.
#pragma once
#include "hw/bus/pci/pci_bus.h"
#include "machine/machine.h"

namespace doppel::machine {

bool is_nic(const std::string& driver);
std::vector<std::string> nic_names();
std::vector<std::string> nic_properties();
std::string nics_help();  // lines for -device help

struct Nic {
  std::string name;
  std::unique_ptr<hw::PciDevice> device;
};
// Cards of -nic, -net and -device, in that order. Errors: unknown models and properties.
Result<std::vector<NicConfig>> plan_nics(const MachineConfig& config);
Result<Nic> make_nic(const MachineConfig& config, const NicConfig& nic, hw::Clock& clock, std::mutex& device_lock);
// "addr=SLOT[.FUNCTION]" in hexadecimal; without it the first free slot.
Result<u8> nic_place(const NicConfig& nic, const hw::PciBus& bus);
std::string nic_boot_path(u8 devfn);

}  // namespace doppel::machine
