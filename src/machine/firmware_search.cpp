#include "machine/firmware_search.h"

#include <filesystem>

#include "firmware/loaders.h"

namespace doppel::machine {
namespace {
namespace fs = std::filesystem;

constexpr const char* kSystemDirs[] = {"/usr/share/seabios", "/usr/share/qemu", "/usr/lib/ipxe/qemu",
                                       "/usr/share/doppel", "/usr/local/share/doppel"};

// What the packages' own files are called; empty: a name of the user's.
std::string package_of(const std::string& name) {
  if (name.starts_with("bios") || name.starts_with("vgabios")) return "seabios";
  if (name.starts_with("efi-") || name.starts_with("pxe-")) return "ipxe-qemu";
  const bool rom = name.starts_with("linuxboot") || name.starts_with("multiboot") || name.starts_with("kvmvapic");
  return rom ? "qemu-system-data" : "";
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}
}  // namespace

Result<std::string> find_firmware(const std::vector<std::string>& extra_dirs, const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (is_file(name)) return name;
    return Error{"the firmware file '" + name + "' doesn't exist", "check the path"};
  }
  std::vector<fs::path> dirs(extra_dirs.begin(), extra_dirs.end());
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    dirs.push_back(self.parent_path());
    dirs.push_back(self.parent_path() / "firmware");
  }
  dirs.insert(dirs.end(), std::begin(kSystemDirs), std::end(kSystemDirs));
  for (const fs::path& dir : dirs) {
    if (is_file(dir / name)) return (dir / name).string();
  }
  if (is_file(name)) return name;
  const std::string package = package_of(name);
  return Error{"the firmware file '" + name + "' was not found",
               package.empty() ? "check the name, or give its folder with -L"
                               : "install the Debian package " + package + ", or give its folder with -L"};
}

Result<std::vector<u8>> load_firmware(const std::vector<std::string>& extra_dirs, const std::string& name) {
  auto path = find_firmware(extra_dirs, name);
  if (!path.ok()) return path.error();
  return firmware::read_file(*path, "firmware file");
}

}  // namespace doppel::machine
