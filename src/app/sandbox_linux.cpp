#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>

#include "app/options.h"
#include "app/sandbox.h"

namespace doppel::app {
namespace {

namespace fs = std::filesystem;

// --- options

Status take_choice(const std::string& key, const std::string& value, bool& allowed, bool children = false) {
  if (value == "allow" || value == "deny" || (children && value == "children")) {
    allowed = value == "allow";
    return success();
  }
  return Error{"-sandbox " + key + "=" + value + " is neither allow nor deny", "for example -sandbox on,spawn=deny", 1};
}

// --- files

// Rights of Landlock's later versions, which Debian's header does not have yet.
constexpr u64 kRefer = u64{1} << 13, kTruncate = u64{1} << 14;
constexpr u64 kMake = LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                      LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                      LANDLOCK_ACCESS_FS_MAKE_BLOCK;
constexpr u64 kChange = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE;

int landlock_version() {
  return static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
}

void allow_beneath(int rules, const std::string& path, u64 rights) {
  const int fd = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  if (fd < 0) return;
  std::error_code ec;
  if (!fs::is_directory(path, ec)) rights &= LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;
  landlock_path_beneath_attr rule{.allowed_access = rights, .parent_fd = fd};
  ::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  ::close(fd);
}

// Where "key=value,..." may name a file.
std::vector<std::string> parts_of(const std::string& argument) {
  std::vector<std::string> out{argument};
  for (const char separator : {',', '=', ':', '"'}) {
    std::vector<std::string> finer;
    for (const std::string& part : out) {
      for (size_t at = 0; at <= part.size();) {
        const size_t end = std::min(part.find(separator, at), part.size());
        if (end > at) finer.push_back(part.substr(at, end - at));
        at = end + 1;
      }
    }
    out.insert(out.end(), finer.begin(), finer.end());
  }
  return out;
}

// --- system calls

const char* const kNever[] = {"acct",
                              "add_key",
                              "bpf",
                              "chroot",
                              "clock_settime",
                              "delete_module",
                              "fanotify_init",
                              "finit_module",
                              "fsconfig",
                              "fsmount",
                              "fsopen",
                              "init_module",
                              "io_uring_setup",
                              "ioperm",
                              "iopl",
                              "kcmp",
                              "kexec_file_load",
                              "kexec_load",
                              "keyctl",
                              "lookup_dcookie",
                              "mount",
                              "mount_setattr",
                              "move_mount",
                              "name_to_handle_at",
                              "open_by_handle_at",
                              "open_tree",
                              "perf_event_open",
                              "pidfd_getfd",
                              "pivot_root",
                              "process_madvise",
                              "process_vm_readv",
                              "process_vm_writev",
                              "ptrace",
                              "quotactl",
                              "reboot",
                              "request_key",
                              "setdomainname",
                              "sethostname",
                              "setns",
                              "settimeofday",
                              "swapoff",
                              "swapon",
                              "umount2",
                              "unshare",
                              "userfaultfd",
                              "vhangup",
                              "adjtimex",
                              "clock_adjtime"};
const char* const kObsolete[] = {"readdir",      "_sysctl",  "bdflush",    "create_module", "get_kernel_syms",
                                 "query_module", "sgetmask", "ssetmask",   "sysfs",         "uselib",
                                 "ustat",        "sysmips",  "nfsservctl", "modify_ldt",    "personality"};
const char* const kPrivileges[] = {"setuid",    "setgid",    "setpgid",  "setsid",   "setreuid",  "setregid",
                                   "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups", "capset"};
const char* const kSpawn[] = {"fork", "vfork", "execve", "execveat"};
const char* const kResources[] = {"setpriority",       "sched_setparam", "sched_setscheduler", "sched_setattr",
                                  "sched_setaffinity", "ioprio_set",     "setrlimit",          "mbind",
                                  "migrate_pages",     "move_pages",     "set_mempolicy"};

class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ALLOW)) {}
  ~Filter() {
    if (context_) seccomp_release(context_);
  }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  // Names that this machine's kernel does not have are left out.
  void refuse(std::span<const char* const> names) {
    for (const char* name : names) {
      const int number = seccomp_syscall_resolve_name(name);
      if (number == __NR_SCMP_ERROR || number < 0) continue;
      note(seccomp_rule_add(context_, SCMP_ACT_ERRNO(EPERM), number, 0));
    }
  }
  // A new process; threads stay possible. clone3 hides its flags behind a pointer: without it, libraries use clone.
  void refuse_processes() {
    refuse(kSpawn);
    note(seccomp_rule_add(context_, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                          SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)));
    note(seccomp_rule_add(context_, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0));
  }
  int load() {
    if (context_ == nullptr) return -ENOMEM;
    note(seccomp_attr_set(context_, SCMP_FLTATR_CTL_TSYNC, 1));
    note(seccomp_attr_set(context_, SCMP_FLTATR_CTL_NNP, 1));
    return worst_ != 0 ? worst_ : seccomp_load(context_);
  }

 private:
  void note(int result) {
    if (result < 0 && worst_ == 0) worst_ = result;
  }
  scmp_filter_ctx context_;
  int worst_ = 0;
};

}  // namespace

