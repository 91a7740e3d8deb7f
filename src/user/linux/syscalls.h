// The system calls of Linux, once for all ABIs. syscalls.def has a row a call: its name, how its arguments are printed
// (-strace), its handler. Each ABI has a table of numbers (abi/<isa>_numbers.def) that names rows.
#pragma once
#include <array>
#include <string>

#include "user/thread.h"

namespace doppel::user {

using SyscallArgs = std::array<u64, 8>;
// A value, -errno in the host's numbers, kRestart or kNoResult.
using SyscallHandler = s64 (*)(Thread& t, const SyscallArgs& args);

struct SyscallRow {
  const char* name;
  const char* args;  // a letter an argument: see strace.cpp
  char result;
  SyscallHandler handler;
};

// One system call of the thread whose CPU stands behind the instruction: arguments by the ABI, strace, the handler, the
// result into registers, restart. Then signals are delivered by the thread's loop.
void do_syscall(Thread& t);
const SyscallRow* find_row(const char* name);  // null: unknown
// -strace: "123 openat(AT_FDCWD,\"/etc/passwd\",O_RDONLY) = 3", as qemu-user and strace print.
std::string strace_line(Thread& t, const SyscallRow& row, const SyscallArgs& args);

// Of threads and processes, given by process.cpp (not linux/): clone in all its forms, exit, exit_group, execve.
s64 start_clone(Thread& t, u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls);
[[noreturn]] void exit_thread(Thread& t, int status);
[[noreturn]] void exit_process(Thread& t, int status);
s64 execute(Thread& t, int dirfd, const std::string& path, const std::vector<std::string>& argv,
            const std::vector<std::string>& envp, int flags);
// Of signals, given by signals.cpp.
s64 set_action(Thread& t, int signal, const SignalAction* to, SignalAction* old);
s64 set_mask(Thread& t, u64 mask);  // the thread's; takes what became deliverable
s64 suspend(Thread& t, u64 mask);   // sigsuspend: kRestart-like -EINTR when a handler ran
u64 pending_signals(Thread& t);
s64 wait_signal(Thread& t, u64 set, PendingSignal& out, const struct timespec* timeout);
// A path as the program names it, as the host has it: below -L's prefix if it is there, /proc/self/exe, and so on.
std::string host_path(Thread& t, const std::string& path);

}  // namespace doppel::user
