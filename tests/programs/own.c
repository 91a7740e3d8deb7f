// The program that the test compiles itself for every CPU: what a C library asks of a kernel, in short. Each line of
// output is "ok NAME" or says what was wrong; `own` runs all parts, `own child WORD` is what it starts itself as.
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static const char* g_part;
static int g_bad;
#define CHECK(condition)                                                                          \
  do {                                                                                            \
    if (!(condition)) {                                                                           \
      printf("FAIL %s: line %d: %s (errno %s)\n", g_part, __LINE__, #condition, strerror(errno)); \
      g_bad = 1;                                                                                  \
      return;                                                                                     \
    }                                                                                             \
  } while (0)

// --- threads
enum { kThreads = 8, kRounds = 2000 };
static pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
static long g_count, g_atomic, g_turn;
static __thread long g_mine = 7;
static pthread_key_t g_key;
static int g_destroyed;
static void destroy(void* value) { __atomic_fetch_add(&g_destroyed, (int)(intptr_t)value, __ATOMIC_SEQ_CST); }
static void* count(void* index) {
  pthread_setspecific(g_key, (void*)1);
  for (int i = 0; i < kRounds; i++) {
    pthread_mutex_lock(&g_mutex);
    g_count++;
    pthread_mutex_unlock(&g_mutex);
    __atomic_fetch_add(&g_atomic, 1, __ATOMIC_RELAXED);
    g_mine += (long)(intptr_t)index;
  }
  pthread_mutex_lock(&g_mutex);
  while (g_turn != (long)(intptr_t)index) pthread_cond_wait(&g_cond, &g_mutex);
  g_turn++;
  pthread_cond_broadcast(&g_cond);
  pthread_mutex_unlock(&g_mutex);
  return (void*)(intptr_t)g_mine;
}
static void threads(void) {
  pthread_t t[kThreads];
  CHECK(pthread_key_create(&g_key, destroy) == 0);
  for (intptr_t i = 0; i < kThreads; i++) CHECK(pthread_create(&t[i], NULL, count, (void*)i) == 0);
  for (intptr_t i = 0; i < kThreads; i++) {
    void* result;
    CHECK(pthread_join(t[i], &result) == 0);
    CHECK((intptr_t)result == 7 + i * kRounds);
  }
  CHECK(g_count == kThreads * kRounds && g_atomic == kThreads * kRounds && g_turn == kThreads && g_mine == 7);
  CHECK(g_destroyed == kThreads);
}
static void* wait_forever(void* semaphore) {
  sem_post(semaphore);
  for (;;) pause();
  return NULL;
}
static void cancel(void) {
  pthread_t t;
  sem_t started;
  void* result;
  sem_init(&started, 0, 0);
  CHECK(pthread_create(&t, NULL, wait_forever, &started) == 0);
  sem_wait(&started);
  CHECK(pthread_cancel(t) == 0 && pthread_join(t, &result) == 0 && result == PTHREAD_CANCELED);
}
static void timed_wait(void) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_nsec += 20000000;
  if (end.tv_nsec >= 1000000000) end.tv_nsec -= 1000000000, end.tv_sec++;
  pthread_mutex_lock(&g_mutex);
  const int result = pthread_cond_timedwait(&g_cond, &g_mutex, &end);
  pthread_mutex_unlock(&g_mutex);
  CHECK(result == ETIMEDOUT);
}

