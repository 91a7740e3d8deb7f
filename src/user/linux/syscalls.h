// The system calls of Linux, once for all ABIs. syscalls.def has a row a call: its name, the kinds of its arguments and
// of its result (arg_kinds.def: how one is passed on, and printed by -strace), its handler. Each ABI has a table of
// numbers (abi/<abi>_numbers.def) that names rows.
#pragma once
#include <array>
#include <functional>
#include <string>

#include "user/thread.h"

namespace doppel::user {

// By position in the row, whatever the ABI: values are widened by their kind (signed or not), 64-bit values of 32-bit
// ABIs are joined from their pair of registers.
using SyscallArgs = std::array<u64, 8>;
// A value, -errno in the host's numbers, kRestart, kRestartAlways or kNoResult.
using SyscallHandler = s64 (*)(Thread& t, const SyscallArgs& args);

enum class ArgKind : u8;  // linux/args.h

struct SyscallRow {
  const char* name;
  std::array<ArgKind, 8> args;
  ArgKind result;
  SyscallHandler handler;  // null: not there (ENOSYS)
};

// One system call of the thread whose CPU stands behind the instruction: arguments by the ABI, strace, the handler, the
// result into registers, restart. Then signals are delivered by the thread's loop.
void do_syscall(Thread& t);
// Null: no such call.
const SyscallRow* row_of(AbiId abi, u64 number);
// -strace: `123 openat(AT_FDCWD,"/etc/passwd",O_RDONLY) = 3`, as qemu-user prints: before and after the handler.
std::string strace_call(Thread& t, const SyscallRow& row, const SyscallArgs& args);
std::string strace_result(Thread& t, const SyscallRow& row, const SyscallArgs& args, s64 result);

// Of threads and processes, given by process.cpp (not linux/): clone in all its forms, exit, exit_group, execve.
s64 start_clone(Thread& t, u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls);
[[noreturn]] void exit_thread(Thread& t, int status);
[[noreturn]] void exit_process(Thread& t, int status);
s64 execute(Thread& t, int dirfd, const std::string& path, const std::vector<std::string>& argv,
            const std::vector<std::string>& envp, int flags);
// Of signals, given by signals.cpp.
// do_syscall's way out for `how` = kRestart and kRestartAlways: registers stay as they are, the delivery decides.
void restart_later(Thread& t, u64 number, s64 how);
s64 set_action(Thread& t, int signal, const SignalAction* to, SignalAction* old);
s64 set_mask(Thread& t, u64 mask);  // the thread's; takes what became deliverable
s64 suspend(Thread& t, u64 mask);   // sigsuspend: kRestart-like -EINTR when a handler ran
u64 pending_signals(Thread& t);     // of the thread and of the process, blocked ones too
// `call` with another mask (ppoll, pselect, epoll_pwait). If it gives -EINTR, what is pending is delivered under that
// mask, and the frame brings the old one back.
s64 with_mask(Thread& t, u64 mask, const std::function<s64()>& call);
s64 wait_signal(Thread& t, u64 set, PendingSignal& out, const struct timespec* timeout);
// paths.cpp. A path as the program names it, as the host has it: below -L's prefix if it is there, /proc/self/exe, and
// so on.
std::string host_path(Thread& t, const std::string& path);
// siginfo.cpp: siginfo_t of 128 bytes as the ABI lays it out, for signals' frames, rt_sigtimedwait and others.
void write_siginfo(const Abi& abi, const PendingSignal& signal, u8* out);
PendingSignal read_siginfo(const Abi& abi, const u8* in);

}  // namespace doppel::user
