// See kernel_records.h. The kind of a descriptor is asked of /proc, so that it stays right over dup, fork and exec.
#include "user/linux/kernel_records.h"

#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

std::string kind_of(u64 fd) {
  char path[40], text[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", static_cast<int>(fd));
  ssize_t n = ::readlink(path, text, sizeof text);
  return n > 0 ? std::string(text, static_cast<size_t>(n)) : "";
}

constexpr Member kCount[] = {{'Q', 8, 0}};
constexpr Member kInotify[] = {MEMBER('i', inotify_event, wd), MEMBER('U', inotify_event, mask),
                               MEMBER('U', inotify_event, cookie), MEMBER('U', inotify_event, len)};
using Info = signalfd_siginfo;
constexpr Member kSignal[] = {
    MEMBER('U', Info, ssi_signo),  MEMBER('i', Info, ssi_errno),    MEMBER('i', Info, ssi_code),
    MEMBER('U', Info, ssi_pid),    MEMBER('U', Info, ssi_uid),      MEMBER('i', Info, ssi_fd),
    MEMBER('U', Info, ssi_tid),    MEMBER('U', Info, ssi_band),     MEMBER('U', Info, ssi_overrun),
    MEMBER('U', Info, ssi_trapno), MEMBER('i', Info, ssi_status),   MEMBER('i', Info, ssi_int),
    MEMBER('Q', Info, ssi_ptr),    MEMBER('Q', Info, ssi_utime),    MEMBER('Q', Info, ssi_stime),
    MEMBER('Q', Info, ssi_addr),   MEMBER('H', Info, ssi_addr_lsb), HOLE('r', 46)};
static_assert(sizeof(Info) == 128);

void turn(Thread& t, u64 va, Members members, size_t size) {
  u8 raw[128];
  if (!t.read(va, raw, size)) return;
  u8 out[128];
  to_guest(t.abi(), members, raw, out);
  t.write(va, out, size);
}

void turn_signals(Thread& t, u64 va, size_t size) {
  const Abi& abi = t.abi();
  for (size_t at = 0; at + sizeof(Info) <= size; at += sizeof(Info)) {
    Info info;
    if (!t.read(va + at, &info, sizeof info)) return;
    info.ssi_signo = static_cast<u32>(abi.signal_to_guest(static_cast<int>(info.ssi_signo)));
    u8 out[sizeof info];
    to_guest(abi, kSignal, &info, out);
    t.write(va + at, out, sizeof out);
  }
}

}  // namespace

void turn_records(Thread& t, u64 fd, u64 va, size_t size) {
  const bool big = t.abi().big_endian;
  // Signals have other numbers on MIPS, whatever its byte order.
  if (!is_mips(t.abi()) || (size != 8 && size < sizeof(inotify_event)) || (!big && size % sizeof(Info))) return;
  const std::string kind = kind_of(fd);
  if (!kind.starts_with("anon_inode:")) return;
  if (kind == "anon_inode:[signalfd]") return turn_signals(t, va, size);
  if (!big) return;
  if (size == 8 && (kind == "anon_inode:[eventfd]" || kind == "anon_inode:[timerfd]")) turn(t, va, kCount, 8);
  if (kind != "anon_inode:inotify") return;
  for (size_t at = 0; at + sizeof(inotify_event) <= size;) {
    u64 name = 0;
    turn(t, va + at, kInotify, sizeof(inotify_event));
    if (!read_value(t, va + at + offsetof(inotify_event, len), name, 4)) return;
    at += sizeof(inotify_event) + name;
  }
}

bool takes_count(u64 fd) { return kind_of(fd) == "anon_inode:[eventfd]"; }

}  // namespace doppel::user::calls
