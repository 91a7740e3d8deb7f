#include "user/abi/x86.h"

#include <sys/mman.h>

#include <csignal>
#include <cstring>

namespace doppel::user {
namespace {

constexpr int kSiKernel = 0x80;

PendingSignal signal(int number, int code = kSiKernel, u64 address = 0) {
  PendingSignal p;
  p.number = number;
  p.code = code;
  p.address = address;
  return p;
}

// Which unmasked exception of x87 or SSE it was: from status and mask bits of the same places.
int float_code(Thread& t, bool sse) {
  u8 image[kFxsave];
  t.user().save_float(image);
  const u32 mxcsr = load_le<u32>(image + 24);
  const u32 raised =
      sse ? mxcsr & 0x3f & ~((mxcsr >> 7) & 0x3f) : load_le<u16>(image + 2) & 0x3fu & ~u32{load_le<u16>(image)};
  if (raised & 1) return FPE_FLTINV;
  if (raised & 4) return FPE_FLTDIV;
  if (raised & 8) return FPE_FLTOVF;
  if (raised & (0x10 | 2)) return FPE_FLTUND;
  if (raised & 0x20) return FPE_FLTRES;
  return 0;
}

PendingSignal page_fault(const guest::UserEvent& event, Thread& t) {
  const bool there = t.process.map.protection(event.address) >= 0;
  // The host's own error code, where it made the access: whether the page is in its tables, only it knows.
  const u64 own = (there ? 1 : 0) | (event.write ? 2 : 0) | 4 | (event.fetch ? 16 : 0);
  t.trap.error = t.trap.host_signal && !event.fetch ? t.trap.host_error & 0x17 : own;
  if (t.trap.host_signal == SIGBUS) return signal(SIGBUS, t.trap.host_code, event.address);
  return signal(SIGSEGV, there ? SEGV_ACCERR : SEGV_MAPERR, event.address);
}

}  // namespace

void X86Abi::rewind_syscall(Thread& t, u64 number) const {
  t.user().set_gpr(kRax, number);
  t.user().set("pc", t.user().get("pc") - 2);  // SYSCALL, INT 0x80
}

PendingSignal X86Abi::signal_of(const guest::UserEvent& event, Thread& t) const {
  const u64 pc = t.user().get("pc");
  switch (event.number) {
    case 0: return signal(SIGFPE, FPE_INTDIV, pc);
    case 1: return signal(SIGTRAP, TRAP_TRACE, pc);
    case 3: return signal(SIGTRAP);
    case 6: return signal(SIGILL, ILL_ILLOPN, pc);
    case 11:
    case 12: return signal(SIGBUS);
    case 14: return page_fault(event, t);
    case 16: return signal(SIGFPE, float_code(t, false), pc);
    case 17: return signal(SIGBUS, BUS_ADRALN);
    case 19: return signal(SIGFPE, float_code(t, true), pc);
    default: return signal(SIGSEGV);
  }
}

void X86Abi::start_thread(guest::UserCpu& cpu, u64 entry, u64 sp) const {
  cpu.set("pc", entry);
  cpu.set_gpr(kRsp, sp);
  cpu.set("eflags", 0x202);
}

// CPUID.1:EDX of the default models: fpu vme pse tsc msr pae mce cx8 apic sep pge mca cmov pat clflush mmx fxsr sse
// sse2.

void put_extended_state(Thread& t, Frame& frame, size_t at, u32 mark_bytes) {
  t.user().save_float({frame.data(at), kFxsave});
  constexpr size_t kMarks = 464;
  frame.put(at + kMarks, 0x46505853, 4);         // FP_XSTATE_MAGIC1
  frame.put(at + kMarks + 4, mark_bytes, 4);     // all of it, the end mark too
  frame.put(at + kMarks + 8, 3, 8);              // x87 and SSE
  frame.put(at + kMarks + 16, kFxsave + 64, 4);  // XSAVE's area
  frame.put(at + kFxsave, 3, 8);                 // its header: what of it is there
  frame.put(at + kFxsave + 64, 0x46505845, 4);   // FP_XSTATE_MAGIC2
}

void get_extended_state(Thread& t, const u8* fxsave) { t.user().load_float({fxsave, kFxsave}); }

}  // namespace doppel::user
