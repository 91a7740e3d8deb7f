// execve(2): the host's process becomes the emulator anew, with the options that it has now, or the program itself
// where that is one of the host's CPU and ours is another.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "user/code_cache.h"
#include "user/elf_loader.h"
#include "user/host_calls_linux.h"
#include "user/linux/syscalls.h"
#include "user/signals.h"

namespace doppel::user {
namespace {

// Variables that the host's dynamic linker or C library would take for itself: they come by -E.
bool meant_for_the_linker(const std::string& variable) {
  return variable.starts_with("LD_") || variable.starts_with("GLIBC_TUNABLES=") || variable.starts_with("MALLOC_") ||
         variable.starts_with("QEMU_") || variable.starts_with("GCONV_PATH=");
}

std::vector<char*> pointers(const std::vector<std::string>& list) {
  std::vector<char*> out;
  for (const std::string& s : list) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

// The path of a file that is named by a descriptor, with or without a path below it.
std::string path_at(int dirfd, const std::string& path, int flags) {
  if (path.starts_with('/') || (dirfd == AT_FDCWD && !path.empty())) return path;
  if (path.empty() && !(flags & AT_EMPTY_PATH)) return "";
  const std::string link = "/proc/self/fd/" + std::to_string(dirfd);
  if (path.empty()) {
    char target[4096];
    const ssize_t n = readlink(link.c_str(), target, sizeof target - 1);
    struct stat by_name {
    }, by_fd{};
    if (n > 0) target[n] = 0;
    if (n > 0 && stat(target, &by_name) == 0 && fstat(dirfd, &by_fd) == 0 && by_name.st_ino == by_fd.st_ino &&
        by_name.st_dev == by_fd.st_dev)
      return target;
    // No name any more: another descriptor that stays open.
    const int kept = dup(dirfd);
    return kept < 0 ? "" : "/proc/self/fd/" + std::to_string(kept);
  }
  return link + "/" + path;
}

std::vector<std::string> our_command(const Process& p, const std::string& name, const std::vector<std::string>& argv,
                                     std::vector<std::string>& environment) {
  std::vector<std::string> out = {"doppel", "user"};
  out.insert(out.end(), p.options.kept.begin(), p.options.kept.end());
  std::vector<std::string> rest;
  for (std::string& v : environment) {
    if (meant_for_the_linker(v)) {
      out.emplace_back("-E");
      out.push_back(std::move(v));
    } else {
      rest.push_back(std::move(v));
    }
  }
  environment = std::move(rest);
  out.emplace_back("-0");
  out.push_back(argv.empty() ? "" : argv[0]);
  out.emplace_back("--");
  out.push_back(name);
  for (size_t i = 1; i < argv.size(); i++) out.push_back(argv[i]);
  return out;
}

}  // namespace

s64 execute(Thread& t, int dirfd, const std::string& path, const std::vector<std::string>& argv,
            const std::vector<std::string>& envp, int flags) {
  if (t.host_signal.arrived) return kRestartAlways;
  Process& p = t.process;
  const std::string name = path_at(dirfd, path, flags);
  if (name.empty()) return path.empty() && (flags & AT_EMPTY_PATH) ? -EBADF : -ENOENT;
  int error = 0;
  auto program = open_program(
      name, argv, [&](const std::string& wanted) { return host_path(t, wanted); }, &error);
  if (!program) return -error;
  close(program->fd);
  const std::string guest = guest_of(program->elf);
  std::vector<std::string> environment = envp, command;
  std::string file;
  constexpr u16 kHostMachine = 62;
  if (!guest.empty() && (guest == p.abi->name || program->elf.machine != kHostMachine)) {
    // /proc/self/exe and its like mean another file to the next process.
    command = our_command(p, name.starts_with("/proc/") ? host_path(t, name) : name, argv, environment);
    file = "/proc/self/exe";
  } else {
    // One of the host's, or of what the host's kernel knows how to run.
    command = program->argv;
    file = program->host_path;
  }
  keep_code(p);
  const std::vector<char*> args = pointers(command), env = pointers(environment);
  return raw_call(SYS_execve, reinterpret_cast<u64>(file.c_str()), reinterpret_cast<u64>(args.data()),
                  reinterpret_cast<u64>(env.data()));
}

}  // namespace doppel::user
