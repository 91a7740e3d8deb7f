// The program's address space: mmap and its family; what does not change the map goes to the kernel.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <cerrno>
#include <vector>

#include "user/linux/constants.h"
#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

u64 page_end(const Abi& abi, u64 va) { return align_up(va, abi.page_size); }

s64 map(Thread& t, u64 va, u64 size, u64 prot, u64 guest_flags, u64 fd, u64 offset) {
  const u64 flags = flags_to_host(t.abi(), ArgKind::mapflags, guest_flags);
  if (offset & (t.abi().page_size - 1)) return -EINVAL;
  return t.process.map.map(va, size, static_cast<int>(prot), static_cast<int>(flags), static_cast<int>(fd), offset);
}

// What the kernel does to memory of the program alone.
s64 on_range(Thread& t, long number, const SyscallArgs& a, u64 third = 0) {
  if (a[1] && !t.process.map.mapped(align_down(a[0], t.abi().page_size), page_end(t.abi(), a[1]))) return -ENOMEM;
  return t.blocking_call(number, ptr(host(t, a[0])), a[1], third);
}

}  // namespace

s64 brk(Thread& t, const SyscallArgs& a) {
  Process& p = t.process;
  const Abi& abi = t.abi();
  if (a[0] < p.brk_start || a[0] >= abi.address_end) return static_cast<s64>(p.brk_now);
  const u64 old_end = page_end(abi, p.brk_now), new_end = page_end(abi, a[0]);
  if (new_end > old_end) {
    s64 r = p.map.map(old_end, new_end - old_end, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (r < 0 || static_cast<u64>(r) != old_end) return static_cast<s64>(p.brk_now);
  } else if (new_end < old_end) {
    p.map.unmap(new_end, old_end - new_end);
  }
  p.brk_now = a[0];
  return static_cast<s64>(p.brk_now);
}

// i386's first form has its arguments in memory.
s64 mmap(Thread& t, const SyscallArgs& a) {
  if (t.abi().id != AbiId::I386) return map(t, a[0], a[1], a[2], a[3], a[4], a[5]);
  u64 in[6];
  for (unsigned i = 0; i < 6; i++)
    if (!t.read_word(a[0] + i * 4, in[i])) return -EFAULT;
  return map(t, in[0], in[1], in[2], in[3], in[4], in[5]);
}
s64 mmap2(Thread& t, const SyscallArgs& a) { return map(t, a[0], a[1], a[2], a[3], a[4], a[5] << 12); }
s64 munmap(Thread& t, const SyscallArgs& a) { return t.process.map.unmap(a[0], a[1]); }
s64 mprotect(Thread& t, const SyscallArgs& a) { return t.process.map.protect(a[0], a[1], static_cast<int>(a[2])); }
s64 pkey_mprotect(Thread& t, const SyscallArgs& a) {
  return static_cast<s64>(a[3]) == -1 ? mprotect(t, a) : -EINVAL;  // there are no keys
}
s64 mremap(Thread& t, const SyscallArgs& a) {
  return t.process.map.remap(a[0], a[1], a[2], static_cast<int>(a[3]), a[4]);
}
s64 madvise(Thread& t, const SyscallArgs& a) { return t.process.map.advise(a[0], a[1], static_cast<int>(a[2])); }

s64 process_madvise(Thread& t, const SyscallArgs& a) {
  std::vector<iovec> ranges;
  if (s64 error = read_iovecs(t, a[1], a[2], false, ranges); error < 0) return error;
  return host_call(SYS_process_madvise, a[0], ptr(ranges.data()), ranges.size(), a[3], a[4]);
}

s64 mlock(Thread& t, const SyscallArgs& a) { return on_range(t, SYS_mlock, a); }
s64 mlock2(Thread& t, const SyscallArgs& a) { return on_range(t, SYS_mlock2, a, a[2]); }
s64 munlock(Thread& t, const SyscallArgs& a) { return on_range(t, SYS_munlock, a); }
s64 msync(Thread& t, const SyscallArgs& a) { return on_range(t, SYS_msync, a, a[2]); }
s64 mincore(Thread& t, const SyscallArgs& a) {
  if (a[0] & (t.abi().page_size - 1)) return -EINVAL;
  const u64 pages = page_end(t.abi(), a[1]) / t.abi().page_size;
  t.process.map.prepare_write(a[2], pages);
  return on_range(t, SYS_mincore, a, ptr(host(t, a[2])));
}
// All of the program would be all of the emulator: taken as done.
s64 mlockall(Thread&, const SyscallArgs& a) { return a[0] == 0 || a[0] > 7 ? -EINVAL : 0; }
s64 munlockall(Thread&, const SyscallArgs&) { return 0; }
s64 membarrier(Thread&, const SyscallArgs& a) { return host_call(SYS_membarrier, a[0], a[1], a[2]); }

}  // namespace doppel::user::calls
