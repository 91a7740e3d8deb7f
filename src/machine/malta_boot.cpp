#include "machine/malta_boot.h"

#include <algorithm>

#include "firmware/loaders.h"

namespace doppel::machine {
namespace {

constexpr u64 kEnvironment = 0x2000, kEntries = 32, kStringBytes = 0x1000;
constexpr u32 kKseg0 = 0x80000000;
constexpr u64 kPhysMask = 0x1fffffff, kInitrdAlign = 0x10000, kBootAllocator = 0x20000;

// Numbers of an ELF file in its own byte order.
class Elf {
 public:
  explicit Elf(const std::vector<u8>& image) : image_(image), big_(image.size() > 5 && image[5] == 2) {}
  bool is_elf() const {
    return image_.size() >= 52 && image_[0] == 0x7f && image_[1] == 'E' && image_[2] == 'L' && image_[3] == 'F';
  }
  bool is_64bit() const { return image_[4] == 2; }
  bool big_endian() const { return big_; }
  u64 number(u64 at, unsigned bytes) const {
    u64 value = 0;
    for (unsigned i = 0; i < bytes; i++)
      value |= u64{at + i < image_.size() ? image_[at + i] : u8{0}} << (8 * (big_ ? bytes - 1 - i : i));
    return value;
  }
  u64 word(u64 at) const { return number(at, is_64bit() ? 8 : 4); }

 private:
  const std::vector<u8>& image_;
  bool big_;
};

Status load_segments(const std::string& name, const std::vector<u8>& image, u64 ram, MaltaBoot& out, u64& end) {
  const Elf elf(image);
  const bool wide = elf.is_64bit();
  const u64 table = elf.word(wide ? 32 : 28), entry_size = elf.number(wide ? 54 : 42, 2),
            count = elf.number(wide ? 56 : 44, 2);
  for (u64 i = 0; i < count; i++) {
    const u64 at = table + i * entry_size;
    if (at + (wide ? 56 : 32) > image.size()) return Error{"the kernel '" + name + "' is cut off", "copy it again"};
    if (elf.number(at, 4) != 1) continue;  // PT_LOAD
    const u64 offset = elf.word(at + (wide ? 8 : 4)), address = elf.word(at + (wide ? 24 : 12)) & kPhysMask;
    const u64 in_file = elf.word(at + (wide ? 32 : 16)), in_memory = elf.word(at + (wide ? 40 : 20));
    if (offset > image.size() || in_file > image.size() - offset || in_file > in_memory)
      return Error{"the kernel '" + name + "' is damaged: a segment is cut off", "copy it again"};
    if (in_memory > ram || address > ram - in_memory)
      return Error{"the kernel '" + name + "' doesn't fit into memory", "give the machine more RAM with -m"};
    MaltaBoot::Piece piece{
        address, {image.begin() + static_cast<long>(offset), image.begin() + static_cast<long>(offset + in_file)}};
    piece.bytes.resize(in_memory);
    end = std::max(end, address + in_memory);
    out.pieces.push_back(std::move(piece));
  }
  if (out.pieces.empty()) return Error{"the kernel '" + name + "' has nothing to load", "it is no kernel"};
  return success();
}

// The block at 0x80002000: pointers first, then the strings.
class Environment {
 public:
  explicit Environment(bool big_endian) : big_endian_(big_endian), bytes_(kEntries * 4 + kStringBytes) {}
  bool add(const std::string& text) {
    if (count_ + 1 >= kEntries || at_ + text.size() + 1 > bytes_.size()) return false;
    std::copy(text.begin(), text.end(), bytes_.begin() + static_cast<long>(at_));
    pointer(count_++, kKseg0 + static_cast<u32>(kEnvironment + at_));
    at_ += text.size() + 1;
    return true;
  }
  void end_of_list() { pointer(count_++, 0); }
  std::vector<u8> take() { return std::move(bytes_); }
  u32 next_pointer() const { return kKseg0 + static_cast<u32>(kEnvironment + count_ * 4); }

