#include "machine/pc_network.h"

#include <algorithm>

#include "hw/net/e1000.h"
#include "hw/net/ne2000.h"
#include "hw/net/pcnet.h"
#include "hw/net/rtl8139.h"
#include "machine/firmware_search.h"
#include "machine/pc_virtio.h"
#include "net/network.h"
#include "net/properties.h"

namespace doppel::machine {
namespace {

template <typename Card>
std::unique_ptr<hw::PciDevice> make(hw::NicParams p) {
  return std::make_unique<Card>(std::move(p));
}

struct Model {
  const char* name;
  const char* rom;  // of Debian's package ipxe-qemu
  const char* description;
  std::unique_ptr<hw::PciDevice> (*make)(hw::NicParams p);  // null: a virtio device
};
constexpr Model kModels[] = {
    {"e1000", "efi-e1000.rom", "Intel 82540EM gigabit Ethernet", make<hw::E1000>},
    {"rtl8139", "efi-rtl8139.rom", "Realtek RTL8139C fast Ethernet", make<hw::Rtl8139>},
    {"ne2k_pci", "efi-ne2k_pci.rom", "Realtek RTL8029AS, an NE2000 on PCI", make<hw::Ne2000>},
    {"pcnet", "efi-pcnet.rom", "AMD Am79C970A PCnet-PCI II Ethernet", make<hw::Pcnet>},
    {"virtio-net-pci", "efi-virtio.rom", "virtio network card", nullptr},
};
constexpr const char* kProperties[] = {"netdev", "mac", "addr", "bus", "id", "romfile", "rombar", "bootindex"};

const Model* find_model(const std::string& name) {
  if (name == "e1000-82540em") return &kModels[0];
  for (const Model& m : kModels) {
    if (name == m.name) return &m;
  }
  if (const auto virtio = virtio_name(name); virtio && virtio->model == "virtio-net") return &kModels[4];
  return nullptr;
}

// A ROM that nobody asked for may be missing; then the card can't boot.
Result<std::vector<u8>> load_rom(const MachineConfig& config, const NicConfig& nic, const Model& model) {
  if (nic.rom_file == "none") return std::vector<u8>{};
  if (!nic.rom_file.empty()) return load_firmware(config.firmware_dirs, nic.rom_file);
  auto rom = load_firmware(config.firmware_dirs, model.rom);
  const std::string order = config.boot_once + config.boot_order;
  const bool wanted = nic.boot_index >= 0 || order.find('n') != std::string::npos;
  if (!rom.ok() && !wanted) return std::vector<u8>{};
  return rom;
}

}  // namespace

bool is_nic(const std::string& driver) { return find_model(driver) != nullptr; }

std::vector<std::string> nic_names() {
  std::vector<std::string> names;
  for (const Model& m : kModels) {
    if (m.make) names.emplace_back(m.name);
  }
  return names;
}

std::vector<std::string> nic_properties(const std::string& driver) {
  std::vector<std::string> all = virtio_properties(driver);
  if (!all.empty()) return all;
  all.assign(std::begin(kProperties), std::end(kProperties));
  if (const Model* m = find_model(driver); m && m->make == kModels[0].make) all.emplace_back("mitigation");
  return all;
}

std::string nic_models() {
  std::string text;
  for (const Model& m : kModels) text += std::string(m.name) + "\n";
  return text;
}

std::string nics_help() {
  std::string text;
  for (const Model& m : kModels) {
    if (!m.make) continue;
    text += std::string("name \"") + m.name + "\", bus PCI, desc \"" + m.description +
            ": netdev=, mac=, addr=, romfile=, bootindex=\"\n";
  }
  return text;
}

Result<NicConfig> nic_of_device(const DeviceConfig& device) {
  NicConfig nic;
  nic.model = device.driver;
  nic.properties = device.properties;
  const std::vector<std::string> known = nic_properties(device.driver);
  for (const auto& [key, value] : device.properties) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      return Error{device.driver + " has no property '" + key + "'",
                   "it has: netdev, mac, addr, bus, id, romfile, bootindex; e1000 has mitigation"};
    if (key == "netdev") nic.netdev = value;
    if (key == "mac") nic.mac = value;
    if (key == "addr") nic.address = value;
    if (key == "id") nic.name = value;
    if (key == "bus" && value != "pci.0") return Error{"there is no PCI bus '" + value + "'", "the board has pci.0"};
    if (key == "romfile") nic.rom_file = value.empty() ? "none" : value;
    if (key == "rombar" && (value == "0" || value == "off")) nic.rom_file = "none";
    if (key == "bootindex") nic.boot_index = std::atoi(value.c_str());
    if (key != "mitigation") continue;
    auto on = net::parse_on_off(key, value);
    if (!on.ok()) return on.error();
    nic.mitigation = *on;
  }
  return nic;
}

Result<std::vector<NicConfig>> plan_nics(const MachineConfig& config, const std::string& default_model) {
  std::vector<NicConfig> out = config.nics;
  for (NicConfig& nic : out) {
    if (nic.model.empty()) nic.model = default_model;
  }
  for (const DeviceConfig& device : config.devices) {
    if (!is_nic(device.driver)) continue;
    auto nic = nic_of_device(device);
    if (!nic.ok()) return nic.error();
    out.push_back(nic.take());
  }
  for (const NicConfig& nic : out) {
    if (is_nic(nic.model)) continue;
    std::string all;
    for (const Model& m : kModels) all += (all.empty() ? "" : ", ") + std::string(m.name);
    return Error{"there is no network card '" + nic.model + "'", "this machine has: " + all};
  }
  return out;
}

Result<Nic> make_nic(const VirtioContext& context, const NicConfig& nic) {
  const MachineConfig& config = context.config;
  const Model& model = *find_model(nic.model);
  if (!config.network) return Error{"this machine was made without a network", "give it one"};
  auto port = config.network->add_nic(model.name, nic.name, nic.mac, nic.netdev);
  if (!port.ok()) return port.error();
  const std::string name = (*port)->name();
  auto rom = load_rom(config, nic, model);
  if (!rom.ok()) {
    config.network->remove_nic(name);
    return rom.error();
  }
  if (!model.make) {
    auto card = make_virtio_nic(context, nic, port.take(), rom.take());
    if (!card.ok()) {
      config.network->remove_nic(name);
      return card.error();
    }
    return Nic{name, card.take()};
  }
  return Nic{name, model.make({.port = port.take(),
                               .clock = context.clock,
                               .device_lock = context.device_lock,
                               .rom = rom.take(),
                               .mitigation = nic.mitigation})};
}

}  // namespace doppel::machine
