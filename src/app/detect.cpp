// Content detection. Sources: Linux x86 boot protocol, ISO 9660 and El Torito, ELF, Multiboot, MBR; image headers of
// other formats.
#include "app/detect.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/bits.h"
#include "block/node.h"
#include "block/open.h"
#include "block/sync.h"

namespace doppel::app {
namespace {

constexpr size_t kHead = 40960;

struct Bytes {
  std::vector<u8> data;
  bool has(size_t at, std::string_view text) const {
    return data.size() >= at + text.size() && std::memcmp(data.data() + at, text.data(), text.size()) == 0;
  }
  template <typename T>
  T get(size_t at) const {
    return data.size() >= at + sizeof(T) ? load_le<T>(data.data() + at) : T{};
  }
};

Bytes read_head(const std::string& path, size_t size) {
  Bytes b;
  b.data.resize(size);
  std::ifstream in(path, std::ios::binary);
  in.read(reinterpret_cast<char*>(b.data.data()), static_cast<std::streamsize>(size));
  b.data.resize(static_cast<size_t>(in.gcount()));
  return b;
}

// The first bytes of the disk in an image.
Result<Bytes> read_disk_head(const std::string& path, size_t size) {
  auto disk = block::open(path, {.read_only = true});
  if (!disk) return disk.error();
  Bytes b;
  b.data.resize(std::min<u64>(size, (*disk)->size()));
  if (block::read_sync(**disk, 0, b.data) != 0) return Error{"can't read the disk in '" + path + "'", ""};
  return b;
}

std::string linux_version(const Bytes& b) {
  const size_t at = b.get<u16>(0x20e) + 0x200u;
  std::string text;
  for (size_t i = at; i < b.data.size() && b.data[i] > ' ' && text.size() < 80; i++)
    text += static_cast<char>(b.data[i]);
  return text;
}

// Of a disk image; "raw" for anything else, or what can't be opened.
std::string image_format(const std::string& path) {
  auto format = block::probe_format(path, true);
  return format ? format.take() : "raw";
}

}  // namespace

bool option_takes_argument(const std::string& option) {
  static constexpr struct {
    const char* name;
    const char* argument;
  } kRows[] = {
#define OPT(name, argument, state, help) {name, argument},
#include "app/options.def"
#undef OPT
  };
  const std::string name = option.substr(option.starts_with("--") ? 2 : 1);
  for (const auto& r : kRows) {
    if (name == r.name) return *r.argument != 0;
  }
  return false;
}

Result<Detected> detect(const std::string& path) {
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) return Error{"there is no file " + path, "check the path", 1};
  if (std::filesystem::is_directory(path, ec))
    return Error{path + " is a folder", "give an image, a kernel or a CD", 1};
  const u64 size = std::filesystem::is_regular_file(path, ec) ? std::filesystem::file_size(path, ec) : 0;
  Bytes b = read_head(path, kHead);
  const std::string format = image_format(path);
  if (format != "raw") {
    auto inside = read_disk_head(path, kHead);
    if (!inside) return inside.error();
    b = inside.take();
  }
  if (b.data.empty()) return Error{path + " is empty or can't be read", "check its permissions", 1};
  if (format == "raw" && b.has(0x202, "HdrS")) {
    const bool is_64 = b.get<u16>(0x206) >= 0x20c && (b.get<u16>(0x236) & 1);
    return Detected{"Linux kernel " + linux_version(b) + (is_64 ? " (x86-64)" : " (i386)"),
                    is_64 ? "x86_64" : "i386",
                    {"-kernel", path, "-m", "512"}};
  }
  if (format == "raw" && b.has(0,
                               "\x7f"
                               "ELF")) {
    const u16 machine = b.get<u16>(18);
    bool multiboot = false;
    for (size_t i = 0; i + 12 <= std::min<size_t>(b.data.size(), 8192); i += 4)
      multiboot |= b.get<u32>(i) == 0x1badb002;
    const bool big_endian = b.data[5] == 2, wide = b.data[4] == 2;
    if (machine == 8 || (big_endian && machine == 8 << 8)) {
      const std::string arch = std::string("mips") + (wide ? "64" : "") + (big_endian ? "" : "el");
      return Detected{"ELF kernel (" + arch + ")", arch, {"-kernel", path, "-m", "256"}};
    }
    if (multiboot && (machine == 3 || machine == 62))
      return Detected{"multiboot kernel", machine == 3 ? "i386" : "x86_64", {"-kernel", path}};
    return Error{path + " is an ELF file for machine " + std::to_string(machine) + ", not a multiboot kernel",
                 "only bzImage, multiboot and MIPS kernels boot so far", 1};
  }
  if (b.has(0x8001, "CD001")) return Detected{"CD image", "x86_64", {"-cdrom", path, "-boot", "d", "-m", "512"}};
  if (b.get<u16>(510) == 0xaa55) {
    if (format != "raw") {
      // What is only read gets an overlay.
      const std::string overlay = format == "qcow2" ? "" : ",snapshot=on";
      return Detected{
          format + " disk image with a boot sector" + (overlay.empty() ? "" : " (what is written to it vanishes)"),
          "x86_64",
          {"-drive", "file=" + path + ",format=" + format + ",if=ide" + overlay, "-m", "512"}};
    }
    if (size == 1474560 || size == 737280 || size == 1228800 || size == 368640 || size == 2949120)
      return Detected{"floppy image", "x86_64", {"-fda", path, "-boot", "a"}};
    return Detected{
        "disk image with a boot sector", "x86_64", {"-drive", "file=" + path + ",format=raw,if=ide", "-m", "512"}};
  }
  return Error{path + " is nothing that boots (no kernel, CD, or boot sector found)",
               "give a kernel, an ISO or a raw disk image", 1};
}

}  // namespace doppel::app
