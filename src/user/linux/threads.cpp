// futex, thread areas, robust lists, and what a thread may ask about its scheduling.
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>

#include <cerrno>
#include <ctime>
#include <vector>

#include "user/linux/constants.h"
#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

// The kernel compares and changes words in the host's byte order.
u32 futex_word(const Abi& abi, u64 value) {
  u32 v = static_cast<u32>(value);
  return abi.big_endian ? __builtin_bswap32(v) : v;
}

// FUTEX_WAKE_OP on a word of the other byte order, which the kernel can't add to.
s64 wake_op_swapped(Thread& t, const SyscallArgs& a, u64 private_flag) {
  const u32 op = static_cast<u32>(a[5]);
  s32 arg = static_cast<s32>(sign_extend(op >> 12, 12)), compare = static_cast<s32>(sign_extend(op, 12));
  if (op & 0x80000000) arg = static_cast<s32>(1u << (arg & 31));
  if (!can_write_word(t, a[4])) return -EFAULT;
  auto* word = static_cast<u32*>(host(t, a[4]));  // SAFETY: it is there
  u32 raw = __atomic_load_n(word, __ATOMIC_SEQ_CST), next = 0;
  do {
    const u32 old = __builtin_bswap32(raw), v = static_cast<u32>(arg);
    switch (op >> 28 & 7) {
      case FUTEX_OP_SET: next = v; break;
      case FUTEX_OP_ADD: next = old + v; break;
      case FUTEX_OP_OR: next = old | v; break;
      case FUTEX_OP_ANDN: next = old & ~v; break;
      case FUTEX_OP_XOR: next = old ^ v; break;
      default: return -ENOSYS;
    }
  } while (
      !__atomic_compare_exchange_n(word, &raw, __builtin_bswap32(next), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  const s32 old = static_cast<s32>(__builtin_bswap32(raw));
  bool hit = false;
  switch (op >> 24 & 15) {
    case FUTEX_OP_CMP_EQ: hit = old == compare; break;
    case FUTEX_OP_CMP_NE: hit = old != compare; break;
    case FUTEX_OP_CMP_LT: hit = old < compare; break;
    case FUTEX_OP_CMP_LE: hit = old <= compare; break;
    case FUTEX_OP_CMP_GT: hit = old > compare; break;
    case FUTEX_OP_CMP_GE: hit = old >= compare; break;
    default: return -ENOSYS;
  }
  s64 woken = host_call(SYS_futex, ptr(host(t, a[0])), FUTEX_WAKE | private_flag, a[2]);
  if (woken < 0 || !hit) return woken;
  s64 more = host_call(SYS_futex, ptr(host(t, a[4])), FUTEX_WAKE | private_flag, a[3]);
  return more < 0 ? more : woken + more;
}

bool has_timeout(u64 op) {
  return op == FUTEX_WAIT || op == FUTEX_WAIT_BITSET || op == FUTEX_LOCK_PI || op == FUTEX_LOCK_PI2 ||
         op == FUTEX_WAIT_REQUEUE_PI;
}

s64 futex_with(Thread& t, const SyscallArgs& a, bool wide) {
  const Abi& abi = t.abi();
  const u64 op = a[1] & FUTEX_CMD_MASK;
  timespec timeout{};
  if (has_timeout(op) && a[3] && !read_timespec(t, a[3], wide, timeout)) return -EFAULT;
  const u64 time = a[3] ? ptr(&timeout) : 0;
  if (a[0] >= abi.address_end) return -EFAULT;
  const u64 word = ptr(host(t, a[0])), second = ptr(host(t, a[4]));
  switch (op) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET: return t.blocking_call(SYS_futex, word, a[1], futex_word(abi, a[2]), time, 0, a[5]);
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET: return host_call(SYS_futex, word, a[1], a[2], 0, 0, a[5]);
    case FUTEX_REQUEUE: return host_call(SYS_futex, word, a[1], a[2], a[3], second);
    case FUTEX_CMP_REQUEUE: return host_call(SYS_futex, word, a[1], a[2], a[3], second, futex_word(abi, a[5]));
    case FUTEX_WAKE_OP:
      if (abi.big_endian) return wake_op_swapped(t, a, a[1] & FUTEX_PRIVATE_FLAG);
      t.process.map.prepare_write(a[4], 4);
      return host_call(SYS_futex, word, a[1], a[2], a[3], second, a[5]);
    case FUTEX_FD: return -EINVAL;
    default: break;
  }
  // Inheritance of priority: the kernel writes thread ids in its own byte order.
  if (abi.big_endian) return -ENOSYS;
  t.process.map.prepare_write(a[0], 4);
  return t.blocking_call(SYS_futex, word, a[1], a[2], has_timeout(op) ? time : a[3], second, a[5]);
}

// An array of longs of CPUs.
s64 read_cpus(Thread& t, u64 va, u64 size, std::vector<u64>& out) {
  const Abi& abi = t.abi();
  size = std::min<u64>(align_down(size, abi.word), 1024);
  std::vector<u8> raw(size);
  if (size && !t.read(va, raw.data(), size)) return -EFAULT;
  out.assign(size / 8 + 1, 0);
  for (u64 i = 0; i < size; i += abi.word) out[i / 8] |= get_value(abi, &raw[i], abi.word) << (i % 8 * 8);
  return static_cast<s64>(size);
}

struct SchedAttr {
  u32 size, policy;
  u64 flags;
  s32 nice;
  u32 priority;
  u64 runtime, deadline, period;
  u32 util_min, util_max;
};
constexpr Member kSchedAttr[] = {MEMBER('U', SchedAttr, size),     MEMBER('U', SchedAttr, policy),
                                 MEMBER('Q', SchedAttr, flags),    MEMBER('i', SchedAttr, nice),
                                 MEMBER('U', SchedAttr, priority), MEMBER('Q', SchedAttr, runtime),
                                 MEMBER('Q', SchedAttr, deadline), MEMBER('Q', SchedAttr, period)};

}  // namespace

