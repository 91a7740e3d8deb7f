// Processes, memory, signals, time, limits.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what) printf("%s: %s\n", #what, (what) ? "yes" : "no")
#define FAILS(call, error) (errno = 0, printf("%s: %s\n", #call, (call) == -1 && errno == (error) ? #error : strerror(errno)))

static void memory(void) {
  long page = sysconf(_SC_PAGESIZE);
  char* p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED && p[0] == 0);
  p[page] = 5;
  CHECK(mprotect(p, page, PROT_READ) == 0 && munmap(p + 3 * page, page) == 0);
  char* q = mremap(p, 3 * page, 8 * page, MREMAP_MAYMOVE);
  CHECK(q == MAP_FAILED || q[page] == 5);
  p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  p[page] = 6;
  q = mremap(p, 4 * page, 8 * page, MREMAP_MAYMOVE);
  CHECK(q != MAP_FAILED && q[page] == 6 && q[7 * page] == 0);
  CHECK(madvise(q, 8 * page, MADV_DONTNEED) == 0 && q[page] == 0);
  CHECK(mmap(q + page, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == q + page);
  FAILS(mmap(q, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED ? -1 : 0, EEXIST);
  unsigned char in[8];
  q[0] = 1;
  CHECK(mincore(q, 8 * page, in) == 0 && (in[0] & 1));
  CHECK(msync(q, page, MS_SYNC) == 0);
  FAILS(mmap(NULL, page, PROT_READ, MAP_PRIVATE, 99, 0) == MAP_FAILED ? -1 : 0, EBADF);
  FAILS(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0, EINVAL);
  char* start = sbrk(0);
  CHECK(brk(start + 100000) == 0 && sbrk(0) == start + 100000);
  start[99999] = 1;
  CHECK(brk(start) == 0 && sbrk(0) == start);
  int fd = memfd_create("f", 0);
  ftruncate(fd, 3 * page);
  pwrite(fd, "third", 5, 2 * page);
  q = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 2 * page);
  CHECK(q != MAP_FAILED && !strcmp(q, "third"));
  strcpy(q, "now");
  char b[8] = {0};
  CHECK(pread(fd, b, 3, 2 * page) == 3 && !strcmp(b, "now"));
}

static volatile sig_atomic_t seen;
static siginfo_t info;
static void on_signal(int s) { seen = s; }
static void on_info(int s, siginfo_t* i, void* c) { (void)c, seen = s, info = *i; }

