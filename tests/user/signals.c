// Signals: frames seen from inside, faults and how they are recovered from, order, stacks, restarts, deaths.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf out;
static volatile int seen, code, value;
static volatile uintptr_t address, handler_sp, frame_pc, frame_sp;

static uintptr_t pc_of(const ucontext_t* uc) {
#if defined(__x86_64__)
  return uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__i386__)
  return uc->uc_mcontext.gregs[REG_EIP];
#else
  return uc->uc_mcontext.pc;
#endif
}

static uintptr_t sp_of(const ucontext_t* uc) {
#if defined(__x86_64__)
  return uc->uc_mcontext.gregs[REG_RSP];
#elif defined(__i386__)
  return uc->uc_mcontext.gregs[REG_ESP];
#else
  return uc->uc_mcontext.gregs[29];
#endif
}

static void note(int number, siginfo_t* info, void* context) {
  volatile char here;
  seen = number;
  code = info->si_code;
  address = (uintptr_t)info->si_addr;
  value = info->si_value.sival_int;
  handler_sp = (uintptr_t)&here;
  frame_pc = pc_of(context);
  frame_sp = sp_of(context);
}

static void note_and_leave(int number, siginfo_t* info, void* context) {
  note(number, info, context);
  siglongjmp(out, number);
}

static void handle(int number, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction a;
  memset(&a, 0, sizeof a);
  a.sa_sigaction = handler;
  a.sa_flags = SA_SIGINFO | flags;
  sigaction(number, &a, NULL);
}

static const char* name_of(int number) {
  switch (number) {
    case SIGSEGV: return "SEGV";
    case SIGBUS: return "BUS";
    case SIGFPE: return "FPE";
    case SIGILL: return "ILL";
    case SIGTRAP: return "TRAP";
    case SIGUSR1: return "USR1";
    case SIGUSR2: return "USR2";
    case SIGALRM: return "ALRM";
    case SIGTERM: return "TERM";
    case SIGABRT: return "ABRT";
    case SIGCHLD: return "CHLD";
    case SIGKILL: return "KILL";
    default: return "?";
  }
}

static volatile int zero;

static void faults(void) {
  volatile char* bad = (volatile char*)0x1234;
  handle(SIGSEGV, note_and_leave, 0);
  handle(SIGBUS, note_and_leave, 0);
  handle(SIGFPE, note_and_leave, 0);
  handle(SIGILL, note_and_leave, 0);
  handle(SIGTRAP, note_and_leave, 0);
  if (!sigsetjmp(out, 1)) *bad = 1;
  printf("store to nothing: %s code %d address 0x%lx\n", name_of(seen), code, (unsigned long)address);
  seen = 0;
  if (!sigsetjmp(out, 1)) zero += *(volatile char*)0x2345;
  printf("load from nothing: %s code %d address 0x%lx\n", name_of(seen), code, (unsigned long)address);
  char* page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 3; i++) {
    seen = 0;
    if (!sigsetjmp(out, 1)) page[100 + i] = 1;
    printf("store to read-only: %s code %d offset %ld\n", name_of(seen), code, (long)(address - (uintptr_t)page));
  }
  char path[] = "/tmp/doppel-user-XXXXXX";
  int fd = mkstemp(path);
  unlink(path);
  char* file = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  seen = 0;
  if (!sigsetjmp(out, 1)) file[10] = 1;
  printf("past the file's end: %s code %d offset %ld\n", name_of(seen), code, (long)(address - (uintptr_t)file));
  close(fd);
  void (*jump)(void) = (void (*)(void))0x5670;
  seen = 0;
  if (!sigsetjmp(out, 1)) jump();
  printf("jump to nothing: %s code %d address 0x%lx pc 0x%lx\n", name_of(seen), code, (unsigned long)address,
         (unsigned long)frame_pc);
  seen = 0;
  if (!sigsetjmp(out, 1)) zero = 5 / zero;
#if defined(__mips__)
  printf("division: %s code %d\n", name_of(seen), code);
#else
  printf("division: %s code %d\n", name_of(seen), address == frame_pc ? code : -1);
#endif
  seen = 0;
  if (!sigsetjmp(out, 1)) __builtin_trap();
#if defined(__mips__)
  printf("trap: %s\n", seen == SIGTRAP ? "ILL" : name_of(seen));
