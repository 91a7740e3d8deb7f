// See proc_files.h.
#include "user/linux/proc_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include "user/linux/syscalls.h"

namespace doppel::user {

namespace {

std::string read_host(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// The kernel's line; addresses of the emulator's own memory are none of the program's business.
std::string stat_line(Thread& t, const std::string& path) {
  const std::string line = read_host(path);
  const size_t close = line.rfind(')');
  if (close == std::string::npos || close + 2 > line.size()) return line;
  std::istringstream rest(line.substr(close + 2));
  std::string out = line.substr(0, close + 1), field;
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

std::string command_line(Thread& t) {
  std::string out;
  for (const std::string& arg : t.process.argv) out += arg + '\0';
  return out;
}

std::string environment(Thread& t) {
  std::string out;
  for (const std::string& variable : t.process.options.environment) out += variable + '\0';
  return out;
}

std::string link_of(const std::string& path) {
  char target[4096];
  const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
  return n > 0 ? std::string(target, static_cast<size_t>(n)) : "";
}

// "N/file" of /proc/N/file, and of /proc/N/task/M/file; no number: not one.
struct ProcPath {
  std::string who, file;
};
ProcPath proc_path(const std::string& path) {
  if (!path.starts_with("/proc/")) return {};
  const size_t slash = path.find('/', 6);
  if (slash == std::string::npos) return {};
  ProcPath p{path.substr(6, slash - 6), path.substr(slash + 1)};
  if (p.file.starts_with("task/")) {
    const size_t next = p.file.find('/', 5);
    if (next == std::string::npos) return {};
    p.file = p.file.substr(next + 1);
  }
  return p;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

// Another process that is this emulator too: the command line of its program, by the emulator's own. Empty: it is none.
std::vector<std::string> program_of(const std::string& pid) {
  const std::string exe = link_of("/proc/" + pid + "/exe");
  if (exe.empty() || exe != link_of("/proc/self/exe")) return {};
  std::vector<std::string> args;
  std::istringstream text(read_host("/proc/" + pid + "/cmdline"));
  for (std::string arg; std::getline(text, arg, '\0');) args.push_back(arg);
  const std::string name = args.empty() ? "" : args[0].substr(args[0].find_last_of('/') + 1);
  const bool alias = name.starts_with("qemu-") || (name.starts_with("doppel-") && name != "doppel-user");
  if (!alias && args.size() > 2 && args[1].starts_with('/')) {  // by binfmt_misc: PATH ARGV0 ARGUMENT...
    const std::string file = args[1];
    args.erase(args.begin(), args.begin() + 2);
    args.push_back(file);
    return args;
  }
  size_t i = alias ? 1 : 2;
  std::string argv0;
  bool given = false;
  for (; i < args.size() && args[i].size() > 1 && args[i][0] == '-'; i++) {
    if (args[i] == "--") {
      i++;
      break;
    }
    if (args[i] == "-strace" || args[i] == "--strace") continue;
    given = given || args[i] == "-0";
    if (args[i] == "-0" && i + 1 < args.size()) argv0 = args[i + 1];
    i++;
  }
  if (i >= args.size()) return {};
  args.erase(args.begin(), args.begin() + static_cast<std::ptrdiff_t>(i));
  args.push_back(args[0]);  // the file itself comes last
  if (given) args[0] = argv0;
  return args;
}

std::string cpuinfo(Thread& t) {
  const Processor& cpu = t.process.processor;
  const unsigned count = static_cast<unsigned>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  std::string out = cpu.describe_system;
  for (unsigned i = 0; i < count && cpu.describe; i++) out += cpu.describe(i, count);
  return out;
}

}  // namespace

std::string own_proc_file(const std::string& path) {
  const ProcPath p = proc_path(path);
  if (p.who == "self" || p.who == "thread-self" || p.who == std::to_string(::getpid())) return p.file;
  return is_number(p.who) && ::access(("/proc/self/task/" + p.who).c_str(), F_OK) == 0 ? p.file : "";
}

std::string proc_exe(Thread& t, const std::string& path) {
  if (!path.ends_with("/exe")) return "";
  if (own_proc_file(path) == "exe") return t.process.executable;
  const ProcPath p = proc_path(path);
  if (p.file != "exe" || !is_number(p.who)) return "";
  const std::vector<std::string> command = program_of(p.who);
  if (command.empty() || command.back().starts_with("/proc/")) return "";
  const std::string& name = command.back();
  return name.starts_with('/') ? host_path(t, name) : "/proc/" + p.who + "/cwd/" + name;
}

bool proc_file_text(Thread& t, const std::string& path, std::string& out) {
  if (path == "/proc/cpuinfo") return out = cpuinfo(t), true;
  std::string file = own_proc_file(path);
  if (file == "maps") return out = t.process.map.describe(), true;
  if (file == "cmdline") return out = command_line(t), true;
  if (file == "environ") return out = environment(t), true;
  if (file == "auxv") {
    out.resize(t.process.auxiliary_bytes);
    return t.read(t.process.auxiliary, out.data(), out.size());
  }
  if (file == "stat") return out = stat_line(t, path), true;
  const ProcPath p = proc_path(path);
  if (p.file != "cmdline" || !is_number(p.who)) return false;
  std::vector<std::string> command = program_of(p.who);
  if (command.empty()) return false;
  command.pop_back();
  for (const std::string& arg : command) out += arg + '\0';
  return true;
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
