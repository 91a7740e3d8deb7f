// Names of files: below -L's prefix where they are there; /proc's own of the program.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "user/linux/handlers.h"
#include "user/linux/proc_files.h"

namespace doppel::user {

namespace {

// `path` below `prefix`, each symbolic link that begins at the root followed below it too; empty: not there. The last
// component's link only if `follow`.
std::string below_prefix(const std::string& prefix, std::string path, bool follow) {
  std::string done;  // from the prefix on, without a link to the root
  for (unsigned links = 0; !path.empty();) {
    const size_t end = std::min(path.find('/', 1), path.size());
    const std::string next = done + path.substr(0, end), rest = path.substr(end);
    struct stat st;
    const std::string full = prefix + next;
    if (::lstat(full.c_str(), &st) != 0) return "";
    if (S_ISLNK(st.st_mode) && (follow || !rest.empty())) {
      char target[4096];
      const ssize_t n = ::readlink(full.c_str(), target, sizeof target);
      if (n > 0 && target[0] == '/') {
        if (++links > 40) return "";
        path = std::string(target, static_cast<size_t>(n)) + rest;
        done.clear();
        continue;
      }
    }
    done = next;
    path = rest;
  }
  return prefix + done;
}

std::string find_path(Thread& t, const std::string& path, bool follow) {
  if (path.empty() || path[0] != '/') return path;
  if (std::string exe = proc_exe(t, path); !exe.empty()) return exe;
  const std::string& prefix = t.process.options.prefix;
  if (prefix.empty() || path == "/") return path;
  const std::string below = below_prefix(prefix, path, follow);
  return below.empty() ? path : below;
}

}  // namespace

std::string host_path(Thread& t, const std::string& path) { return find_path(t, path, true); }

namespace calls {

s64 read_path(Thread& t, u64 va, std::string& out, bool follow) {
  std::string path;
  if (!t.read_string(va, path)) return -EFAULT;
  if (path.size() >= 4096) return -ENAMETOOLONG;
  out = find_path(t, path, follow);
  return 0;
}

namespace {

// readlink of /proc/self/exe names the program.
s64 read_link(Thread& t, int dirfd, u64 path_va, u64 buffer, u64 size) {
  std::string path;
  if (!t.read_string(path_va, path)) return -EFAULT;
  if (const std::string exe = proc_exe(t, path); !exe.empty()) {
    if (static_cast<s64>(size) <= 0) return -EINVAL;
    char real[4096];
    const char* name = ::realpath(exe.c_str(), real) ? real : exe.c_str();
    size_t n = std::min<size_t>(std::strlen(name), size);
    return t.write(buffer, name, n) ? static_cast<s64>(n) : -EFAULT;
  }
  t.process.map.prepare_write(buffer, size);
  return host_call(SYS_readlinkat, static_cast<u64>(dirfd), ptr(find_path(t, path, false).c_str()),
                   ptr(host(t, buffer)), size);
}

}  // namespace

s64 readlink(Thread& t, const SyscallArgs& a) { return read_link(t, AT_FDCWD, a[0], a[1], a[2]); }
s64 readlinkat(Thread& t, const SyscallArgs& a) { return read_link(t, static_cast<int>(a[0]), a[1], a[2], a[3]); }

s64 getcwd(Thread& t, const SyscallArgs& a) {
  char path[4096];
  s64 n = host_call(SYS_getcwd, ptr(path), sizeof path);
  if (n < 0) return n;
  if (static_cast<u64>(n) > a[1]) return -ERANGE;
  return t.write(a[0], path, static_cast<size_t>(n)) ? n : -EFAULT;
}

s64 umount(Thread& t, const SyscallArgs& a) {
  std::string path;
  if (s64 error = read_path(t, a[0], path)) return error;
  return host_call(SYS_umount2, ptr(path.c_str()), 0);
}

}  // namespace calls
}  // namespace doppel::user
