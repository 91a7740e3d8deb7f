// Processes: made, replaced, waited for, ended; limits and prctl.
#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "user/linux/constants.h"
#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

// A list of strings that ends with a null. `size`: bytes of all so far.
s64 read_strings(Thread& t, u64 va, std::vector<std::string>& out, size_t& size) {
  constexpr size_t kMost = 2 << 20, kLongest = 128 << 10;  // ARG_MAX, MAX_ARG_STRLEN
  if (!va) return 0;
  for (;; va += t.abi().word) {
    u64 at = 0;
    if (!t.read_word(va, at)) return -EFAULT;
    if (!at) return 0;
    std::string s;
    if (!t.read_string(at, s, kLongest)) return -EFAULT;
    size += s.size() + 1 + t.abi().word;
    if (s.size() >= kLongest || size > kMost) return -E2BIG;
    out.push_back(std::move(s));
  }
}

s64 exec_at(Thread& t, u64 dirfd, u64 path_va, u64 argv_va, u64 envp_va, u64 flags) {
  std::string path;
  std::vector<std::string> argv, envp;
  size_t size = 0;
  if (!t.read_string(path_va, path)) return -EFAULT;
  if (s64 error = read_strings(t, argv_va, argv, size)) return error;
  if (s64 error = read_strings(t, envp_va, envp, size)) return error;
  return execute(t, static_cast<int>(dirfd), path, argv, envp, static_cast<int>(flags));
}

// The exit signal as the host's, the flags as they are (the same everywhere).
u64 clone_flags(const Abi& abi, u64 guest) {
  const int signal = static_cast<int>(guest & 0xff);
  return (guest & ~u64{0xff}) | static_cast<u64>(signal ? abi.signal_to_host(signal) : 0);
}

// wait's status: the number of a signal in it.
u64 status_to_guest(const Abi& abi, int status) {
  if (WIFSIGNALED(status)) return static_cast<u64>((status & 0x80) | abi.signal_to_guest(WTERMSIG(status)));
  if (WIFSTOPPED(status)) return static_cast<u64>((status & ~0xff00) | abi.signal_to_guest(WSTOPSIG(status)) << 8);
  return static_cast<u64>(status);
}

s64 wait_for(Thread& t, u64 pid, u64 status_va, u64 options, u64 usage_va) {
  int status = 0;
  rusage usage{};
  s64 r = t.blocking_call(SYS_wait4, pid, ptr(&status), options, usage_va ? ptr(&usage) : 0);
  if (r <= 0) return r;
  if (status_va && !write_value(t, status_va, status_to_guest(t.abi(), status), 4)) return -EFAULT;
  return usage_va && !put(t, usage_va, struct_kind(ArgKind::rusage).members, &usage) ? -EFAULT : r;
}

struct CloneArgs {
  u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

// A limit of one word; what the word has no room for is "no limit".
struct WordLimits {
  u64 infinity, most;
};
WordLimits word_limits(const Abi& abi, bool oldest) {
  if (is_wide(abi)) return {~u64{0}, ~u64{0}};
  const u64 infinity = abi.id == AbiId::MipsO32 || oldest ? 0x7fffffff : 0xffffffff;
  return {infinity, infinity};
}

s64 get_limit(Thread& t, const SyscallArgs& a, bool oldest) {
  rlimit64 limit{};
  const WordLimits w = word_limits(t.abi(), oldest);
  if (s64 error = host_call(SYS_prlimit64, 0, flags_to_host(t.abi(), ArgKind::rlimitnum, a[0]), 0, ptr(&limit)))
    return error;
  const u64 word[2] = {limit.rlim_cur > w.most ? w.infinity : limit.rlim_cur,
                       limit.rlim_max > w.most ? w.infinity : limit.rlim_max};
  return t.write_word(a[1], word[0]) && t.write_word(a[1] + t.abi().word, word[1]) ? 0 : -EFAULT;
}

// Limits of memory would be the emulator's own: taken as set.
bool of_memory(u64 resource) {
  return resource == RLIMIT_AS || resource == RLIMIT_DATA || resource == RLIMIT_STACK || resource == RLIMIT_MEMLOCK;
}

s64 get_number(Thread& t, u64 option, u64 va) {
  s32 value = 0;
  s64 r = host_call(SYS_prctl, option, ptr(&value), 0, 0, 0);
  return r < 0 || write_value(t, va, static_cast<u64>(value), 4) ? r : -EFAULT;
}

// MIPS: Status.FR, of all threads.
u64 float_mode(Thread& t) {
  constexpr u64 kFr = u64{1} << 26;
  return t.user().get("status") & kFr ? PR_FP_MODE_FR : 0;
}

s64 set_float_mode(Thread& t, u64 mode) {
  if (mode == float_mode(t)) return 0;
  if (is_wide(t.abi()) || (mode & ~u64{PR_FP_MODE_FR})) return -EOPNOTSUPP;  // no CPU has FRE
  if (!t.user().set("fr", mode)) return -EOPNOTSUPP;
  std::lock_guard lock(t.process.lock);
  for (Thread* other : t.process.threads) {
    if (other == &t || !other->loop) continue;
    other->wanted_float_mode = static_cast<int>(mode);
    other->loop->kick();
  }
  return 0;
}

}  // namespace

