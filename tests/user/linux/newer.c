// Calls of newer kernels, and those that few programs make.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char* error(long r) { return r >= 0 ? "done" : strerror(errno); }

struct waitv {
  uint64_t value, address;
  uint32_t flags, reserved;
};
static uint32_t words[2] = {5, 6};

static void futexes(void) {
  struct waitv v[2] = {{5, (uintptr_t)&words[0], 2 | 128, 0}, {7, (uintptr_t)&words[1], 2 | 128, 0}};
  printf("waitv of another value: %s\n", error(syscall(SYS_futex_waitv, v, 2, 0, 0, 0)));
  v[1].value = 6;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t until[2] = {now.tv_sec, now.tv_nsec + 20000000};
  if (until[1] >= 1000000000) until[0]++, until[1] -= 1000000000;
  printf("waitv in vain: %s\n", error(syscall(SYS_futex_waitv, v, 2, 0, until, CLOCK_MONOTONIC)));
  printf("waitv of nothing: %s\n", error(syscall(SYS_futex_waitv, v, 0, 0, 0, 0)));
  v[0].flags = 77;
  printf("waitv with bad flags: %s\n", error(syscall(SYS_futex_waitv, v, 2, 0, 0, 0)));
  printf("waitv nowhere: %s\n", error(syscall(SYS_futex_waitv, (void*)8, 2, 0, 0, 0)));
}

static volatile sig_atomic_t told;
static volatile int value;
static void on_message(int n, siginfo_t* i, void* u) {
  (void)u;
  told = n == SIGUSR1 && i->si_code == SI_MESGQ;
  value = i->si_value.sival_int;
}

static void messages(void) {
  char name[40];
  snprintf(name, sizeof name, "/doppel-%d", getpid());
  mqd_t q = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, NULL);
  if (q == (mqd_t)-1) {
    printf("no queue: %s\n", strerror(errno));
    return;
  }
  mq_unlink(name);
  struct sigaction a = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &a, NULL);
  struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 1234};
  printf("notify: %s\n", error(mq_notify(q, &e)));
  printf("again: %s\n", error(mq_notify(q, &e)));
  mq_send(q, "text", 4, 0);
  for (int i = 0; i < 100 && !told; i++) usleep(1000);
  printf("told %d value %d\n", told, value);
  e.sigev_notify = SIGEV_NONE;
  printf("none: %s\n", error(mq_notify(q, &e)));
  printf("no more: %s\n", error(mq_notify(q, NULL)));
  printf("bad: %s\n", error(mq_notify(99, &e)));
  mq_close(q);
}

static void handles(void) {
  struct {
    unsigned bytes;
    int type;
    unsigned char data[128];
  } h = {0, 0, {0}};
  int mount = -1;
  FILE* f = fopen("handle", "w");
  fputs("by handle", f);
  fclose(f);
  long r = syscall(SYS_name_to_handle_at, AT_FDCWD, "handle", &h, &mount, 0);
  printf("size of a handle: %s\n", error(r));
  if (errno != EOVERFLOW) return;
  printf("%d bytes\n", h.bytes > 0 && h.bytes <= 128);
  printf("handle: %s\n", error(syscall(SYS_name_to_handle_at, AT_FDCWD, "handle", &h, &mount, 0)));
  int folder = open(".", O_RDONLY);
  int fd = syscall(SYS_open_by_handle_at, folder, &h, O_RDONLY);
  printf("opened: %s\n", error(fd));
  char text[20] = "";
  if (fd >= 0) read(fd, text, 9);
  printf("<%s>\n", text);
  h.bytes = 1000;
  printf("too large: %s\n", error(syscall(SYS_open_by_handle_at, folder, &h, O_RDONLY)));
}

static void memory(void) {
  char* page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  page[0] = page[4096] = 1;
  unsigned long nodes[4] = {0};
  int mode = -1;
  long r = syscall(SYS_get_mempolicy, &mode, nodes, 8 * sizeof nodes, 0, 0);
  printf("policy: %s %d\n", error(r), r < 0 ? 0 : mode);
  printf("default: %s\n", error(syscall(SYS_set_mempolicy, 0, NULL, 0)));
  nodes[0] = 1;
  printf("bind: %s\n", error(syscall(SYS_mbind, page, 8192, 2, nodes, 8 * sizeof(long), 0)));
  r = syscall(SYS_get_mempolicy, &mode, NULL, 0, page, 3);
  printf("where: %s %d\n", error(r), mode);
  void* pages[2] = {page, page + 4096};
  int status[2] = {-1, -1};
  r = syscall(SYS_move_pages, 0, 2, pages, NULL, status, 0);
  printf("asked: %s %d %d\n", error(r), status[0], status[1]);
  printf("bad nodes: %s\n", error(syscall(SYS_mbind, page, 4096, 2, (void*)8, 64, 0)));
  printf("key: %s\n", error(syscall(SYS_pkey_free, 15)));
}

static void mounts(void) {
  printf("fsopen: %s\n", error(syscall(SYS_fsopen, "nosuchfs", 0)));
  printf("open_tree: %s\n", error(syscall(SYS_open_tree, AT_FDCWD, "nothing", 0)));
  uint64_t attributes[4] = {1, 0, 0, 0};
  printf("setattr small: %s\n", error(syscall(SYS_mount_setattr, AT_FDCWD, "nothing", 0, attributes, 8)));
  printf("setattr nothing: %s\n", error(syscall(SYS_mount_setattr, AT_FDCWD, "nothing", 0, attributes, 32)));
  printf("move_mount: %s\n", error(syscall(SYS_move_mount, -1, "", -1, "", 0)));
}

int main(void) {
  char folder[] = "/tmp/newer.XXXXXX";
  if (!mkdtemp(folder) || chdir(folder)) return 1;
  futexes();
  messages();
  handles();
  memory();
  mounts();
  char kind[64] = "";
#ifdef SYS_sysfs
  printf("sysfs: %s\n", error(syscall(SYS_sysfs, 2, 0, kind)));
#endif
  printf("%d\n", kind[0] != 0);
  unlink("handle");
  rmdir(folder);
  return 0;
}
