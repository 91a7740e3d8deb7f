// Multiboot images (GNU Multiboot Specification 0.6.96). The image and its modules become one block of memory; the
// information structure is prepared here, and the option ROM fills in what only the firmware knows: mem_lower,
// mem_upper and the memory map, which it writes at mmap_addr and whose length it stores.
#include <algorithm>

#include "firmware/fw_cfg.h"
#include "firmware/loaders.h"

namespace doppel::firmware {
namespace {
constexpr u32 kHeaderMagic = 0x1badb002, kHeaderSearch = 8192;
constexpr u32 kAoutKludge = 1 << 16;  // bit 2, a wish for a video mode, may be left unfulfilled
constexpr u32 kInfo = 0x9000, kMemoryMap = 0x9100, kStrings = 0xa000, kStringsEnd = 0x10000;
enum InfoFlags : u32 { kMemory = 1, kBootDevice = 2, kCommandLine = 4, kModules = 8, kMmap = 64, kLoaderName = 512 };

// Offset of the header in the image, or none.
constexpr u32 kNone = ~u32{0};
u32 find_header(const std::vector<u8>& image) {
  const size_t end = std::min<size_t>(image.size(), kHeaderSearch);
  for (u32 at = 0; at + 12 <= end; at += 4) {
    if (load_le<u32>(&image[at]) != kHeaderMagic) continue;
    if (load_le<u32>(&image[at]) + load_le<u32>(&image[at + 4]) + load_le<u32>(&image[at + 8]) == 0) return at;
  }
  return kNone;
}

struct Loaded {
  u32 address = 0, entry = 0;
  std::vector<u8> bytes;
};

Error damaged(const KernelConfig& config, const char* what) {
  return Error{"the Multiboot image '" + config.kernel + "' is damaged: " + what, "build or copy it again"};
}

Result<Loaded> load_kludge(const KernelConfig& config, const std::vector<u8>& image, u32 header) {
  if (header + 32 > image.size()) return damaged(config, "its header is cut off");
  const u32 header_addr = load_le<u32>(&image[header + 12]), load = load_le<u32>(&image[header + 16]);
  const u32 load_end = load_le<u32>(&image[header + 20]), bss_end = load_le<u32>(&image[header + 24]);
  const u64 skew = u64{header_addr} - load;
  if (load > header_addr || skew > header) return damaged(config, "its load address is beyond its header");
  const u32 start = header - static_cast<u32>(skew);
  const u64 size = load_end ? u64{load_end} - load : image.size() - start;
  if ((load_end && load_end < load) || start + size > image.size())
    return damaged(config, "it is shorter than its header says");
  Loaded out{load, load_le<u32>(&image[header + 28]), {}};
  const u64 total = std::max<u64>(size, bss_end > load ? bss_end - load : 0);
  if (load + total > config.ram_below_4g)
    return Error{"the kernel '" + config.kernel + "' doesn't fit into memory", "give the machine more RAM with -m"};
  out.bytes.assign(image.begin() + start, image.begin() + static_cast<long>(start + size));
  out.bytes.resize(total);
  return out;
}

// ELF32 for the 80386: program segments at their physical addresses.
Result<Loaded> load_elf(const KernelConfig& config, const std::vector<u8>& image) {
  if (image.size() < 52 || std::memcmp(image.data(),
                                       "\x7f"
                                       "ELF",
                                       4) != 0)
    return damaged(config, "it is no ELF file and has no load addresses");
  if (image[4] != 1 || load_le<u16>(&image[18]) != 3) {
    return Error{"'" + config.kernel + "' is an ELF file for another CPU or for 64 bits",
                 "Multiboot wants a 32-bit x86 ELF file"};
  }
  const u32 entry = load_le<u32>(&image[24]), table = load_le<u32>(&image[28]);
  const u16 entry_size = load_le<u16>(&image[42]), count = load_le<u16>(&image[44]);
  struct Segment {
    u32 offset, vaddr, paddr, file_size, memory_size;
  };
  std::vector<Segment> segments;
  u64 low = ~u64{0}, high = 0;
  for (u32 i = 0; i < count; i++) {
    const u64 at = table + u64{i} * entry_size;
    if (entry_size < 32 || at + 32 > image.size()) return damaged(config, "its program headers are cut off");
    if (load_le<u32>(&image[at]) != 1) continue;  // PT_LOAD
    const Segment s{load_le<u32>(&image[at + 4]), load_le<u32>(&image[at + 8]), load_le<u32>(&image[at + 12]),
                    load_le<u32>(&image[at + 16]), load_le<u32>(&image[at + 20])};
    if (u64{s.offset} + s.file_size > image.size() || s.file_size > s.memory_size)
      return damaged(config, "a segment is cut off");
    if (s.memory_size == 0) continue;
    segments.push_back(s);
    low = std::min<u64>(low, s.paddr);
    high = std::max<u64>(high, u64{s.paddr} + s.memory_size);
  }
  if (segments.empty()) return damaged(config, "it has nothing to load");
  if (high > config.ram_below_4g)
    return Error{"the kernel '" + config.kernel + "' doesn't fit into memory", "give the machine more RAM with -m"};
  Loaded out{static_cast<u32>(low), entry, std::vector<u8>(high - low)};
  for (const Segment& s : segments) {
    std::copy_n(image.begin() + s.offset, s.file_size, out.bytes.begin() + static_cast<long>(s.paddr - low));
    if (entry >= s.vaddr && entry - s.vaddr < s.memory_size) out.entry = entry - s.vaddr + s.paddr;
  }
  return out;
}

// The information structure and what it points to, as one block at kInfo.
class InfoBlock {
 public:
  InfoBlock() : bytes_(kStrings - kInfo) {}
  void set(u32 offset, u32 value) { store_le<u32>(&bytes_[offset], value); }
  u32 add(const std::vector<u8>& data) {
    const u32 at = kInfo + static_cast<u32>(bytes_.size());
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    bytes_.resize(align_up(bytes_.size(), 4));
    return at;
  }
  u32 add(const std::string& text) {
    std::vector<u8> data(text.begin(), text.end());
    data.push_back(0);
    return add(data);
  }
  std::vector<u8> take() { return std::move(bytes_); }
  size_t size() const { return bytes_.size(); }

