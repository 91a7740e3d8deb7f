// The few pieces of host code whose instructions the signal handler knows by address: a system call that no signal can
// slip past, and a copy that stops at a fault.
#pragma once
#include <csignal>

#include "base/bits.h"

namespace doppel::user {

// The kernel's value; kRestartAlways if `*arrived` was set before the call began, or if the kernel wants it run again.
s64 call_unless_arrived(const volatile std::sig_atomic_t* arrived, long number, u64 a, u64 b, u64 c, u64 d, u64 e,
                        u64 f);
// False: something of it is not there.
bool copy_checked(void* to, const void* from, size_t size);
// A system call that never touches errno.
s64 raw_call(long number, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0, u64 f = 0);

// For the signal handler, with the address of the interrupted instruction, which they change. True: it was there.
bool leave_call(u64& pc);  // call_unless_arrived, before its system call: it gives kRestartAlways
bool leave_copy(u64& pc);  // copy_checked: it returns false

// The host's dispositions and mask, of all 64 signals: the C library keeps two for itself.
using KernelHandler = void (*)(int, siginfo_t*, void*);
struct KernelAction {
  KernelHandler handler;
  unsigned long flags;
  void (*restorer)();
  u64 mask;
};
s64 kernel_sigaction(int signal, const KernelAction* to, KernelAction* old);  // the restorer is set here
u64 kernel_set_mask(u64 mask);                                                // gives the old one

}  // namespace doppel::user