s64 exit(Thread& t, const SyscallArgs& a) { exit_thread(t, static_cast<int>(a[0])); }
s64 exit_group(Thread& t, const SyscallArgs& a) { exit_process(t, static_cast<int>(a[0])); }

s64 fork(Thread& t, const SyscallArgs&) { return start_clone(t, SIGCHLD, 0, 0, 0, 0); }
s64 vfork(Thread& t, const SyscallArgs&) { return start_clone(t, CLONE_VFORK | CLONE_VM | SIGCHLD, 0, 0, 0, 0); }

// The last two arguments change places between CPUs.
s64 clone(Thread& t, const SyscallArgs& a) {
  const bool tls_last = t.abi().id == AbiId::X86_64;
  return start_clone(t, clone_flags(t.abi(), a[0]), a[1], a[2], a[tls_last ? 3 : 4], a[tls_last ? 4 : 3]);
}

s64 clone3(Thread& t, const SyscallArgs& a) {
  CloneArgs c{};
  constexpr u64 kFirst = 64;  // CLONE_ARGS_SIZE_VER0
  if (a[1] < kFirst) return -EINVAL;
  if (a[1] > 4096) return -E2BIG;
  auto* field = reinterpret_cast<u64*>(&c);  // SAFETY: a row of u64
  for (u64 i = 0; i < a[1] / 8; i++) {
    u64 v = 0;
    if (!read_value(t, a[0] + i * 8, v, 8)) return -EFAULT;
    if (i < sizeof c / 8)
      field[i] = v;
    else if (v)
      return -E2BIG;
  }
  // Neither descriptors of processes, nor CLONE_CLEAR_SIGHAND and CLONE_INTO_CGROUP.
  if (c.set_tid || c.cgroup || (c.flags & CLONE_PIDFD) || c.flags >> 32) return -EINVAL;
  if (c.exit_signal > 0xff || (c.flags & 0xff)) return -EINVAL;
  const u64 flags = clone_flags(t.abi(), c.flags | c.exit_signal);
  return start_clone(t, flags, c.stack ? c.stack + c.stack_size : 0, c.parent_tid, c.child_tid, c.tls);
}

s64 execve(Thread& t, const SyscallArgs& a) { return exec_at(t, static_cast<u64>(AT_FDCWD), a[0], a[1], a[2], 0); }
s64 execveat(Thread& t, const SyscallArgs& a) { return exec_at(t, a[0], a[1], a[2], a[3], a[4]); }

s64 wait4(Thread& t, const SyscallArgs& a) { return wait_for(t, a[0], a[1], a[2], a[3]); }
s64 waitpid(Thread& t, const SyscallArgs& a) { return wait_for(t, a[0], a[1], a[2], 0); }

s64 waitid(Thread& t, const SyscallArgs& a) {
  siginfo_t info{};
  rusage usage{};
  s64 r = t.blocking_call(SYS_waitid, a[0], a[1], ptr(&info), a[3], a[4] ? ptr(&usage) : 0);
  if (r < 0) return r;
  if (a[2]) {
    PendingSignal s;
    u8 raw[128] = {};
    if (info.si_signo) {
      s.number = t.abi().signal_to_guest(info.si_signo);
      s.code = info.si_code;
      s.pid = info.si_pid;
      s.uid = static_cast<s32>(info.si_uid);
      s.status = info.si_code == CLD_EXITED ? info.si_status : t.abi().signal_to_guest(info.si_status);
      write_siginfo(t.abi(), s, raw);
    }
    if (!t.write(a[2], raw, t.abi().word == 8 ? 32 : 24)) return -EFAULT;
  }
  return a[4] && !put(t, a[4], struct_kind(ArgKind::rusage).members, &usage) ? -EFAULT : r;
}

