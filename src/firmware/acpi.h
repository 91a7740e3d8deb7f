// ACPI tables of a PC board (ACPI specification 2.0): RSDP, RSDT, XSDT, FADT, FACS, DSDT, MADT, HPET, and the loader
// script that the firmware runs to place them and patch their pointers (fw_cfg file etc/table-loader; QEMU's BIOS
// linker/loader interface).
#pragma once
#include <vector>

#include "base/bits.h"

namespace doppel::firmware {

class FwCfg;

struct AcpiConfig {
  u32 cpus = 1;
  bool hpet = true;
  u32 pci_hole_start = 0xe0000000;  // first address above RAM below 4 GiB
  u32 pci_hole_end = 0xfec00000;    // exclusive
  u16 pm_base = 0x600;              // PIIX4 PMBA as the firmware sets it: events, control, timer, GPE at +0 +4 +8 +0xc
  u8 s5_type = 0;                   // SLP_TYP of soft off
  u32 hotplug_slots = 0;            // PCI slots where cards come and go: a bit each (hw::PciHotplug)
  bool floppy = true;
  u32 serial_ports = 1;  // COM1 and up: a bit each
};

struct AcpiTables {
  std::vector<u8> tables;  // etc/acpi/tables: all but the RSDP, pointers relative to the file's start
  std::vector<u8> rsdp;    // etc/acpi/rsdp
  std::vector<u8> loader;  // etc/table-loader
};

AcpiTables build_acpi(const AcpiConfig& config);
void add_acpi_files(FwCfg& fw_cfg, const AcpiConfig& config);
// The DSDT's definition block (after the header), for tests.
std::vector<u8> build_dsdt_body(const AcpiConfig& config);

}  // namespace doppel::firmware
