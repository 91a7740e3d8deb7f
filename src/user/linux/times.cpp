// Time: sleeping, timers, times of files; 32- and 64-bit forms.
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <utime.h>

#include <cerrno>
#include <ctime>

#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

Members time_layout(bool wide) { return struct_kind(wide ? ArgKind::timespec64 : ArgKind::timespec).members; }

// By the C library: it has the time without a system call.
s64 get_clock(Thread& t, const SyscallArgs& a, bool wide) {
  timespec now{};
  if (::clock_gettime(static_cast<clockid_t>(a[0]), &now) != 0) return -errno;
  return write_timespec(t, a[1], wide, now) ? 0 : -EFAULT;
}

s64 sleep_on(Thread& t, u64 clock, u64 flags, u64 request, u64 rest, bool wide) {
  timespec time{}, left{};
  if (!read_timespec(t, request, wide, time)) return -EFAULT;
  s64 r = t.blocking_call(SYS_clock_nanosleep, clock, flags, ptr(&time), ptr(&left));
  if (r == -EINTR && rest && !(flags & TIMER_ABSTIME) && !write_timespec(t, rest, wide, left)) return -EFAULT;
  return r;
}

s64 set_times(Thread& t, u64 dirfd, u64 path_va, const timespec* times, u64 flags) {
  std::string path;
  if (path_va)
    if (s64 error = read_path(t, path_va, path)) return error;
  return host_call(SYS_utimensat, dirfd, path_va ? ptr(path.c_str()) : 0, ptr(times), flags);
}

s64 set_times_ns(Thread& t, const SyscallArgs& a, bool wide) {
  timespec times[2] = {};
  const size_t size = layout_size(t.abi(), time_layout(wide));
  if (a[2] && (!read_timespec(t, a[2], wide, times[0]) || !read_timespec(t, a[2] + size, wide, times[1])))
    return -EFAULT;
  return set_times(t, a[0], a[1], a[2] ? times : nullptr, a[3]);
}

s64 set_times_us(Thread& t, u64 dirfd, u64 path_va, u64 times_va) {
  timespec times[2] = {};
  if (times_va) {
    Members layout = struct_kind(ArgKind::timeval).members;
    for (unsigned i = 0; i < 2; i++) {
      timeval v{};
      if (!fetch(t, times_va + i * layout_size(t.abi(), layout), layout, &v)) return -EFAULT;
      if (v.tv_usec < 0 || v.tv_usec > 999999) return -EINVAL;
      times[i] = {v.tv_sec, v.tv_usec * 1000};
    }
  }
  return set_times(t, dirfd, path_va, times_va ? times : nullptr, 0);
}

constexpr u64 kCwd = static_cast<u64>(AT_FDCWD);

// The kernel's sigevent: value, signal, how, thread.
struct Event {
  u64 value;
  s32 signal, notify, thread, room[11];
};
static_assert(sizeof(Event) == 64);
constexpr Member kEvent[] = {MEMBER('L', Event, value), MEMBER('i', Event, signal), MEMBER('i', Event, notify),
                             MEMBER('i', Event, thread)};

}  // namespace

bool read_timespec(Thread& t, u64 va, bool wide, timespec& out) { return fetch(t, va, time_layout(wide), &out); }
bool write_timespec(Thread& t, u64 va, bool wide, const timespec& in) { return put(t, va, time_layout(wide), &in); }

s64 nanosleep(Thread& t, const SyscallArgs& a) { return sleep_on(t, CLOCK_MONOTONIC, 0, a[0], a[1], is_wide(t.abi())); }
s64 clock_nanosleep(Thread& t, const SyscallArgs& a) { return sleep_on(t, a[0], a[1], a[2], a[3], is_wide(t.abi())); }
s64 clock_nanosleep_time64(Thread& t, const SyscallArgs& a) { return sleep_on(t, a[0], a[1], a[2], a[3], true); }

s64 clock_gettime(Thread& t, const SyscallArgs& a) { return get_clock(t, a, is_wide(t.abi())); }
s64 clock_gettime64(Thread& t, const SyscallArgs& a) { return get_clock(t, a, true); }

s64 gettimeofday(Thread& t, const SyscallArgs& a) {
  timeval now{};
  struct timezone zone {};
  ::gettimeofday(&now, a[1] ? &zone : nullptr);
  if (a[0] && !put(t, a[0], struct_kind(ArgKind::timeval).members, &now)) return -EFAULT;
  const bool ok = !a[1] || (write_value(t, a[1], static_cast<u64>(zone.tz_minuteswest), 4) &&
                            write_value(t, a[1] + 4, static_cast<u64>(zone.tz_dsttime), 4));
  return ok ? 0 : -EFAULT;
}

s64 time(Thread& t, const SyscallArgs& a) {
  const s64 now = static_cast<s64>(::time(nullptr));
  return a[0] && !t.write_word(a[0], static_cast<u64>(now)) ? -EFAULT : now;
}
s64 stime(Thread& t, const SyscallArgs& a) {
  u64 seconds = 0;
  if (!t.read_word(a[0], seconds)) return -EFAULT;
  timespec now{static_cast<time_t>(seconds), 0};
  return host_call(SYS_clock_settime, CLOCK_REALTIME, ptr(&now));
}

s64 utime(Thread& t, const SyscallArgs& a) {
  static constexpr Member kLayout[] = {MEMBER('l', utimbuf, actime), MEMBER('l', utimbuf, modtime)};
  utimbuf in{};
  if (a[1] && !fetch(t, a[1], kLayout, &in)) return -EFAULT;
  timespec times[2] = {{in.actime, 0}, {in.modtime, 0}};
  return set_times(t, kCwd, a[0], a[1] ? times : nullptr, 0);
}
s64 utimes(Thread& t, const SyscallArgs& a) { return set_times_us(t, kCwd, a[0], a[1]); }
s64 futimesat(Thread& t, const SyscallArgs& a) { return set_times_us(t, a[0], a[1], a[2]); }
s64 utimensat(Thread& t, const SyscallArgs& a) { return set_times_ns(t, a, is_wide(t.abi())); }
s64 utimensat_time64(Thread& t, const SyscallArgs& a) { return set_times_ns(t, a, true); }

// With SIGEV_THREAD, the C library's own way: a socket in the signal's place, and a message at the address of the
// value.
s64 mq_notify(Thread& t, const SyscallArgs& a) {
  Event event{};
  if (!a[1]) return host_call(SYS_mq_notify, a[0], 0);
  if (!fetch(t, a[1], kEvent, &event)) return -EFAULT;
  if (event.notify == SIGEV_SIGNAL) event.signal = t.abi().signal_to_host(event.signal);
  return host_call(SYS_mq_notify, a[0], ptr(&event));
}

s64 timer_create(Thread& t, const SyscallArgs& a) {
  Event event{};
  if (a[1]) {
    if (!fetch(t, a[1], kEvent, &event)) return -EFAULT;
    event.signal = event.signal ? t.abi().signal_to_host(event.signal) : 0;
  }
  s32 id = 0;
  s64 r = host_call(SYS_timer_create, a[0], a[1] ? ptr(&event) : 0, ptr(&id));
  return r == 0 && !write_value(t, a[2], static_cast<u64>(id), 4) ? -EFAULT : r;
}

}  // namespace doppel::user::calls
