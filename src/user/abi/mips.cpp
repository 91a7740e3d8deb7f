#include "user/abi/mips.h"

#include <csignal>
#include <cstring>

#include "user/signals.h"

namespace doppel::user {
namespace {

constexpr int kSiKernel = 0x80;
constexpr int kGuestBus = 10, kGuestSegv = 11, kGuestIll = 4, kGuestTrap = 5, kGuestFpe = 8;

PendingSignal signal(int number, int code = kSiKernel, u64 address = 0) {
  PendingSignal p;
  p.number = number;
  p.code = code;
  p.address = address;
  return p;
}

// FCSR's cause bits (vol. I, FCSR): the exception that was enabled.
int float_code(u32 fcsr) {
  const u32 cause = (fcsr >> 12) & 0x3f;
  if (cause & 0x10) return FPE_FLTINV;
  if (cause & 0x08) return FPE_FLTDIV;
  if (cause & 0x04) return FPE_FLTOVF;
  if (cause & 0x02) return FPE_FLTUND;
  if (cause & 0x01) return FPE_FLTRES;
  return 14;  // FPE_FLTUNK
}

// BREAK and TRAP: the compilers' codes for division by zero and overflow. Assemblers put a short code of BREAK into the
// upper ten bits.
PendingSignal breakpoint(u32 code, int otherwise, u64 pc) {
  if (code >= 1024) code = (code & 0x3ff) << 10 | code >> 10;
  if (code == 7) return signal(kGuestFpe, FPE_INTDIV, pc);
  if (code == 6) return signal(kGuestFpe, FPE_INTOVF, pc);
  return signal(kGuestTrap, otherwise, pc);
}

}  // namespace

MipsAbi::MipsAbi() {
  elf_machine = 8;
  exec_needs_x = false;
  watch_before = true;
}

void MipsAbi::set_syscall_result(Thread& t, s64 result) const {
  const bool failed = result < 0 && result >= -4095;
  t.user().set_gpr(kV0,
                   failed ? static_cast<u64>(errno_to_guest(static_cast<int>(-result))) : static_cast<u64>(result));
  t.user().set_gpr(kA3, failed ? 1 : 0);
}

void MipsAbi::rewind_syscall(Thread& t, u64) const { t.user().set("pc", t.user().get("pc") - 4); }

void MipsAbi::start_thread(guest::UserCpu& cpu, u64 entry, u64 sp) const {
  cpu.set("pc", entry);
  cpu.set_gpr(kSp, sp);
}

PendingSignal MipsAbi::signal_of(const guest::UserEvent& event, Thread& t) const {
  const u64 pc = t.user().get("pc");
  switch (event.number) {
    case 1:
    case 2:
    case 3:
      if (t.trap.host_signal == SIGBUS) return signal(kGuestBus, t.trap.host_code, event.address);
      return signal(kGuestSegv, t.process.map.protection(event.address) >= 0 ? SEGV_ACCERR : SEGV_MAPERR,
                    event.address);
    case 4:
    case 5: return signal(kGuestBus);
    case 9: return breakpoint(event.error, TRAP_BRKPT, pc);
    case 12: return signal(kGuestFpe, FPE_INTOVF, pc);
    case 14: return signal(kGuestFpe, float_code(static_cast<u32>(t.user().get("msacsr"))), pc);
    case 13: return breakpoint(event.error, 0, pc);
    case 15: return signal(kGuestFpe, float_code(static_cast<u32>(t.user().get("fcsr"))), pc);
    default: return signal(kGuestIll);  // 10 reserved instruction, 11 coprocessor unusable
  }
}

u64 MipsAbi::frame_address(Thread& t, const SignalAction& action, size_t size) const {
  constexpr u64 kTrampolineRoom = 32;  // below the stack pointer: left alone
  const u64 sp = signal_stack_top(t, action, t.user().gpr(kSp) - kTrampolineRoom);
  return align_down(sp - size, word == 8 ? 16 : 8);
}

void MipsAbi::enter_handler(Thread& t, const SignalAction& action, u64 frame, u64 return_to, u64 signal_number,
                            u64 info, u64 context) const {
  guest::UserCpu& c = t.user();
  c.set_gpr(kA0, signal_number);
  c.set_gpr(kA0 + 1, info);
  c.set_gpr(kA0 + 2, context);
  c.set_gpr(kSp, frame);
  c.set_gpr(kRa, return_to);
  c.set_gpr(kT9, action.handler);
  c.set("pc", action.handler);
}

void MipsAbi::append_code(std::vector<u8>& code, u32 instruction) const {
  for (unsigned i = 0; i < 4; i++) code.push_back(static_cast<u8>(instruction >> (8 * (big_endian ? 3 - i : i))));
}

}  // namespace doppel::user
