#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "app/doctor.h"
#include "base/os/exec_memory.h"
#include "base/os/ports.h"
#include "display/sdl/window.h"
#include "machine/firmware_search.h"

namespace doppel::app {
namespace {

namespace fs = std::filesystem;

constexpr u64 kMiB = u64{1} << 20;
constexpr u64 kLeastMemory = 256 * kMiB, kLittleDisk = 1024 * kMiB, kLittleTemporary = 256 * kMiB;
constexpr rlim_t kFewFiles = 1024;

class Report {
 public:
  void topic(const char* name) { text_ += std::string(text_.empty() ? "" : "\n") + name + "\n"; }
  void good(const std::string& what) { line("ok", what, {}); }
  void note(const std::string& what, const std::string& fix) { line("note", what, fix); }
  void bad(const std::string& what, const std::string& fix) {
    line("no", what, fix);
    healthy_ = false;
  }
  void need(bool there, const std::string& what, const std::string& fix) { there ? good(what) : bad(what, fix); }
  void want(bool there, const std::string& what, const std::string& fix) { there ? good(what) : note(what, fix); }
  Diagnosis take() { return {std::move(text_), healthy_}; }

 private:
  void line(const char* verdict, const std::string& what, const std::string& fix) {
    text_ += std::string(verdict) + std::string(6 - std::strlen(verdict), ' ') + what +
             (fix.empty() ? "" : "; " + fix) + "\n";
  }
  std::string text_;
  bool healthy_ = true;
};

std::string mib(u64 bytes) { return std::to_string(bytes / kMiB) + " MiB"; }

// --- running code

void check_processor(Report& r) {
  r.topic("Running a guest's code");
  os::ExecMemory code;
  r.want(static_cast<bool>(code.allocate(1 << 20)), "translator (executable memory)",
         "the host forbids memory that is written and executed: -accel interp runs guests, slowly");
  r.good("interpreter");
  r.note("KVM", "not built: the translator is used");
  cpu_set_t mine;
  CPU_ZERO(&mine);
  const int usable = ::sched_getaffinity(0, sizeof mine, &mine) == 0 ? CPU_COUNT(&mine) : 1;
  r.want(usable > 1, std::to_string(usable) + (usable == 1 ? " CPU" : " CPUs") + " for this process",
         "a guest's CPU and its devices share it: expect pauses");
}

// Of /proc/meminfo, in bytes; 0: not told.
u64 memory_field(const std::string& name) {
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(name + ":")) return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) << 10;
  }
  return 0;
}

