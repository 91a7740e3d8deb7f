// epoll and signalfd.
#include <sys/epoll.h>
#include <sys/syscall.h>

#include <cerrno>
#include <ctime>

#include "user/linux/constants.h"
#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

// x86 packs it, 32-bit or not; MIPS aligns it.
constexpr Member kEvent[] = {MEMBER('U', epoll_event, events), MEMBER('Q', epoll_event, data)};

bool packed(const Abi& abi) { return !is_mips(abi); }

s64 wait_with(Thread& t, const SyscallArgs& a, timespec* timeout, u64 mask_va, u64 mask_size) {
  const Abi& abi = t.abi();
  const s64 count = static_cast<s64>(a[2]);
  const size_t size = layout_size(abi, kEvent, packed(abi));
  if (count <= 0 || count > 0x7fffffff / 16) return -EINVAL;
  u64 mask = 0;
  if (mask_va && mask_size != (is_mips(abi) ? 16u : 8u)) return -EINVAL;
  if (mask_va && !read_sigset(t, mask_va, mask)) return -EFAULT;
  std::vector<epoll_event> events(static_cast<size_t>(std::min<s64>(count, 4096)));
  auto call = [&] {
    return t.blocking_call(SYS_epoll_pwait2, a[0], ptr(events.data()), events.size(), ptr(timeout), 0, 8);
  };
  s64 n = mask_va ? with_mask(t, mask, call) : call();
  if (n <= 0) return n;
  std::vector<u8> raw(static_cast<size_t>(n) * size);
  for (size_t i = 0; i < static_cast<size_t>(n); i++) to_guest(abi, kEvent, &events[i], &raw[i * size], packed(abi));
  return t.write(a[1], raw.data(), raw.size()) ? n : -EFAULT;
}

s64 wait_ms(Thread& t, const SyscallArgs& a, u64 mask_va, u64 mask_size) {
  const s64 ms = static_cast<s64>(a[3]);
  timespec timeout{ms / 1000, ms % 1000 * 1000000};
  return wait_with(t, a, ms < 0 ? nullptr : &timeout, mask_va, mask_size);
}

s64 signal_descriptor(Thread& t, const SyscallArgs& a, u64 flags) {
  u64 mask = 0;
  if (a[2] != (is_mips(t.abi()) ? 16u : 8u)) return -EINVAL;
  if (!read_sigset(t, a[1], mask)) return -EFAULT;
  mask = sigset_to_host(t.abi(), mask);
  return host_call(SYS_signalfd4, a[0], ptr(&mask), 8, flags);
}

}  // namespace

s64 epoll_ctl(Thread& t, const SyscallArgs& a) {
  const Abi& abi = t.abi();
  epoll_event event{};
  if (a[1] != EPOLL_CTL_DEL) {
    u8 raw[16];
    if (!t.read(a[3], raw, layout_size(abi, kEvent, packed(abi)))) return -EFAULT;
    to_host(abi, kEvent, raw, &event, packed(abi));
  }
  return host_call(SYS_epoll_ctl, a[0], a[1], a[2], ptr(&event));
}

s64 epoll_wait(Thread& t, const SyscallArgs& a) { return wait_ms(t, a, 0, 0); }
s64 epoll_pwait(Thread& t, const SyscallArgs& a) { return wait_ms(t, a, a[4], a[5]); }
s64 epoll_pwait2(Thread& t, const SyscallArgs& a) {
  timespec timeout{};
  if (a[3] && !read_timespec(t, a[3], true, timeout)) return -EFAULT;
  return wait_with(t, a, a[3] ? &timeout : nullptr, a[4], a[5]);
}

s64 signalfd(Thread& t, const SyscallArgs& a) { return signal_descriptor(t, a, 0); }
s64 signalfd4(Thread& t, const SyscallArgs& a) {
  return signal_descriptor(t, a, flags_to_host(t.abi(), ArgKind::fdflags, a[3]));
}

}  // namespace doppel::user::calls
