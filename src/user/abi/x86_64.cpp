// x86-64: one kind of frame. From its address upwards: the restorer, struct ucontext, siginfo_t; above them the
// floating-point state, aligned to 64. The handler finds the stack as after a CALL.
#include <cerrno>
#include <csignal>

#include "user/abi/x86.h"
#include "user/signals.h"

namespace doppel::user {
namespace {

// Offsets in the frame.
constexpr size_t kUc = 8, kStack = kUc + 16, kContext = kUc + 40, kMask = kContext + 256, kInfo = kMask + 8,
                 kFrame = kInfo + 128;
// In struct sigcontext: general registers in this order, then rip, eflags, segments, ...
constexpr unsigned kOrder[16] = {8, 9, 10, 11, 12, 13, 14, 15, kRdi, kRsi, kRbp, kRbx, kRdx, kRax, kRcx, kRsp};
constexpr size_t kRip = 128, kFlags = 136, kCs = 144, kErr = 152, kTrap = 160, kOldMask = 168, kCr2 = 176,
                 kFpState = 184;
constexpr u64 kUcFlags = 7;  // extended state, SS is kept, SS is restored strictly
constexpr u64 kAutoDisarm = u64{1} << 31;

class X86_64 final : public X86Abi {
 public:
  X86_64() {
    id = AbiId::X86_64;
    name = uname_machine = "x86_64";
    address_end = 0x7ffffffff000;
    // Far from where the host's kernel puts what is the emulator's: around 0x55... and under 0x7f....
    stack_top = 0x3ffffffff000;
    mmap_top = 0x3fff00000000;
    program_base = 0x2aaaaaaaa000;
    elf_machine = 62;
  }
  bool takes_syscall(Thread& t, u32 way) const override {
    if (way != 0x80) return true;
    set_syscall_result(t, -ENOSYS);  // the 32-bit calls of a 64-bit program: not built
    return false;
  }
  std::array<u64, 8> syscall_args(Thread& t) const override {
    guest::UserCpu& c = t.user();
    return {c.gpr(kRdi), c.gpr(kRsi), c.gpr(kRdx), c.gpr(10), c.gpr(8), c.gpr(9), 0, 0};
  }
  s64 set_tls(Thread& t, u64 value) const override {
    t.user().set("fs_base", value);
    return 0;
  }
  bool push_signal_frame(Thread& t, const PendingSignal& signal) const override;
  bool pop_signal_frame(Thread& t, bool rt) const override;
};

bool X86_64::push_signal_frame(Thread& t, const PendingSignal& signal) const {
  const SignalAction action = t.process.actions[static_cast<size_t>(signal.number)];
  guest::UserCpu& c = t.user();
  if (!(action.flags & action_flags(*this).restorer)) return false;
  constexpr u64 kRedZone = 128;
  const u64 sp = c.gpr(kRsp);
  const u64 state = align_down(signal_stack_top(t, action, sp - kRedZone) - kExtendedState, 64);
  const u64 at = align_down(state - kFrame, 16) - 8;
  Frame f(*this, at, state + kExtendedState - at);
  put_extended_state(t, f, state - at, kExtendedState);
  f.put(0, action.restorer, 8);
  f.put(kUc, kUcFlags, 8);
  f.put(kStack, t.alternate_stack.sp, 8);
  f.put(kStack + 8, frame_stack_flags(t), 4);
  f.put(kStack + 16, t.alternate_stack.size, 8);
  for (size_t i = 0; i < 16; i++) f.put(kContext + 8 * i, c.gpr(kOrder[i]), 8);
  f.put(kContext + kRip, c.get("pc"), 8);
  f.put(kContext + kFlags, c.get("eflags"), 8);
  f.put(kContext + kCs, c.get("cs"), 2);
  f.put(kContext + kCs + 6, c.get("ss"), 2);
  f.put(kContext + kErr, t.trap.error, 8);
  f.put(kContext + kTrap, t.trap.number, 8);
  f.put(kContext + kOldMask, frame_mask(t), 8);
  f.put(kContext + kCr2, t.trap.address, 8);
  f.put(kContext + kFpState, state, 8);
  f.put(kMask, frame_mask(t), 8);
  write_siginfo(*this, signal, f.data(kInfo));
  if (!f.store(t)) return false;
  if (static_cast<u32>(t.alternate_stack.flags) & kAutoDisarm) t.alternate_stack = {};
  c.set_gpr(kRdi, static_cast<u64>(signal.number));
  c.set_gpr(kRsi, at + kInfo);
  c.set_gpr(kRdx, at + kUc);
  c.set_gpr(kRax, 0);
  c.set_gpr(kRsp, at);
  c.set("pc", action.handler);
  c.set("eflags", c.get("eflags") & ~u64{0x10500});  // RF, DF, TF
  return true;
}

bool X86_64::pop_signal_frame(Thread& t, bool) const {
  guest::UserCpu& c = t.user();
  Frame f(*this, c.gpr(kRsp) - 8, kFrame);
  if (!f.load(t)) return false;
  for (size_t i = 0; i < 16; i++) c.set_gpr(kOrder[i], f.get(kContext + 8 * i, 8));
  c.set("pc", f.get(kContext + kRip, 8));
  c.set("eflags", (c.get("eflags") & ~u64{0x50dd5}) | (f.get(kContext + kFlags, 8) & 0x50dd5));
  Frame state(*this, f.get(kContext + kFpState, 8), kFxsave);
  if (state.address()) {
    if (!state.load(t)) return false;
    get_extended_state(t, state.data(0));
  }
  restore_alternate_stack(t, f.get(kStack, 8), static_cast<s64>(f.get(kStack + 8, 4)), f.get(kStack + 16, 8));
  restore_mask(t, f.get(kMask, 8));
  return true;
}

}  // namespace

const Abi& x86_64_abi() {
  static const X86_64 abi;
  return abi;
}

}  // namespace doppel::user