s64 getrlimit(Thread& t, const SyscallArgs& a) { return get_limit(t, a, t.abi().id == AbiId::I386); }
s64 ugetrlimit(Thread& t, const SyscallArgs& a) { return get_limit(t, a, false); }

s64 setrlimit(Thread& t, const SyscallArgs& a) {
  const u64 resource = flags_to_host(t.abi(), ArgKind::rlimitnum, a[0]);
  const WordLimits w = word_limits(t.abi(), false);
  u64 now = 0, most = 0;
  if (!t.read_word(a[1], now) || !t.read_word(a[1] + t.abi().word, most)) return -EFAULT;
  if (now > most) return -EINVAL;
  if (of_memory(resource)) return 0;
  rlimit64 limit{now >= w.infinity ? RLIM64_INFINITY : now, most >= w.infinity ? RLIM64_INFINITY : most};
  return host_call(SYS_prlimit64, 0, resource, ptr(&limit), 0);
}

s64 prlimit64(Thread& t, const SyscallArgs& a) {
  const u64 resource = flags_to_host(t.abi(), ArgKind::rlimitnum, a[1]);
  const Members layout = struct_kind(ArgKind::rlimit64).members;
  rlimit64 to{}, old{};
  if (a[2] && !fetch(t, a[2], layout, &to)) return -EFAULT;
  const bool set = a[2] && !of_memory(resource);
  if (s64 error = host_call(SYS_prlimit64, a[0], resource, set ? ptr(&to) : 0, ptr(&old))) return error;
  return a[3] && !put(t, a[3], layout, &old) ? -EFAULT : 0;
}

s64 nice(Thread&, const SyscallArgs& a) {
  const s64 now = 20 - host_call(SYS_getpriority, PRIO_PROCESS, 0);
  const s64 next = std::clamp<s64>(now + static_cast<s64>(a[0]), -20, 19);
  return host_call(SYS_setpriority, PRIO_PROCESS, 0, static_cast<u64>(next));
}

s64 prctl(Thread& t, const SyscallArgs& a) {
  switch (a[0]) {
    case PR_SET_NAME: {
      char name[16] = {};
      std::string text;
      if (!t.read_string(a[1], text)) return -EFAULT;
      text.copy(name, 15);
      return host_call(SYS_prctl, a[0], ptr(name), 0, 0, 0);
    }
    case PR_GET_NAME: {
      char name[16] = {};
      host_call(SYS_prctl, a[0], ptr(name), 0, 0, 0);
      return t.write(a[1], name, sizeof name) ? 0 : -EFAULT;
    }
    case PR_SET_PDEATHSIG:
      return host_call(SYS_prctl, a[0], a[1] ? static_cast<u64>(t.abi().signal_to_host(static_cast<int>(a[1]))) : 0);
    case PR_GET_PDEATHSIG:
    case PR_GET_CHILD_SUBREAPER: return get_number(t, a[0], a[1]);
    case PR_GET_DUMPABLE:
    case PR_SET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_CAP_AMBIENT:
    case PR_GET_SECUREBITS:
    case PR_SET_SECUREBITS:
    case PR_GET_TIMERSLACK:
    case PR_SET_TIMERSLACK:
    case PR_SET_CHILD_SUBREAPER:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_GET_TIMING:
    case PR_GET_THP_DISABLE:
    case PR_SET_PTRACER: return host_call(SYS_prctl, a[0], a[1], a[2], a[3], a[4]);
    case PR_GET_FP_MODE: return is_mips(t.abi()) ? static_cast<s64>(float_mode(t)) : -EINVAL;
    case PR_SET_FP_MODE: return is_mips(t.abi()) ? set_float_mode(t, a[1]) : -EINVAL;
    // Of the emulator's own memory and filters: not the program's to change.
    default: return -EINVAL;
  }
}

s64 unshare(Thread&, const SyscallArgs& a) { return host_call(SYS_unshare, a[0]); }

s64 personality(Thread&, const SyscallArgs& a) {
  constexpr u64 kHarmless = 0x0040000 | 0xff;  // ADDR_NO_RANDOMIZE and the kind of system
  if (a[0] == 0xffffffff) return host_call(SYS_personality, 0xffffffff);
  const s64 old = host_call(SYS_personality, 0xffffffff);
  host_call(SYS_personality, (static_cast<u64>(old) & ~kHarmless) | (a[0] & kHarmless));
  return old;
}

}  // namespace doppel::user::calls
