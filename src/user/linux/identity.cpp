// User and group ids, 16 bits of them in i386's first calls; capabilities.
#include <linux/capability.h>
#include <sys/syscall.h>

#include <cerrno>

#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

bool narrow(const Abi& abi) { return abi.id == AbiId::I386; }
// What 16 bits have no room for is the overflow id.
u32 to_guest_id(const Abi& abi, u32 id) { return narrow(abi) && id > 0xffff ? 65534 : id; }

s64 get_id(Thread& t, long number) {
  s64 id = host_call(number);
  return id < 0 ? id : to_guest_id(t.abi(), static_cast<u32>(id));
}

s64 get_three(Thread& t, long number, const SyscallArgs& a) {
  u32 id[3] = {};
  if (s64 error = host_call(number, ptr(&id[0]), ptr(&id[1]), ptr(&id[2]))) return error;
  for (unsigned i = 0; i < 3; i++)
    if (!write_value(t, a[i], to_guest_id(t.abi(), id[i]), narrow(t.abi()) ? 2 : 4)) return -EFAULT;
  return 0;
}

s64 get_groups(Thread& t, const SyscallArgs& a, unsigned bytes) {
  const s64 room = static_cast<s64>(a[0]);
  if (room < 0) return -EINVAL;
  std::vector<u32> list(static_cast<size_t>(std::min<s64>(room, 65536)));
  s64 n = host_call(SYS_getgroups, list.size(), ptr(list.data()));
  if (n < 0 || !room) return n;
  for (size_t i = 0; i < static_cast<size_t>(n); i++)
    if (!write_value(t, a[1] + i * bytes, bytes == 2 ? to_guest_id(t.abi(), list[i]) : list[i], bytes)) return -EFAULT;
  return n;
}

s64 set_groups(Thread& t, const SyscallArgs& a, unsigned bytes) {
  const s64 count = static_cast<s64>(a[0]);
  if (count < 0 || count > 65536) return -EINVAL;
  std::vector<u32> list;
  for (u64 i = 0; i < static_cast<u64>(count); i++) {
    u64 id = 0;
    if (!read_value(t, a[1] + i * bytes, id, bytes)) return -EFAULT;
    list.push_back(static_cast<u32>(id));
  }
  return host_call(SYS_setgroups, list.size(), ptr(list.data()));
}

// Header: version and pid; data: one or two of three words.
s64 capabilities(Thread& t, const SyscallArgs& a, bool set) {
  u32 header[2] = {}, data[6] = {};
  for (unsigned i = 0; i < 2; i++) {
    u64 v = 0;
    if (!read_value(t, a[0] + i * 4, v, 4)) return -EFAULT;
    header[i] = static_cast<u32>(v);
  }
  const unsigned words = header[0] == _LINUX_CAPABILITY_VERSION_1 ? 3 : 6;
  for (unsigned i = 0; set && i < words; i++) {
    u64 v = 0;
    if (!read_value(t, a[1] + i * 4, v, 4)) return -EFAULT;
    data[i] = static_cast<u32>(v);
  }
  s64 r = host_call(set ? SYS_capset : SYS_capget, ptr(header), a[1] ? ptr(data) : 0);
  if (!write_value(t, a[0], header[0], 4)) return -EFAULT;  // the version that the kernel would like
  for (unsigned i = 0; !set && r == 0 && a[1] && i < words; i++)
    if (!write_value(t, a[1] + i * 4, data[i], 4)) return -EFAULT;
  return r;
}

}  // namespace

s64 getuid(Thread& t, const SyscallArgs&) { return get_id(t, SYS_getuid); }
s64 geteuid(Thread& t, const SyscallArgs&) { return get_id(t, SYS_geteuid); }
s64 getgid(Thread& t, const SyscallArgs&) { return get_id(t, SYS_getgid); }
s64 getegid(Thread& t, const SyscallArgs&) { return get_id(t, SYS_getegid); }
s64 getresuid(Thread& t, const SyscallArgs& a) { return get_three(t, SYS_getresuid, a); }
s64 getresgid(Thread& t, const SyscallArgs& a) { return get_three(t, SYS_getresgid, a); }
s64 getgroups(Thread& t, const SyscallArgs& a) { return get_groups(t, a, narrow(t.abi()) ? 2 : 4); }
s64 setgroups(Thread& t, const SyscallArgs& a) { return set_groups(t, a, narrow(t.abi()) ? 2 : 4); }
s64 getgroups32(Thread& t, const SyscallArgs& a) { return get_groups(t, a, 4); }
s64 setgroups32(Thread& t, const SyscallArgs& a) { return set_groups(t, a, 4); }
s64 capget(Thread& t, const SyscallArgs& a) { return capabilities(t, a, false); }
s64 capset(Thread& t, const SyscallArgs& a) { return capabilities(t, a, true); }

}  // namespace doppel::user::calls
