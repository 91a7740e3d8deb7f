// Direct kernel boot on a PC (-kernel, -initrd, -append): puts a Linux bzImage or a Multiboot image into fw_cfg, where
// an option ROM of the firmware package (linuxboot_dma.bin, multiboot_dma.bin) finds it and starts it.
#pragma once
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::firmware {

class FwCfg;

struct KernelConfig {
  std::string kernel, initrd, append;  // initrd, Multiboot: "file arguments,file arguments..."
  u64 ram_below_4g = 0;
};

enum class KernelKind { Linux, Multiboot };
struct LoadedKernel {
  KernelKind kind;
  const char* option_rom;
};  // file name of the option ROM that starts it

// Errors: missing or unreadable file, not a kernel, damaged, more than the RAM holds.
Result<LoadedKernel> load_kernel(FwCfg& fw_cfg, const KernelConfig& config);

// The parts of it. `image` is the whole kernel file.
bool is_linux_image(const std::vector<u8>& image);
bool is_multiboot_image(const std::vector<u8>& image);
Status load_linux(FwCfg& fw_cfg, const KernelConfig& config, std::vector<u8> image);
Status load_multiboot(FwCfg& fw_cfg, const KernelConfig& config, const std::vector<u8>& image);

// Whole file. Errors: missing, unreadable, a folder.
Result<std::vector<u8>> read_file(const std::string& path, const std::string& what);

}  // namespace doppel::firmware
