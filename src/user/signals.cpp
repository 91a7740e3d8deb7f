// The host's kernel does most of it: what the program blocks is blocked for the host's thread, what it ignores is
// ignored, defaults are defaults. What it handles is noted by one handler, which blocks everything until the note is
// delivered at the next instruction boundary: so the kernel keeps the queue and its order. SIGSEGV and SIGBUS stay
// unblocked, as faults of guest code need them.
#include "user/signals.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/log.h"
#include "user/debugger.h"
#include "user/host_calls_linux.h"
#include "user/linux/syscalls.h"
#include "user/process.h"

namespace doppel::user {
namespace {

constexpr u64 kFaults = u64{1} << (SIGSEGV - 1) | u64{1} << (SIGBUS - 1);
constexpr u64 kAllBlocked = ~kFaults;
constexpr int kSaNoCldStop = 1, kSaNoCldWait = 2, kSaSiginfo = 4, kSaOnStack = 0x08000000, kSaRestart = 0x10000000,
              kSaNoDefer = 0x40000000;  // the host's

// SAFETY: async-signal-safe; the thread that it interrupts is the owner of what it writes.
bool take_host_fault(Thread* t, int signal, const siginfo_t* info, greg_t* regs) {
  if (!t) return false;
  constexpr u64 kWrite = 2, kFetch = 16;
  const u64 error = static_cast<u64>(regs[REG_ERR]);
  const u64 va = reinterpret_cast<u64>(info->si_addr) - t->process.map.base;
  u64 pc = static_cast<u64>(regs[REG_RIP]);
  t->trap.host_signal = signal;
  t->trap.host_code = info->si_code;
  t->trap.host_error = error;
  // SIGBUS: nothing behind the page; as a store it would look like one to watched code.
  const mem::Access access = error & kFetch                        ? mem::Access::Exec
                             : error & kWrite && signal == SIGSEGV ? mem::Access::Write
                                                                   : mem::Access::Read;
  u64 copy = pc;
  const bool known = leave_copy(copy);
  if (known && t->process.map.has_watchpoints && t->process.map.lift_watch(va)) {
    // a debugger's watchpoint: the copy goes on
  } else if (!known) {
    if (!t->loop->host_fault(pc, va, access) && !(t->process.map.has_watchpoints && t->process.map.lift_watch(va)))
      return false;
  } else if (signal == SIGSEGV && access == mem::Access::Write && t->process.map.code_page_written(va)) {
    if (t->process.map.on_code_gone) t->process.map.on_code_gone(va & mem::kPageMask, mem::kPageSize);
  } else {
    pc = copy;
  }
  t->trap.host_signal = 0;  // no fault of the program, or not yet: the access is done once more
  regs[REG_RIP] = static_cast<greg_t>(pc);
  return true;
}

[[noreturn]] void own_fault(int signal, const siginfo_t* info, const greg_t* regs) {
  char text[160];
  const int n = std::snprintf(text, sizeof text, "doppel: internal error: signal %d at pc 0x%llx, address 0x%llx\n",
                              signal, static_cast<unsigned long long>(regs[REG_RIP]),
                              static_cast<unsigned long long>(reinterpret_cast<u64>(info->si_addr)));
  raw_call(SYS_write, 2, reinterpret_cast<u64>(text), static_cast<u64>(n));
  const KernelAction standard{};
  kernel_sigaction(signal, &standard, nullptr);
  kernel_set_mask(0);
  raw_call(SYS_tgkill, static_cast<u64>(getpid()), static_cast<u64>(raw_call(SYS_gettid)), static_cast<u64>(signal));
  for (;;) raw_call(SYS_exit_group, 1);
}

void on_host_signal(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  auto* uc = static_cast<ucontext_t*>(context);
  greg_t* regs = uc->uc_mcontext.gregs;
  Thread* t = Thread::current();
  const bool fault = signal == SIGSEGV || signal == SIGBUS;
  if (fault && info->si_code > 0) {
    if (!take_host_fault(t, signal, info, regs)) own_fault(signal, info, regs);
    errno = saved_errno;
    return;
  }
  if (!t) return;
  if (!t->host_signal.arrived) {
    t->host_signal.info = *info;
    t->host_signal.arrived = signal;
  } else if (fault) {
    t->host_signal.late_faults = t->host_signal.late_faults | (signal == SIGSEGV ? 1 : 2);
  } else {  // waits in the kernel
    raw_call(SYS_rt_tgsigqueueinfo, static_cast<u64>(raw_call(SYS_getpid)), static_cast<u64>(raw_call(SYS_gettid)),
             static_cast<u64>(signal), reinterpret_cast<u64>(info));
  }
  // SAFETY: the kernel's mask is the first 64 bits of the C library's.
  std::memcpy(&uc->uc_sigmask, &kAllBlocked, sizeof kAllBlocked);
  u64 pc = static_cast<u64>(regs[REG_RIP]);
  if (leave_call(pc)) regs[REG_RIP] = static_cast<greg_t>(pc);
  t->loop->kick();
  errno = saved_errno;
}

// Ends the program unless it is handled.
bool fatal_by_default(int host_signal) {
  switch (host_signal) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
    case SIGKILL:
    case SIGSTOP: return false;
    default: return true;
  }
}

void install(const Process& p, int host_signal, const SignalAction& action) {
  const Abi& abi = *p.abi;
  KernelAction k{};
  const ActionFlags f = action_flags(abi);
  k.flags = kSaSiginfo | kSaOnStack;
  k.mask = kAllBlocked;
  if (host_signal == SIGSEGV || host_signal == SIGBUS) {
    k.handler = on_host_signal;
    k.flags |= kSaNoDefer;
    k.mask = 0;
  } else if (action.handler > 1 || (action.handler == 0 && p.debugger && fatal_by_default(host_signal))) {
    k.handler = on_host_signal;
    if (action.flags & f.restart) k.flags |= kSaRestart;
  } else {
    k.handler = reinterpret_cast<KernelHandler>(action.handler);  // SIG_DFL, SIG_IGN: the same numbers
  }
  if (host_signal == SIGCHLD) k.flags |= action.flags & kSaNoCldStop;
  const u64 no_wait = f.siginfo == 4 ? 2 : 0x10000;  // SA_NOCLDWAIT
  if (host_signal == SIGCHLD && (action.flags & no_wait)) k.flags |= kSaNoCldWait;
  kernel_sigaction(host_signal, &k, nullptr);
}

PendingSignal from_host(const Abi& abi, const siginfo_t& info) {
  PendingSignal p;
  p.number = abi.signal_to_guest(info.si_signo);
  p.code = info.si_code;
  p.error = info.si_errno;
  p.pid = info.si_pid;
  p.uid = static_cast<s32>(info.si_uid);
  p.value = reinterpret_cast<u64>(info.si_value.sival_ptr);
  if (info.si_signo == SIGCHLD && info.si_code > 0) {
    p.status = info.si_status;
    if (info.si_code != CLD_EXITED) p.status = abi.signal_to_guest(p.status);
  } else if ((info.si_signo == SIGPOLL || info.si_signo == SIGSYS) && info.si_code > 0) {
    p.address = reinterpret_cast<u64>(info.si_addr);  // si_band, si_call_addr
    p.status = info.si_fd;
  }
  return p;
}

bool ignored_by_default(const Abi& abi, int signal) {
  switch (abi.signal_to_host(signal)) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH: return true;
    default: return false;
  }
}

