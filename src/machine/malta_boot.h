// Direct kernel boot on the Malta board: what YAMON leaves behind. The kernel's ELF segments and the initrd in RAM, and
// the argument vector and environment (YAMON User's Manual, MD00008, "Application interface") at 0x80002000.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "guest/mips/cpu.h"
#include "machine/machine.h"
#include "mem/address_space.h"

namespace doppel::machine {

struct MaltaBoot {
  struct Piece {
    u64 phys = 0;
    std::vector<u8> bytes;
  };
  std::vector<Piece> pieces;               // written again at every reset
  std::optional<mips::MipsCpu::Boot> cpu;  // none: firmware starts
};
// Empty without a kernel. Errors: one for another CPU or byte order, more than the RAM holds.
Result<MaltaBoot> plan_malta_boot(const MachineConfig& config, const mips::CpuModel& cpu, u64 low_ram);

}  // namespace doppel::machine
