// What MIPS's ABIs have in common: system calls (MIPS psABI, Linux's <asm/unistd.h>), exceptions as Linux's
// arch/mips turns them into signals (MIPS architecture vol. III, table of ExcCode).
#pragma once
#include "user/abi.h"
#include "user/abi/frame.h"
#include "user/linux/constants.h"
#include "user/linux/syscalls.h"

namespace doppel::user {

enum MipsGpr : unsigned { kV0 = 2, kA0 = 4, kA3 = 7, kT9 = 25, kSp = 29, kRa = 31 };

class MipsAbi : public Abi {
 public:
  MipsAbi();
  const SyscallRow* row(u64 number) const override { return row_of(id, number); }
  u64 syscall_number(Thread& t) const override { return static_cast<u32>(t.user().gpr(kV0)); }
  void set_syscall_result(Thread& t, s64 result) const override;
  void rewind_syscall(Thread& t, u64 number) const override;
  int errno_to_guest(int host) const override { return mips_errno_to_guest(host); }
  int signal_to_guest(int host) const override { return mips_signal_to_guest(host); }
  int signal_to_host(int guest) const override { return mips_signal_to_host(guest); }
  unsigned signal_count() const override { return 127; }
  PendingSignal signal_of(const guest::UserEvent& event, Thread& t) const override;
  void start_thread(guest::UserCpu& cpu, u64 entry, u64 sp) const override;
  void set_stack_pointer(guest::UserCpu& cpu, u64 sp) const override { cpu.set_gpr(kSp, sp); }
  s64 set_tls(Thread& t, u64 value) const override {
    t.user().set("tls", value);
    return 0;
  }

 protected:
  // Where a frame of `size` bytes goes; and registers for the handler with the frame's parts as arguments.
  u64 frame_address(Thread& t, const SignalAction& action, size_t size) const;
  void enter_handler(Thread& t, const SignalAction& action, u64 frame, u64 return_to, u64 signal, u64 info,
                     u64 context) const;
  void append_code(std::vector<u8>& code, u32 word) const;
};

}  // namespace doppel::user