#else
  printf("trap: %s\n", name_of(seen));
#endif
}

static void step_over(int number, siginfo_t* info, void* context) {
  ucontext_t* uc = context;
  (void)number;
  mprotect((void*)((uintptr_t)info->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE);
  seen++;
  (void)uc;
}

// The handler repairs and the very instruction runs again, with all registers as they were.
static void repaired(void) {
  char* p = mmap(NULL, 16 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  handle(SIGSEGV, step_over, 0);
  seen = 0;
  double sum = 0.25;
  long total = 0;
  for (int i = 0; i < 16; i++) {
    p[i * 4096 + i] = (char)(i + 1);
    sum += p[i * 4096 + i] * 0.5;
    total += p[i * 4096 + i];
  }
  printf("repaired: %d faults, %ld, %.2f\n", seen, total, sum);
}

static void stacks(void) {
  static char memory[1 << 16];
  stack_t s = {.ss_sp = memory, .ss_size = sizeof memory}, old;
  sigaltstack(&s, NULL);
  handle(SIGUSR1, note, SA_ONSTACK);
  raise(SIGUSR1);
  printf("alternate stack: %s, frame's sp on it: %s\n",
         handler_sp >= (uintptr_t)memory && handler_sp < (uintptr_t)memory + sizeof memory ? "yes" : "no",
         frame_sp >= (uintptr_t)memory && frame_sp < (uintptr_t)memory + sizeof memory ? "yes" : "no");
  handle(SIGUSR1, note, 0);
  raise(SIGUSR1);
  printf("own stack: %s\n",
         handler_sp >= (uintptr_t)memory && handler_sp < (uintptr_t)memory + sizeof memory ? "no" : "yes");
  sigaltstack(NULL, &old);
  printf("size %ld flags %d\n", (long)old.ss_size, old.ss_flags);
  s.ss_flags = SS_DISABLE;
  sigaltstack(&s, NULL);
}

static char order[64];
static void append(int number, siginfo_t* info, void* context) {
  (void)context;
  char text[16];
  snprintf(text, sizeof text, "%d:%d ", number - SIGRTMIN, info->si_value.sival_int);
  strcat(order, text);
}

static void queues(void) {
  sigset_t set, old, pending;
  sigemptyset(&set);
  for (int i = 0; i < 3; i++) {
    sigaddset(&set, SIGRTMIN + i);
    handle(SIGRTMIN + i, append, 0);
  }
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, &old);
  for (int i = 0; i < 3; i++) {
    union sigval v = {.sival_int = 10 + i};
    sigqueue(getpid(), SIGRTMIN + 2 - i, v);
    v.sival_int = 20 + i;
    sigqueue(getpid(), SIGRTMIN + 2 - i, v);
  }
  handle(SIGUSR2, note, 0);
  raise(SIGUSR2);
  raise(SIGUSR2);
  sigpending(&pending);
  printf("pending: %d %d %d\n", sigismember(&pending, SIGUSR2), sigismember(&pending, SIGRTMIN),
         sigismember(&pending, SIGUSR1));
  siginfo_t info;
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGUSR2);
  struct timespec soon = {0, 1000000};
  int got = sigtimedwait(&one, &info, &soon);
  printf("waited for: %s code %d\n", name_of(got), info.si_code);
  got = sigtimedwait(&one, &info, &soon);
  printf("then: %d %s\n", got, got < 0 && errno == EAGAIN ? "EAGAIN" : "");
  sigprocmask(SIG_SETMASK, &old, NULL);
  // Real-time signals of one number come in the order they were sent in.
  const char *a = strstr(order, "0:12 "), *b = strstr(order, "0:22 "), *c = strstr(order, "2:10 "),
             *d = strstr(order, "2:20 ");
  printf("queue: %s %zu\n", a && b && c && d && a < b && c < d ? "in order" : order, strlen(order));
}

static volatile int alarms;
static void on_alarm(int n) {
  (void)n;
  alarms++;
}

