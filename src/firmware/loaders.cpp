// Picks the loader by content, and the Linux boot protocol (Linux documentation "The Linux/x86 Boot Protocol",
// versions 2.00 to 2.15).
#include "firmware/loaders.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "base/os/fd_sets.h"
#include "firmware/fw_cfg.h"

namespace doppel::firmware {
namespace {
struct FileCloser {
  void operator()(std::FILE* f) const { std::fclose(f); }
};

// Offsets in the real-mode kernel header.
enum Header : size_t {
  kSetupSects = 0x1f1,
  kVidMode = 0x1fa,
  kBootFlag = 0x1fe,
  kMagic = 0x202,
  kVersion = 0x206,
  kTypeOfLoader = 0x210,
  kLoadflags = 0x211,
  kRamdiskImage = 0x218,
  kRamdiskSize = 0x21c,
  kHeapEndPtr = 0x224,
  kCmdLinePtr = 0x228,
  kInitrdAddrMax = 0x22c,
  kXloadflags = 0x236,
  kHeaderEnd = 0x250,
};
constexpr u8 kLoadedHigh = 1, kCanUseHeap = 0x80;
constexpr u16 kCanBeLoadedAbove4g = 2;
constexpr u8 kLoaderId = 0xb0;            // the id of machine emulators that boot so
constexpr u32 kFirmwareTables = 0x28000;  // what the firmware takes at the top of RAM

struct Placement {
  u32 setup, cmdline, kernel;
};

Placement place(u16 protocol, bool high, u32 cmdline_size) {
  if (protocol < 0x200 || !high) return {0x90000, 0x9a000 - cmdline_size, 0x10000};
  if (protocol < 0x202) return {0x90000, 0x9a000 - cmdline_size, 0x100000};
  return {0x10000, 0x20000, 0x100000};
}

// "vga=791", "vga=0x317", "vga=normal": the loader's job, not the kernel's.
void set_video_mode(std::vector<u8>& image, const std::string& append) {
  size_t at = append.rfind("vga=");
  if (at == std::string::npos || (at > 0 && append[at - 1] != ' ')) return;
  const std::string value = append.substr(at + 4, append.find(' ', at) - at - 4);
  const u16 mode = value == "normal" ? 0xffff
                   : value == "ext"  ? 0xfffe
                   : value == "ask"  ? 0xfffd
                                     : static_cast<u16>(std::strtoul(value.c_str(), nullptr, 0));
  store_le<u16>(&image[kVidMode], mode);
}

// "mem=64M" bounds where an initrd may lie.
u64 memory_argument(const std::string& append) {
  const size_t at = append.rfind("mem=");
  if (at == std::string::npos || (at > 0 && append[at - 1] != ' ')) return ~u64{0};
  char* end = nullptr;
  u64 value = std::strtoull(append.c_str() + at + 4, &end, 0);
  switch (*end) {
    case 'g':
    case 'G': value <<= 10; [[fallthrough]];
    case 'm':
    case 'M': value <<= 10; [[fallthrough]];
    case 'k':
    case 'K': value <<= 10; break;
    default: break;
  }
  return value ? value : ~u64{0};
}

u64 initrd_limit(const std::vector<u8>& image, u16 protocol, const KernelConfig& config) {
  u64 limit = protocol >= 0x203 ? load_le<u32>(&image[kInitrdAddrMax]) : 0x37ffffff;
  if (protocol >= 0x20c && (load_le<u16>(&image[kXloadflags]) & kCanBeLoadedAbove4g)) limit = 0xffffffff;
  limit = std::min(limit, config.ram_below_4g - kFirmwareTables - 1);
  return std::min(limit, memory_argument(config.append) - 1);
}

Status add_initrd(FwCfg& fw_cfg, const KernelConfig& config, std::vector<u8>& image, u16 protocol) {
  if (protocol < 0x200) return Error{"'" + config.kernel + "' is too old to take an initrd", "leave -initrd out"};
  auto initrd = read_file(config.initrd, "initrd");
  if (!initrd.ok()) return initrd.error();
  const u64 limit = initrd_limit(image, protocol, config);
  const u64 kernel_end = 0x100000 + image.size();
  if (initrd->empty()) return Error{"the initrd '" + config.initrd + "' is empty", "give a file with an archive in it"};
  if (initrd->size() > limit || limit - initrd->size() < kernel_end) {
    return Error{"the initrd '" + config.initrd + "' of " + std::to_string(initrd->size() >> 20) +
                     " MiB doesn't fit into memory",
                 "give the machine more RAM with -m"};
  }
  const u32 address = static_cast<u32>((limit + 1 - initrd->size()) & ~u64{4095});
  const u32 size = static_cast<u32>(initrd->size());
  store_le<u32>(&image[kRamdiskImage], address);
  store_le<u32>(&image[kRamdiskSize], size);
  fw_cfg.add_u32(kFwInitrdAddr, address);
  fw_cfg.add_u32(kFwInitrdSize, size);
  fw_cfg.add(kFwInitrdData, initrd.take());
  return success();
}
}  // namespace

Result<std::vector<u8>> read_file(const std::string& path, const std::string& what) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    return Error{"the " + what + " '" + path + "' is a folder", "give a file"};
  const std::unique_ptr<std::FILE, FileCloser> file(os::open_stream(path, "r"));
  if (!file)
    return Error{"can't open the " + what + " '" + path + "': " + std::strerror(errno),
                 errno == ENOENT ? "check the path" : ""};
  std::vector<u8> data;
  const auto size = std::filesystem::file_size(path, error);
  if (!error) data.reserve(size);
  u8 block[65536];
  for (;;) {
    const size_t n = std::fread(block, 1, sizeof block, file.get());
    data.insert(data.end(), block, block + n);
    if (n < sizeof block) break;
  }
  if (std::ferror(file.get())) return Error{"can't read the " + what + " '" + path + "': " + std::strerror(errno), ""};
  return data;
}