static void signals(void) {
  struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
  sigaddset(&a.sa_mask, SIGUSR2);
  CHECK(sigaction(SIGUSR1, &a, NULL) == 0 && sigaction(SIGUSR1, NULL, &old) == 0);
  CHECK(old.sa_handler == on_signal && (old.sa_flags & SA_RESTART) && sigismember(&old.sa_mask, SIGUSR2));
  raise(SIGUSR1);
  CHECK(seen == SIGUSR1);
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGRTMIN + 3);
  CHECK(sigprocmask(SIG_BLOCK, &set, &before) == 0 && !sigismember(&before, SIGUSR1));
  seen = 0;
  kill(getpid(), SIGUSR1);
  sigset_t pending;
  CHECK(seen == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
  siginfo_t got;
  CHECK(sigwaitinfo(&set, &got) == SIGUSR1 && got.si_signo == SIGUSR1 && got.si_code == SI_USER && got.si_pid == getpid());
  union sigval v = {.sival_int = 42};
  CHECK(sigqueue(getpid(), SIGRTMIN + 3, v) == 0);
  struct timespec ts = {1, 0};
  CHECK(sigtimedwait(&set, &got, &ts) == SIGRTMIN + 3 && got.si_code == SI_QUEUE && got.si_value.sival_int == 42);
  ts.tv_sec = 0;
  FAILS(sigtimedwait(&set, &got, &ts), EAGAIN);
  int fd = signalfd(-1, &set, SFD_NONBLOCK);
  kill(getpid(), SIGUSR1);
  struct signalfd_siginfo si;
  CHECK(read(fd, &si, sizeof si) == sizeof si);
  kill(getpid(), SIGUSR1);
  CHECK(sigsuspend(&before) == -1 && errno == EINTR && seen == SIGUSR1);
  CHECK(sigprocmask(SIG_SETMASK, &before, &set) == 0 && sigismember(&set, SIGUSR1));
  a.sa_sigaction = on_info, a.sa_flags = SA_SIGINFO;
  sigaction(SIGALRM, &a, NULL);
  sigaction(SIGCHLD, &a, NULL);
  struct itimerval it = {{0, 0}, {0, 2000}}, was;
  CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
  CHECK(pause() == -1 && errno == EINTR && seen == SIGALRM);
  CHECK(getitimer(ITIMER_REAL, &was) == 0 && was.it_value.tv_sec == 0);
  timer_t timer;
  struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM, .sigev_value.sival_int = 77};
  CHECK(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
  struct itimerspec its = {{0, 0}, {0, 1000000}}, left;
  seen = 0;
  CHECK(timer_settime(timer, 0, &its, NULL) == 0 && timer_gettime(timer, &left) == 0 && left.it_interval.tv_nsec == 0);
  struct timespec rest = {2, 0};
  while (!seen && nanosleep(&rest, &rest) == -1 && errno == EINTR) continue;
  CHECK(seen == SIGALRM && info.si_code == SI_TIMER && info.si_value.sival_int == 77);
  CHECK(timer_getoverrun(timer) == 0 && timer_delete(timer) == 0);
  stack_t st = {.ss_sp = malloc(65536), .ss_size = 65536}, so;
  CHECK(sigaltstack(&st, NULL) == 0 && sigaltstack(NULL, &so) == 0 && so.ss_size == 65536 && so.ss_flags == 0);
  FAILS(kill(getpid(), 1000), EINVAL);
  FAILS(sigaction(SIGKILL, &a, NULL), EINVAL);
  CHECK(kill(getpid(), 0) == 0);
}

static void children(void) {
  int status;
  struct rusage use;
  pid_t pid = fork();
  if (!pid) _exit(42);
  CHECK(wait4(pid, &status, 0, &use) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 42 && use.ru_maxrss > 0);
  pid = fork();
  if (!pid) {
    signal(SIGUSR2, SIG_DFL);
    raise(SIGUSR2);
    _exit(1);
  }
  CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2);
  pid = fork();
  if (!pid) {
    raise(SIGSTOP);
    _exit(3);
  }
  CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  kill(pid, SIGCONT);
  siginfo_t i;
  memset(&i, 0, sizeof i);
  int r;
  while ((r = waitid(P_PID, pid, &i, WEXITED)) == -1 && errno == EINTR) continue;  // of the SIGCHLD for going on
  CHECK(r == 0 && i.si_pid == pid && i.si_code == CLD_EXITED && i.si_status == 3 && i.si_signo == SIGCHLD);
  FAILS(wait(NULL), ECHILD);
  pid = vfork();
  if (!pid) {
    execl("/proc/self/exe", "processes", "again", NULL);
    _exit(99);
  }
  CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  FAILS(execl("/nothing/here", "x", NULL), ENOENT);
  CHECK(getppid() > 0 && getpgid(0) == getpgrp() && getsid(0) >= 0);
  CHECK(system("exit 5") == 5 << 8);
}

