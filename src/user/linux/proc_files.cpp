// See proc_files.h.
#include "user/linux/proc_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace doppel::user {

namespace {

std::string read_host(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string base_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

// The kernel's line with the program's name; addresses of the emulator's own memory are none of its business.
std::string stat_line(Thread& t) {
  std::string line = read_host("/proc/self/stat");
  size_t open = line.find('('), close = line.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return line;
  std::string name = base_name(t.process.executable).substr(0, 15);
  std::istringstream rest(line.substr(close + 2));
  std::string out = line.substr(0, open) + "(" + name + ")", field;
  for (unsigned number = 3; rest >> field; number++) {
    // startcode, endcode, startstack, kstkesp, kstkeip, start_data, end_data, start_brk, arg_ and env_start and _end
    bool address = (number >= 26 && number <= 30) || (number >= 45 && number <= 51);
    if (number == 28)
      field = std::to_string(t.abi().stack_top);
    else if (address)
      field = "0";
    out += " " + field;
  }
  return out + "\n";
}

std::string status_text(Thread& t) {
  std::string text = read_host("/proc/self/status");
  if (text.starts_with("Name:"))
    text = "Name:\t" + base_name(t.process.executable).substr(0, 15) + text.substr(text.find('\n'));
  return text;
}

std::string command_line(Thread& t) {
  std::string out;
  for (const std::string& arg : t.process.argv) out += arg + '\0';
  return out;
}

std::string x86_cpu(unsigned number) {
  return "processor\t: " + std::to_string(number) +
         "\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 6\nmodel name\t: Doppel virtual CPU\nstepping\t: 3\n"
         "cpu MHz\t\t: 1000.000\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: 13\nwp\t\t: yes\n"
         "flags\t\t: fpu tsc cx8 cmov mmx fxsr sse sse2 pni ssse3 cx16 sse4_1 sse4_2 popcnt aes pclmulqdq\n\n";
}

std::string cpuinfo(Thread& t) {
  long count = std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
  std::string out;
  bool mips = t.abi().id == AbiId::MipsO32 || t.abi().id == AbiId::MipsN64;
  if (mips) out = "system type\t\t: doppel user\nmachine\t\t\t: Unknown\n";
  for (unsigned i = 0; i < count; i++)
    out +=
        mips ? "processor\t\t: " + std::to_string(i) + "\ncpu model\t\t: " + t.abi().uname_machine +
                   "\nwait instruction\t: yes\nmicrosecond timers\t: yes\nisa\t\t\t: mips1 mips2 mips32r1 mips32r2\n\n"
             : x86_cpu(i);
  return out;
}

}  // namespace

std::string own_proc_file(const std::string& path) {
  if (!path.starts_with("/proc/")) return "";
  std::string rest = path.substr(6);
  size_t slash = rest.find('/');
  if (slash == std::string::npos) return "";
  std::string who = rest.substr(0, slash), file = rest.substr(slash + 1);
  if (who != "self" && who != "thread-self" && who != std::to_string(::getpid())) return "";
  return file;
}

bool proc_file_text(Thread& t, const std::string& path, std::string& out) {
  if (path == "/proc/cpuinfo") return out = cpuinfo(t), true;
  std::string file = own_proc_file(path);
  if (file == "maps") return out = t.process.map.describe(), true;
  if (file == "cmdline") return out = command_line(t), true;
  if (file == "auxv") {
    out.resize(t.process.auxiliary_bytes);
    return t.read(t.process.auxiliary, out.data(), out.size());
  }
  if (file == "stat") return out = stat_line(t), true;
  if (file == "status") return out = status_text(t), true;
  return false;
}

s64 open_text(const std::string& name, const std::string& text, int flags) {
  int fd = ::memfd_create(name.c_str(), (flags & O_CLOEXEC) ? MFD_CLOEXEC : 0);
  if (fd < 0) return -errno;
  for (size_t at = 0; at < text.size();) {
    ssize_t n = ::write(fd, text.data() + at, text.size() - at);
    if (n <= 0) {
      ::close(fd);
      return -EIO;
    }
    at += static_cast<size_t>(n);
  }
  ::lseek(fd, 0, SEEK_SET);
  return fd;
}

}  // namespace doppel::user