bool is_linux_image(const std::vector<u8>& image) {
  return image.size() > kHeaderEnd && load_le<u16>(&image[kBootFlag]) == 0xaa55 &&
         std::memcmp(&image[kMagic], "HdrS", 4) == 0;
}

Status load_linux(FwCfg& fw_cfg, const KernelConfig& config, std::vector<u8> image) {
  const u16 protocol = load_le<u16>(&image[kVersion]);
  const u32 setup_size = ((image[kSetupSects] ? image[kSetupSects] : 4u) + 1) * 512;
  if (setup_size >= image.size()) {
    return Error{"the kernel '" + config.kernel + "' is damaged: shorter than its own setup code",
                 "copy or download it again"};
  }
  const u32 cmdline_size = static_cast<u32>(align_up(config.append.size() + 1, 16));
  const Placement at = place(protocol, (image[kLoadflags] & kLoadedHigh) != 0, cmdline_size);
  const u64 kernel_size = image.size() - setup_size;
  if (at.kernel + kernel_size > config.ram_below_4g) {
    return Error{"the kernel '" + config.kernel + "' doesn't fit into memory", "give the machine more RAM with -m"};
  }
  set_video_mode(image, config.append);
  if (protocol >= 0x202) {
    store_le<u32>(&image[kCmdLinePtr], at.cmdline);
  } else {
    store_le<u16>(&image[0x20], 0xa33f);
    store_le<u16>(&image[0x22], static_cast<u16>(at.cmdline - at.setup));
  }
  if (protocol >= 0x200) image[kTypeOfLoader] = kLoaderId;
  if (protocol >= 0x201) {
    image[kLoadflags] |= kCanUseHeap;
    store_le<u16>(&image[kHeapEndPtr], static_cast<u16>(at.cmdline - at.setup - 0x200));
  }
  if (!config.initrd.empty()) {
    if (Status s = add_initrd(fw_cfg, config, image, protocol); !s.ok()) return s;
  }
  fw_cfg.add_u32(kFwCmdlineAddr, at.cmdline);
  fw_cfg.add_u32(kFwCmdlineSize, static_cast<u32>(config.append.size() + 1));
  fw_cfg.add_string(kFwCmdlineData, config.append);
  fw_cfg.add_u32(kFwKernelAddr, at.kernel);
  fw_cfg.add_u32(kFwKernelSize, static_cast<u32>(kernel_size));
  fw_cfg.add_u32(kFwSetupAddr, at.setup);
  fw_cfg.add_u32(kFwSetupSize, setup_size);
  fw_cfg.add(kFwSetupData, std::vector<u8>(image.begin(), image.begin() + static_cast<long>(setup_size)));
  image.erase(image.begin(), image.begin() + static_cast<long>(setup_size));
  fw_cfg.add(kFwKernelData, std::move(image));
  return success();
}

Result<LoadedKernel> load_kernel(FwCfg& fw_cfg, const KernelConfig& config) {
  auto image = read_file(config.kernel, "kernel");
  if (!image.ok()) return image.error();
  if (is_linux_image(*image)) {
    if (Status s = load_linux(fw_cfg, config, image.take()); !s.ok()) return s.error();
    return LoadedKernel{KernelKind::Linux, "linuxboot_dma.bin"};
  }
  if (is_multiboot_image(*image)) {
    if (Status s = load_multiboot(fw_cfg, config, *image); !s.ok()) return s.error();
    return LoadedKernel{KernelKind::Multiboot, "multiboot_dma.bin"};
  }
  const bool elf = image->size() > 4 && std::memcmp(image->data(),
                                                    "\x7f"
                                                    "ELF",
                                                    4) == 0;
  if (elf) {
    return Error{"'" + config.kernel + "' is an ELF file without a Multiboot header",
                 "for Linux give the bzImage (vmlinuz) of an x86 kernel"};
  }
  return Error{"'" + config.kernel + "' is no kernel for this machine",
               "-kernel takes a Linux bzImage or a Multiboot image"};
}

}  // namespace doppel::firmware