static void restarts(void) {
  for (int again = 0; again < 2; again++) {
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_alarm;
    a.sa_flags = again ? SA_RESTART : 0;
    sigaction(SIGALRM, &a, NULL);
    int p[2];
    pipe(p);
    alarms = 0;
    pid_t child = fork();
    if (!child) {
      usleep(200000);
      write(p[1], "x", 1);
      _exit(0);
    }
    struct itimerval timer = {{0, 0}, {0, 50000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    char c = 0;
    ssize_t n = read(p[0], &c, 1);
    printf("read with %s: %ld %s, %d alarms\n", again ? "SA_RESTART" : "none", (long)n,
           n < 0 ? (errno == EINTR ? "EINTR" : strerror(errno)) : "", alarms);
    waitpid(child, NULL, 0);
    close(p[0]);
    close(p[1]);
    setitimer(ITIMER_REAL, &timer, NULL);
    struct timespec t = {1, 0}, left = {0, 0};
    int r = nanosleep(&t, &left);
    printf("nanosleep: %d %s, left: %s\n", r, errno == EINTR ? "EINTR" : "", left.tv_nsec > 500000000 ? "yes" : "no");
    setitimer(ITIMER_REAL, &timer, NULL);
    r = poll(NULL, 0, 1000);
    printf("poll: %d %s\n", r, errno == EINTR ? "EINTR" : "");
  }
  sigset_t block, old;
  sigemptyset(&block);
  sigaddset(&block, SIGALRM);
  sigprocmask(SIG_BLOCK, &block, &old);
  alarms = 0;
  raise(SIGALRM);
  printf("blocked: %d\n", alarms);
  int r = sigsuspend(&old);
  printf("sigsuspend: %d %s, %d\n", r, errno == EINTR ? "EINTR" : "", alarms);
  raise(SIGALRM);
  printf("blocked again: %d\n", alarms);
  struct timespec zero_time = {0, 0};
  r = ppoll(NULL, 0, &(struct timespec){1, 0}, &old);
  printf("ppoll: %d %s, %d\n", r, errno == EINTR ? "EINTR" : "", alarms);
  (void)zero_time;
  sigprocmask(SIG_SETMASK, &old, NULL);
}

static volatile int depth, deepest, left;
static void nest(int n) {
  depth++;
  if (depth > deepest) deepest = depth;
  if (left-- > 0) raise(n);
  depth--;
}

static void flags(void) {
  struct sigaction a, now;
  memset(&a, 0, sizeof a);
  a.sa_handler = nest;
  a.sa_flags = SA_NODEFER;
  sigaction(SIGUSR1, &a, NULL);
  left = 2;
  raise(SIGUSR1);
  printf("SA_NODEFER: %d deep\n", deepest);
  a.sa_flags = 0;
  sigaction(SIGUSR1, &a, NULL);
  deepest = 0;
  left = 2;
  raise(SIGUSR1);
  printf("deferred: %d deep\n", deepest);
  a.sa_handler = on_alarm;
  a.sa_flags = SA_RESETHAND;
  sigaction(SIGUSR1, &a, NULL);
  raise(SIGUSR1);
  sigaction(SIGUSR1, NULL, &now);
  printf("SA_RESETHAND: %s\n", now.sa_handler == SIG_DFL ? "default" : "still there");
  signal(SIGUSR1, SIG_IGN);
  raise(SIGUSR1);
  printf("ignored\n");
}

static void die(const char* how, int number) {
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    signal(SIGSEGV, SIG_DFL);
    signal(SIGABRT, SIG_DFL);
    signal(SIGFPE, SIG_DFL);
    if (number == SIGSEGV)
      *(volatile int*)8 = 1;
    else if (number == SIGFPE)
      zero = 5 / zero;
    else if (number == SIGABRT)
      abort();
    else
      raise(number);
    _exit(99);
  }
  int status = 0;
  waitpid(child, &status, 0);
  printf("%s: %s\n", how, WIFSIGNALED(status) ? name_of(WTERMSIG(status)) : "exit");
}

static void children(void) {
  handle(SIGCHLD, note, SA_RESTART);
  pid_t child = fork();
  if (!child) _exit(3);
  int status;
  waitpid(child, &status, 0);
  while (seen != SIGCHLD) usleep(1000);
  printf("SIGCHLD: code %d, status %d\n", code, WEXITSTATUS(status));
  signal(SIGCHLD, SIG_DFL);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  faults();
  repaired();
  stacks();
  queues();
  restarts();
  flags();
  children();
  die("fault", SIGSEGV);
  die("division by zero", SIGFPE);
  die("abort", SIGABRT);
  die("SIGTERM", SIGTERM);
  die("SIGKILL", SIGKILL);
  return 0;
}
