// do_syscall: from the CPU's registers to the row's handler and back.
#include <cerrno>
#include <cstdio>

#include "user/debugger.h"
#include "user/linux/handlers.h"

namespace doppel::user {

namespace {

// 64-bit value of registers `i` and `i + 1`; `i` moves on.
u64 join_pair(const Abi& abi, const std::array<u64, 8>& raw, unsigned& i) {
  if (abi.id == AbiId::MipsO32) i = (i + 1) & ~1u;
  if (i + 1 >= raw.size()) return 0;
  u64 first = raw[i] & 0xffffffff, second = raw[i + 1] & 0xffffffff;
  i += 2;
  return abi.big_endian ? first << 32 | second : second << 32 | first;
}

u64 widen(const Abi& abi, ArgClass cls, u64 raw) {
  if (abi.word == 4) raw &= 0xffffffff;
  switch (cls) {
    case ArgClass::SIGNED: return sign_extend(raw, 32);
    case ArgClass::UNSIGNED:
    case ArgClass::UID:
    case ArgClass::FLAGS: return raw & 0xffffffff;
    case ArgClass::LONG: return abi.word == 4 ? sign_extend(raw, 32) : raw;
    case ArgClass::UID16:
      if (abi.id != AbiId::I386) return raw & 0xffffffff;
      return (raw & 0xffff) == 0xffff ? 0xffffffff : raw & 0xffff;
    default: return raw;
  }
}

// o32's `syscall`: the number is the first argument.
const SyscallRow* indirect(const Abi& abi, const SyscallRow* row, std::array<u64, 8>& raw) {
  if (!row || row->handler != calls::syscall) return row;
  row = abi.row(raw[0] & 0xffffffff);
  std::copy(raw.begin() + 1, raw.end(), raw.begin());
  return row && row->handler == calls::syscall ? nullptr : row;
}

s64 handle(Thread& t, const SyscallRow& row, const SyscallArgs& args) {
  if (!row.handler) return -ENOSYS;
  Debugger* d = debugger_of(t);
  if (!d) return row.handler(t, args);
  d->enter_call(t);
  s64 result = row.handler(t, args);
  AddressMap& map = t.process.map;
  if (result == -EFAULT && map.has_watchpoints) {  // the host's kernel, too, fails at their pages
    map.open_watched_pages();
    result = row.handler(t, args);
    map.close_watched_pages();
  }
  if ((d = debugger_of(t))) d->leave_call(t);  // a child of fork has none
  return result;
}

}  // namespace

SyscallArgs widen_args(const Abi& abi, const ArgKinds& kinds, const std::array<u64, 8>& raw) {
  SyscallArgs out{};
  unsigned from = 0;
  for (unsigned i = 0; i < out.size() && from < raw.size(); i++) {
    ArgClass cls = class_of(kinds[i]);
    if (cls == ArgClass::PAIR && abi.word == 4)
      out[i] = join_pair(abi, raw, from);
    else
      out[i] = widen(abi, cls, raw[from++]);
  }
  return out;
}

void do_syscall(Thread& t) {
  const Abi& abi = t.abi();
  const u64 number = abi.syscall_number(t);
  auto raw = abi.syscall_args(t);
  const SyscallRow* row = indirect(abi, abi.row(number), raw);
  const bool strace = t.process.options.strace;
  if (!row) {
    if (strace) fprintf(stderr, "%d Unknown syscall %llu\n", t.tid, static_cast<unsigned long long>(number));
    abi.set_syscall_result(t, -ENOSYS);
    return;
  }
  SyscallArgs args = widen_args(abi, row->args, raw);
  if (strace) {
    const bool returns = row->handler != calls::exit && row->handler != calls::exit_group;
    fputs((strace_call(t, *row, args) + (returns ? "" : "\n")).c_str(), stderr);
  }
  s64 result = handle(t, *row, args);
  if (strace) fputs(strace_result(t, *row, args, result).c_str(), stderr);
  if (result == kNoResult) return;
  if (result == kRestart || result == kRestartAlways)
    restart_later(t, number, result);
  else
    abi.set_syscall_result(t, result);
}

}  // namespace doppel::user
