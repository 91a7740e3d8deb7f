// The network cards of a PC: from the command line to devices on the PCI bus.
#pragma once
#include "hw/bus/pci/pci_bus.h"
#include "machine/machine.h"

namespace doppel::machine {

struct VirtioContext;

bool is_nic(const std::string& driver);
std::vector<std::string> nic_names();  // but for virtio's, which pc_virtio.h lists
std::vector<std::string> nic_properties(const std::string& driver);
std::string nics_help();  // lines for -device help

Result<NicConfig> nic_of_device(const DeviceConfig& device);  // of a -device that is a network card
struct Nic {
  std::string name;
  std::unique_ptr<hw::PciDevice> device;
};
// Cards of -nic, -net and -device, in that order. Errors: unknown models and properties.
Result<std::vector<NicConfig>> plan_nics(const MachineConfig& config, const std::string& default_model);
Result<Nic> make_nic(const VirtioContext& context, const NicConfig& nic);

}  // namespace doppel::machine
