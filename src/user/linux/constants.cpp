// See constants.h.
#include "user/linux/constants.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace doppel::user {

namespace {

// The C library's headers make the names of 32-bit programs' locks those of 64-bit ones: the kernel's numbers here.
#undef F_GETLK
#undef F_SETLK
#undef F_SETLKW
#undef F_GETLK64
#undef F_SETLK64
#undef F_SETLKW64
#undef O_LARGEFILE
constexpr u64 F_GETLK = 5, F_SETLK = 6, F_SETLKW = 7, F_GETLK64 = 12, F_SETLK64 = 13, F_SETLKW64 = 14,
              O_LARGEFILE = 0100000;
constexpr u64 F_GETOWNER_UIDS = 17;

// Rows of a kind are neighbours.
constexpr FlagRow kRows[] = {
#define F(kind, name, mips) {ArgKind::kind, false, #name, static_cast<u32>(name), mips},
#define V(kind, name, mips) {ArgKind::kind, true, #name, static_cast<u32>(name), mips},
#include "user/linux/flags.def"
#undef F
#undef V
};

u64 convert(ArgKind kind, u64 in, u64 FlagRow::*from, u64 FlagRow::*to) {
  u64 out = 0, left = in;
  for (const FlagRow& r : flag_rows(kind))
    if (!r.value && r.*from && (left & r.*from) == r.*from) out |= r.*to, left &= ~(r.*from);
  for (const FlagRow& r : flag_rows(kind))
    if (r.value && left == r.*from) return out | r.*to;
  return out | left;
}

// By the host's errno; 0: the same on both.
constexpr auto kErrno = [] {
  std::array<u16, 136> table{};
#define E(name, mips) table[name] = mips;
#define S(name, mips)
#include "user/linux/mips_numbers.def"
#undef E
#undef S
  return table;
}();

struct SignalPair {
  int host, mips;
};
constexpr SignalPair kSignals[] = {
#define E(name, mips)
#define S(name, mips) {name, mips},
#include "user/linux/mips_numbers.def"
#undef E
#undef S
};

}  // namespace

std::span<const FlagRow> flag_rows(ArgKind kind) {
  auto first = std::find_if(std::begin(kRows), std::end(kRows), [&](const FlagRow& r) { return r.kind == kind; });
  auto last = std::find_if(first, std::end(kRows), [&](const FlagRow& r) { return r.kind != kind; });
  return {first, last};
}

u64 flags_to_host(const Abi& abi, ArgKind kind, u64 guest) {
  return is_mips(abi) ? convert(kind, guest, &FlagRow::mips, &FlagRow::host) : guest;
}
u64 flags_to_guest(const Abi& abi, ArgKind kind, u64 host) {
  return is_mips(abi) ? convert(kind, host, &FlagRow::host, &FlagRow::mips) : host;
}

std::string flag_names(ArgKind kind, u64 host) {
  std::string values, flags;
  u64 left = host;
  for (const FlagRow& r : flag_rows(kind))
    if (!r.value && r.host && (left & r.host) == r.host) {
      flags += (flags.empty() ? "" : "|") + std::string(r.name);
      left &= ~r.host;
    }
  bool named = false;
  for (const FlagRow& r : flag_rows(kind))
    if (r.value && left == r.host) values = r.name, named = true;
  if (!named && left) {
    char text[24];
    snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(left));
    (flags.empty() ? values : flags) += (flags.empty() ? "" : "|") + std::string(text);
  }
  // What a value of zero is called is of interest only alone or where it is a choice (O_RDONLY).
  if (!flags.empty() && !values.empty() && !left && kind != ArgKind::oflags) values.clear();
  std::string all = values.empty() ? flags : flags.empty() ? values : values + "|" + flags;
  return all.empty() ? "0" : all;
}

int mips_errno_to_guest(int h) {
  return h > 0 && static_cast<size_t>(h) < kErrno.size() && kErrno[static_cast<size_t>(h)]
             ? kErrno[static_cast<size_t>(h)]
             : h;
}

int mips_signal_to_guest(int h) {
  for (const SignalPair& p : kSignals)
    if (p.host == h) return p.mips;
  return h;
}

int mips_signal_to_host(int guest) {
  for (const SignalPair& p : kSignals)
    if (p.mips == guest) return p.host;
  if (guest == 7 || guest > 64) return 0;  // SIGEMT; real-time signals that the host does not have
  return guest;
}

}  // namespace doppel::user
