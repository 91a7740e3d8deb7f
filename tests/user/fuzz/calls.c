// System calls at random: numbers of the ABI's own table, arguments that are right, wrong, or point to nowhere. Whatever
// comes of the program, the emulator must not fail (run.py looks). Runs as nobody, in an empty folder of its own.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#ifdef __mips__
#if _MIPS_SIM == _ABIO32
enum { kBase = 4000 };
#else
enum { kBase = 5000 };
#endif
#else
enum { kBase = 0 };
#endif

// Calls that would end or stop the program, start others, or reach other processes.
static const int kNever[] = {
    SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_execve,
    SYS_execveat, SYS_clone, SYS_clone3, SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_setitimer,
    SYS_pidfd_send_signal, SYS_setsid, SYS_setpgid, SYS_vhangup, SYS_reboot, SYS_prlimit64, SYS_setrlimit, SYS_rt_sigtimedwait,
    SYS_sched_setscheduler, SYS_sched_setattr, SYS_setpriority,
#ifdef SYS_set_thread_area
    SYS_set_thread_area,
#endif
#ifdef SYS_arch_prctl
    SYS_arch_prctl,
#endif
#ifdef SYS_fork
    SYS_fork,
#endif
#ifdef SYS_vfork
    SYS_vfork,
#endif
#ifdef SYS_sigreturn
    SYS_sigreturn, SYS_sigsuspend, SYS_sigaction, SYS_sigprocmask, SYS_signal, SYS_ssetmask, SYS_nice,
#endif
#ifdef SYS_alarm
    SYS_alarm,
#endif
#ifdef SYS_rt_sigtimedwait_time64
    SYS_rt_sigtimedwait_time64,
#endif
#ifdef SYS_syscall
    SYS_syscall,
#endif
};

static uint64_t seed;
static unsigned rnd(void) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return (unsigned)(seed >> 16);
}

static unsigned char area[65536] __attribute__((aligned(4096)));
static char* guarded;  // the last bytes before a page that is not there

static long argument(void) {
  static const long kEdges[] = {0, -1, 1, 2, 3, 4, 5, 7, 8, 16, 24, 64, 128, 255, 256, 1024, 4096, 65536, 0x7fffffff, -4096, -100};
  switch (rnd() % 8) {
    case 0:
    case 1: return kEdges[rnd() % (sizeof kEdges / sizeof *kEdges)];
    case 2: return (long)(rnd() % 12);
    case 3:
    case 4: return (long)(area + rnd() % 60000 / 8 * 8);
    case 5: return (long)(guarded - rnd() % 40);
    case 6: return (long)rnd() << (rnd() % 24) ;
    default: return (long)(area + rnd() % 60000);
  }
}

static void fill(void) {
  for (int i = 0; i < 64; i++) {
    unsigned char* at = area + rnd() % 65000;
    switch (rnd() % 4) {
      case 0: *(long*)((uintptr_t)at & ~(uintptr_t)7) = argument(); break;
      case 1: strcpy((char*)at, "name"); break;
      case 2: *(int*)((uintptr_t)at & ~(uintptr_t)3) = (int)rnd() % 64; break;
      default: memset(at, 0, rnd() % 100);
    }
  }
}

static void nothing(int s) { (void)s; }

int main(int argc, char** argv) {
  seed = argc > 1 ? strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15ULL + 1 : 1;
  const int steps = argc > 2 ? atoi(argv[2]) : 1000;
  char dir[] = "/tmp/doppel-fuzz-XXXXXX";
  if (!mkdtemp(dir) || chmod(dir, 0777) || chdir(dir)) return 2;
  if (getuid() == 0 && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))) return 2;
  struct rlimit small = {1 << 20, 1 << 20};
  setrlimit(RLIMIT_FSIZE, &small);
  char* p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(p + 4096, 4096, PROT_NONE);
  guarded = p + 4096;
  // Calls that wait are ended.
  struct sigaction a = {.sa_handler = nothing};
  sigaction(SIGALRM, &a, NULL);
  a.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &a, NULL);
  sigaction(SIGXFSZ, &a, NULL);
  struct itimerval it = {{0, 20000}, {0, 20000}};
  setitimer(ITIMER_REAL, &it, NULL);
  int fd[2];
  close(0), close(1);
  open("/dev/zero", O_RDWR), open("file", O_RDWR | O_CREAT, 0600);
  pipe(fd), socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fd);
  for (int i = 0; i < steps; i++) {
    const int number = kBase + (int)(rnd() % 460);
    int never = 0;
    for (unsigned k = 0; k < sizeof kNever / sizeof *kNever; k++) never |= kNever[k] == number;
    if (never) continue;
    if (i % 16 == 0) fill();
    long v[6];
    for (int k = 0; k < 6; k++) v[k] = argument();
#ifdef SYS_socketcall
    if (number == SYS_socketcall || number == SYS_ipc) v[0] = rnd() % 26;
#endif
    // The program's own standard error stays, and its memory below the heap.
    if ((number == SYS_close || number == SYS_dup3) && v[0] == 2) continue;
    syscall(number, v[0], v[1], v[2], v[3], v[4], v[5]);
  }
  _exit(0);
}