static void limits(void) {
  struct rlimit r, s;
  CHECK(getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur > 10);
  s = (struct rlimit){64, r.rlim_max};
  CHECK(setrlimit(RLIMIT_NOFILE, &s) == 0 && getrlimit(RLIMIT_NOFILE, &s) == 0 && s.rlim_cur == 64);
  CHECK(getrlimit(RLIMIT_CORE, &r) == 0 && getrlimit(RLIMIT_FSIZE, &r) == 0);
  printf("fsize %s\n", r.rlim_cur == RLIM_INFINITY ? "infinite" : "finite");
  errno = 0;
  CHECK(getpriority(PRIO_PROCESS, 0) == 0 && errno == 0);
  CHECK(setpriority(PRIO_PROCESS, 0, 3) == 0 && getpriority(PRIO_PROCESS, 0) == 3);
  cpu_set_t cpus;
  CHECK(sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) >= 1);
  CHECK(sched_setaffinity(0, sizeof cpus, &cpus) == 0);
  struct sched_param sp = {5};
  CHECK(sched_getscheduler(0) == SCHED_OTHER && sched_getparam(0, &sp) == 0 && sp.sched_priority == 0);
  CHECK(sched_get_priority_max(SCHED_FIFO) == 99);
  CHECK(prctl(PR_SET_NAME, "renamed") == 0);
  char name[16] = {0};
  CHECK(prctl(PR_GET_NAME, name) == 0 && !strcmp(name, "renamed"));
  FAILS(prctl(9999, 0, 0, 0, 0), EINVAL);
  gid_t groups[64];
  CHECK(getgroups(0, NULL) >= 0 && getgroups(64, groups) >= 0);
  uid_t a, b, c;
  CHECK(getresuid(&a, &b, &c) == 0 && a == getuid() && b == geteuid());
  struct utsname u;
  CHECK(uname(&u) == 0 && !strcmp(u.sysname, "Linux"));
  struct sysinfo si;
  CHECK(sysinfo(&si) == 0 && si.procs > 0 && (double)si.totalram * si.mem_unit > 1e8);
  char bytes[16];
  CHECK(getrandom(bytes, 16, 0) == 16);
}

static void times_of(void) {
  struct timespec t, r;
  struct timeval v;
  struct tms m;
  CHECK(clock_gettime(CLOCK_REALTIME, &t) == 0 && gettimeofday(&v, NULL) == 0 && labs((long)(t.tv_sec - v.tv_sec)) <= 1);
  CHECK(labs((long)(time(NULL) - t.tv_sec)) <= 1);
  CHECK(clock_getres(CLOCK_MONOTONIC, &r) == 0 && r.tv_sec == 0 && r.tv_nsec > 0);
  FAILS(clock_gettime(1000, &t), EINVAL);
  CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
  t.tv_nsec += 2000000;
  if (t.tv_nsec >= 1000000000) t.tv_nsec -= 1000000000, t.tv_sec++;
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == 0);
  CHECK(times(&m) != -1);
  struct rusage u;
  CHECK(getrusage(RUSAGE_SELF, &u) == 0 && u.ru_utime.tv_sec < 100);
  struct timex x = {0};
  CHECK(adjtimex(&x) >= 0 && x.tick > 1000 && x.time.tv_sec > 1000000000);
  r = (struct timespec){0, 1000000001};
  FAILS(nanosleep(&r, NULL), EINVAL);
}

static void own_files(void) {
  char b[4096];
  int fd = open("/proc/self/cmdline", O_RDONLY);
  ssize_t n = read(fd, b, sizeof b);
  CHECK(n > 9 && !strcmp(b + n - 10, "processes"));
  FILE* f = fopen("/proc/self/maps", "r");
  int stack = 0, exec = 0;
  unsigned long from, to;
  char perms[8];
  while (fgets(b, sizeof b, f))
    if (sscanf(b, "%lx-%lx %7s", &from, &to, perms) == 3) {
      stack |= from <= (unsigned long)&fd && (unsigned long)&fd < to && perms[1] == 'w';
      exec |= from <= (unsigned long)own_files && (unsigned long)own_files < to && perms[2] == 'x';
    }
  printf("stack %d code %d\n", stack, exec);
  fd = open("/proc/self/auxv", O_RDONLY);
  unsigned long aux[64] = {0};
  int page = 0, entry = 0;
  CHECK(read(fd, aux, sizeof aux) > 0);
  for (int i = 0; i < 64 && aux[i]; i += 2) {
    if (aux[i] == AT_PAGESZ) page = aux[i + 1] == (unsigned long)sysconf(_SC_PAGESIZE);
    if (aux[i] == AT_ENTRY) entry = aux[i + 1] == getauxval(AT_ENTRY);
  }
  printf("page %d entry %d\n", page, entry);
  n = readlink("/proc/self/exe", b, sizeof b - 1);
  b[n > 0 ? n : 0] = 0;
  CHECK(strstr(b, "processes") != NULL);
}

int main(int argc, char** argv) {
  if (argc == 2 && !strcmp(argv[1], "again")) return 7;
  setbuf(stdout, NULL);
  memory();
  signals();
  children();
  limits();
  times_of();
  own_files();
}