s64 futex(Thread& t, const SyscallArgs& a) { return futex_with(t, a, is_wide(t.abi())); }
s64 futex_time64(Thread& t, const SyscallArgs& a) { return futex_with(t, a, true); }

// struct futex_waitv: value, address, flags, reserved.
s64 futex_waitv(Thread& t, const SyscallArgs& a) {
  struct Wait {
    u64 value, address;
    u32 flags, reserved;
  };
  constexpr u64 kMost = 128;
  if (a[1] == 0 || a[1] > kMost || a[2]) return -EINVAL;
  std::vector<Wait> list(a[1]);
  for (u64 i = 0; i < a[1]; i++) {
    const u64 at = a[0] + i * sizeof(Wait);
    u64 flags = 0, reserved = 0;
    if (!read_value(t, at, list[i].value, 8) || !read_value(t, at + 8, list[i].address, 8) ||
        !read_value(t, at + 16, flags, 4) || !read_value(t, at + 20, reserved, 4))
      return -EFAULT;
    if (list[i].address >= t.abi().address_end) return -EFAULT;
    list[i].flags = static_cast<u32>(flags);
    list[i].reserved = static_cast<u32>(reserved);
    list[i].address = ptr(host(t, list[i].address));
    if (list[i].value >> 32 == 0) list[i].value = futex_word(t.abi(), list[i].value);
  }
  timespec timeout{};
  if (a[3] && !read_timespec(t, a[3], true, timeout)) return -EFAULT;
  return t.blocking_call(SYS_futex_waitv, ptr(list.data()), a[1], 0, a[3] ? ptr(&timeout) : 0, a[4]);
}

s64 set_tid_address(Thread& t, const SyscallArgs& a) {
  t.clear_child_tid = a[0];
  return t.tid;
}
s64 set_robust_list(Thread& t, const SyscallArgs& a) {
  if (a[1] != 3 * t.abi().word) return -EINVAL;
  t.robust_list = a[0];
  t.robust_list_size = a[1];
  // Where the list has the host's form the kernel itself sees to it, even if the process is killed.
  return same_as_host(t.abi()) ? host_call(SYS_set_robust_list, ptr(host(t, a[0])), a[1]) : 0;
}
s64 get_robust_list(Thread& t, const SyscallArgs& a) {
  u64 list = 0;
  {
    std::lock_guard hold(t.process.lock);
    const int tid = a[0] ? static_cast<int>(a[0]) : t.tid;
    const Thread* found = nullptr;
    for (const Thread* other : t.process.threads)
      if (other->tid == tid) found = other;
    if (!found) return -ESRCH;
    list = found->robust_list;
  }
  return t.write_word(a[1], list) && t.write_word(a[2], 3 * t.abi().word) ? 0 : -EFAULT;
}

