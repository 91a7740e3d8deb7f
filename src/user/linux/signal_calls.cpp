// System calls about signals; what they do is in user/signals.cpp.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "user/linux/constants.h"
#include "user/linux/handlers.h"
#include "user/linux/layout.h"
#include "user/signals.h"

namespace doppel::user::calls {

namespace {

unsigned set_bytes(const Abi& abi) { return is_mips(abi) ? 16 : 8; }

// The kernel's struct sigaction of each ABI, and the older one of 32-bit programs (a mask of one word).
constexpr Member kX86Action[] = {MEMBER('L', SignalAction, handler), MEMBER('L', SignalAction, flags),
                                 MEMBER('L', SignalAction, restorer), MEMBER('Q', SignalAction, mask)};
constexpr Member kI386Old[] = {MEMBER('L', SignalAction, handler), MEMBER('L', SignalAction, mask),
                               MEMBER('L', SignalAction, flags), MEMBER('L', SignalAction, restorer)};
constexpr Member kMipsAction[] = {MEMBER('U', SignalAction, flags), MEMBER('L', SignalAction, handler)};

size_t mask_offset(const Abi& abi) { return layout_size(abi, kMipsAction); }

bool read_action(Thread& t, u64 va, bool old, SignalAction& out) {
  out = {};
  const Abi& abi = t.abi();
  if (is_mips(abi)) {
    if (!fetch(t, va, kMipsAction, &out)) return false;
    if (old) return t.read_word(va + mask_offset(abi), out.mask);
    return read_sigset(t, va + mask_offset(abi), out.mask);
  }
  return fetch(t, va, old ? Members(kI386Old) : Members(kX86Action), &out);
}

bool write_action(Thread& t, u64 va, bool old, const SignalAction& in) {
  const Abi& abi = t.abi();
  if (is_mips(abi))
    return put(t, va, kMipsAction, &in) && write_sigset(t, va + mask_offset(abi), old ? in.mask & 0xffffffff : in.mask);
  return put(t, va, old ? Members(kI386Old) : Members(kX86Action), &in);
}

s64 action_call(Thread& t, s64 signal, u64 to_va, u64 old_va, bool old_form) {
  SignalAction to, old;
  if (to_va && !read_action(t, to_va, old_form, to)) return -EFAULT;
  if (s64 error = set_action(t, static_cast<int>(signal), to_va ? &to : nullptr, old_va ? &old : nullptr)) return error;
  return old_va && !write_action(t, old_va, old_form, old) ? -EFAULT : 0;
}

// The new mask, or -EINVAL.
s64 change_mask(Thread& t, u64 how, u64 set, u64 of = ~u64{0}) {
  switch (flags_to_host(t.abi(), ArgKind::sighow, how)) {
    case SIG_BLOCK: return set_mask(t, t.signal_mask | (set & of));
    case SIG_UNBLOCK: return set_mask(t, t.signal_mask & ~(set & of));
    case SIG_SETMASK: return set_mask(t, (t.signal_mask & ~of) | (set & of));
    default: return -EINVAL;
  }
}

// Signals that the host has no number for reach nobody: refused, but for 0 (is the process there?).
s64 send(Thread& t, long number, const SyscallArgs& a, unsigned index) {
  const int guest = static_cast<int>(a[index]);
  const int signal = guest ? t.abi().signal_to_host(guest) : 0;
  if (guest < 0 || (guest && !signal)) return -EINVAL;
  SyscallArgs to = a;
  to[index] = static_cast<u64>(signal);
  return host_call(number, to[0], to[1], to[2]);
}

bool read_info(Thread& t, u64 va, int signal, siginfo_t& out) {
  u8 raw[128];
  if (!t.read(va, raw, sizeof raw)) return false;
  PendingSignal s = read_siginfo(t.abi(), raw);
  std::memset(&out, 0, sizeof out);
  out.si_signo = signal;
  out.si_errno = s.error;
  out.si_code = s.code;
  out.si_pid = s.pid;
  out.si_uid = static_cast<uid_t>(s.uid);
  out.si_value.sival_ptr = reinterpret_cast<void*>(s.value);
  return true;
}

s64 timed_wait(Thread& t, const SyscallArgs& a, bool wide) {
  u64 set = 0;
  timespec timeout{};
  if (a[3] != set_bytes(t.abi())) return -EINVAL;
  if (!read_sigset(t, a[0], set) || (a[2] && !read_timespec(t, a[2], wide, timeout))) return -EFAULT;
  if (a[2] && (timeout.tv_sec < 0 || timeout.tv_nsec < 0 || timeout.tv_nsec > 999999999)) return -EINVAL;
  PendingSignal got;
  s64 r = wait_signal(t, set, got, a[2] ? &timeout : nullptr);
  if (r < 0 || !a[1]) return r;
  u8 raw[128];
  write_siginfo(t.abi(), got, raw);
  return t.write(a[1], raw, sizeof raw) ? r : -EFAULT;
}

}  // namespace

bool read_sigset(Thread& t, u64 va, u64& out) {
  const Abi& abi = t.abi();
  u8 raw[16] = {};
  if (!t.read(va, raw, set_bytes(abi))) return false;
  out = 0;
  for (unsigned i = 0; i < 8; i += abi.word) out |= get_value(abi, raw + i, abi.word) << (i * 8);
  return true;
}

bool write_sigset(Thread& t, u64 va, u64 mask) {
  const Abi& abi = t.abi();
  u8 raw[16] = {};
  for (unsigned i = 0; i < 8; i += abi.word) put_value(abi, raw + i, mask >> (i * 8), abi.word);
  return t.write(va, raw, set_bytes(abi));
}

u64 sigset_to_host(const Abi& abi, u64 mask) {
  u64 out = 0;
  for (int n = 1; n <= 64; n++)
    if (mask >> (n - 1) & 1)
      if (int h = abi.signal_to_host(n); h > 0 && h <= 64) out |= u64{1} << (h - 1);
  return out;
}
u64 sigset_to_guest(const Abi& abi, u64 mask) {
  u64 out = 0;
  for (int n = 1; n <= 64; n++)
    if (mask >> (n - 1) & 1)
      if (int g = abi.signal_to_guest(n); g > 0 && g <= 64) out |= u64{1} << (g - 1);
  return out;
}

s64 rt_sigaction(Thread& t, const SyscallArgs& a) {
  if (a[3] != set_bytes(t.abi())) return -EINVAL;
  return action_call(t, static_cast<s64>(a[0]), a[1], a[2], false);
}
s64 sigaction(Thread& t, const SyscallArgs& a) { return action_call(t, static_cast<s64>(a[0]), a[1], a[2], true); }

// The oldest form: the handler goes when it runs, and is not masked.
s64 signal(Thread& t, const SyscallArgs& a) {
  SignalAction to, old;
  to.handler = a[1];
  to.flags = 0xc0000000;  // SA_RESETHAND, SA_NODEFER
  s64 error = set_action(t, static_cast<int>(a[0]), &to, &old);
  return error ? error : static_cast<s64>(old.handler);
}

s64 rt_sigprocmask(Thread& t, const SyscallArgs& a) {
  if (a[3] != set_bytes(t.abi())) return -EINVAL;
  u64 set = 0, old = t.signal_mask;
  if (a[1]) {
    if (!read_sigset(t, a[1], set)) return -EFAULT;
    if (s64 r = change_mask(t, a[0], set)) return r;
  }
  return a[2] && !write_sigset(t, a[2], old) ? -EFAULT : 0;
}

// A mask of one word: the other signals stay as they are.
s64 sigprocmask(Thread& t, const SyscallArgs& a) {
  u64 set = 0, old = t.signal_mask;
  if (a[1]) {
    if (!t.read_word(a[1], set)) return -EFAULT;
    if (s64 r = change_mask(t, a[0], set, 0xffffffff)) return r;
  }
  return a[2] && !t.write_word(a[2], old & 0xffffffff) ? -EFAULT : 0;
}

s64 rt_sigpending(Thread& t, const SyscallArgs& a) {
  if (a[1] > set_bytes(t.abi())) return -EINVAL;
  return write_sigset(t, a[0], pending_signals(t) & t.signal_mask) ? 0 : -EFAULT;
}
s64 sigpending(Thread& t, const SyscallArgs& a) {
  return t.write_word(a[0], pending_signals(t) & t.signal_mask & 0xffffffff) ? 0 : -EFAULT;
}

s64 rt_sigsuspend(Thread& t, const SyscallArgs& a) {
  u64 mask = 0;
  if (a[1] != set_bytes(t.abi())) return -EINVAL;
  return read_sigset(t, a[0], mask) ? suspend(t, mask) : -EFAULT;
}

// i386: the mask is the third argument, itself; MIPS: the first points to it.
s64 sigsuspend(Thread& t, const SyscallArgs& a) {
  u64 mask = a[2];
  if (is_mips(t.abi()) && !t.read_word(a[0], mask)) return -EFAULT;
  return suspend(t, mask & 0xffffffff);
}

s64 rt_sigtimedwait(Thread& t, const SyscallArgs& a) { return timed_wait(t, a, is_wide(t.abi())); }
s64 rt_sigtimedwait_time64(Thread& t, const SyscallArgs& a) { return timed_wait(t, a, true); }

s64 rt_sigqueueinfo(Thread& t, const SyscallArgs& a) {
  siginfo_t info;
  const int signal = t.abi().signal_to_host(static_cast<int>(a[1]));
  if (!read_info(t, a[2], signal, info)) return -EFAULT;
  return host_call(SYS_rt_sigqueueinfo, a[0], static_cast<u64>(signal), ptr(&info));
}
s64 rt_tgsigqueueinfo(Thread& t, const SyscallArgs& a) {
  siginfo_t info;
  const int signal = t.abi().signal_to_host(static_cast<int>(a[2]));
  if (!read_info(t, a[3], signal, info)) return -EFAULT;
  return host_call(SYS_rt_tgsigqueueinfo, a[0], a[1], static_cast<u64>(signal), ptr(&info));
}
s64 pidfd_send_signal(Thread& t, const SyscallArgs& a) {
  siginfo_t info;
  const int signal = a[1] ? t.abi().signal_to_host(static_cast<int>(a[1])) : 0;
  if (a[2] && !read_info(t, a[2], signal, info)) return -EFAULT;
  return host_call(SYS_pidfd_send_signal, a[0], static_cast<u64>(signal), a[2] ? ptr(&info) : 0, a[3]);
}

s64 rt_sigreturn(Thread& t, const SyscallArgs&) {
  if (t.abi().pop_signal_frame(t, true)) return kNoResult;
  die_of(t, t.abi().signal_to_guest(SIGSEGV));
}
s64 sigreturn(Thread& t, const SyscallArgs&) {
  if (t.abi().pop_signal_frame(t, false)) return kNoResult;
  die_of(t, t.abi().signal_to_guest(SIGSEGV));
}

s64 sigaltstack(Thread& t, const SyscallArgs& a) {
  struct Stack {
    u64 sp;
    s32 flags;
    u64 size;
  };
  static constexpr Member kX86[] = {MEMBER('L', Stack, sp), MEMBER('i', Stack, flags), MEMBER('L', Stack, size)};
  static constexpr Member kMips[] = {MEMBER('L', Stack, sp), MEMBER('L', Stack, size), MEMBER('i', Stack, flags)};
  constexpr s32 kAutoDisarm = static_cast<s32>(1u << 31);
  Members layout = is_mips(t.abi()) ? Members(kMips) : Members(kX86);
  auto& now = t.alternate_stack;
  const u64 sp = t.user().gpr(is_mips(t.abi()) ? 29 : 4);
  const bool on_it = !(now.flags & SS_DISABLE) && !(now.flags & kAutoDisarm) && sp > now.sp && sp - now.sp <= now.size;
  Stack old{now.sp, now.flags | (on_it ? SS_ONSTACK : 0), now.size};
  if (a[0]) {
    Stack to{};
    if (!fetch(t, a[0], layout, &to)) return -EFAULT;
    const s32 mode = to.flags & ~kAutoDisarm;
    if (on_it) return -EPERM;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) return -EINVAL;
    if (mode == SS_DISABLE)
      to.sp = to.size = 0;
    else if (to.size < 2048)
      return -ENOMEM;
    now = {to.sp, to.size, to.flags & ~SS_ONSTACK};
  }
  return a[1] && !put(t, a[1], layout, &old) ? -EFAULT : 0;
}

s64 kill(Thread& t, const SyscallArgs& a) { return send(t, SYS_kill, a, 1); }
s64 tkill(Thread& t, const SyscallArgs& a) { return send(t, SYS_tkill, a, 1); }
s64 tgkill(Thread& t, const SyscallArgs& a) { return send(t, SYS_tgkill, a, 2); }
s64 pause(Thread& t, const SyscallArgs&) { return t.blocking_call(SYS_pause); }

s64 sgetmask(Thread& t, const SyscallArgs&) { return static_cast<s64>(t.signal_mask & 0xffffffff); }
s64 ssetmask(Thread& t, const SyscallArgs& a) {
  const u64 old = t.signal_mask;
  s64 r = set_mask(t, (old & ~u64{0xffffffff}) | a[0]);
  return r ? r : static_cast<s64>(old & 0xffffffff);
}
s64 restart_syscall(Thread&, const SyscallArgs&) { return -EINTR; }

}  // namespace doppel::user::calls
