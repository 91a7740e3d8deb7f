// Boards by name, and the one function that makes a machine of a configuration.
#include <algorithm>

#include "hw/rtc/mc146818.h"
#include "machine/cpu_choice.h"
#include "machine/machine.h"
#include "machine/malta.h"
#include "machine/none.h"
#include "machine/pc.h"
#include "machine/pc_network.h"
#include "machine/pc_storage.h"
#include "machine/pc_virtio.h"

namespace doppel::machine {

Status Machine::set_drive_limits(const std::string& id, const block::Limits&) {
  return Error{"this board can't limit the requests of '" + id + "' while it runs", "use -drive throttling.*"};
}
namespace {

Result<std::unique_ptr<Machine>> build_pc(MachineConfig config) {
  auto model = x86::parse_cpu(cpu_spec(config), config.target == "x86_64");
  if (!model.ok()) return model.error();
  if (auto date = hw::rtc_start_seconds(config.rtc_base); !date.ok()) return date.error();
  auto machine = std::make_unique<PcMachine>(std::move(config), model.take());
  if (Status s = machine->build(); !s.ok()) return s.error();
  return std::unique_ptr<Machine>(std::move(machine));
}

Result<std::unique_ptr<Machine>> build_malta(MachineConfig config) {
  const bool is_64bit = config.target.starts_with("mips64"), big_endian = !config.target.ends_with("el");
  auto model = mips::parse_cpu(cpu_spec(config), is_64bit, big_endian);
  if (!model.ok()) return model.error();
  if (auto date = hw::rtc_start_seconds(config.rtc_base); !date.ok()) return date.error();
  auto machine = std::make_unique<MaltaMachine>(std::move(config), model.take());
  if (Status s = machine->build(); !s.ok()) return s.error();
  return std::unique_ptr<Machine>(std::move(machine));
}

Result<std::unique_ptr<Machine>> build_none(MachineConfig config) {
  auto machine = std::make_unique<NoneMachine>(std::move(config));
  if (Status s = machine->check(); !s.ok()) return s.error();
  return std::unique_ptr<Machine>(std::move(machine));
}

struct Board {
  const char* name;
  const char* description;
  const char* alias_of;
  const char* guest;  // whose boards they are; empty: everybody's
  Result<std::unique_ptr<Machine>> (*build)(MachineConfig);
};
constexpr Board kBoards[] = {
    {"pc", "Standard PC (i440FX + PIIX) (default)", "", "x86", build_pc},
    {"pc-i440fx", "Standard PC (i440FX + PIIX)", "pc", "x86", build_pc},
    {"malta", "MIPS Malta with a GT-64120 core card", "", "mips", build_malta},
    {"none", "empty machine: no CPU, no devices", "", "", build_none},
};

struct DeviceHelp {
  const char* name;
  const char* bus;
  const char* description;
  std::vector<std::string> properties;  // beside id=
};
const std::vector<DeviceHelp>& devices() {
  static const std::vector<DeviceHelp> rows = {
      {"VGA", "PCI", "standard VGA with Bochs VBE: vgamem_mb=, addr=", {"vgamem_mb", "addr", "bus"}},
      {"cirrus-vga", "PCI", "Cirrus Logic GD5446 display: addr=", {"vgamem_mb", "addr", "bus"}},
      {"floppy", "floppy-bus", "floppy drive: drive=, unit=", {"drive", "unit", "bootindex", "bus"}},
      {"ide-cd",
       "IDE",
       "CD-ROM drive: drive=, bus=ide.0|ide.1, unit=, bootindex=",
       {"drive", "bus", "unit", "serial", "bootindex"}},
      {"ide-hd",
       "IDE",
       "hard disk: drive=, bus=ide.0|ide.1, unit=, serial=, bootindex=",
       {"drive", "bus", "unit", "serial", "bootindex", "werror", "rerror"}},
      {"isa-debug-exit", "ISA", "a write ends the emulator: iobase=0x501, iosize=2", {"iobase", "iosize"}},
      {"isa-serial", "ISA", "serial port, a 16550A: chardev=, index=0 to 3", {"chardev", "index"}},
      {"piix3-usb-uhci",
       "PCI",
       "USB 1.1 controller; nothing can be plugged into its ports yet: addr=",
       {"addr", "bus"}},
      {"pc-testdev", "ISA", "device of CPU unit tests", {}},
  };
  static const std::vector<DeviceHelp> all = [] {
    std::vector<DeviceHelp> out = rows;
    for (const StorageModel& m : storage_models()) out.push_back({m.name, m.bus, m.description, m.properties});
    return out;
  }();
  return all;
}

// "pc-i440fx-8.2" and its like are the board without its version.
std::string without_version(const std::string& name) { return name.starts_with("pc-i440fx-") ? "pc-i440fx" : name; }
}  // namespace

Result<std::unique_ptr<Machine>> build(MachineConfig config) {
  const std::string name = without_version(config.board);
  for (const Board& board : kBoards) {
    if (name != board.name) continue;
    if (!*board.guest || guest_of(config.target) == board.guest) return board.build(std::move(config));
    return Error{"the board " + name + " is none of qemu-system-" + config.target, "leave out -machine"};
  }
  return Error{"there is no board '" + config.board + "'", "-machine help lists them"};
}

std::string boards_help() {
  std::string text = "Supported machines are:\n";
  for (const Board& board : kBoards) {
    std::string name = board.name;
    name.resize(std::max<size_t>(name.size() + 1, 21), ' ');
    text +=
        name + board.description + (board.alias_of[0] ? std::string(" (alias of ") + board.alias_of + ")" : "") + "\n";
  }
  return text;
}

bool is_board(const std::string& name) {
  return std::any_of(std::begin(kBoards), std::end(kBoards),
                     [&](const Board& board) { return without_version(name) == board.name; });
}

std::vector<BoardInfo> boards(const std::string& target) {
  const BoardInfo none{.name = "none", .description = "empty machine: no CPU, no devices"};
  if (guest_of(target) == "mips") {
    return {{.name = "malta",
             .description = "MIPS Malta with a GT-64120 core card",
             .is_default = true,
             .cpus_max = 1,
             .default_cpu = default_cpu(target)},
            none};
  }
  return {{.name = "pc-i440fx-8.2",
           .alias = "pc",
           .description = kBoards[0].description,
           .is_default = true,
           .cpus_max = 64,
           .default_cpu = default_cpu(target)},
          none};
}

std::string default_board(const std::string& target) { return guest_of(target) == "mips" ? "malta" : "pc"; }

std::string board_name(const std::string& given) {
  const std::string name = without_version(given);
  return name == "pc" || name == "pc-i440fx" ? "pc-i440fx-8.2" : name;
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const DeviceHelp& device : devices()) names.emplace_back(device.name);
  for (std::string& nic : nic_names()) names.push_back(std::move(nic));
  for (std::string& name : virtio_names()) names.push_back(std::move(name));
  return names;
}

std::string device_bus(const std::string& driver) {
  if (is_nic(driver)) return "pci";
  for (const DeviceHelp& device : devices()) {
    const std::string bus = device.bus;
    if (driver == device.name) return bus == "PCI" ? "pci" : bus == "ISA" ? "isa" : bus == "IDE" ? "ide" : "";
  }
  return "";
}

std::vector<std::string> device_properties(const std::string& driver) {
  for (const DeviceHelp& device : devices()) {
    if (driver != device.name) continue;
    std::vector<std::string> all = device.properties;
    all.emplace_back("id");
    return all;
  }
  return is_nic(driver) ? nic_properties(driver) : virtio_properties(driver);
}

std::string devices_help() {
  std::string text;
  for (const DeviceHelp& device : devices()) {
    text += std::string("name \"") + device.name + "\", bus " + device.bus + ", desc \"" + device.description + "\"\n";
  }
  return text + nics_help() + virtio_help();
}

}  // namespace doppel::machine
