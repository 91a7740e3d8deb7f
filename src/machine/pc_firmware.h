// What a PC's firmware is told about the machine: fw_cfg items and files, CMOS bytes.
#pragma once
#include "firmware/fw_cfg.h"
#include "guest/x86/cpu_models.h"
#include "hw/block/piix_ide.h"
#include "hw/rtc/mc146818.h"
#include "machine/machine.h"
#include "machine/pc_drives.h"
#include "machine/pc_memory.h"

namespace doppel::machine {

struct PcFirmwareInput {
  const MachineConfig& config;
  const PcMemory& memory;
  const PcDrives& drives;
  const x86::CpuModel& cpu;
  u32 serial_ports = 0;                                      // a bit each
  u32 hotplug_slots = 0;                                     // likewise
  const std::vector<std::pair<int, std::string>>& pci_boot;  // boot index, path
};

// Errors: a kernel or initrd that can't be loaded, a missing option ROM, a bad UUID.
Status fill_fw_cfg(firmware::FwCfg& fw_cfg, const PcFirmwareInput& input);
void fill_cmos(hw::Mc146818& rtc, const PcFirmwareInput& input, hw::PiixIde& ide);
// "cad": a floppy, c disk, d CD, n network.
void set_boot_order(hw::Mc146818& rtc, const std::string& order);

}  // namespace doppel::machine