bool stops_by_default(const Abi& abi, int signal) {
  switch (abi.signal_to_host(signal)) {
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU: return true;
    default: return false;
  }
}

SignalAction action_of(Thread& t, int signal) {
  std::lock_guard lock(t.process.lock);
  return t.process.actions[static_cast<size_t>(signal)];
}

// The interrupted call: again, or EINTR.
void finish_call(Thread& t, bool handler, bool again) {
  if (t.restart.how == 0) return;
  if (!handler || again || t.restart.how == kRestartAlways)
    t.abi().rewind_syscall(t, t.restart.number);
  else
    t.abi().set_syscall_result(t, -EINTR);
  t.restart.how = 0;
}

void deliver_now(Thread& t, const PendingSignal& p) {
  const Abi& abi = t.abi();
  SignalAction action = action_of(t, p.number);
  const ActionFlags f = action_flags(abi);
  if (p.forced && (action.handler <= 1 || (p.number <= 64 && (t.signal_mask & signal_bit(p.number)))))
    die_of(t, p.number);
  if (action.handler == 1) return;
  if (action.handler == 0) {
    if (ignored_by_default(abi, p.number)) return;
    if (!stops_by_default(abi, p.number)) die_of(t, p.number);
    raw_call(SYS_kill, static_cast<u64>(getpid()), SIGSTOP);
    return;
  }
  finish_call(t, true, action.flags & f.restart);
  if (!abi.push_signal_frame(t, p)) {
    // The frame has no room: SIGSEGV, which has none either if it is handled on the same stack.
    SignalAction segv = action_of(t, abi.signal_to_guest(SIGSEGV));
    PendingSignal next;
    next.number = abi.signal_to_guest(SIGSEGV);
    next.code = 0x80;  // SI_KERNEL
    next.forced = true;
    if (p.number == next.number || !(segv.flags & f.on_stack) || t.alternate_stack.flags & SS_DISABLE)
      die_of(t, next.number);
    deliver_now(t, next);
    return;
  }
  t.debug.somewhere_else = true;
  t.saved_mask.reset();
  t.signal_mask |= action.mask;
  if (!(action.flags & f.no_defer) && p.number <= 64) t.signal_mask |= signal_bit(p.number);
  if (action.flags & f.reset_hand) {
    SignalAction standard{};
    standard.flags = action.flags;
    set_action(t, p.number, &standard, nullptr);
  }
}

