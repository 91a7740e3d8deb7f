// fcntl with its locks.
#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>

#include "user/linux/constants.h"
#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

using Flock = struct ::flock;

// struct flock and (32-bit programs) struct flock64. o32's flock has l_sysid and room behind.
constexpr Member kFlock[] = {MEMBER('h', Flock, l_type), MEMBER('h', Flock, l_whence), MEMBER('l', Flock, l_start),
                             MEMBER('l', Flock, l_len), MEMBER('i', Flock, l_pid)};
constexpr Member kO32Flock[] = {MEMBER('h', Flock, l_type),
                                MEMBER('h', Flock, l_whence),
                                MEMBER('l', Flock, l_start),
                                MEMBER('l', Flock, l_len),
                                HOLE('l', 1),
                                MEMBER('i', Flock, l_pid),
                                HOLE('l', 4)};
constexpr Member kFlock64[] = {MEMBER('h', Flock, l_type), MEMBER('h', Flock, l_whence), MEMBER('q', Flock, l_start),
                               MEMBER('q', Flock, l_len), MEMBER('i', Flock, l_pid)};
constexpr Member kOwner[] = {{'i', 4, 0}, {'i', 4, 4}};

// The kernel's numbers: those of 64-bit locks come from 32-bit programs only.
enum : u64 { kGetLk = 5, kSetLk = 6, kSetLkW = 7, kGetLk64 = 12, kSetLk64 = 13, kSetLkW64 = 14 };

s64 lock_call(Thread& t, u64 fd, u64 cmd, u64 va) {
  bool wide = cmd >= kGetLk64 && cmd <= kSetLkW64;
  u64 host_cmd = wide ? cmd - kGetLk64 + kGetLk : cmd;
  Members layout = kFlock;
  if (!is_wide(t.abi())) {
    if (wide || cmd >= F_OFD_GETLK)
      layout = kFlock64;
    else if (t.abi().id == AbiId::MipsO32)
      layout = kO32Flock;
  }
  Flock lock{};
  if (!fetch(t, va, layout, &lock)) return -EFAULT;
  bool waits = host_cmd == kSetLkW || host_cmd == F_OFD_SETLKW;
  s64 r = waits ? t.blocking_call(SYS_fcntl, fd, host_cmd, ptr(&lock)) : host_call(SYS_fcntl, fd, host_cmd, ptr(&lock));
  if (r < 0 || (host_cmd != kGetLk && host_cmd != F_OFD_GETLK)) return r;
  return put(t, va, layout, &lock) ? r : -EFAULT;
}

s64 owner_call(Thread& t, u64 fd, u64 cmd, u64 va) {
  s32 owner[2] = {};
  if (cmd == F_SETOWN_EX && !fetch(t, va, kOwner, owner)) return -EFAULT;
  s64 r = host_call(SYS_fcntl, fd, cmd, ptr(owner));
  return r == 0 && cmd == F_GETOWN_EX && !put(t, va, kOwner, owner) ? -EFAULT : r;
}

}  // namespace

s64 fcntl(Thread& t, const SyscallArgs& a) {
  const Abi& abi = t.abi();
  const u64 fd = a[0], cmd = flags_to_host(abi, ArgKind::fcntlcmd, a[1]);
  u64 arg = a[2];
  switch (cmd) {
    case kGetLk64:
    case kSetLk64:
    case kSetLkW64:
      if (is_wide(abi)) return -EINVAL;
      [[fallthrough]];
    case kGetLk:
    case kSetLk:
    case kSetLkW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW: return lock_call(t, fd, cmd, arg);
    case F_SETOWN_EX:
    case F_GETOWN_EX: return owner_call(t, fd, cmd, arg);
    case F_GETFL: {
      s64 flags = host_call(SYS_fcntl, fd, cmd);
      return flags < 0 ? flags : static_cast<s64>(flags_to_guest(abi, ArgKind::oflags, static_cast<u64>(flags)));
    }
    case F_SETFL: arg = flags_to_host(abi, ArgKind::oflags, arg); break;
    case F_SETSIG: arg = arg ? static_cast<u64>(abi.signal_to_host(static_cast<int>(arg))) : 0; break;
    case F_GETSIG: {
      s64 signal = host_call(SYS_fcntl, fd, cmd);
      return signal > 0 ? abi.signal_to_guest(static_cast<int>(signal)) : signal;
    }
    case F_GET_RW_HINT:
    case F_GET_FILE_RW_HINT:
    case F_SET_RW_HINT:
    case F_SET_FILE_RW_HINT: {
      u64 hint = 0;
      if (!read_value(t, arg, hint, 8)) return -EFAULT;
      s64 r = host_call(SYS_fcntl, fd, cmd, ptr(&hint));
      return r < 0 || write_value(t, arg, hint, 8) ? r : -EFAULT;
    }
    case F_SETOWN: arg = sign_extend(arg, 32); break;
    default: break;
  }
  return host_call(SYS_fcntl, fd, cmd, arg);
}

}  // namespace doppel::user::calls