void check_room(Report& r) {
  r.topic("Room");
  const u64 available = memory_field("MemAvailable"), swap = memory_field("SwapFree");
  r.need(available >= kLeastMemory, mib(available) + " of memory are free (" + mib(swap) + " of swap)",
         "close programs; a guest of -m 128 needs about 256 MiB");
  std::error_code ec;
  const fs::space_info here = fs::space(".", ec);
  const bool writable = ::access(".", W_OK) == 0;
  r.want(!ec && here.available >= kLittleDisk && writable,
         writable ? mib(here.available) + " free in this folder, for disk images" : "this folder can't be written to",
         writable ? "make room, or keep images elsewhere" : "change to one that can, or use doppel run --throwaway");
  const std::string temporary = fs::temp_directory_path(ec).string();
  const fs::space_info there = fs::space(temporary, ec);
  const int fd = ::open(temporary.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  r.want(fd >= 0 && there.available >= kLittleTemporary,
         mib(there.available) + " free in " + temporary + ", for what throwaway runs write",
         fd < 0 ? "files without a name can't be made there: TMPDIR names another folder"
                : "make room, or TMPDIR names another folder");
  if (fd >= 0) ::close(fd);
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  r.want(files.rlim_cur >= kFewFiles, std::to_string(files.rlim_cur) + " open files at most",
         "each connection of a guest takes one: ulimit -n 4096");
}

// --- firmware

void check_firmware(Report& r) {
  r.topic("Firmware (a PC's; from Debian's packages or beside the program)");
  const auto find = [&](const char* name, bool needed, const char* without) {
    const auto path = machine::find_firmware({}, name);
    if (path)
      r.good(*path);
    else
      needed ? r.bad(name, path.error().fix) : r.note(name, path.error().fix + "; without it " + without);
  };
  find("bios-256k.bin", true, "");
  find("vgabios-stdvga.bin", true, "");
  find("linuxboot_dma.bin", false, "-kernel does not work");
  find("multiboot_dma.bin", false, "-kernel with a Multiboot image does not work");
  for (const char* card : {"e1000", "virtio", "rtl8139", "pcnet", "ne2k_pci"})
    find((std::string("efi-") + card + ".rom").c_str(), false, "this card does not boot by PXE");
}

// --- screen, network

void check_display(Report& r) {
  r.topic("Screen and keyboard");
  const char *x = std::getenv("DISPLAY"), *wayland = std::getenv("WAYLAND_DISPLAY");
  const bool named = (x && *x) || (wayland && *wayland);
  r.want(display::sdl_display_available(),
         "a window" + (named ? std::string(" on ") + (wayland && *wayland ? wayland : x) : ""),
         named ? "the display does not let us in: check xauth, or use -nographic"
               : "set DISPLAY, or use -nographic: the guest's serial port in this terminal");
  r.want(::isatty(STDIN_FILENO) && ::isatty(STDOUT_FILENO), "a terminal, for -nographic",
         "input or output is redirected here");
}

std::string why(int error) { return std::string(" (") + std::strerror(error) + ")"; }

void check_network(Report& r) {
  r.topic("Network");
  r.good("user network (-nic user): needs no rights");
  const int tun = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  const int error = errno;
  r.want(tun >= 0, "tap (/dev/net/tun)" + (tun < 0 ? why(error) : std::string()),
         error == ENOENT
             ? "modprobe tun, as root; -nic user works without it"
             : "root, or a tap made for you: ip tuntap add mode tap user $USER; -nic user works without it");
  if (tun >= 0) ::close(tun);
  in_addr loopback{};
  loopback.s_addr = htonl(INADDR_LOOPBACK);
  for (const auto& [port, use] :
       {std::pair<u16, const char*>{1234, "-s (debugger)"}, {2222, "hostfwd=tcp::2222-:22 (ssh to the guest)"}}) {
    const u16 free = os::free_port(loopback, false, port);
    const std::string holder = free == port ? "" : os::port_holder(port);
    r.want(free == port,
           "port " + std::to_string(port) + " for " + use + (holder.empty() ? "" : " is taken by " + holder),
           "port " + std::to_string(free) + " is free");
  }
}

// --- sandbox, shared folders

bool has_seccomp() {
  // A filter at a bad address: EFAULT says that there are filters.
  return ::prctl(PR_SET_SECCOMP, 2, nullptr, 0, 0) != 0 && errno == EFAULT;
}

void check_sandbox(Report& r) {
  r.topic("Sandbox (-sandbox on, throwaway runs)");
  r.want(has_seccomp(), "filter of system calls (seccomp)", "the kernel has none: the sandbox refuses to start");
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  r.want(version >= 1,
         version >= 1 ? "restriction of files (Landlock " + std::to_string(version) + ")"
                      : "restriction of files (Landlock)",
         "the kernel has none: a sandboxed run says so and goes on without");
  std::error_code ec;
  const std::string probe = (fs::temp_directory_path(ec) / ("doppel-doctor." + std::to_string(::getpid()))).string();
  std::ofstream(probe) << "";
  const bool attributes = ::setxattr(probe.c_str(), "user.virtfs.uid", "", 0, 0) == 0;
  ::unlink(probe.c_str());
  r.want(attributes, "owners in shared folders (extended attributes in " + fs::temp_directory_path(ec).string() + ")",
         "use security_model=mapped-file or none there");
}

}  // namespace

Diagnosis doctor() {
  Report r;
  check_processor(r);
  check_room(r);
  check_firmware(r);
  check_display(r);
  check_network(r);
  check_sandbox(r);
  return r.take();
}

}  // namespace doppel::app