// The debugger may take it, or make it another one.
void deliver(Thread& t, PendingSignal p) {
  if (Debugger* d = debugger_of(t)) {
    const int number = d->filter_signal(t, p);
    if (number != p.number) p.forced = false;
    p.number = number;
    if (number <= 0) return;
  }
  deliver_now(t, p);
}

// The next one to deliver.
bool take_arrived(Thread& t, PendingSignal& p) {
  for (size_t i = 0; i < t.held.size(); i++) {
    if (t.signal_mask & signal_bit(t.held[i].number)) continue;
    p = t.held[i];
    t.held.erase(t.held.begin() + static_cast<std::ptrdiff_t>(i));
    return true;
  }
  for (;;) {
    if (const int late = t.host_signal.late_faults) {
      const int which = late & 1 ? SIGSEGV : SIGBUS;
      t.host_signal.late_faults = late & ~(which == SIGSEGV ? 1 : 2);
      p = PendingSignal{};
      p.number = t.abi().signal_to_guest(which);
    } else if (t.host_signal.arrived) {
      p = from_host(t.abi(), t.host_signal.info);
      t.host_signal.arrived = 0;
    } else {
      return false;
    }
    const int host = t.abi().signal_to_host(p.number);
    if ((host != SIGSEGV && host != SIGBUS) || !(t.signal_mask & signal_bit(p.number))) return true;
    t.held.push_back(p);
  }
}

}  // namespace

ActionFlags action_flags(const Abi& abi) {
  const bool mips = abi.id == AbiId::MipsO32 || abi.id == AbiId::MipsN64;
  return {mips ? 8u : 4u, 0x08000000, 0x10000000, 0x40000000, 0x80000000, mips ? 0u : 0x04000000u};
}

// --- the host's side

u64 host_mask(const Thread& t, u64 mask) {
  u64 out = mask;
  if (t.abi().signal_to_host(SIGBUS) != SIGBUS || t.abi().signal_to_host(SIGCHLD) != SIGCHLD) {
    out = 0;
    for (int n = 1; n <= 64; n++) {
      const int host = mask & signal_bit(n) ? t.abi().signal_to_host(n) : 0;
      if (host >= 1 && host <= 64) out |= signal_bit(host);
    }
  }
  return out & ~kFaults;
}

BlockSignals::BlockSignals() : old_(kernel_set_mask(kAllBlocked)) {}
// What arrived before wants everything blocked until it is delivered.
BlockSignals::~BlockSignals() { kernel_set_mask(old_); }

void start_signals(Process& process) {
  for (int host = 1; host <= 64; host++) {
    KernelAction k{};
    if (kernel_sigaction(host, nullptr, &k) < 0) continue;
    SignalAction action{};
    action.handler = k.handler == reinterpret_cast<KernelHandler>(1) ? 1 : 0;
    const int guest = process.abi->signal_to_guest(host);
    if (guest > 0 && guest < static_cast<int>(process.actions.size()))
      process.actions[static_cast<size_t>(guest)] = action;
    const bool fault = host == SIGSEGV || host == SIGBUS;
    if (fault || (process.debugger && action.handler == 0 && fatal_by_default(host))) install(process, host, action);
  }
}

