#include "hw/bus/pci/pci_bus.h"

#include "base/assert.h"

namespace doppel::hw {

using namespace pci;

void PciBus::connect_pirq(unsigned n, IrqLine line) {
  pirq_[n & 3] = std::move(line);
  if (asserted_[n & 3] != 0) pirq_[n & 3].raise();
}

void PciBus::attach(u8 devfn, PciDevice& device) {
  ASSERT_MSG(functions_[devfn] == nullptr, "two PCI functions at one place");
  functions_[devfn] = &device;
  device.bus_ = this;
  device.devfn_ = devfn;
  device.update_bars();
  if (device.driven_) set_intx(device, true);
}

PciBus::~PciBus() {
  pirq_ = {};  // nobody listens any more
  for (PciDevice* device : functions_) {
    if (device != nullptr) detach(*device);
  }
}

void PciBus::detach(PciDevice& device) {
  withdraw(device);
  for (auto& bar : device.bars_) {
    if (bar != nullptr) bar->window.reset();
  }
}

void PciBus::withdraw(PciDevice& device) {
  if (functions_[device.devfn_] != &device) return;
  if (device.driven_) set_intx(device, false);
  for (auto& bar : device.bars_) {
    if (bar == nullptr) continue;
    if (bar->window != nullptr) bar->window->set(false, bar->address);
    bar->mapped = false;
  }
  functions_[device.devfn_] = nullptr;
  device.bus_ = nullptr;
}

int PciBus::free_slot(unsigned from) const {
  for (unsigned slot = from; slot < 32; slot++) {
    bool used = false;
    for (unsigned f = 0; f < 8; f++) used |= functions_[pci::devfn(slot, f)] != nullptr;
    if (!used) return static_cast<int>(slot);
  }
  return -1;
}

u32 PciBus::config_read(u8 bus, u8 devfn, u8 offset, unsigned size) {
  const u32 ones = static_cast<u32>(mask_bits(8 * size));
  if (bus != 0 || functions_[devfn] == nullptr) return ones;
  return functions_[devfn]->config_read(offset, size) & ones;
}

void PciBus::config_write(u8 bus, u8 devfn, u8 offset, u32 value, unsigned size) {
  if (bus != 0 || functions_[devfn] == nullptr) return;
  functions_[devfn]->config_write(offset, value & static_cast<u32>(mask_bits(8 * size)), size);
}

void PciBus::set_intx(const PciDevice& device, bool level) {
  if (device.pin() == 0 || device.pin() > 4) return;
  const unsigned n = p_.pirq_of(device.devfn(), device.pin());
  if (level) {
    if (asserted_[n]++ == 0) pirq_[n].raise();
  } else if (asserted_[n] != 0 && --asserted_[n] == 0) {
    pirq_[n].lower();
  }
}

std::string PciBus::describe() const {
  std::string out;
  for (const PciDevice* device : functions_) {
    if (device != nullptr) out += device->info();
  }
  return out;
}

}  // namespace doppel::hw
