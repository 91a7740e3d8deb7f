// i386: frames with and without siginfo_t. Floating-point state above both: FSAVE's old form of 112 bytes, then the
// extended state, aligned to 64. Segment descriptors of a thread are in a page of the program's own memory: Linux's
// numbers, 6 to 8 for thread-local storage, 14 and 15 for flat code and data.
#include <sys/mman.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "user/abi/x86.h"
#include "user/signals.h"

namespace doppel::user {
namespace {

constexpr size_t kContextSize = 88, kOldState = 112;
// struct sigframe: restorer, number, sigcontext, an unused state, the mask's second word, code.
constexpr size_t kPlainContext = 8, kPlainMask2 = kPlainContext + kContextSize + 624, kPlainCode = kPlainMask2 + 4,
                 kPlainFrame = kPlainCode + 8;
// struct rt_sigframe: restorer, number, two pointers, siginfo_t, ucontext, code.
constexpr size_t kRtInfo = 16, kRtUc = kRtInfo + 128, kRtStack = kRtUc + 8, kRtContext = kRtUc + 20,
                 kRtMask = kRtContext + kContextSize, kRtCode = kRtMask + 8, kRtFrame = kRtCode + 8;
// struct sigcontext.
constexpr const char* kSegs[4] = {"gs", "fs", "es", "ds"};
constexpr unsigned kOrder[8] = {kRdi, kRsi, kRbp, kRsp, kRbx, kRdx, kRcx, kRax};
constexpr size_t kTrap = 48, kErr = 52, kEip = 56, kCs = 60, kFlags = 64, kSpAtSignal = 68, kSs = 72, kFpState = 76,
                 kOldMask = 80, kCr2 = 84;
// Code that returns from a signal: pop eax; mov eax, sigreturn; int 0x80 -- and mov eax, rt_sigreturn; int 0x80.
constexpr u8 kPlainReturn[8] = {0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80};
constexpr u8 kRtReturn[8] = {0xb8, 0xad, 0, 0, 0, 0xcd, 0x80, 0};

constexpr unsigned kTlsFirst = 6, kTlsCount = 3, kCodeEntry = 14, kDataEntry = 15, kEntries = 32;
constexpr u64 kFlatCode = 0x00cffb000000ffff, kFlatData = 0x00cff3000000ffff;

// struct user_desc (modify_ldt(2)).
struct UserDescriptor {
  u32 entry, base, limit, flags;
};
static_assert(sizeof(UserDescriptor) == 16);

bool is_empty(const UserDescriptor& d) {
  return (d.base == 0 && d.limit == 0 && d.flags == 0x28) || (d.base == 0 && d.limit == 0 && d.flags == 0);
}

// The descriptor as the CPU reads it (SDM vol. 3, figure 3-8).
u64 descriptor(const UserDescriptor& d) {
  const auto flag = [&](unsigned bit) { return (d.flags >> bit) & u64{1}; };
  const u64 contents = (d.flags >> 1) & 3;
  u64 v = (d.limit & 0xffff) | (u64{d.base} & 0xffffff) << 16 | (u64{d.base} >> 24) << 56 |
          ((u64{d.limit} >> 16) & 15) << 48;
  const u64 type = contents << 2 | (flag(3) ? 0 : 2) | 1;  // read-only or not, accessed
  v |= type << 40 | u64{1} << 44 | u64{3} << 45;           // not of the system, level 3
  v |= (flag(5) ? 0 : u64{1}) << 47;                       // present
  v |= flag(6) << 52 | flag(0) << 54 | flag(4) << 55;      // useable, 32 bits, limit in pages
  return v;
}

class I386 final : public X86Abi {
 public:
  I386() {
    id = AbiId::I386;
    name = "i386";
    uname_machine = "i686";
    word = 4;
    address_end = 0xffffe000;
    stack_top = 0xffffe000;
    mmap_top = 0xf7ffe000;
    program_base = 0x56555000;
    elf_machine = 3;
  }
  std::array<u64, 8> syscall_args(Thread& t) const override {
    guest::UserCpu& c = t.user();
    return {c.gpr(kRbx), c.gpr(kRcx), c.gpr(kRdx), c.gpr(kRsi), c.gpr(kRdi), c.gpr(kRbp), 0, 0};
  }
  std::vector<u8> signal_code() const override {
    std::vector<u8> code(kPlainReturn, kPlainReturn + 8);
    code.insert(code.end(), kRtReturn, kRtReturn + 8);
    return code;
  }
  bool prepare_thread(Thread& t, Thread* from) const override;
  s64 set_tls(Thread& t, u64 value) const override;
  s64 get_tls(Thread& t, u64 description) const override;
  bool push_signal_frame(Thread& t, const PendingSignal& signal) const override;
  bool pop_signal_frame(Thread& t, bool rt) const override;

