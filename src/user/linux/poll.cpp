// poll, ppoll, select, pselect6.
#include <poll.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <cerrno>
#include <ctime>

#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

// POLLWRNORM is POLLOUT on MIPS, and POLLWRBAND has another bit.
u16 events_to_host(const Abi& abi, u16 e) {
  return is_mips(abi) && (e & 0x100) ? static_cast<u16>((e & ~0x100) | POLLWRBAND) : e;
}
u16 events_to_guest(const Abi& abi, u16 e) {
  if (!is_mips(abi)) return e;
  u16 out = e & static_cast<u16>(~(POLLWRNORM | POLLWRBAND));
  if (e & POLLWRNORM) out |= POLLOUT;
  return e & POLLWRBAND ? out | 0x100 : out;
}

struct Entry {
  s32 fd;
  u16 events, revents;
};
constexpr Member kEntry[] = {MEMBER('i', Entry, fd), MEMBER('H', Entry, events), MEMBER('H', Entry, revents)};

// `mask`: null: as it is. `timeout`: null: for ever; the rest of it is left there.
s64 poll_with(Thread& t, u64 va, u64 count, timespec* timeout, const u64* mask) {
  const Abi& abi = t.abi();
  if (count > (1u << 20)) return -EINVAL;
  std::vector<Entry> list(count);
  std::vector<u8> raw(count * 8);
  if (count && !t.read(va, raw.data(), raw.size())) return -EFAULT;
  for (size_t i = 0; i < count; i++) {
    to_host(abi, kEntry, &raw[i * 8], &list[i]);
    list[i].events = events_to_host(abi, list[i].events);
  }
  auto call = [&] { return t.blocking_call(SYS_ppoll, ptr(list.data()), count, ptr(timeout), 0, 8); };
  s64 r = mask ? with_mask(t, *mask, call) : call();
  if (r < 0) return r;
  for (size_t i = 0; i < count; i++) {
    list[i].revents = events_to_guest(abi, list[i].revents);
    put_value(abi, &raw[i * 8 + 6], list[i].revents, 2);
  }
  return count && !t.write(va, raw.data(), raw.size()) ? -EFAULT : r;
}

bool good_set_size(const Abi& abi, u64 size) { return size == (is_mips(abi) ? 16 : 8); }

s64 ppoll_with(Thread& t, const SyscallArgs& a, bool wide) {
  timespec left{};
  u64 mask = 0;
  if (a[2] && !read_timespec(t, a[2], wide, left)) return -EFAULT;
  if (a[3] && !good_set_size(t.abi(), a[4])) return -EINVAL;
  if (a[3] && !read_sigset(t, a[3], mask)) return -EFAULT;
  s64 r = poll_with(t, a[0], a[1], a[2] ? &left : nullptr, a[3] ? &mask : nullptr);
  if (a[2]) write_timespec(t, a[2], wide, left);  // the kernel too says nothing if that fails
  return r;
}

// A set of descriptors: an array of the guest's longs. False: not there.
bool read_fds(Thread& t, u64 va, unsigned count, std::vector<u64>& out) {
  const Abi& abi = t.abi();
  const unsigned bits = abi.word * 8, words = (count + bits - 1) / bits;
  std::vector<u8> raw(words * abi.word);
  if (words && !t.read(va, raw.data(), raw.size())) return false;
  out.assign(count / 64 + 1, 0);
  for (unsigned w = 0; w < words; w++)
    out[w * bits / 64] |= get_value(abi, &raw[w * abi.word], abi.word) << (w * bits % 64);
  return true;
}

bool write_fds(Thread& t, u64 va, unsigned count, const std::vector<u64>& in) {
  const Abi& abi = t.abi();
  const unsigned bits = abi.word * 8, words = (count + bits - 1) / bits;
  std::vector<u8> raw(words * abi.word);
  for (unsigned w = 0; w < words; w++)
    put_value(abi, &raw[w * abi.word], in[w * bits / 64] >> (w * bits % 64) & mask_bits(bits), abi.word);
  return !words || t.write(va, raw.data(), raw.size());
}

