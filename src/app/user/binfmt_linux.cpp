// Registration with Linux's binfmt_misc: the kernel then starts programs of other CPUs by us
// (Documentation/admin-guide/binfmt-misc.rst).
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "app/user/run_user.h"
#include "base/bits.h"
#include "base/result.h"

namespace doppel::app {
namespace {

constexpr const char* kFolder = "/proc/sys/fs/binfmt_misc";

struct Row {
  const char* guest;
  u8 elf_class, data;
  u16 machine;
  bool by_default;  // not what the host's own kernel runs
};
constexpr Row kRows[] = {{"i386", 1, 1, 3, false},
                         {"x86_64", 2, 1, 62, false},
                         {"mips", 1, 2, 8, true},
                         {"mipsel", 1, 1, 8, true},
                         {"mips64el", 2, 1, 8, true}};

std::string escaped(const std::string& bytes) {
  std::string out;
  char hex[8];
  for (const char c : bytes) {
    std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<u8>(c));
    out += hex;
  }
  return out;
}

// The ELF header up to e_machine, of MIPS's 32-bit ABIs up to e_flags: o32 has no EF_MIPS_ABI2. OS ABI and its version
// may be any, the type is 2 or 3.
std::string line_of(const Row& r, const std::string& interpreter) {
  const bool o32 = r.machine == 8 && r.elf_class == 1;
  std::string magic(o32 ? 40 : 20, 0), mask(o32 ? 40 : 20, 0);
  const auto half = [&](size_t at, u16 value, u16 bits) {
    const bool big = r.data == 2;
    magic[at] = static_cast<char>(big ? value >> 8 : value);
    magic[at + 1] = static_cast<char>(big ? value : value >> 8);
    mask[at] = static_cast<char>(big ? bits >> 8 : bits);
    mask[at + 1] = static_cast<char>(big ? bits : bits >> 8);
  };
  std::memcpy(magic.data(), "\177ELF", 4);
  magic[4] = static_cast<char>(r.elf_class);
  magic[5] = static_cast<char>(r.data);
  magic[6] = 1;
  std::fill(mask.begin(), mask.begin() + 7, '\xff');
  half(16, 2, 0xfffe);
  half(18, r.machine, 0xffff);
  if (o32) mask[r.data == 2 ? 39 : 36] = 0x20;
  return std::string(":doppel-") + r.guest + ":M::" + escaped(magic) + ":" + escaped(mask) + ":" + interpreter + ":PF";
}

int fail(const Error& e) {
  std::fprintf(stderr, "doppel: %s\n", e.text().c_str());
  return e.exit_status;
}

Status write_file(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    const int number = errno;
    if (fd >= 0) close(fd);
    if (number == ENOENT)
      return Error{path + " is not there", "mount -t binfmt_misc binfmt_misc " + std::string(kFolder) + " as root"};
    return Error{"can't write " + path + ": " + std::strerror(number),
                 number == EACCES || number == EPERM ? "run it as root" : "doppel binfmt --remove first"};
  }
  close(fd);
  return success();
}

}  // namespace

int binfmt_command(const std::vector<std::string>& args) {
  std::string what = "--print";
  std::vector<std::string> guests;
  for (const std::string& a : args) {
    if (a == "--print" || a == "--install" || a == "--remove")
      what = a;
    else if (std::any_of(std::begin(kRows), std::end(kRows), [&](const Row& r) { return a == r.guest; }))
      guests.push_back(a);
    else
      return fail({"binfmt knows no '" + a + "'",
                   "doppel binfmt [--print|--install|--remove] [i386 x86_64 mips mipsel mips64el]", 2});
  }
  std::error_code ec;
  std::string interpreter = std::filesystem::read_symlink("/proc/self/exe", ec).string();
  if (std::filesystem::exists(interpreter + "-user")) interpreter += "-user";
  if (ec || interpreter.size() > 100 || interpreter.find(':') != std::string::npos)
    return fail({"the kernel can't be given the path '" + interpreter + "'", "install doppel where its path is short"});
  for (const Row& r : kRows) {
    const bool wanted =
        guests.empty() ? r.by_default : std::find(guests.begin(), guests.end(), r.guest) != guests.end();
    if (!wanted) continue;
    const std::string entry = std::string(kFolder) + "/doppel-" + r.guest;
    Status done = success();
    if (what == "--print")
      std::printf("%s\n", line_of(r, interpreter).c_str());
    else if (what == "--install")
      done = write_file(std::string(kFolder) + "/register", line_of(r, interpreter));
    else if (access(entry.c_str(), F_OK) == 0)
      done = write_file(entry, "-1");
    if (!done) return fail(done.error());
  }
  return 0;
}

}  // namespace doppel::app
