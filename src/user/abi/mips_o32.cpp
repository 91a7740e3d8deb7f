// MIPS o32, both byte orders: frames with and without siginfo_t, 64-bit fields for 32-bit registers.
#include <csignal>
#include <iterator>

#include "user/abi/mips.h"
#include "user/elf_file.h"
#include "user/signals.h"

namespace doppel::user {
namespace {

// Room for arguments and the old trampoline, then sigcontext and mask, or siginfo_t and ucontext.
constexpr size_t kStart = 24, kPlainMask = kStart + 592, kPlainFrame = kPlainMask + 16;
constexpr size_t kRtInfo = kStart, kRtUc = kRtInfo + 128, kRtStack = kRtUc + 8, kRtContext = kRtUc + 24,
                 kRtMask = kRtContext + 592, kRtFrame = kRtMask + 16;
// struct sigcontext.
constexpr size_t kStatus = 4, kPc = 8, kRegs = 16, kFpRegs = 272, kFcsr = 532, kUsedMath = 540, kDsp = 544, kHi = 552,
                 kLo = 560;
constexpr const char* kAccumulators[6] = {"hi1", "lo1", "hi2", "lo2", "hi3", "lo3"};  // words after kLo
// li v0, 4119; syscall -- li v0, 4193; syscall.
constexpr u32 kCode[4] = {0x24021017, 0x0000000c, 0x24021061, 0x0000000c};

class MipsO32 final : public MipsAbi {
 public:
  MipsO32(const char* guest, bool big) {
    id = AbiId::MipsO32;
    name = guest;
    uname_machine = "mips";
    big_endian = big;
    word = 4;
    address_end = 0x7fff8000;
    stack_top = 0x7fff7000;
    mmap_top = 0x77ff8000;
    program_base = 0x55550000;
  }
  std::array<u64, 8> syscall_args(Thread& t) const override {
    guest::UserCpu& c = t.user();
    std::array<u64, 8> a{c.gpr(kA0), c.gpr(kA0 + 1), c.gpr(kA0 + 2), c.gpr(kA0 + 3), 0, 0, 0, 0};
    for (unsigned i = 4; i < 8; i++)
      if (!t.read_word(c.gpr(kSp) + 4 * i, a[i])) a[i] = 0;
    for (u64& v : a) v = static_cast<u32>(v);
    return a;
  }
  std::vector<u8> signal_code() const override {
    std::vector<u8> code;
    for (const u32 w : kCode) append_code(code, w);
    return code;
  }
  Status set_modes(guest::UserCpu& cpu, const ElfFile& program, const ElfFile* interpreter) const override;
  bool push_signal_frame(Thread& t, const PendingSignal& signal) const override;
  bool pop_signal_frame(Thread& t, bool rt) const override;