// --- signals
static sigjmp_buf g_back;
static volatile siginfo_t g_info;
static volatile int g_seen, g_on_stack;
static char* g_stack;
static void on_fault(int number, siginfo_t* info, void* context) {
  (void)context;
  char here;
  g_seen = number;
  g_info.si_code = info->si_code;
  g_info.si_addr = info->si_addr;
  g_on_stack = g_stack && &here >= g_stack && &here < g_stack + 65536;
  siglongjmp(g_back, 1);
}
static void handle(int number, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction a = {0};
  a.sa_sigaction = handler;
  a.sa_flags = SA_SIGINFO | flags;
  sigfillset(&a.sa_mask);
  sigaction(number, &a, NULL);
}
static void faults(void) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char* p = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  p[page] = 5;
  CHECK(mprotect(p + page, page, PROT_READ) == 0);
  g_stack = malloc(65536);
  stack_t s = {.ss_sp = g_stack, .ss_size = 65536};
  CHECK(sigaltstack(&s, NULL) == 0);
  handle(SIGSEGV, on_fault, SA_ONSTACK);
  handle(SIGFPE, on_fault, 0);
  handle(SIGBUS, on_fault, 0);
  if (sigsetjmp(g_back, 1) == 0) ((volatile char*)p)[page + 12] = 1;
  CHECK(g_seen == SIGSEGV && g_info.si_addr == p + page + 12 && g_info.si_code == SEGV_ACCERR && g_on_stack);
  CHECK(p[page] == 5);
  CHECK(munmap(p + 2 * page, page) == 0);
  if (sigsetjmp(g_back, 1) == 0) g_bad |= ((volatile char*)p)[2 * page + 3];
  CHECK(g_seen == SIGSEGV && g_info.si_addr == p + 2 * page + 3 && g_info.si_code == SEGV_MAPERR);
  volatile int zero = 0, one = 1;
  g_seen = 0;
  if (sigsetjmp(g_back, 1) == 0) one = one / zero;
  CHECK(g_seen == SIGFPE && g_info.si_code == FPE_INTDIV);
  char name[] = "/tmp/own.XXXXXX";
  const int fd = mkstemp(name);
  unlink(name);
  char* map = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(map != MAP_FAILED);
  if (sigsetjmp(g_back, 1) == 0) g_bad |= *(volatile char*)map;
  CHECK(g_seen == SIGBUS);
  close(fd);
  signal(SIGSEGV, SIG_DFL), signal(SIGFPE, SIG_DFL), signal(SIGBUS, SIG_DFL);
}
static volatile int g_order[8], g_orders;
static void on_order(int number, siginfo_t* info, void* context) {
  (void)context;
  g_order[g_orders++ & 7] = number * 1000 + info->si_value.sival_int;
}
static void queued(void) {
  const int first = SIGRTMIN + 3, second = SIGRTMIN + 4;
  sigset_t set, old, pending;
  handle(first, on_order, 0), handle(second, on_order, 0);
  sigemptyset(&set), sigaddset(&set, first), sigaddset(&set, second);
  CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
  for (int i = 0; i < 2; i++) CHECK(sigqueue(getpid(), second, (union sigval){.sival_int = i}) == 0);
  CHECK(sigqueue(getpid(), first, (union sigval){.sival_int = 9}) == 0);
  CHECK(sigpending(&pending) == 0 && sigismember(&pending, first) && sigismember(&pending, second) && g_orders == 0);
  CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
  CHECK(g_orders == 3 && g_order[0] == first * 1000 + 9 && g_order[1] == second * 1000 &&
        g_order[2] == second * 1000 + 1);
}
static void on_alarm(int number) { g_seen = number; }
static void interrupted(void) {
  int pipes[2];
  char c;
  struct sigaction a = {0};
  a.sa_handler = on_alarm;
  sigaction(SIGALRM, &a, NULL);
  CHECK(pipe(pipes) == 0);
  struct itimerval soon = {.it_value = {.tv_usec = 20000}};
  setitimer(ITIMER_REAL, &soon, NULL);
  CHECK(read(pipes[0], &c, 1) == -1 && errno == EINTR && g_seen == SIGALRM);
  a.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &a, NULL);
  if (fork() == 0) {
    usleep(150000);
    _exit(write(pipes[1], "x", 1) == 1 ? 0 : 1);
  }
  setitimer(ITIMER_REAL, &soon, NULL);
  CHECK(read(pipes[0], &c, 1) == 1 && c == 'x');
  CHECK(wait(NULL) > 0);
  sigset_t none;
  sigemptyset(&none);
  g_seen = 0;
  setitimer(ITIMER_REAL, &soon, NULL);
  CHECK(sigsuspend(&none) == -1 && errno == EINTR && g_seen == SIGALRM);
  close(pipes[0]), close(pipes[1]);
}
static ucontext_t g_main, g_other;
static int g_steps;
static void other(void) {
  g_steps += 10;
  swapcontext(&g_other, &g_main);
  g_steps += 100;
}
static void contexts(void) {
  static char stack[65536];
  CHECK(getcontext(&g_other) == 0);
  g_other.uc_stack.ss_sp = stack, g_other.uc_stack.ss_size = sizeof stack, g_other.uc_link = &g_main;
  makecontext(&g_other, other, 0);
  CHECK(swapcontext(&g_main, &g_other) == 0 && g_steps == 10);
  CHECK(swapcontext(&g_main, &g_other) == 0 && g_steps == 110);
}
// Registers, floating point among them, are as they were after a handler that used them all.
static volatile double g_sink;
static void on_tick(int number) {
  double x = number;
  for (int i = 0; i < 50; i++) x = sqrt(x * 3.5 + i);
  g_sink = x;
  g_seen++;
}
static void registers(void) {
  signal(SIGALRM, on_tick);
  struct itimerval often = {.it_interval = {.tv_usec = 500}, .it_value = {.tv_usec = 500}}, off = {{0, 0}, {0, 0}};
  g_seen = 0;
  setitimer(ITIMER_REAL, &often, NULL);
  double a = 1, b = 2, c = 3;
  uint64_t h = 1;
  long rounds = 0;
  struct timespec begin, now;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  do {
    for (int i = 0; i < 1000; i++) a = a * 1.0000001 + b * 1e-9, b = b + c * 1e-12, h = h * 6364136223846793005ull + 1;
    rounds++;
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((g_seen < 20 || rounds < 50) && now.tv_sec - begin.tv_sec < 20);
  setitimer(ITIMER_REAL, &off, NULL);
  double a2 = 1, b2 = 2;
  uint64_t h2 = 1;
  for (long i = 0; i < rounds * 1000; i++)
    a2 = a2 * 1.0000001 + b2 * 1e-9, b2 = b2 + c * 1e-12, h2 = h2 * 6364136223846793005ull + 1;
  CHECK(g_seen >= 20 && h == h2 && fabs(a - a2) < 1e-12 * a && fabs(b - b2) < 1e-12 * b);
}

// --- processes and files
static const char* g_self;
static void children(void) {
  int pipes[2], status;
  char text[64] = "";
  CHECK(pipe(pipes) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(pipes[1], 1);
    setenv("OWN_WORD", "inherited", 1);
    execl(g_self, "own", "child", "hello", (char*)NULL);
    _exit(99);
  }
  close(pipes[1]);
  CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 42);
  CHECK(read(pipes[0], text, sizeof text - 1) > 0 && strcmp(text, "child hello inherited\n") == 0);
  close(pipes[0]);
  pid = fork();
  if (pid == 0) {
    signal(SIGTERM, SIG_DFL);
    for (;;) pause();
  }
  CHECK(kill(pid, SIGTERM) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
        WTERMSIG(status) == SIGTERM);
  CHECK(execl("/nonexistent", "x", (char*)NULL) == -1 && errno == ENOENT);
  CHECK(system("exit 3") >> 8 == 3);
}
static void files(void) {
  char folder[] = "/tmp/own.XXXXXX", path[64], text[64];
  CHECK(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/a file", folder);
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0640);
  CHECK(fd >= 0);
  struct iovec v[2] = {{"hello ", 6}, {"world", 5}};
  CHECK(writev(fd, v, 2) == 11 && lseek(fd, 0, SEEK_CUR) == 11);
  CHECK(pread(fd, text, 5, 6) == 5 && memcmp(text, "world", 5) == 0);
  struct stat st;
  CHECK(fstat(fd, &st) == 0 && st.st_size == 11 && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0640);
  CHECK(lseek(fd, 5ll << 30, SEEK_SET) == (off_t)(5ll << 30));
  CHECK(ftruncate(fd, 100000) == 0);
  char* map = mmap(NULL, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(map != MAP_FAILED);
  map[99999] = 'z';
  CHECK(pread(fd, text, 1, 99999) == 1 && text[0] == 'z');
  CHECK(munmap(map, 100000) == 0);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  CHECK(fcntl(fd, F_SETLK, &lock) == 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
  close(fd);
  CHECK(symlink("a file", strcat(strcpy(text, folder), "/link")) == 0);
  CHECK(readlink(text, path, sizeof path) == 6);
  DIR* d = opendir(folder);
  int names = 0;
  CHECK(d);
  for (struct dirent* e; (e = readdir(d));) names += strcmp(e->d_name, "a file") == 0 || strcmp(e->d_name, "link") == 0;
  closedir(d);
  CHECK(names == 2);
  CHECK(unlink(text) == 0);
  snprintf(path, sizeof path, "%s/a file", folder);
  CHECK(unlink(path) == 0 && rmdir(folder) == 0 && access(folder, F_OK) == -1 && errno == ENOENT);
  struct utsname u;
  CHECK(uname(&u) == 0 && strcmp(u.sysname, "Linux") == 0);
  CHECK(readlink("/proc/self/exe", path, sizeof path) > 0);
}
static void sockets(void) {
  int pair[2];
  char text[32] = "";
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  int sent = dup(0);
  char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec v = {"fd", 2};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &sent, sizeof sent);
  CHECK(sendmsg(pair[0], &m, 0) == 2);
  memset(control, 0, sizeof control);
  v.iov_base = text;
  m.msg_controllen = sizeof control;
  CHECK(recvmsg(pair[1], &m, 0) == 2 && (c = CMSG_FIRSTHDR(&m)) && c->cmsg_type == SCM_RIGHTS);
  int got;
  memcpy(&got, CMSG_DATA(c), sizeof got);
  CHECK(got > 0 && got != sent && fcntl(got, F_GETFD) >= 0);
  struct timeval timeout = {0, 20000};
  CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
  CHECK(recv(pair[0], text, 1, 0) == -1 && errno == EAGAIN);
  struct pollfd p = {.fd = pair[1], .events = POLLIN};
  CHECK(poll(&p, 1, 10) == 0 && write(pair[0], "x", 1) == 1 && poll(&p, 1, 1000) == 1 && p.revents == POLLIN);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pair[1], &set);
  CHECK(select(pair[1] + 1, &set, NULL, NULL, &timeout) == 1 && FD_ISSET(pair[1], &set));
  int epoll = epoll_create1(0), event = eventfd(0, 0);
  struct epoll_event want = {.events = EPOLLIN, .data.u64 = 0x123456789abcdefull}, have;
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &want) == 0 && epoll_wait(epoll, &have, 1, 10) == 0);
  uint64_t five = 5;
  CHECK(write(event, &five, 8) == 8 && epoll_wait(epoll, &have, 1, 1000) == 1 && have.data.u64 == want.data.u64);
  CHECK(read(event, &five, 8) == 8 && five == 5);
  close(pair[0]), close(pair[1]), close(sent), close(got), close(epoll), close(event);
}
static void memory(void) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char* p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  memset(p, 'a', 4 * page);
  char* q = mremap(p, 4 * page, 64 * page, MREMAP_MAYMOVE);
  CHECK(q != MAP_FAILED && q[4 * page - 1] == 'a' && q[4 * page] == 0);
  CHECK(madvise(q, page, MADV_DONTNEED) == 0 && q[0] == 0 && q[page] == 'a');
  char* fixed = mmap(q + page, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  CHECK(fixed == q + page && *fixed == 0 && q[2 * page] == 'a');
  CHECK(munmap(q, 64 * page) == 0);
  char* b = sbrk(0);
  CHECK(sbrk(100000) == b);
  memset(b, 1, 100000);
  CHECK(sbrk(-100000) == b + 100000);
  char* big = malloc(20 << 20);
  CHECK(big);
  big[20 << 19] = 1;
  free(big);
}
static void numbers(void) {
  char text[128];
  snprintf(text, sizeof text, "%.17g %La %lld %a", 0.1, (long double)1.5, -1234567890123456789ll, 3.0);
  CHECK(strstr(text, "0.10000000000000001") && strstr(text, "-1234567890123456789"));
  volatile double big = 1e300, tiny = 5e-324, less;
  less = tiny / 2;
  CHECK(isinf(big * big) && less == 0 && strtod("0x1.8p3", NULL) == 12.0 && lrint(2.5) == 2 && fma(3, 4, 5) == 17);
  volatile float third = 1.0f / 3, whole = third * 3;
  CHECK(whole == 1.0f && (int)3.99 == 3 && (long long)-3.99 == -3 && (unsigned)4e9 == 4000000000u);
  volatile long long x = 0x123456789abcdefll;
  CHECK((unsigned long long)x * (unsigned long long)x == 0xdca5e20890f2a521ull);
  CHECK(x / 12345 == 6641193132157ll && x % 12345 == 8730 && -x / 12345 == -6641193132157ll);
  CHECK(x >> 17 == 0x91a2b3c4d5ll && (x << 5) >> 5 == x);
}
static void clocks(void) {
  struct timespec a, b, nap = {0, 20000000};
  CHECK(clock_gettime(CLOCK_MONOTONIC, &a) == 0 && nanosleep(&nap, NULL) == 0 &&
        clock_gettime(CLOCK_MONOTONIC, &b) == 0);
  const long long ns = (b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec;
  CHECK(ns >= 20000000 && time(NULL) > 1600000000);
  time_t t = 86400 * 365;
  struct tm m;
  CHECK(gmtime_r(&t, &m) && m.tm_year == 71 && mktime(&m) != -1);
}
static void library(void) {
#ifndef STATIC
  void* h = dlopen("libm.so.6", RTLD_NOW);
  double (*cosine)(double) = h ? (double (*)(double))dlsym(h, "cos") : NULL;
  CHECK(cosine && cosine(0) == 1);
  CHECK(dlclose(h) == 0 && !dlopen("libnothing.so.9", RTLD_NOW) && dlerror());
#endif
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "child") == 0) {
    printf("child %s %s\n", argv[2], getenv("OWN_WORD"));
    return 42;
  }
  g_self = argc == 2 ? argv[1] : argv[0];
  static const struct {
    const char* name;
    void (*run)(void);
  } kParts[] = {{"threads", threads},   {"cancel", cancel},       {"timed_wait", timed_wait},
                {"faults", faults},     {"queued", queued},       {"interrupted", interrupted},
                {"contexts", contexts}, {"registers", registers}, {"children", children},
                {"files", files},       {"sockets", sockets},     {"memory", memory},
                {"numbers", numbers},   {"clocks", clocks},       {"library", library}};
  setvbuf(stdout, NULL, _IONBF, 0);
  for (unsigned i = 0; i < sizeof kParts / sizeof kParts[0]; i++) {
    const int before = g_bad;
    g_part = kParts[i].name;
    g_bad = 0;
    kParts[i].run();
    if (!g_bad) printf("ok %s\n", g_part);
    g_bad |= before;
  }
  return g_bad;
}