Status parse_sandbox(const std::string& text, Sandbox& s) {
  const auto properties = parse_key_values(text, "enable");
  for (const auto& [key, value] : properties) {
    if (key == "enable" || key == "on" || key == "off") {
      if (value != "on" && value != "off")
        return Error{"-sandbox " + value + " is neither on nor off", "-sandbox on", 1};
      s.on = value == "on";
      continue;
    }
    Status st = success();
    if (key == "obsolete")
      st = take_choice(key, value, s.obsolete);
    else if (key == "elevateprivileges")
      st = take_choice(key, value, s.elevate_privileges, true);
    else if (key == "spawn")
      st = take_choice(key, value, s.spawn);
    else if (key == "resourcecontrol")
      st = take_choice(key, value, s.resource_control);
    else if (key == "files")
      st = take_choice(key, value, s.files);
    else
      return Error{"-sandbox has no property '" + key + "'",
                   "it has: obsolete, elevateprivileges, spawn, resourcecontrol, files", 1};
    if (!st) return st;
  }
  return success();
}

std::vector<std::string> writable_folders(const Sandbox& s) {
  std::vector<std::string> out{"/dev", "/proc/self", "/var/tmp"};
  std::error_code ec;
  out.push_back(fs::temp_directory_path(ec).string());
  for (const std::string& argument : s.arguments) {
    for (const std::string& part : parts_of(argument)) {
      const fs::path path = fs::absolute(part, ec).lexically_normal();
      const bool named = part.find('/') != std::string::npos || fs::exists(path, ec);
      const fs::path folder = fs::is_directory(path, ec) ? path : path.parent_path();
      // The root would be everything: then only the file itself.
      if (named && fs::is_directory(folder, ec)) out.push_back(folder == "/" ? path.string() : folder.string());
    }
  }
  std::erase(out, "/");
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Result<std::string> enter_file_sandbox(const Sandbox& s) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return Error{std::string("-sandbox: no_new_privs: ") + std::strerror(errno), "leave -sandbox out"};
  if (s.files) return std::string();
  const int version = landlock_version();
  if (version < 1) return std::string("files are not restricted: this kernel has no Landlock");
  u64 rights = kMake | kChange | (version >= 2 ? kRefer : 0) | (version >= 3 ? kTruncate : 0);
  landlock_ruleset_attr attr{};
  attr.handled_access_fs = rights | (s.spawn ? 0 : u64{LANDLOCK_ACCESS_FS_EXECUTE});
  const int rules = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0));
  if (rules < 0) return std::string("files are not restricted: Landlock: ") + std::strerror(errno);
  for (const std::string& folder : writable_folders(s)) allow_beneath(rules, folder, rights);
  const bool done = ::syscall(SYS_landlock_restrict_self, rules, 0) == 0;
  const int error = errno;
  ::close(rules);
  if (!done) return std::string("files are not restricted: Landlock: ") + std::strerror(error);
  return std::string();
}

Status enter_call_sandbox(const Sandbox& s) {
  Filter filter;
  filter.refuse(kNever);
  if (!s.obsolete) filter.refuse(kObsolete);
  if (!s.elevate_privileges) filter.refuse(kPrivileges);
  if (!s.spawn) filter.refuse_processes();
  if (!s.resource_control) filter.refuse(kResources);
  const int result = filter.load();
  if (result == 0) return success();
  return Error{std::string("-sandbox: the filter of system calls can't be loaded: ") + std::strerror(-result),
               "leave -sandbox out"};
}

}  // namespace doppel::app
