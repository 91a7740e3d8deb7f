// MIPS n64: one kind of frame.
#include <csignal>

#include "user/abi/mips.h"
#include "user/signals.h"

namespace doppel::user {
namespace {

// Room for arguments and the old trampoline, siginfo_t, ucontext.
constexpr size_t kInfo = 24, kUc = kInfo + 128, kStack = kUc + 16, kContext = kUc + 40, kMask = kContext + 600,
                 kFrame = kMask + 16;
// struct sigcontext.
constexpr size_t kFpRegs = 256, kHi = 512, kLo = 544, kPc = 576, kFcsr = 584, kUsedMath = 588;
constexpr u32 kCode[2] = {0x2402145b, 0x0000000c};  // li v0, 5211; syscall

class MipsN64 final : public MipsAbi {
 public:
  MipsN64() {
    id = AbiId::MipsN64;
    name = "mips64el";
    uname_machine = "mips64";
    address_end = 0x10000000000;
    stack_top = 0xfffffff000;
    mmap_top = 0xfff0000000;
    program_base = 0xaaaaaa0000;
  }
  std::array<u64, 8> syscall_args(Thread& t) const override {
    std::array<u64, 8> a{};
    for (unsigned i = 0; i < 8; i++) a[i] = t.user().gpr(kA0 + i);
    return a;
  }
  std::vector<u8> signal_code() const override {
    std::vector<u8> code;
    for (const u32 w : kCode) append_code(code, w);
    return code;
  }
  bool push_signal_frame(Thread& t, const PendingSignal& signal) const override;
  bool pop_signal_frame(Thread& t, bool rt) const override;
};

bool MipsN64::push_signal_frame(Thread& t, const PendingSignal& signal) const {
  const SignalAction action = t.process.actions[static_cast<size_t>(signal.number)];
  guest::UserCpu& c = t.user();
  const u64 at = frame_address(t, action, kFrame);
  Frame f(*this, at, kFrame);
  write_siginfo(*this, signal, f.data(kInfo));
  f.put(kStack, t.alternate_stack.sp, 8);
  f.put(kStack + 8, t.alternate_stack.size, 8);
  f.put(kStack + 16, frame_stack_flags(t), 4);
  for (unsigned i = 1; i < 32; i++) f.put(kContext + 8 * i, c.gpr(i), 8);
  f.put(kContext + kPc, c.get("pc"), 8);
  f.put(kContext + kHi, c.get("hi"), 8);
  f.put(kContext + kLo, c.get("lo"), 8);
  std::vector<u8> state(c.float_bytes());
  c.save_float(state);
  for (unsigned i = 0; i < 32; i++) f.put(kContext + kFpRegs + 8 * i, load_le<u64>(&state[8 * i]), 8);
  f.put(kContext + kFcsr, load_le<u32>(&state[256]), 4);
  f.put(kContext + kUsedMath, 1, 4);
  f.put(kMask, frame_mask(t), 8);
  if (!f.store(t)) return false;
  enter_handler(t, action, at, t.process.signal_page, static_cast<u64>(signal.number), at + kInfo, at + kUc);
  return true;
}

bool MipsN64::pop_signal_frame(Thread& t, bool) const {
  guest::UserCpu& c = t.user();
  Frame f(*this, c.gpr(kSp), kFrame);
  if (!f.load(t)) return false;
  for (unsigned i = 1; i < 32; i++) c.set_gpr(i, f.get(kContext + 8 * i, 8));
  c.set("pc", f.get(kContext + kPc, 8));
  c.set("hi", f.get(kContext + kHi, 8));
  c.set("lo", f.get(kContext + kLo, 8));
  if (f.get(kContext + kUsedMath, 4)) {
    std::vector<u8> state(c.float_bytes());
    for (unsigned i = 0; i < 32; i++) store_le<u64>(&state[8 * i], f.get(kContext + kFpRegs + 8 * i, 8));
    store_le<u32>(&state[256], static_cast<u32>(f.get(kContext + kFcsr, 4)));
    c.load_float(state);
  }
  restore_alternate_stack(t, f.get(kStack, 8), static_cast<s64>(f.get(kStack + 16, 4)), f.get(kStack + 8, 8));
  restore_mask(t, f.get(kMask, 8));
  return true;
}

}  // namespace

const Abi& mips64el_abi() {
  static const MipsN64 abi;
  return abi;
}

}  // namespace doppel::user
