// -strace: a line a call on standard error, arguments by their kinds, in the form of qemu-user's.
#include <fcntl.h>
#include <sys/uio.h>
#include <time.h>

#include <cinttypes>
#include <cstdarg>
#include <cstring>

#include "user/linux/constants.h"
#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user {

namespace {

__attribute__((format(printf, 1, 2))) std::string text(const char* format, ...) {
  char line[128];
  va_list list;
  va_start(list, format);
  vsnprintf(line, sizeof line, format, list);
  va_end(list);
  return line;
}

std::string pointer(const Abi& abi, u64 v) {
  if (!v) return "NULL";
  return abi.word == 8 ? text("0x%016" PRIx64, v) : text("0x%08" PRIx64, v);
}

std::string quoted(Thread& t, u64 va) {
  std::string s, out = "\"";
  if (!va) return "NULL";
  if (!t.read_string(va, s)) return pointer(t.abi(), va);
  for (char c : s.substr(0, 256)) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else if (static_cast<u8>(c) < 32 || static_cast<u8>(c) > 126)
      out += text("\\%03o", static_cast<u8>(c));
    else
      out += c;
  }
  return out + (s.size() > 256 ? "\"..." : "\"");
}

std::string string_list(Thread& t, u64 va) {
  std::string out = "{";
  for (unsigned i = 0; i < 32; i++, va += t.abi().word) {
    u64 at = 0;
    if (!t.read_word(va, at) || !at) return out + "NULL}";
    out += quoted(t, at) + ",";
  }
  return out + "...}";
}

const char* signal_name(int h) {
  const char* name = sigabbrev_np(h);
  return name;
}

// A structure of one or two numbers: timespec and timeval as {tv_sec = 1,tv_nsec = 0}, others by address.
std::string structure(Thread& t, ArgKind kind, u64 va) {
  ArgKind k = base_kind(kind);
  bool micro = k == ArgKind::timeval;
  timespec time{};
  if (!va || !is_in(kind) || (k != ArgKind::timespec && k != ArgKind::timespec64 && !micro) ||
      !fetch(t, va, struct_kind(k).members, &time))
    return pointer(t.abi(), va);
  return text("{tv_sec = %" PRId64 ",tv_%s = %" PRId64 "}", s64{time.tv_sec}, micro ? "usec" : "nsec",
              s64{time.tv_nsec});
}

const char* clock_name(s64 id) {
  static constexpr const char* kNames[] = {"CLOCK_REALTIME",          "CLOCK_MONOTONIC",     "CLOCK_PROCESS_CPUTIME_ID",
                                           "CLOCK_THREAD_CPUTIME_ID", "CLOCK_MONOTONIC_RAW", "CLOCK_REALTIME_COARSE",
                                           "CLOCK_MONOTONIC_COARSE",  "CLOCK_BOOTTIME"};
  return id >= 0 && id < 8 ? kNames[id] : nullptr;
}

std::string argument(Thread& t, ArgKind kind, u64 v) {
  const s64 number = static_cast<s64>(v);
  const char* name = nullptr;
  switch (base_kind(kind)) {
    case ArgKind::hex: return v ? text("0x%" PRIx64, v) : "0";
    case ArgKind::addr: return pointer(t.abi(), v);
    case ArgKind::uint:
    case ArgKind::ulong:
    case ArgKind::u64: return text("%" PRIu64, v);
    case ArgKind::uid:
    case ArgKind::uid16: return text("%d", static_cast<int>(v));
    case ArgKind::dirfd: return number == AT_FDCWD ? "AT_FDCWD" : text("%" PRId64, number);
    case ArgKind::mode: return text("%04o", static_cast<unsigned>(v));
    case ArgKind::whence:
      return number == 0 ? "SEEK_SET" : number == 1 ? "SEEK_CUR" : number == 2 ? "SEEK_END" : text("%" PRId64, number);
    case ArgKind::clockid: name = clock_name(number); return name ? name : text("%" PRId64, number);
    case ArgKind::signal:
      name = signal_name(t.abi().signal_to_host(static_cast<int>(number)));
      return name ? "SIG" + std::string(name) : text("%" PRId64, number);
    case ArgKind::path:
    case ArgKind::lpath:
    case ArgKind::str: return quoted(t, v);
    case ArgKind::strings: return string_list(t, v);
    default: break;
  }
  switch (class_of(kind)) {
    case ArgClass::FLAGS: return flag_names(kind, flags_to_host(t.abi(), kind, v));
    case ArgClass::STRUCT: return structure(t, kind, v);
    case ArgClass::POINTER: return pointer(t.abi(), v);
    default: return text("%" PRId64, number);
  }
}

// What socketcall is about: the row of the call itself (o32 has a number for each), and its arguments from memory.
const SyscallRow* socket_row(Thread& t, const SyscallRow& row, const SyscallArgs& args, SyscallArgs& inner) {
  static constexpr u16 kNumbers[] = {0,    4183, 4169, 4170, 4174, 4168, 4172, 4171, 4184, 4178, 4175,
                                     4180, 4176, 4182, 4181, 4173, 4179, 4177, 4334, 4335, 4343};
  if (row.handler != calls::socketcall || args[0] == 0 || args[0] >= std::size(kNumbers)) return nullptr;
  const SyscallRow* call = row_of(AbiId::MipsO32, kNumbers[args[0]]);
  std::array<u64, 8> raw{};
  for (unsigned i = 0; call && i < 6 && call->args[i] != ArgKind::none; i++)
    if (!t.read_word(args[1] + i * t.abi().word, raw[i])) return nullptr;
  if (call) inner = widen_args(t.abi(), call->args, raw);
  return call;
}

}  // namespace

std::string strace_call(Thread& t, const SyscallRow& row, const SyscallArgs& args) {
  SyscallArgs inner{};
  if (const SyscallRow* call = socket_row(t, row, args, inner)) return strace_call(t, *call, inner);
  std::string line = text("%d %s(", t.tid, row.name);
  bool creates = false;
  for (unsigned i = 0; i < args.size() && row.args[i] != ArgKind::none; i++) {
    // The mode is an argument only of those that make a file.
    if (row.args[i] == ArgKind::mode && i && row.args[i - 1] == ArgKind::oflags && !creates) break;
    if (row.args[i] == ArgKind::oflags) {
      u64 flags = flags_to_host(t.abi(), row.args[i], args[i]);
      creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    }
    line += (i ? "," : "") + argument(t, row.args[i], args[i]);
  }
  return line + ")";
}

std::string strace_result(Thread& t, const SyscallRow& row, const SyscallArgs&, s64 result) {
  if (result == kNoResult) return " = ?\n";
  if (result == kRestart || result == kRestartAlways) return " = ? ERESTARTSYS (to be restarted)\n";
  if (result < 0 && result > -4096)
    return text(" = -1 errno=%d (", t.abi().errno_to_guest(static_cast<int>(-result))) +
           strerrordesc_np(static_cast<int>(-result)) + ")\n";
  if (row.result == ArgKind::hex) return " = " + pointer(t.abi(), static_cast<u64>(result)) + "\n";
  return text(" = %" PRId64 "\n", result);
}

}  // namespace doppel::user
