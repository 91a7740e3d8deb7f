#include "machine/pc_firmware.h"

#include <algorithm>

#include "firmware/acpi.h"
#include "firmware/loaders.h"
#include "firmware/smbios.h"
#include "hw/block/ata_disk.h"
#include "hw/block/floppy_drive.h"
#include "hw/bus/pci/piix4_pm.h"
#include "machine/firmware_search.h"

namespace doppel::machine {
namespace {
using firmware::FwCfg;

constexpr u64 kMiB = u64{1} << 20, k4GiB = u64{1} << 32;
constexpr u32 kE820Ram = 1;

// CMOS bytes as PC firmware keeps them (SeaBIOS: hardware/rtc).
enum Cmos : u8 {
  kFloppyTypes = 0x10,
  kDiskTypes = 0x12,
  kEquipment = 0x14,
  kBaseMemory = 0x15,
  kExtendedMemory = 0x17,
  kDisk0Type = 0x19,
  kDisk0 = 0x1b,
  kDisk1 = 0x24,
  kExtendedMemory2 = 0x30,
  kMemoryAbove16m = 0x34,
  kBootOrder3 = 0x38,
  kDiskTranslation = 0x39,
  kBootOrder12 = 0x3d,
  kMemoryAbove4g = 0x5b,
  kCpuCount = 0x5f,
};

void put16(hw::Mc146818& rtc, u8 index, u64 value) {
  rtc.set_nvram(index, static_cast<u8>(value));
  rtc.set_nvram(static_cast<u8>(index + 1), static_cast<u8>(value >> 8));
}

void add_e820(FwCfg& fw_cfg, const PcMemory& memory) {
  std::vector<u8> table;
  const auto entry = [&](u64 start, u64 size) {
    u8 row[20];
    store_le<u64>(row, start);
    store_le<u64>(row + 8, size);
    store_le<u32>(row + 16, kE820Ram);
    table.insert(table.end(), row, row + sizeof row);
  };
  entry(0, memory.ram_below_4g());
  if (memory.ram_above_4g()) entry(k4GiB, memory.ram_above_4g());
  fw_cfg.add_file("etc/e820", std::move(table));
}

Status add_kernel(FwCfg& fw_cfg, const PcFirmwareInput& in, std::string& first_boot) {
  if (in.config.kernel.empty()) {
    if (!in.config.initrd.empty()) return Error{"-initrd needs a kernel", "add -kernel FILE"};
    if (!in.config.append.empty()) return Error{"-append needs a kernel", "add -kernel FILE"};
    return success();
  }
  auto kernel =
      firmware::load_kernel(fw_cfg, {in.config.kernel, in.config.initrd, in.config.append, in.memory.ram_below_4g()});
  if (!kernel.ok()) return kernel.error();
  auto rom = load_firmware(in.config.firmware_dirs, kernel->option_rom);
  if (!rom.ok()) return rom.error();
  fw_cfg.add_file(std::string("genroms/") + kernel->option_rom, rom.take());
  first_boot = std::string("/rom@genroms/") + kernel->option_rom;
  return success();
}

// Open Firmware paths, as SeaBIOS compares them.
void add_boot_order(FwCfg& fw_cfg, const PcFirmwareInput& in, const std::string& first_boot) {
  std::vector<std::pair<int, std::string>> rows = in.pci_boot;
  if (!first_boot.empty()) rows.emplace_back(-1, first_boot);
  for (size_t channel = 0; channel < 2; channel++) {
    for (size_t unit = 0; unit < 2; unit++) {
      const auto& place = in.drives.ide[channel][unit];
      if (!place || place->boot_index < 0) continue;
      rows.emplace_back(place->boot_index,
                        "/pci@i0cf8/ide@1,1/drive@" + std::to_string(channel) + "/disk@" + std::to_string(unit));
    }
    const auto& floppy = in.drives.floppy[channel];
    if (floppy && floppy->boot_index >= 0)
      rows.emplace_back(floppy->boot_index, "/pci@i0cf8/isa@1/fdc@03f0/floppy@" + std::to_string(channel));
  }
  if (rows.empty()) return;
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (const auto& row : rows) text += (text.empty() ? "" : "\n") + row.second;
  text.push_back('\0');
  fw_cfg.add_file("bootorder", std::string_view(text));
}

Status add_smbios(FwCfg& fw_cfg, const PcFirmwareInput& in) {
  firmware::SmbiosConfig c;
  c.product = "Standard PC (i440FX + PIIX)";
  c.board_version = "pc";
  if (!in.config.uuid.empty() && !firmware::parse_uuid(in.config.uuid, c.uuid)) {
    return Error{"'" + in.config.uuid + "' is no UUID", "write it as 550e8400-e29b-41d4-a716-446655440000"};
  }
  fw_cfg.add(firmware::kFwUuid, std::vector<u8>(c.uuid.begin(), c.uuid.end()));
  c.cores = std::max(in.config.cores, 1u);
  c.threads = std::max(in.config.threads, 1u);
  c.sockets = in.config.sockets ? in.config.sockets : std::max(in.config.cpus / (c.cores * c.threads), 1u);
  const auto& m = in.cpu;
  c.cpu_signature = m.stepping | (m.model & 15) << 4 | std::min(m.family, 15u) << 8 | (m.model >> 4) << 16 |
                    (m.family > 15 ? m.family - 15 : 0) << 20;
  c.cpu_features = m.features[static_cast<size_t>(x86::FeatureWord::L1Edx)];
  c.ram_below_4g = in.memory.ram_below_4g();
  c.ram_above_4g = in.memory.ram_above_4g();
  firmware::add_smbios_files(fw_cfg, c);
  return success();
}

void add_acpi(FwCfg& fw_cfg, const PcFirmwareInput& in) {
  firmware::AcpiConfig c;
  c.cpus = in.config.cpus;
  c.hpet = in.config.hpet;
  c.pci_hole_start = static_cast<u32>(in.memory.ram_below_4g());
  c.s5_type = hw::Piix4Pm::kSlpTypS5;
  c.floppy = in.drives.floppy[0].has_value() || in.drives.floppy[1].has_value();
  c.serial_ports = in.serial_ports;
  c.hotplug_slots = in.hotplug_slots;
  firmware::add_acpi_files(fw_cfg, c);
}

u8 floppy_type(const std::optional<DrivePlace>& place) {
  if (!place) return 0;
  const hw::FloppyFormat* format = place->node ? hw::floppy_format_for(place->node->size()) : nullptr;
  return static_cast<u8>(format ? format->drive : hw::FloppyType::D1440);
}

// Returns the translation (two bits) that firmware shall use for the disk.
u8 fill_disk(hw::Mc146818& rtc, hw::IdeDrive* drive, u8 type_index, u8 at, u8 type_shift) {
  const auto* disk = dynamic_cast<hw::AtaDisk*>(drive);
  if (!disk) return 0;
  const hw::DiskGeometry& g = disk->geometry();
  rtc.set_nvram(kDiskTypes, static_cast<u8>(rtc.nvram(kDiskTypes) | 0x0f << type_shift));
  rtc.set_nvram(type_index, 47);  // user-defined
  put16(rtc, at, g.cylinders);
  rtc.set_nvram(static_cast<u8>(at + 2), static_cast<u8>(g.heads));
  put16(rtc, static_cast<u8>(at + 3), 0xffff);  // no write precompensation
  rtc.set_nvram(static_cast<u8>(at + 5), static_cast<u8>(0xc0 | (g.heads > 8 ? 8 : 0)));
  put16(rtc, static_cast<u8>(at + 6), g.cylinders);
  rtc.set_nvram(static_cast<u8>(at + 8), static_cast<u8>(g.sectors));
  return g.cylinders > 1024 ? 1 : 0;  // LBA, or none
}
}  // namespace

Status fill_fw_cfg(FwCfg& fw_cfg, const PcFirmwareInput& in) {
  using namespace firmware;
  const u16 cpus = static_cast<u16>(in.config.cpus);
  fw_cfg.add_u64(kFwRamSize, in.memory.ram_below_4g() + in.memory.ram_above_4g());
  fw_cfg.add_u16(kFwNoGraphic, 0);
  fw_cfg.add_u16(kFwNbCpus, cpus);
  fw_cfg.add_u16(kFwMaxCpus, cpus);
  fw_cfg.add_u16(kFwBootDevice, in.config.boot_order.empty() ? u16{'c'} : static_cast<u16>(in.config.boot_order[0]));
  fw_cfg.add_u16(kFwBootMenu, in.config.boot_menu ? 1 : 0);
  fw_cfg.add(kFwNuma, std::vector<u8>((1 + size_t{cpus}) * 8));
  fw_cfg.add_u32(kFwX86Irq0Override, 1);
  fw_cfg.add_file("etc/system-states", std::vector<u8>{128, 0, 0, 1, 2, 128});  // soft off only
  add_e820(fw_cfg, in.memory);
  std::string first_boot;
  if (Status s = add_kernel(fw_cfg, in, first_boot); !s.ok()) return s;
  add_boot_order(fw_cfg, in, first_boot);
  if (Status s = add_smbios(fw_cfg, in); !s.ok()) return s;
  if (in.config.acpi) add_acpi(fw_cfg, in);
  for (const auto& [name, contents] : in.config.fw_cfg) fw_cfg.add_file(name, contents);
  return success();
}

void set_boot_order(hw::Mc146818& rtc, const std::string& order) {
  u8 codes[3] = {0, 0, 0};
  for (size_t i = 0; i < std::min<size_t>(order.size(), 3); i++) {
    switch (order[i]) {
      case 'a':
      case 'b': codes[i] = 1; break;
      case 'c': codes[i] = 2; break;
      case 'd': codes[i] = 3; break;
      case 'n': codes[i] = 4; break;
      default: break;
    }
  }
  rtc.set_nvram(kBootOrder12, static_cast<u8>(codes[1] << 4 | codes[0]));
  rtc.set_nvram(kBootOrder3, static_cast<u8>(codes[2] << 4 | 1));  // bit 0: no floppy signature check
}

void fill_cmos(hw::Mc146818& rtc, const PcFirmwareInput& in, hw::PiixIde& ide) {
  const u64 below = in.memory.ram_below_4g(), above = in.memory.ram_above_4g();
  put16(rtc, kBaseMemory, 640);
  const u64 extended_kib = std::min<u64>((below - kMiB) >> 10, 0xffff);
  put16(rtc, kExtendedMemory, extended_kib);
  put16(rtc, kExtendedMemory2, extended_kib);
  put16(rtc, kMemoryAbove16m, below > 16 * kMiB ? std::min<u64>((below - 16 * kMiB) >> 16, 0xffff) : 0);
  for (u8 i = 0; i < 3; i++)
    rtc.set_nvram(static_cast<u8>(kMemoryAbove4g + i), static_cast<u8>((above >> 16) >> (8 * i)));
  rtc.set_nvram(kCpuCount, static_cast<u8>(in.config.cpus - 1));
  const u8 a = floppy_type(in.drives.floppy[0]), b = floppy_type(in.drives.floppy[1]);
  rtc.set_nvram(kFloppyTypes, static_cast<u8>(a << 4 | b));
  const int floppies = (a ? 1 : 0) + (b ? 1 : 0);
  rtc.set_nvram(kEquipment, static_cast<u8>(0x06 | (floppies == 2   ? 0x41
                                                    : floppies == 1 ? 0x01
                                                                    : 0)));  // FPU, PS/2 mouse, floppies
  rtc.set_nvram(kDiskTypes, 0);
  u8 translation = fill_disk(rtc, ide.drive(0, 0), kDisk0Type, kDisk0, 4);
  translation |= static_cast<u8>(fill_disk(rtc, ide.drive(0, 1), kDisk0Type + 1, kDisk1, 0) << 2);
  for (unsigned unit = 0; unit < 2; unit++) {
    const auto* disk = dynamic_cast<hw::AtaDisk*>(ide.drive(1, unit));
    if (disk && disk->geometry().cylinders > 1024) translation |= static_cast<u8>(1 << (4 + 2 * unit));
  }
  rtc.set_nvram(kDiskTranslation, translation);
  set_boot_order(rtc, in.config.boot_once.empty() ? in.config.boot_order : in.config.boot_once);
}

}  // namespace doppel::machine
