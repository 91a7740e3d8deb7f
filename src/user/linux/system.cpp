// What the program asks about the system as a whole, and MIPS's own calls.
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

utsname names_of(Thread& t) {
  utsname names{};
  host_call(SYS_uname, ptr(&names));
  const std::string& machine = t.process.processor.machine;
  snprintf(names.machine, sizeof names.machine, "%s", (machine.empty() ? t.abi().uname_machine : machine).c_str());
  return names;
}

}  // namespace

s64 uname(Thread& t, const SyscallArgs& a) {
  const utsname names = names_of(t);
  return t.write(a[0], &names, sizeof names) ? 0 : -EFAULT;
}
// Without the domain; and with 8 letters of each.
s64 olduname(Thread& t, const SyscallArgs& a) {
  const utsname names = names_of(t);
  return t.write(a[0], &names, 5 * sizeof names.sysname) ? 0 : -EFAULT;
}
s64 oldolduname(Thread& t, const SyscallArgs& a) {
  const utsname names = names_of(t);
  char out[5][9] = {};
  const char* from[5] = {names.sysname, names.nodename, names.release, names.version, names.machine};
  for (unsigned i = 0; i < 5; i++) snprintf(out[i], 9, "%s", from[i]);
  return t.write(a[0], out, sizeof out) ? 0 : -EFAULT;
}

// Requests whose arguments are numbers, texts and buffers of bytes: the same for every ABI.
s64 keyctl(Thread& t, const SyscallArgs& a) {
  constexpr u64 kInstantiateIov = 20, kDhCompute = 23, kPkeyQuery = 24, kPkeyVerify = 28, kCapabilities = 31;
  if (a[0] > kCapabilities) return -EOPNOTSUPP;
  const bool structure = a[0] == kInstantiateIov || a[0] == kDhCompute || (a[0] >= kPkeyQuery && a[0] <= kPkeyVerify);
  if (structure && !same_as_host(t.abi())) return -EOPNOTSUPP;
  constexpr u64 kDescribe = 6, kRead = 11, kGetSecurity = 17;
  if (a[0] == kDescribe || a[0] == kRead || a[0] == kGetSecurity) t.process.map.prepare_write(a[2], a[3]);
  return t.blocking_call(SYS_keyctl, a[0], a[1], a[2], a[3], a[4]);
}

// Sizes that a 32-bit program's words have no room for are counted in larger units.
s64 sysinfo(Thread& t, const SyscallArgs& a) {
  struct ::sysinfo info {};
  if (s64 error = host_call(SYS_sysinfo, ptr(&info))) return error;
  if (!is_wide(t.abi())) {
    unsigned shift = 0;
    const u64 largest = std::max(info.totalram, info.totalswap);
    while (largest * info.mem_unit >> shift >> 32) shift++;
    if (shift) shift = std::max(shift, 12u);
    for (auto* size : {&info.totalram, &info.freeram, &info.sharedram, &info.bufferram, &info.totalswap, &info.freeswap,
                       &info.totalhigh, &info.freehigh})
      *size = *size * info.mem_unit >> shift;
    info.mem_unit = 1u << shift;
  }
  return put(t, a[0], struct_kind(ArgKind::sysinfo).members, &info) ? 0 : -EFAULT;
}

// The dispatcher takes it apart.
s64 syscall(Thread&, const SyscallArgs&) { return -ENOSYS; }

// Code that the program writes is seen by itself (pages that code was made of are watched).
s64 cacheflush(Thread&, const SyscallArgs& a) { return a[2] & ~u64{3} ? -EINVAL : 0; }
s64 cachectl(Thread&, const SyscallArgs&) { return -ENOSYS; }

bool can_write_word(Thread& t, u64 va) {
  const int prot = t.process.map.protection(va);
  if ((va & 3) || prot < 0 || !(prot & 2 /* PROT_WRITE */)) return false;
  t.process.map.prepare_write(va, 4);
  return true;
}

s64 sysmips(Thread& t, const SyscallArgs& a) {
  enum : u64 { kFlushCache = 3, kFixUnaligned = 7, kAtomicSet = 2001 };
  switch (a[0]) {
    case kFlushCache: return 0;
    case kFixUnaligned: return a[1] > 2 ? -EINVAL : 0;
    case kAtomicSet: {
      if (!can_write_word(t, a[1])) return -EFAULT;
      u8 raw[4];
      put_value(t.abi(), raw, a[2], 4);
      u32 next = 0;
      std::memcpy(&next, raw, 4);
      // SAFETY: it is there.
      const u32 was = __atomic_exchange_n(static_cast<u32*>(host(t, a[1])), next, __ATOMIC_SEQ_CST);
      std::memcpy(raw, &was, 4);
      return static_cast<s64>(sign_extend(get_value(t.abi(), raw, 4), 32));
    }
    default: return -EINVAL;
  }
}

}  // namespace doppel::user::calls