s64 arch_prctl(Thread& t, const SyscallArgs& a) {
  enum : u64 { kSetGs = 0x1001, kSetFs = 0x1002, kGetFs = 0x1003, kGetGs = 0x1004 };
  const u64 end = u64{1} << 47;
  switch (a[0]) {
    case kSetFs:
    case kSetGs:
      if (!is_wide(t.abi())) return -EINVAL;
      if (a[1] >= end) return -EPERM;
      t.user().set(a[0] == kSetFs ? "fs_base" : "gs_base", a[1]);
      return 0;
    case kGetFs:
    case kGetGs:
      if (!is_wide(t.abi())) return -EINVAL;
      return t.write_word(a[1], t.user().get(a[0] == kGetFs ? "fs_base" : "gs_base")) ? 0 : -EFAULT;
    default: return -EINVAL;
  }
}

s64 set_thread_area(Thread& t, const SyscallArgs& a) {
  return t.abi().id == AbiId::X86_64 ? -ENOSYS : t.abi().set_tls(t, a[0]);
}
s64 get_thread_area(Thread& t, const SyscallArgs& a) { return t.abi().get_tls(t, a[0]); }
// There is no table of local descriptors; reading it gives none of it.
s64 modify_ldt(Thread&, const SyscallArgs& a) { return a[0] == 0 ? 0 : -ENOSYS; }

s64 sched_setaffinity(Thread& t, const SyscallArgs& a) {
  std::vector<u64> cpus;
  s64 size = read_cpus(t, a[2], a[1], cpus);
  return size < 0 ? size : host_call(SYS_sched_setaffinity, a[0], cpus.size() * 8, ptr(cpus.data()));
}
s64 sched_getaffinity(Thread& t, const SyscallArgs& a) {
  const Abi& abi = t.abi();
  if (a[1] & (abi.word - 1)) return -EINVAL;
  std::vector<u64> cpus(128);
  s64 n = host_call(SYS_sched_getaffinity, a[0], cpus.size() * 8, ptr(cpus.data()));
  if (n < 0) return n;
  // The kernel's size is that of its own set, if the program's has room for all of the CPUs.
  size_t used = static_cast<size_t>(n);
  while (used > abi.word && used > a[1] && !(cpus[(used - 1) / 8] >> ((used - 1) % 8 * 8) & 0xff)) used--;
  if (used > a[1]) return -EINVAL;
  used = align_up(used, abi.word);
  std::vector<u8> raw(used);
  for (size_t i = 0; i < used; i += abi.word) put_value(abi, &raw[i], cpus[i / 8] >> (i % 8 * 8), abi.word);
  return t.write(a[2], raw.data(), used) ? static_cast<s64>(used) : -EFAULT;
}

s64 sched_setattr(Thread& t, const SyscallArgs& a) {
  SchedAttr attr{};
  if (!fetch(t, a[1], kSchedAttr, &attr)) return -EFAULT;
  attr.size = static_cast<u32>(layout_size(t.abi(), kSchedAttr));
  return host_call(SYS_sched_setattr, a[0], ptr(&attr), a[2]);
}
s64 sched_getattr(Thread& t, const SyscallArgs& a) {
  SchedAttr attr{};
  const u64 size = layout_size(t.abi(), kSchedAttr);
  if (a[2] < size) return -EINVAL;
  if (s64 error = host_call(SYS_sched_getattr, a[0], ptr(&attr), size, a[3])) return error;
  return put(t, a[1], kSchedAttr, &attr) ? 0 : -EFAULT;
}

s64 getcpu(Thread& t, const SyscallArgs& a) {
  u32 cpu = 0, node = 0;
  if (s64 error = host_call(SYS_getcpu, ptr(&cpu), ptr(&node), 0)) return error;
  if (a[0] && !write_value(t, a[0], cpu, 4)) return -EFAULT;
  return a[1] && !write_value(t, a[1], node, 4) ? -EFAULT : 0;
}

}  // namespace doppel::user::calls
