// What i386 and x86-64 have in common: system calls, exceptions, floating-point state in frames.
// Sources: System V psABIs; signal frames: Linux's <asm/sigcontext.h>; SDM vol. 1, 13.4 (XSAVE area).
#pragma once
#include "user/abi.h"
#include "user/abi/frame.h"
#include "user/linux/syscalls.h"

namespace doppel::user {

enum X86Gpr : unsigned { kRax, kRcx, kRdx, kRbx, kRsp, kRbp, kRsi, kRdi };

class X86Abi : public Abi {
 public:
  const SyscallRow* row(u64 number) const override { return row_of(id, number); }
  u64 syscall_number(Thread& t) const override { return t.user().gpr(kRax); }
  void set_syscall_result(Thread& t, s64 result) const override { t.user().set_gpr(kRax, static_cast<u64>(result)); }
  void rewind_syscall(Thread& t, u64 number) const override;
  PendingSignal signal_of(const guest::UserEvent& event, Thread& t) const override;
  void start_thread(guest::UserCpu& cpu, u64 entry, u64 sp) const override;
  void set_stack_pointer(guest::UserCpu& cpu, u64 sp) const override { cpu.set_gpr(kRsp, sp); }
};

// The extended state: FXSAVE's image with the marks of XSAVE's in its last bytes, XSAVE's header, and its end mark.
constexpr size_t kFxsave = 512, kExtendedState = kFxsave + 64 + 4;
void put_extended_state(Thread& t, Frame& frame, size_t at, u32 mark_bytes);
void get_extended_state(Thread& t, const u8* fxsave);

}  // namespace doppel::user
