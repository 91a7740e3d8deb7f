// SMBIOS tables (DMTF DSP0134, version 2.8): entry point and structures that the firmware copies to the guest (fw_cfg
// files etc/smbios/smbios-anchor and etc/smbios/smbios-tables).
#pragma once
#include <array>
#include <string>
#include <vector>

#include "base/bits.h"

namespace doppel::firmware {

class FwCfg;

struct SmbiosConfig {
  std::string product;        // "Standard PC (i440FX + PIIX)"
  std::string board_version;  // "pc"
  std::array<u8, 16> uuid{};  // as RFC 4122 prints it; the table stores it in wire format
  u32 sockets = 1, cores = 1, threads = 1;
  u32 cpu_signature = 0, cpu_features = 0;  // CPUID leaf 1 EAX and EDX
  u64 ram_below_4g = 0, ram_above_4g = 0;
};

struct SmbiosTables {
  std::vector<u8> anchor, tables;
};
SmbiosTables build_smbios(const SmbiosConfig& config);
void add_smbios_files(FwCfg& fw_cfg, const SmbiosConfig& config);
// "550e8400-e29b-41d4-a716-446655440000"; false: not a UUID.
bool parse_uuid(const std::string& text, std::array<u8, 16>& uuid);

}  // namespace doppel::firmware
