#include "app/doctor.h"

#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/os/exec_memory.h"
#include "display/sdl/window.h"

namespace doppel::app {
namespace {

std::string line(bool good, const std::string& what, const std::string& fix = {}) {
  return std::string(good ? "ok    " : "no    ") + what + (good || fix.empty() ? "" : "; " + fix) + "\n";
}

std::string firmware(const char* file, const char* folder, const char* package) {
  const bool there = std::filesystem::exists(std::string(folder) + "/" + file);
  return line(there, std::string("firmware ") + file, std::string("apt-get install ") + package);
}

}  // namespace

std::string doctor() {
  std::string text;
  os::ExecMemory code;
  text += line(code.allocate(1 << 20), "translator (executable memory)",
               "allow executable memory, or run with -accel interp");
  text += line(true, "interpreter");
  text += line(false, "KVM", "not built yet; the translator is used");
  text += firmware("bios-256k.bin", "/usr/share/seabios", "seabios");
  text += firmware("vgabios-stdvga.bin", "/usr/share/seabios", "seabios");
  text += firmware("linuxboot_dma.bin", "/usr/share/qemu", "qemu-system-data");
  text += line(display::sdl_display_available(), "display for a window", "set DISPLAY, or use -nographic");
  text += line(true, "CPUs: " + std::to_string(std::thread::hardware_concurrency()));
  const long mib = sysconf(_SC_AVPHYS_PAGES) / 256;
  text +=
      line(mib > 512, "free memory: " + std::to_string(mib) + " MiB", "close programs; a guest needs 128 MiB or more");
  std::error_code ec;
  const auto space = std::filesystem::space(".", ec);
  text += line(!ec && space.available > (u64{1} << 30),
               "free space here: " + std::to_string(space.available >> 20) + " MiB", "images need room");
  return text;
}

}  // namespace doppel::app