 private:
  void pointer(u64 index, u32 value) {
    if (big_endian_) value = __builtin_bswap32(value);
    store_le<u32>(&bytes_[index * 4], value);
  }
  bool big_endian_;
  std::vector<u8> bytes_;
  u64 count_ = 0, at_ = kEntries * 4;
};

Status check_kernel(const MachineConfig& config, const mips::CpuModel& cpu, const std::vector<u8>& image) {
  const Elf elf(image);
  if (!elf.is_elf() || elf.number(18, 2) != 8)
    return Error{"'" + config.kernel + "' is no ELF kernel for MIPS", "give the vmlinux of a Malta kernel"};
  if (elf.big_endian() != cpu.big_endian) {
    return Error{
        "the kernel '" + config.kernel + "' is " + (elf.big_endian() ? "big" : "little") + "-endian",
        std::string("start it with qemu-system-mips") + (cpu.is_64bit ? "64" : "") + (elf.big_endian() ? "" : "el")};
  }
  if (elf.is_64bit() && !cpu.is_64bit)
    return Error{"the kernel '" + config.kernel + "' is one of 64 bits, and the CPU " + cpu.name + " has 32",
                 "start it with qemu-system-mips64 or -mips64el"};
  return success();
}

}  // namespace

Result<MaltaBoot> plan_malta_boot(const MachineConfig& config, const mips::CpuModel& cpu, u64 low_ram) {
  if (config.kernel.empty()) return MaltaBoot{};
  auto image = firmware::read_file(config.kernel, "kernel");
  if (!image.ok()) return image.error();
  if (Status s = check_kernel(config, cpu, *image); !s.ok()) return s.error();
  MaltaBoot out;
  u64 end = 0;
  if (Status s = load_segments(config.kernel, *image, low_ram, out, end); !s.ok()) return s.error();
  std::string command_line = config.append;
  if (!config.initrd.empty()) {
    auto initrd = firmware::read_file(config.initrd, "initrd");
    if (!initrd.ok()) return initrd.error();
    // At the top of memory: kernels move themselves to a random place above their own. Room for the boot allocator
    // stays.
    const u64 needed = initrd->size() + kBootAllocator;
    const u64 at = low_ram > needed ? align_down(low_ram - needed, kInitrdAlign) : 0;
    if (at < end)
      return Error{"the initrd '" + config.initrd + "' doesn't fit into memory", "give the machine more RAM with -m"};
    char text[80];
    std::snprintf(text, sizeof text, "rd_start=0x%08llx rd_size=%zu ", static_cast<unsigned long long>(kKseg0 + at),
                  initrd->size());
    command_line = text + command_line;
    out.pieces.push_back({at, initrd.take()});
  }
  Environment block(cpu.big_endian);
  if (!block.add(config.kernel.substr(config.kernel.rfind('/') + 1)) || !block.add(command_line))
    return Error{"the kernel's command line is too long", "leave something out of -append"};
  block.end_of_list();
  const u32 environment = block.next_pointer();
  for (const std::string& text : {std::string("memsize"), std::to_string(low_ram), std::string("ememsize"),
                                  std::to_string(config.ram_bytes), std::string("modetty0"), std::string("38400n8r")})
    block.add(text);
  block.end_of_list();
  out.pieces.push_back({kEnvironment, block.take()});
  mips::MipsCpu::Boot boot;
  boot.pc = Elf(*image).word(24);
  const auto kseg0 = [&](u32 address) {
    return cpu.is_64bit ? static_cast<u64>(static_cast<s64>(static_cast<s32>(address))) : u64{address};
  };
  if (!Elf(*image).is_64bit()) boot.pc = kseg0(static_cast<u32>(boot.pc));
  boot.sp = kseg0(kKseg0 + kEnvironment - 64);
  boot.args = {2, kseg0(kKseg0 + kEnvironment), kseg0(environment), low_ram};
  out.cpu = boot;
  return out;
}

}  // namespace doppel::machine