void give_signal_stack() {
  constexpr size_t kSize = 128 << 10;
  void* p = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  stack_t stack{};
  stack.ss_sp = p;
  stack.ss_size = kSize;
  if (p != MAP_FAILED) sigaltstack(&stack, nullptr);
}

void drop_signal_stack() {
  stack_t none{}, old{};
  none.ss_flags = SS_DISABLE;
  if (sigaltstack(&none, &old) == 0 && !(old.ss_flags & SS_DISABLE)) munmap(old.ss_sp, old.ss_size);
}

void die_of(Thread& t, int signal) {
  if (Debugger* d = debugger_of(t)) d->killed(t, signal);
  abandon_futexes(t.process);
  int host = t.abi().signal_to_host(signal);
  if (host <= 0) host = SIGKILL;
  const rlimit none{0, 0};  // a core file would be the emulator's
  setrlimit(RLIMIT_CORE, &none);
  const KernelAction standard{};
  kernel_sigaction(host, &standard, nullptr);
  kernel_set_mask(~signal_bit(host));
  raw_call(SYS_tgkill, static_cast<u64>(getpid()), static_cast<u64>(raw_call(SYS_gettid)), static_cast<u64>(host));
  for (;;) raw_call(SYS_exit_group, static_cast<u64>(128 + host));
}

// --- delivery

void deliver_signals(Thread& t) {
  if (!t.host_signal.arrived && !t.host_signal.late_faults && t.held.empty() && t.restart.how == 0 && !t.saved_mask)
    return;
  PendingSignal p;
  for (;;) {
    while (take_arrived(t, p)) deliver(t, p);
    finish_call(t, false, false);
    if (t.saved_mask) t.signal_mask = *std::exchange(t.saved_mask, std::nullopt);
    kernel_set_mask(host_mask(t, t.signal_mask));
    // What the new mask lets in has come by now.
    if (t.host_signal.arrived || t.host_signal.late_faults) continue;
    bool more = false;
    for (const PendingSignal& h : t.held) more = more || !(t.signal_mask & signal_bit(h.number));
    if (!more) return;
  }
}

void take_exception(Thread& t, const guest::UserEvent& event) {
  t.trap.number = event.number;
  t.trap.error = event.error;
  t.trap.address = event.address;
  PendingSignal p = t.abi().signal_of(event, t);
  t.trap.host_signal = 0;
  DOPPEL_LOG(Int, "%d: exception %u error 0x%x address 0x%llx at 0x%llx: signal %d code %d\n%s", t.tid, event.number,
             event.error, static_cast<unsigned long long>(event.address),
             static_cast<unsigned long long>(t.user().get("pc")), p.number, p.code, t.cpu->dump_registers().c_str());
  if (p.number == 0) return;  // done by the ABI (what the kernel emulates)
  p.forced = true;
  deliver(t, p);
  if (!t.host_signal.arrived) kernel_set_mask(host_mask(t, t.signal_mask));
}

void restart_later(Thread& t, u64 number, s64 how) { t.restart = {number, how}; }

u64 signal_stack_top(const Thread& t, const SignalAction& action, u64 sp) {
  const auto& a = t.alternate_stack;
  if (!(action.flags & action_flags(t.abi()).on_stack) || (a.flags & SS_DISABLE) || a.size == 0) return sp;
  if (sp > a.sp && sp - a.sp <= a.size) return sp;  // on it already
  return a.sp + a.size;
}

void restore_mask(Thread& t, u64 mask) {
  t.signal_mask = mask & ~(signal_bit(t.abi().signal_to_guest(SIGKILL)) | signal_bit(t.abi().signal_to_guest(SIGSTOP)));
  if (!t.host_signal.arrived) kernel_set_mask(host_mask(t, t.signal_mask));
  if (!t.held.empty()) t.loop->kick();
}

void restore_alternate_stack(Thread& t, u64 sp, s64 flags, u64 size) {
  constexpr s64 kAutoDisarm = s64{1} << 31;
  if (flags & ~(SS_ONSTACK | SS_DISABLE | kAutoDisarm) & 0xffffffff) return;
  t.alternate_stack = {flags & SS_DISABLE ? 0 : sp, flags & SS_DISABLE ? 0 : size,
                       static_cast<int>(flags & ~SS_ONSTACK)};
}

