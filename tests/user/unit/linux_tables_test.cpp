// Tables and conversions of user mode's system calls: layouts, flags, numbers, widened arguments.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timex.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <set>

#include "user/linux/constants.h"
#include "user/linux/layout.h"

namespace doppel::user {
namespace {

// As much of an ABI as tables need.
class TestAbi final : public Abi {
 public:
  TestAbi(AbiId which, unsigned bytes, bool big) { id = which, word = bytes, big_endian = big; }
  const SyscallRow* row(u64 number) const override { return row_of(id, number); }
  u64 syscall_number(Thread&) const override { return 0; }
  std::array<u64, 8> syscall_args(Thread&) const override { return {}; }
  void set_syscall_result(Thread&, s64) const override {}
  void rewind_syscall(Thread&, u64) const override {}
  void start_thread(guest::UserCpu&, u64, u64) const override {}
  void set_stack_pointer(guest::UserCpu&, u64) const override {}
  bool push_signal_frame(Thread&, const PendingSignal&) const override { return false; }
  bool pop_signal_frame(Thread&, bool) const override { return false; }
  PendingSignal signal_of(const guest::UserEvent&, Thread&) const override { return {}; }
  s64 set_tls(Thread&, u64) const override { return 0; }
  int signal_to_host(int n) const override {
    return id == AbiId::MipsO32 || id == AbiId::MipsN64 ? mips_signal_to_host(n) : n;
  }
  int signal_to_guest(int n) const override {
    return id == AbiId::MipsO32 || id == AbiId::MipsN64 ? mips_signal_to_guest(n) : n;
  }
};

const TestAbi kX64(AbiId::X86_64, 8, false), kI386(AbiId::I386, 4, false), kMipsel(AbiId::MipsO32, 4, false),
    kMips(AbiId::MipsO32, 4, true), kN64(AbiId::MipsN64, 8, false);
const TestAbi* const kAll[] = {&kX64, &kI386, &kMipsel, &kMips, &kN64};

size_t size_of(const Abi& abi, ArgKind kind) { return layout_size(abi, struct_kind(kind).members); }

// Sizes: sizeof of the same structures by Debian's compilers for each ABI.
TEST(LinuxLayout, SizesOfEachAbi) {
  struct Row {
    ArgKind kind;
    size_t x64, i386, o32, n64;
  };
  for (const Row& r : {Row{ArgKind::timespec, 16, 8, 8, 16}, Row{ArgKind::timespec64, 16, 16, 16, 16},
                       Row{ArgKind::timeval, 16, 8, 8, 16}, Row{ArgKind::itimerspec, 32, 16, 16, 32},
                       Row{ArgKind::rusage, 144, 72, 72, 144}, Row{ArgKind::tms, 32, 16, 16, 32},
                       Row{ArgKind::timex, 208, 128, 128, 208}, Row{ArgKind::rlimit64, 16, 16, 16, 16}}) {
    EXPECT_EQ(size_of(kX64, r.kind), r.x64);
    EXPECT_EQ(size_of(kI386, r.kind), r.i386);
    EXPECT_EQ(size_of(kMipsel, r.kind), r.o32);
    EXPECT_EQ(size_of(kMips, r.kind), r.o32);
    EXPECT_EQ(size_of(kN64, r.kind), r.n64);
  }
}

TEST(LinuxLayout, TheHostsOwnFormIsTheSame) {
  for (u8 k = 0; k < bits(ArgKind::count); k++) {
    auto kind = static_cast<ArgKind>(k);
    if (class_of(kind) != ArgClass::STRUCT) continue;
    StructKind s = struct_kind(kind);
    ASSERT_FALSE(s.members.empty()) << int{k};
    EXPECT_EQ(layout_size(kX64, s.members), s.host_size) << int{k};
    for (size_t i = 0; i < s.host_size; i++) {
      std::vector<u8> in(s.host_size), out(s.host_size);
      in[i] = 0x5a;
      to_guest(kX64, s.members, in.data(), out.data());
      if (out != std::vector<u8>(s.host_size)) {  // not a hole
        EXPECT_EQ(in, out) << int{k} << " byte " << i;
      }
    }
  }
}

TEST(LinuxLayout, ByteOrderSignAndHoles) {
  timespec t{-2, 0x01020304};
  u8 raw[16];
  to_guest(kMips, struct_kind(ArgKind::timespec).members, &t, raw);
  const u8 want[8] = {0xff, 0xff, 0xff, 0xfe, 1, 2, 3, 4};
  EXPECT_EQ(std::memcmp(raw, want, 8), 0);
  timespec back{};
  to_host(kMips, struct_kind(ArgKind::timespec).members, raw, &back);
  EXPECT_EQ(back.tv_sec, -2);
  EXPECT_EQ(back.tv_nsec, 0x01020304);
  // Of 64-bit nanoseconds a 32-bit program means the low half.
  const u8 garbage[16] = {0, 0, 0, 0, 0, 0, 0, 5, 0xaa, 0xbb, 0xcc, 0xdd, 0, 0, 0, 7};
  to_host(kMips, struct_kind(ArgKind::timespec64).members, garbage, &back);
  EXPECT_EQ(back.tv_sec, 5);
  EXPECT_EQ(back.tv_nsec, 7);
}

// i386 aligns 64-bit members to 4 bytes, o32 to 8.
TEST(LinuxLayout, AlignmentOfQuads) {
  static constexpr Member kPair[] = {{'U', 4, 0}, {'q', 8, 8}};
  EXPECT_EQ(layout_size(kI386, kPair), 12u);
  EXPECT_EQ(layout_size(kMipsel, kPair), 16u);
  EXPECT_EQ(layout_size(kX64, kPair), 16u);
  EXPECT_EQ(layout_size(kMipsel, kPair, true), 12u);
}

TEST(LinuxFlags, MipsThereAndBack) {
  std::set<ArgKind> kinds;
  for (u8 k = 0; k < bits(ArgKind::count); k++)
    if (class_of(static_cast<ArgKind>(k)) == ArgClass::FLAGS) kinds.insert(static_cast<ArgKind>(k));
  for (ArgKind kind : kinds) {
    EXPECT_FALSE(flag_rows(kind).empty()) << int{bits(kind)};
    for (const FlagRow& r : flag_rows(kind)) {
      EXPECT_EQ(flags_to_host(kMipsel, kind, r.mips), r.host) << r.name;
      EXPECT_EQ(flags_to_guest(kMipsel, kind, r.host), r.mips) << r.name;
      EXPECT_EQ(flags_to_host(kI386, kind, r.host), r.host) << r.name;
    }
  }
  EXPECT_EQ(flags_to_host(kN64, ArgKind::oflags, 0x0102 | 0x80000), u64{O_RDWR | O_CREAT | O_CLOEXEC});
  EXPECT_EQ(flags_to_host(kN64, ArgKind::mapflags, 0x0802), u64{MAP_PRIVATE | MAP_ANONYMOUS});
  EXPECT_EQ(flags_to_host(kN64, ArgKind::socktype, 1 | 0x80), u64{SOCK_DGRAM | SOCK_NONBLOCK});
}

TEST(LinuxFlags, Names) {
  EXPECT_EQ(flag_names(ArgKind::oflags, O_RDONLY | O_CLOEXEC), "O_RDONLY|O_CLOEXEC");
  EXPECT_EQ(flag_names(ArgKind::oflags, O_WRONLY | O_CREAT | O_TRUNC), "O_WRONLY|O_CREAT|O_TRUNC");
  EXPECT_EQ(flag_names(ArgKind::prot, 0), "PROT_NONE");
  EXPECT_EQ(flag_names(ArgKind::prot, PROT_READ | PROT_EXEC), "PROT_EXEC|PROT_READ");
  EXPECT_EQ(flag_names(ArgKind::mapflags, MAP_PRIVATE | MAP_ANONYMOUS), "MAP_PRIVATE|MAP_ANONYMOUS");
  EXPECT_EQ(flag_names(ArgKind::atflags, 0), "0");
  EXPECT_EQ(flag_names(ArgKind::oflags, u64{1} << 30), "0x40000000");
}

TEST(LinuxNumbers, MipsErrnoAndSignals) {
  EXPECT_EQ(mips_errno_to_guest(ENOENT), 2);
  EXPECT_EQ(mips_errno_to_guest(ENOSYS), 89);
  EXPECT_EQ(mips_errno_to_guest(ETIMEDOUT), 145);
  EXPECT_EQ(mips_errno_to_guest(EDQUOT), 1133);
  std::set<int> errors;
  for (int e = 1; e < 134; e++)
    if (e != 41 && e != 58) errors.insert(mips_errno_to_guest(e));  // those two are no errors of Linux
  EXPECT_EQ(errors.size(), 131u);                                   // no two become one
  for (int s = 1; s <= 64; s++) {
    if (s == SIGSTKFLT) continue;  // MIPS has none
    EXPECT_EQ(mips_signal_to_host(mips_signal_to_guest(s)), s) << s;
  }
  EXPECT_EQ(mips_signal_to_guest(SIGCHLD), 18);
  EXPECT_EQ(mips_signal_to_host(7), 0);  // SIGEMT
}

TEST(LinuxNumbers, RowsOfEachAbi) {
  struct Row {
    AbiId abi;
    u64 number;
    const char* name;
  };
  for (const Row& r :
       {Row{AbiId::X86_64, 0, "read"}, Row{AbiId::X86_64, 231, "exit_group"},
        Row{AbiId::X86_64, 450, "set_mempolicy_home_node"}, Row{AbiId::I386, 1, "exit"}, Row{AbiId::I386, 192, "mmap2"},
        Row{AbiId::I386, 403, "clock_gettime64"}, Row{AbiId::MipsO32, 4001, "exit"}, Row{AbiId::MipsO32, 4210, "mmap2"},
        Row{AbiId::MipsN64, 5000, "read"}, Row{AbiId::MipsN64, 5205, "exit_group"}}) {
    const SyscallRow* row = row_of(r.abi, r.number);
    ASSERT_NE(row, nullptr) << r.name;
    EXPECT_STREQ(row->name, r.name);
  }
  for (const TestAbi* abi : kAll) {
    EXPECT_EQ(row_of(abi->id, 100000), nullptr);
    EXPECT_EQ(row_of(abi->id, ~u64{0}), nullptr);
    size_t there = 0, made = 0;
    for (u64 n = 0; n < 6000; n++)
      if (const SyscallRow* row = row_of(abi->id, n)) there++, made += row->handler != nullptr;
    EXPECT_GE(there, 350u);
    EXPECT_GE(made, 255u);
  }
}

TEST(LinuxArguments, Pairs) {
  constexpr ArgKinds kPread = arg_kinds("fd outbuf ulong u64");
  // i386: the words follow each other, the low one first.
  EXPECT_EQ(widen_args(kI386, kPread, {3, 0x1000, 7, 0x89abcdef, 0x01234567})[3], 0x0123456789abcdefu);
  // o32: an even register, words in byte order.
  EXPECT_EQ(widen_args(kMipsel, kPread, {3, 0x1000, 7, 99, 0x89abcdef, 0x01234567})[3], 0x0123456789abcdefu);
  EXPECT_EQ(widen_args(kMips, kPread, {3, 0x1000, 7, 99, 0x01234567, 0x89abcdef})[3], 0x0123456789abcdefu);
  EXPECT_EQ(widen_args(kX64, kPread, {3, 0x1000, 7, 0x0123456789abcdef})[3], 0x0123456789abcdefu);
  constexpr ArgKinds kSync = arg_kinds("fd u64 u64 uint");
  SyscallArgs a = widen_args(kMipsel, kSync, {3, 99, 1, 0, 2, 0, 5});
  EXPECT_EQ(a[1], 1u);
  EXPECT_EQ(a[2], 2u);
  EXPECT_EQ(a[3], 5u);
}

TEST(LinuxArguments, Signs) {
  constexpr ArgKinds kKinds = arg_kinds("dirfd slong ulong uid16 mode");
  SyscallArgs a = widen_args(kI386, kKinds, {0xffffff9c, 0xfffffffe, 0xfffffffe, 0xffff, 0xffffffff000001ff});
  EXPECT_EQ(static_cast<s64>(a[0]), AT_FDCWD);
  EXPECT_EQ(static_cast<s64>(a[1]), -2);
  EXPECT_EQ(a[2], 0xfffffffeu);
  EXPECT_EQ(a[3], 0xffffffffu);
  EXPECT_EQ(a[4], 0x1ffu);
  EXPECT_EQ(widen_args(kMipsel, kKinds, {0, 0, 0, 0xffff, 0})[3], 0xffffu);
}

TEST(LinuxSiginfo, FieldsOfEachAbi) {
  for (const TestAbi* abi : kAll) {
    u8 raw[128];
    PendingSignal s;
    s.number = abi->signal_to_guest(SIGCHLD);
    s.code = CLD_EXITED;
    s.pid = 1234;
    s.uid = 5;
    s.status = 7;
    write_siginfo(*abi, s, raw);
    const bool mips = is_mips(*abi);
    const unsigned fields = abi->word == 8 ? 16 : 12;
    EXPECT_EQ(get_value(*abi, raw, 4), mips ? 18u : 17u);
    EXPECT_EQ(get_value(*abi, raw + (mips ? 4 : 8), 4), u64{CLD_EXITED});
    EXPECT_EQ(get_value(*abi, raw + fields, 4), 1234u);
    EXPECT_EQ(get_value(*abi, raw + fields + 8, 4), 7u);
    s = {};
    s.number = SIGUSR1;
    s.code = SI_TIMER;
    s.value = 0x1234;
    write_siginfo(*abi, s, raw);
    PendingSignal back = read_siginfo(*abi, raw);
    EXPECT_EQ(back.code, SI_TIMER);
    EXPECT_EQ(back.value, 0x1234u);
  }
}

}  // namespace
}  // namespace doppel::user
