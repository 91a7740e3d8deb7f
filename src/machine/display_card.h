// The display adapters of PCI boards: which card the command line asks for, and what it is made of.
#pragma once
#include <memory>

#include "hw/bus/pci/pci_device.h"
#include "hw/display/vga_core.h"
#include "machine/machine.h"

namespace doppel::machine {

struct DisplayCard {
  std::string name;                       // among the devices
  std::string address;                    // of -device; empty: the board's choice
  std::unique_ptr<hw::PciDevice> device;  // null: the machine has none
  hw::VgaCore* core = nullptr;
  bool has_vbe = false;  // ports of the Bochs extension
};
struct DisplayPlace {
  hw::AddressBus& memory;
  hw::Clock& clock;
  std::mutex& lock;
  bool with_rom = true;  // x86 code
  const char* own = "std";
};
bool is_display(const std::string& driver);
// Of -device VGA or cirrus-vga, else of -vga. Errors: properties, a missing ROM, a model that is not built.
Result<DisplayCard> make_display(const MachineConfig& config, const DisplayPlace& place);

}  // namespace doppel::machine
