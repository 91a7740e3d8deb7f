// The structures that arguments of kind STRUCT point to. Sources: Linux's UAPI headers for the members' order.
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>

#include "user/linux/layout.h"

namespace doppel::user {

namespace {

constexpr Member kWord32[] = {{'U', 4, 0}};
constexpr Member kLoff[] = {{'q', 8, 0}};
constexpr Member kTimespec[] = {MEMBER('l', timespec, tv_sec), MEMBER('l', timespec, tv_nsec)};
constexpr Member kTimespec64[] = {MEMBER('q', timespec, tv_sec), MEMBER('n', timespec, tv_nsec)};
constexpr Member kTimeval[] = {MEMBER('l', timeval, tv_sec), MEMBER('l', timeval, tv_usec)};
constexpr Member kItimerval[] = {MEMBER('l', itimerval, it_interval.tv_sec),
                                 MEMBER('l', itimerval, it_interval.tv_usec), MEMBER('l', itimerval, it_value.tv_sec),
                                 MEMBER('l', itimerval, it_value.tv_usec)};
constexpr Member kItimerspec[] = {MEMBER('l', itimerspec, it_interval.tv_sec),
                                  MEMBER('l', itimerspec, it_interval.tv_nsec),
                                  MEMBER('l', itimerspec, it_value.tv_sec), MEMBER('l', itimerspec, it_value.tv_nsec)};
constexpr Member kItimerspec64[] = {
    MEMBER('q', itimerspec, it_interval.tv_sec), MEMBER('n', itimerspec, it_interval.tv_nsec),
    MEMBER('q', itimerspec, it_value.tv_sec), MEMBER('n', itimerspec, it_value.tv_nsec)};
constexpr Member kRusage[] = {
    MEMBER('l', rusage, ru_utime.tv_sec),  MEMBER('l', rusage, ru_utime.tv_usec), MEMBER('l', rusage, ru_stime.tv_sec),
    MEMBER('l', rusage, ru_stime.tv_usec), MEMBER('l', rusage, ru_maxrss),        MEMBER('l', rusage, ru_ixrss),
    MEMBER('l', rusage, ru_idrss),         MEMBER('l', rusage, ru_isrss),         MEMBER('l', rusage, ru_minflt),
    MEMBER('l', rusage, ru_majflt),        MEMBER('l', rusage, ru_nswap),         MEMBER('l', rusage, ru_inblock),
    MEMBER('l', rusage, ru_oublock),       MEMBER('l', rusage, ru_msgsnd),        MEMBER('l', rusage, ru_msgrcv),
    MEMBER('l', rusage, ru_nsignals),      MEMBER('l', rusage, ru_nvcsw),         MEMBER('l', rusage, ru_nivcsw)};
constexpr Member kRlimit64[] = {MEMBER('Q', rlimit64, rlim_cur), MEMBER('Q', rlimit64, rlim_max)};
constexpr Member kTms[] = {MEMBER('l', tms, tms_utime), MEMBER('l', tms, tms_stime), MEMBER('l', tms, tms_cutime),
                           MEMBER('l', tms, tms_cstime)};
constexpr Member kSysinfo[] = {
    {'l', 8, offsetof(struct sysinfo, uptime)},    {'L', 8, offsetof(struct sysinfo, loads)},
    {'L', 8, offsetof(struct sysinfo, loads) + 8}, {'L', 8, offsetof(struct sysinfo, loads) + 16},
    {'L', 8, offsetof(struct sysinfo, totalram)},  {'L', 8, offsetof(struct sysinfo, freeram)},
    {'L', 8, offsetof(struct sysinfo, sharedram)}, {'L', 8, offsetof(struct sysinfo, bufferram)},
    {'L', 8, offsetof(struct sysinfo, totalswap)}, {'L', 8, offsetof(struct sysinfo, freeswap)},
    {'H', 2, offsetof(struct sysinfo, procs)},     {'H', 0, 0},
    {'L', 8, offsetof(struct sysinfo, totalhigh)}, {'L', 8, offsetof(struct sysinfo, freehigh)},
    {'U', 4, offsetof(struct sysinfo, mem_unit)}};
// 'l' in the old call; 'q' in the one with 64-bit times, whose ints have room behind (`...`).
#define TIMEX(l, ...)                                                                                              \
  MEMBER('U', timex, modes)                                                                                        \
  __VA_ARGS__, MEMBER(l, timex, offset), MEMBER(l, timex, freq), MEMBER(l, timex, maxerror),                       \
      MEMBER(l, timex, esterror), MEMBER('i', timex, status) __VA_ARGS__, MEMBER(l, timex, constant),              \
      MEMBER(l, timex, precision), MEMBER(l, timex, tolerance), MEMBER(l, timex, time.tv_sec),                     \
      MEMBER(l, timex, time.tv_usec), MEMBER(l, timex, tick), MEMBER(l, timex, ppsfreq), MEMBER(l, timex, jitter), \
      MEMBER('i', timex, shift) __VA_ARGS__, MEMBER(l, timex, stabil), MEMBER(l, timex, jitcnt),                   \
      MEMBER(l, timex, calcnt), MEMBER(l, timex, errcnt), MEMBER(l, timex, stbcnt), MEMBER('i', timex, tai),       \
      HOLE('i', 11)
#define ROOM , HOLE('i', 1)
constexpr Member kTimex[] = {TIMEX('l')};
constexpr Member kTimex64[] = {TIMEX('q', ROOM)};

}  // namespace

StructKind struct_kind(ArgKind kind) {
  switch (base_kind(kind)) {
    case ArgKind::word32: return {kWord32, 4};
    case ArgKind::loff: return {kLoff, 8};
    case ArgKind::timespec: return {kTimespec, sizeof(timespec)};
    case ArgKind::timespec64: return {kTimespec64, sizeof(timespec)};
    case ArgKind::timeval: return {kTimeval, sizeof(timeval)};
    case ArgKind::itimerval: return {kItimerval, sizeof(itimerval)};
    case ArgKind::itimerspec: return {kItimerspec, sizeof(itimerspec)};
    case ArgKind::itimerspec64: return {kItimerspec64, sizeof(itimerspec)};
    case ArgKind::rusage: return {kRusage, sizeof(rusage)};
    case ArgKind::rlimit64: return {kRlimit64, sizeof(rlimit64)};
    case ArgKind::tms: return {kTms, sizeof(tms)};
    case ArgKind::sysinfo: return {kSysinfo, sizeof(struct sysinfo)};
    case ArgKind::timex: return {kTimex, sizeof(timex)};
    case ArgKind::timex64: return {kTimex64, sizeof(timex)};
    default: return {};
  }
}

}  // namespace doppel::user
