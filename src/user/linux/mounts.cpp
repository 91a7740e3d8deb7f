// Mounts by descriptors, and files by handles (open_by_handle_at(2), mount_setattr(2)).
#include <fcntl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

// struct file_handle: two words in the program's byte order, then bytes.
struct Handle {
  u32 bytes = 0;
  s32 type = 0;
  u8 data[MAX_HANDLE_SZ] = {};
};

s64 read_handle(Thread& t, u64 va, bool data, Handle& h) {
  u64 bytes = 0, type = 0;
  if (!read_value(t, va, bytes, 4) || !read_value(t, va + 4, type, 4)) return -EFAULT;
  if (bytes > MAX_HANDLE_SZ) return -EINVAL;
  h.bytes = static_cast<u32>(bytes);
  h.type = static_cast<s32>(type);
  return data && !t.read(va + 8, h.data, h.bytes) ? -EFAULT : 0;
}

}  // namespace

s64 name_to_handle_at(Thread& t, const SyscallArgs& a) {
  std::string path;
  Handle h;
  s32 mount = 0;
  if (s64 error = read_path(t, a[1], path, a[4] & AT_SYMLINK_FOLLOW)) return error;
  if (s64 error = read_handle(t, a[2], false, h)) return error;
  const s64 r = host_call(SYS_name_to_handle_at, a[0], ptr(path.c_str()), ptr(&h), ptr(&mount), a[4]);
  if (r < 0 && r != -EOVERFLOW) return r;
  const bool told = write_value(t, a[2], h.bytes, 4) && write_value(t, a[2] + 4, static_cast<u32>(h.type), 4) &&
                    write_value(t, a[3], static_cast<u32>(mount), 4) && (r < 0 || t.write(a[2] + 8, h.data, h.bytes));
  return told ? r : -EFAULT;
}

s64 open_by_handle_at(Thread& t, const SyscallArgs& a) {
  Handle h;
  if (s64 error = read_handle(t, a[1], true, h)) return error;
  return host_call(SYS_open_by_handle_at, a[0], ptr(&h), a[2]);
}

s64 mount_setattr(Thread& t, const SyscallArgs& a) {
  constexpr u64 kFirst = 32;  // MOUNT_ATTR_SIZE_VER0: set, clear, propagation, user namespace
  u64 attributes[kFirst / 8];
  std::string path;
  if (a[4] < kFirst) return -EINVAL;
  if (a[4] > 4096) return -E2BIG;
  for (u64 at = 0; at + 8 <= a[4]; at += 8) {
    u64 v = 0;
    if (!read_value(t, a[3] + at, v, 8)) return -EFAULT;
    if (at < kFirst)
      attributes[at / 8] = v;
    else if (v)
      return -E2BIG;
  }
  if (s64 error = read_path(t, a[1], path)) return error;
  return host_call(SYS_mount_setattr, a[0], ptr(path.c_str()), a[2], ptr(attributes), kFirst);
}

}  // namespace doppel::user::calls