s64 select_with(Thread& t, s64 count, const u64 (&va)[3], timespec* timeout, const u64* mask) {
  if (count < 0) return -EINVAL;
  const unsigned n = static_cast<unsigned>(std::min<s64>(count, 1 << 16));
  std::vector<u64> set[3];
  u64 at[3] = {};
  for (unsigned i = 0; i < 3; i++)
    if (va[i]) {
      if (!read_fds(t, va[i], n, set[i])) return -EFAULT;
      at[i] = ptr(set[i].data());
    }
  auto call = [&] { return t.blocking_call(SYS_pselect6, n, at[0], at[1], at[2], ptr(timeout), 0); };
  s64 r = mask ? with_mask(t, *mask, call) : call();
  if (r < 0) return r;
  for (unsigned i = 0; i < 3; i++)
    if (va[i] && !write_fds(t, va[i], n, set[i])) return -EFAULT;
  return r;
}

s64 pselect_with(Thread& t, const SyscallArgs& a, bool wide) {
  timespec left{};
  u64 mask = 0, set_va = 0, set_size = 0;
  const unsigned w = t.abi().word;
  if (a[4] && !read_timespec(t, a[4], wide, left)) return -EFAULT;
  if (a[5] && (!t.read_word(a[5], set_va) || !t.read_word(a[5] + w, set_size))) return -EFAULT;
  if (set_va && !good_set_size(t.abi(), set_size)) return -EINVAL;
  if (set_va && !read_sigset(t, set_va, mask)) return -EFAULT;
  s64 r = select_with(t, static_cast<s64>(a[0]), {a[1], a[2], a[3]}, a[4] ? &left : nullptr, set_va ? &mask : nullptr);
  if (a[4]) write_timespec(t, a[4], wide, left);
  return r;
}

}  // namespace

s64 poll(Thread& t, const SyscallArgs& a) {
  const s64 ms = static_cast<s64>(a[2]);
  timespec left{ms / 1000, ms % 1000 * 1000000};
  return poll_with(t, a[0], a[1], ms < 0 ? nullptr : &left, nullptr);
}
s64 ppoll(Thread& t, const SyscallArgs& a) { return ppoll_with(t, a, is_wide(t.abi())); }
s64 ppoll_time64(Thread& t, const SyscallArgs& a) { return ppoll_with(t, a, true); }

s64 newselect(Thread& t, const SyscallArgs& a) {
  StructKind layout = struct_kind(ArgKind::timeval);
  timeval given{};
  if (a[4] && !fetch(t, a[4], layout.members, &given)) return -EFAULT;
  if (given.tv_sec < 0 || given.tv_usec < 0) return -EINVAL;
  timespec left{given.tv_sec + given.tv_usec / 1000000, given.tv_usec % 1000000 * 1000};
  s64 r = select_with(t, static_cast<s64>(a[0]), {a[1], a[2], a[3]}, a[4] ? &left : nullptr, nullptr);
  given = {left.tv_sec, left.tv_nsec / 1000};
  if (a[4]) put(t, a[4], layout.members, &given);
  return r;
}

// i386's first form has its arguments in memory.
s64 select(Thread& t, const SyscallArgs& a) {
  if (t.abi().id != AbiId::I386) return newselect(t, a);
  SyscallArgs in{};
  for (unsigned i = 0; i < 5; i++)
    if (!t.read_word((a[0] & 0xffffffff) + i * 4, in[i])) return -EFAULT;
  in[0] = sign_extend(in[0], 32);
  return newselect(t, in);
}

s64 pselect6(Thread& t, const SyscallArgs& a) { return pselect_with(t, a, is_wide(t.abi())); }
s64 pselect6_time64(Thread& t, const SyscallArgs& a) { return pselect_with(t, a, true); }

}  // namespace doppel::user::calls
