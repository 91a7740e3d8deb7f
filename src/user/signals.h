// Signals inside user/: from the host's kernel to the program and back. What system calls need is in linux/syscalls.h.
#pragma once
#include "user/thread.h"

namespace doppel::user {

constexpr u64 signal_bit(int signal) { return u64{1} << (signal - 1); }
struct ActionFlags {
  u64 siginfo, on_stack, restart, no_defer, reset_hand, restorer;
};
ActionFlags action_flags(const Abi& abi);  // sa_flags of the ABI

// Once a process: handlers of SIGSEGV and SIGBUS; what was ignored stays ignored. Once a thread of the host: its stack
// for handlers.
void start_signals(Process& process);
void give_signal_stack();
void drop_signal_stack();
// The host's form of a mask; SIGSEGV and SIGBUS are never in it.
u64 host_mask(const Thread& t, u64 mask);
// All of the host's signals but those of faults are blocked while this lives (fork, new threads).
class BlockSignals {
 public:
  BlockSignals();
  ~BlockSignals();
  u64 old() const { return old_; }

 private:
  u64 old_;
};
// At an instruction boundary: what has arrived is delivered, calls that were interrupted are restarted or given up.
void deliver_signals(Thread& t);
// An exception of the CPU: its signal is delivered at once.
void take_exception(Thread& t, const guest::UserEvent& event);
// The default action of a signal that ends the program: the emulator dies of it.
[[noreturn]] void die_of(Thread& t, int signal);
// Frames: where the frame of `action` begins to grow down from, and what sigreturn makes of the stack in it.
u64 signal_stack_top(const Thread& t, const SignalAction& action, u64 sp);
void restore_mask(Thread& t, u64 mask);
void restore_alternate_stack(Thread& t, u64 sp, s64 flags, u64 size);
inline u64 frame_stack_flags(const Thread& t) {
  return t.alternate_stack.size ? static_cast<u32>(t.alternate_stack.flags) : 0;
}
// The mask that a frame keeps.
inline u64 frame_mask(const Thread& t) { return t.saved_mask.value_or(t.signal_mask); }

}  // namespace doppel::user