// --- what system calls ask for

s64 set_action(Thread& t, int signal, const SignalAction* to, SignalAction* old) {
  const Abi& abi = t.abi();
  if (signal < 1 || signal > static_cast<int>(abi.signal_count())) return -EINVAL;
  const int host = abi.signal_to_host(signal);
  if (to && (host == SIGKILL || host == SIGSTOP)) return -EINVAL;
  std::lock_guard lock(t.process.lock);
  SignalAction& action = t.process.actions[static_cast<size_t>(signal)];
  if (old) *old = action;
  if (!to) return 0;
  action = *to;
  u64 never = 0;
  for (const int s : {SIGKILL, SIGSTOP}) never |= signal_bit(abi.signal_to_guest(s));
  action.mask &= ~never;
  if (host >= 1 && host <= 64) install(t.process, host, action);
  return 0;
}

s64 set_mask(Thread& t, u64 mask) {
  mask &= ~(signal_bit(t.abi().signal_to_guest(SIGKILL)) | signal_bit(t.abi().signal_to_guest(SIGSTOP)));
  if (mask == t.signal_mask) return 0;
  if (t.host_signal.arrived) return kRestartAlways;
  t.signal_mask = mask;
  kernel_set_mask(host_mask(t, mask));
  if (!t.held.empty()) t.loop->kick();
  return 0;
}

s64 suspend(Thread& t, u64 mask) {
  return with_mask(t, mask, [&] {
    const u64 host = host_mask(t, mask);
    return t.blocking_call(SYS_rt_sigsuspend, reinterpret_cast<u64>(&host), 8);
  });
}

s64 with_mask(Thread& t, u64 mask, const std::function<s64()>& call) {
  if (t.host_signal.arrived) return kRestartAlways;
  const u64 old = t.signal_mask;
  for (const PendingSignal& p : t.held) {
    if (mask & signal_bit(p.number)) continue;
    t.saved_mask = old;
    t.signal_mask = mask;
    return -EINTR;
  }
  t.signal_mask = mask;
  kernel_set_mask(host_mask(t, mask));
  s64 result = call();
  if (result == kRestartAlways || result == kRestart) result = -EINTR;
  if (result == -EINTR) {  // the frame, or the end of the delivery, brings the old mask back
    t.saved_mask = old;
    return result;
  }
  t.signal_mask = old;
  kernel_set_mask(kAllBlocked);
  if (const int arrived = t.host_signal.arrived; arrived && (host_mask(t, old) & signal_bit(arrived))) {
    // Too late for the call: back to the kernel, where the old mask keeps it.
    raw_call(SYS_rt_tgsigqueueinfo, static_cast<u64>(getpid()), static_cast<u64>(raw_call(SYS_gettid)),
             static_cast<u64>(arrived), reinterpret_cast<u64>(&t.host_signal.info));
    t.host_signal.arrived = 0;
  }
  if (!t.host_signal.arrived) kernel_set_mask(host_mask(t, old));
  return result;
}

u64 pending_signals(Thread& t) {
  u64 host = 0, out = 0;
  raw_call(SYS_rt_sigpending, reinterpret_cast<u64>(&host), 8);
  for (int n = 1; n <= 64; n++)
    if (host & signal_bit(n))
      if (const int guest = t.abi().signal_to_guest(n); guest >= 1 && guest <= 64) out |= signal_bit(guest);
  for (const PendingSignal& p : t.held) out |= signal_bit(p.number);
  return out;
}

s64 wait_signal(Thread& t, u64 set, PendingSignal& out, const struct timespec* timeout) {
  for (size_t i = 0; i < t.held.size(); i++) {
    if (!(set & signal_bit(t.held[i].number))) continue;
    out = t.held[i];
    t.held.erase(t.held.begin() + static_cast<std::ptrdiff_t>(i));
    return out.number;
  }
  const u64 host = host_mask(t, set);
  siginfo_t info{};
  const s64 got = t.blocking_call(SYS_rt_sigtimedwait, reinterpret_cast<u64>(&host), reinterpret_cast<u64>(&info),
                                  reinterpret_cast<u64>(timeout), 8);
  if (got <= 0) return got;
  out = from_host(t.abi(), info);
  return out.number;
}

}  // namespace doppel::user