 private:
  void put_context(Thread& t, Frame& f, size_t at, size_t extended) const;
  void get_context(Thread& t, Frame& f, size_t at, size_t extended) const;
};

// Which of Status.FR's values code of a kind of floating point runs with ("MIPS O32 FPXX and FP64 ABI extensions",
// 5.1): FR = 0 by default, FR = 1, FR = 1 with FRE, whose CPUs are not among ours.
struct FloatNeeds {
  bool single, soft, fr1, fr0, fre;
};
constexpr FloatNeeds kFloatNeeds[] = {
    {true, true, true, true, true},       // any: no floating point
    {false, false, false, true, true},    // double: FR = 0
    {true, false, false, false, false},   // single
    {false, true, false, false, false},   // soft
    {false, false, false, false, false},  // the old 64-bit one
    {false, false, true, true, true},     // FPXX: either
    {false, false, true, false, false},   // FP64
    {false, false, true, false, true},    // FP64A
};
constexpr FloatNeeds kUnknownNeeds = {true, true, false, true, true};
constexpr u32 kEfFp64 = 0x200;  // EF_MIPS_FP64: what there was before .MIPS.abiflags

FloatNeeds needs_of(const ElfFile& file) {
  if (file.float_abi >= 0 && file.float_abi < static_cast<int>(std::size(kFloatNeeds)))
    return kFloatNeeds[file.float_abi];
  return file.flags & kEfFp64 ? kFloatNeeds[4] : kUnknownNeeds;
}

Status MipsO32::set_modes(guest::UserCpu& cpu, const ElfFile& program, const ElfFile* interpreter) const {
  FloatNeeds n = needs_of(program);
  if (interpreter) {
    const FloatNeeds m = needs_of(*interpreter);
    n = {n.single && m.single, n.soft && m.soft, n.fr1 && m.fr1, n.fr0 && m.fr0, n.fre && m.fre};
  }
  const bool wants_fr1 = n.fr1 && !n.fr0, either = (n.fr1 && n.fr0) || (n.single && !n.fr0);
  if (!n.single && !n.soft && !n.fr1 && !n.fr0)
    return Error{n.fre ? "it and its interpreter need a CPU with Config5.FRE for their floating point"
                       : "its kind of floating point does not go with its interpreter's",
                 "build it with -mfpxx, or with the interpreter's own option"};
  if (!wants_fr1 && !either) return success();
  if (!cpu.set("fr", 1) && wants_fr1)
    return Error{"it needs floating-point registers of 64 bits (-mfp64), which this CPU has not", "-cpu 24Kf"};
  return success();
}

// At the end of a frame, where the CPU has vector registers: their upper halves (Linux: struct msa_extcontext), and an
// end mark.
constexpr u32 kVectorMagic = 0x784d5341, kEndMagic = 0x78454e44, kUsesExtended = 4, kUsesWide = 2;
constexpr size_t kVectorHigh = 8, kVectorCsr = kVectorHigh + 256, kVectorBytes = kVectorCsr + 8;
size_t extended_bytes(const guest::UserCpu& c) { return c.float_bytes() > 260 ? kVectorBytes + 8 : 0; }

void put_extended(Frame& f, size_t at, const std::vector<u8>& state) {
  f.put(at, kVectorMagic, 4);
  f.put(at + 4, kVectorBytes, 4);
  for (unsigned i = 0; i < 32; i++) f.put(at + kVectorHigh + 8 * i, load_le<u64>(&state[260 + 8 * i]), 8);
  f.put(at + kVectorCsr, load_le<u32>(&state[516]), 4);
  f.put(at + kVectorBytes, kEndMagic, 4);
}
void get_extended(Frame& f, size_t at, std::vector<u8>& state) {
  if (f.get(at, 4) != kVectorMagic || f.get(at + 4, 4) != kVectorBytes) return;
  for (unsigned i = 0; i < 32; i++) store_le<u64>(&state[260 + 8 * i], f.get(at + kVectorHigh + 8 * i, 8));
  store_le<u32>(&state[516], static_cast<u32>(f.get(at + kVectorCsr, 4)));
}

void MipsO32::put_context(Thread& t, Frame& f, size_t at, size_t extended) const {
  guest::UserCpu& c = t.user();
  f.put(at + kStatus, c.get("status"), 4);
  f.put(at + kPc, c.get("pc"), 8);
  for (unsigned i = 1; i < 32; i++) f.put(at + kRegs + 8 * i, sign_extend(c.gpr(i), 32), 8);
  f.put(at + kHi, sign_extend(c.get("hi"), 32), 8);
  f.put(at + kLo, sign_extend(c.get("lo"), 32), 8);
  f.put(at + kDsp, c.get("dspcontrol"), 4);
  for (unsigned i = 0; i < 6; i++) f.put(at + kLo + 8 + 4 * i, c.get(kAccumulators[i]), 4);
  std::vector<u8> state(c.float_bytes());
  c.save_float(state);
  for (unsigned i = 0; i < 32; i++) f.put(at + kFpRegs + 8 * i, load_le<u64>(&state[8 * i]), 8);
  f.put(at + kFcsr, load_le<u32>(&state[256]), 4);
  const bool vectors = extended_bytes(c) != 0;
  if (vectors) put_extended(f, extended, state);
  const u32 wide = c.get("status") >> 26 & 1 ? kUsesWide : 0;
  f.put(at + kUsedMath, 1 | wide | (vectors ? kUsesExtended : 0), 4);
}

void MipsO32::get_context(Thread& t, Frame& f, size_t at, size_t extended) const {
  guest::UserCpu& c = t.user();
  c.set("pc", f.get(at + kPc, 8));
  for (unsigned i = 1; i < 32; i++) c.set_gpr(i, f.get(at + kRegs + 8 * i, 8));
  c.set("hi", f.get(at + kHi, 8));
  c.set("lo", f.get(at + kLo, 8));
  c.set("dspcontrol", f.get(at + kDsp, 4));
  for (unsigned i = 0; i < 6; i++) c.set(kAccumulators[i], f.get(at + kLo + 8 + 4 * i, 4));
  const u64 used = f.get(at + kUsedMath, 4);
  if (!used) return;
  std::vector<u8> state(c.float_bytes());
  c.save_float(state);
  if ((used & kUsesExtended) && extended_bytes(c)) get_extended(f, extended, state);
  for (unsigned i = 0; i < 32; i++) store_le<u64>(&state[8 * i], f.get(at + kFpRegs + 8 * i, 8));
  store_le<u32>(&state[256], static_cast<u32>(f.get(at + kFcsr, 4)));
  c.load_float(state);
}

// sigset_t has 128 bits, as words of 32.
void put_mask(Frame& f, size_t at, u64 mask) {
  f.put(at, mask & 0xffffffff, 4);
  f.put(at + 4, mask >> 32, 4);
}
u64 get_mask(Frame& f, size_t at) { return f.get(at, 4) | f.get(at + 4, 4) << 32; }

bool MipsO32::push_signal_frame(Thread& t, const PendingSignal& signal) const {
  const SignalAction action = t.process.actions[static_cast<size_t>(signal.number)];
  const bool rt = action.flags & action_flags(*this).siginfo;
  const size_t extended = rt ? kRtFrame : kPlainFrame, size = extended + extended_bytes(t.user());
  const u64 at = frame_address(t, action, size);
  Frame f(*this, at, size);
  put_context(t, f, rt ? kRtContext : kStart, extended);
  if (rt) {
    write_siginfo(*this, signal, f.data(kRtInfo));
    f.put(kRtStack, t.alternate_stack.sp, 4);
    f.put(kRtStack + 4, t.alternate_stack.size, 4);
    f.put(kRtStack + 8, frame_stack_flags(t), 4);
  }
  put_mask(f, rt ? kRtMask : kPlainMask, frame_mask(t));
  if (!f.store(t)) return false;
  enter_handler(t, action, at, t.process.signal_page + (rt ? 8 : 0), static_cast<u64>(signal.number),
                rt ? at + kRtInfo : 0, at + (rt ? kRtUc : kStart));
  return true;
}

bool MipsO32::pop_signal_frame(Thread& t, bool rt) const {
  const size_t extended = rt ? kRtFrame : kPlainFrame;
  Frame f(*this, t.user().gpr(kSp), extended + extended_bytes(t.user()));
  if (!f.load(t)) return false;
  get_context(t, f, rt ? kRtContext : kStart, extended);
  if (rt)
    restore_alternate_stack(t, f.get(kRtStack, 4), static_cast<s64>(f.get(kRtStack + 8, 4)), f.get(kRtStack + 4, 4));
  restore_mask(t, get_mask(f, rt ? kRtMask : kPlainMask));
  return true;
}

}  // namespace

const Abi& mips_abi() {
  static const MipsO32 abi("mips", true);
  return abi;
}

const Abi& mipsel_abi() {
  static const MipsO32 abi("mipsel", false);
  return abi;
}

}  // namespace doppel::user