 private:
  void put_context(Thread& t, Frame& f, size_t at, u64 state) const;
  bool get_context(Thread& t, Frame& f, size_t at) const;
};

bool I386::prepare_thread(Thread& t, Thread* from) const {
  AddressMap& map = t.process.map;
  const s64 page = map.map(0, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page < 0) return false;
  t.descriptor_table = static_cast<u64>(page);
  u64 table[kEntries] = {};
  if (from) std::memcpy(table, map.host(from->descriptor_table), sizeof table);
  table[kCodeEntry] = kFlatCode;
  table[kDataEntry] = kFlatData;
  std::memcpy(map.host(t.descriptor_table), table, sizeof table);
  t.user().set_descriptor_table(t.descriptor_table, sizeof table);
  return true;
}

// set_thread_area(2), and clone with CLONE_SETTLS. GS is loaded anew if it names the entry.
s64 I386::set_tls(Thread& t, u64 value) const {
  UserDescriptor d;
  if (!t.read(value, &d, sizeof d)) return -EFAULT;
  u64 table[kEntries];
  std::memcpy(table, t.process.map.host(t.descriptor_table), sizeof table);
  if (d.entry == ~u32{0}) {
    for (d.entry = kTlsFirst; d.entry < kTlsFirst + kTlsCount && table[d.entry]; d.entry++) {
    }
    if (d.entry == kTlsFirst + kTlsCount) return -ESRCH;
    if (!t.write(value, &d.entry, 4)) return -EFAULT;
  }
  if (d.entry < kTlsFirst || d.entry >= kTlsFirst + kTlsCount) return -EINVAL;
  table[d.entry] = is_empty(d) ? 0 : descriptor(d);
  std::memcpy(t.process.map.host(t.descriptor_table), table, sizeof table);
  for (const char* seg : {"gs", "fs"})
    if ((t.user().get(seg) >> 3) == d.entry) t.user().set(seg, t.user().get(seg));
  return 0;
}

s64 I386::get_tls(Thread& t, u64 description) const {
  UserDescriptor d;
  if (!t.read(description, &d.entry, 4)) return -EFAULT;
  if (d.entry < kTlsFirst || d.entry >= kTlsFirst + kTlsCount) return -EINVAL;
  u64 table[kEntries];
  std::memcpy(table, t.process.map.host(t.descriptor_table), sizeof table);
  const u64 v = table[d.entry];
  const auto bit = [&](unsigned from, unsigned to) { return static_cast<u32>((v >> from) & 1) << to; };
  d.base = static_cast<u32>((v >> 16 & 0xffffff) | (v >> 56) << 24);
  d.limit = static_cast<u32>((v & 0xffff) | (v >> 48 & 15) << 16);
  d.flags =
      bit(54, 0) | static_cast<u32>(v >> 42 & 3) << 1 | (bit(41, 3) ^ 8) | bit(55, 4) | (bit(47, 5) ^ 32) | bit(52, 6);
  return t.write(description, &d, sizeof d) ? 0 : -EFAULT;
}

void I386::put_context(Thread& t, Frame& f, size_t at, u64 state) const {
  guest::UserCpu& c = t.user();
  for (size_t i = 0; i < 4; i++) f.put(at + 4 * i, c.get(kSegs[i]), 2);
  for (size_t i = 0; i < 8; i++) f.put(at + 16 + 4 * i, c.gpr(kOrder[i]), 4);
  f.put(at + kTrap, t.trap.number, 4);
  f.put(at + kErr, t.trap.error, 4);
  f.put(at + kEip, c.get("pc"), 4);
  f.put(at + kCs, c.get("cs"), 2);
  f.put(at + kFlags, c.get("eflags"), 4);
  f.put(at + kSpAtSignal, c.gpr(kRsp), 4);
  f.put(at + kSs, c.get("ss"), 2);
  f.put(at + kFpState, state, 4);
  f.put(at + kOldMask, frame_mask(t), 4);
  f.put(at + kCr2, t.trap.address, 4);
}

// FSAVE's form of the same state.
void put_old_state(Thread& t, Frame& f, size_t at) {
  u8 x[kFxsave];
  t.user().save_float(x);
  const u32 status = load_le<u16>(x + 2);
  f.put(at, 0xffff0000 | load_le<u16>(x), 4);
  f.put(at + 4, 0xffff0000 | status, 4);
  const unsigned top = (status >> 11) & 7;
  u32 tags = 0;  // two bits a register: valid, zero, special, empty
  for (unsigned i = 0; i < 8; i++) {
    const u8* r = x + 32 + 16 * ((i - top) & 7);
    const u64 significand = load_le<u64>(r);
    const u32 exponent = load_le<u16>(r + 8) & 0x7fff;
    u32 tag = 3;
    if (x[4] >> i & 1) {
      if (exponent == 0x7fff)
        tag = 2;
      else if (exponent == 0)
        tag = significand == 0 ? 1 : 2;
      else
        tag = significand >> 63 ? 0 : 2;
    }
    tags |= tag << (2 * i);
  }
  f.put(at + 8, 0xffff0000 | tags, 4);
  f.put(at + 12, load_le<u32>(x + 8), 4);
  f.put(at + 16, load_le<u16>(x + 12) | (load_le<u16>(x + 6) & 0x7ffu) << 16, 4);
  f.put(at + 20, load_le<u32>(x + 16), 4);
  f.put(at + 24, 0xffff0000 | load_le<u16>(x + 20), 4);
  for (unsigned i = 0; i < 8; i++) std::memcpy(f.data(at + 28 + 10 * i), x + 32 + 16 * i, 10);
  f.put(at + 108, status, 2);
  f.put(at + 110, 0, 2);  // the extended state follows
}

bool I386::push_signal_frame(Thread& t, const PendingSignal& signal) const {
  const SignalAction action = t.process.actions[static_cast<size_t>(signal.number)];
  const ActionFlags flags = action_flags(*this);
  guest::UserCpu& c = t.user();
  const bool rt = action.flags & flags.siginfo;
  const u64 extended = align_down(signal_stack_top(t, action, c.gpr(kRsp)) - kExtendedState, 64);
  const u64 state = extended - kOldState;
  const u64 at = align_down(state - (rt ? kRtFrame : kPlainFrame) + 4, 16) - 4;
  if (at > extended) return false;  // below zero
  Frame f(*this, at, extended + kExtendedState - at);
  put_old_state(t, f, state - at);
  put_extended_state(t, f, extended - at, kOldState + kExtendedState);
  const u64 own_return = t.process.signal_page + (rt ? 8 : 0);
  f.put(0, action.flags & flags.restorer ? action.restorer : own_return, 4);
  f.put(4, static_cast<u64>(signal.number), 4);
  put_context(t, f, rt ? kRtContext : kPlainContext, state);
  const u64 mask = frame_mask(t);
  if (rt) {
    f.put(8, at + kRtInfo, 4);
    f.put(12, at + kRtUc, 4);
    f.put(kRtUc, 1, 4);  // extended state
    f.put(kRtStack, t.alternate_stack.sp, 4);
    f.put(kRtStack + 4, frame_stack_flags(t), 4);
    f.put(kRtStack + 8, t.alternate_stack.size, 4);
    f.put(kRtMask, mask, 8);
    write_siginfo(*this, signal, f.data(kRtInfo));
    std::memcpy(f.data(kRtCode), kRtReturn, 8);
  } else {
    f.put(kPlainMask2, mask >> 32, 4);
    std::memcpy(f.data(kPlainCode), kPlainReturn, 8);
  }
  if (!f.store(t)) return false;
  c.set_gpr(kRsp, at);
  c.set_gpr(kRax, static_cast<u64>(signal.number));
  c.set_gpr(kRdx, rt ? at + kRtInfo : 0);
  c.set_gpr(kRcx, rt ? at + kRtUc : 0);
  c.set("pc", action.handler);
  c.set("eflags", c.get("eflags") & ~u64{0x10500});
  c.set("cs", kCodeEntry << 3 | 3);
  for (const char* seg : {"ds", "es", "ss"}) c.set(seg, kDataEntry << 3 | 3);
  return true;
}

bool I386::get_context(Thread& t, Frame& f, size_t at) const {
  guest::UserCpu& c = t.user();
  for (size_t i = 0; i < 4; i++) c.set(kSegs[i], f.get(at + 4 * i, 2));
  for (size_t i = 0; i < 8; i++) c.set_gpr(kOrder[i], f.get(at + 16 + 4 * i, 4));
  c.set("pc", f.get(at + kEip, 4));
  c.set("cs", f.get(at + kCs, 2) | 3);
  c.set("ss", f.get(at + kSs, 2) | 3);
  c.set("eflags", (c.get("eflags") & ~u64{0x50dd5}) | (f.get(at + kFlags, 4) & 0x50dd5));
  const u64 state = f.get(at + kFpState, 4);
  if (!state) return true;
  Frame s(*this, state + kOldState, kFxsave);
  if (!s.load(t)) return false;
  get_extended_state(t, s.data(0));
  return true;
}

bool I386::pop_signal_frame(Thread& t, bool rt) const {
  guest::UserCpu& c = t.user();
  // `ret` took the restorer; the plain one's code popped the number too.
  Frame f(*this, c.gpr(kRsp) - (rt ? 4 : 8), rt ? kRtFrame : kPlainFrame);
  if (!f.load(t)) return false;
  u64 mask;
  if (rt) {
    mask = f.get(kRtMask, 8);
    if (!get_context(t, f, kRtContext)) return false;
    restore_alternate_stack(t, f.get(kRtStack, 4), static_cast<s64>(f.get(kRtStack + 4, 4)), f.get(kRtStack + 8, 4));
  } else {
    mask = f.get(kPlainContext + kOldMask, 4) | f.get(kPlainMask2, 4) << 32;
    if (!get_context(t, f, kPlainContext)) return false;
  }
  restore_mask(t, mask);
  return true;
}

}  // namespace

const Abi& i386_abi() {
  static const I386 abi;
  return abi;
}

}  // namespace doppel::user