 private:
  std::vector<u8> bytes_;
};

// "file arguments,file arguments": page-aligned after the kernel. Returns the module list.
Result<std::vector<u8>> add_modules(const KernelConfig& config, Loaded& kernel, InfoBlock& info, u32& count) {
  std::vector<u8> list;
  for (size_t at = 0; at < config.initrd.size();) {
    const size_t comma = std::min(config.initrd.find(',', at), config.initrd.size());
    const std::string module = config.initrd.substr(at, comma - at);
    at = comma + 1;
    auto data = read_file(module.substr(0, module.find(' ')), "module");
    if (!data.ok()) return data.error();
    const u64 address = align_up(kernel.address + kernel.bytes.size(), 4096);
    if (address + data->size() > config.ram_below_4g)
      return Error{"the module '" + module + "' doesn't fit into memory", "give the machine more RAM with -m"};
    kernel.bytes.resize(address - kernel.address);
    kernel.bytes.insert(kernel.bytes.end(), data->begin(), data->end());
    const u32 text = info.add(module);
    u8 row[16] = {};
    store_le<u32>(row, static_cast<u32>(address));
    store_le<u32>(row + 4, static_cast<u32>(address + data->size()));
    store_le<u32>(row + 8, text);
    list.insert(list.end(), row, row + sizeof row);
    count++;
  }
  return list;
}
}  // namespace

bool is_multiboot_image(const std::vector<u8>& image) { return find_header(image) != kNone; }

Status load_multiboot(FwCfg& fw_cfg, const KernelConfig& config, const std::vector<u8>& image) {
  const u32 header = find_header(image);
  const u32 flags = load_le<u32>(&image[header + 4]);
  if (flags & 0xfff8)
    return Error{"'" + config.kernel + "' asks for Multiboot features that don't exist",
                 "boot it with a boot loader of its own"};
  auto kernel = (flags & kAoutKludge) ? load_kludge(config, image, header) : load_elf(config, image);
  if (!kernel.ok()) return kernel.error();
  InfoBlock info;
  u32 modules = 0;
  auto list = add_modules(config, *kernel, info, modules);
  if (!list.ok()) return list.error();
  info.set(0, kMemory | kBootDevice | kCommandLine | (modules ? kModules : 0u) | kMmap | kLoaderName);
  info.set(12, 0x8000ffff);
  info.set(16, info.add(config.append.empty() ? config.kernel : config.kernel + " " + config.append));
  info.set(20, modules);
  info.set(24, info.add(*list));
  info.set(48, kMemoryMap);
  info.set(64, info.add(std::string("doppel")));
  if (kInfo + info.size() > kStringsEnd)
    return Error{"the command line and module names are too long", "shorten -append or -initrd"};
  fw_cfg.add_u32(kFwKernelEntry, kernel->entry);
  fw_cfg.add_u32(kFwKernelAddr, kernel->address);
  fw_cfg.add_u32(kFwKernelSize, static_cast<u32>(kernel->bytes.size()));
  fw_cfg.add(kFwKernelData, std::move(kernel->bytes));
  fw_cfg.add_u32(kFwInitrdAddr, kInfo);
  fw_cfg.add_u32(kFwInitrdSize, static_cast<u32>(info.size()));
  fw_cfg.add(kFwInitrdData, info.take());
  return success();
}

}  // namespace doppel::firmware
