// The operating system's share: switches between processes, fork, exec, system calls, signals.
#define _GNU_SOURCE
#include <linux/random.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loops.h"

static void fail(const char* what) {
  perror(what);
  exit(1);
}

// The switches are between two processes on one CPU, on the native run as well.
static void one_cpu(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  sched_setaffinity(0, sizeof set, &set);
}

// A word goes to a child and back through two pipes, n times.
uint64_t pipe_switch(long n) {
  int down[2], up[2];
  uint32_t word = 1;
  one_cpu();
  if (pipe(down) || pipe(up)) fail("pipe");
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    while (read(down[0], &word, 4) == 4 && word != 0) {
      word = word * 3 + 1;
      if (write(up[1], &word, 4) != 4) _exit(1);
    }
    _exit(0);
  }
  uint32_t sum = 0;
  for (long i = 0; i < n; i++) {
    word = (uint32_t)i | 1;
    if (write(down[1], &word, 4) != 4 || read(up[0], &word, 4) != 4) fail("pipe");
    sum = sum * 31 + word;
  }
  word = 0;
  if (write(down[1], &word, 4) != 4) fail("write");
  waitpid(child, 0, 0);
  return sum;
}

// n children that touch a page and end.
uint64_t fork_wait(long n) {
  uint32_t sum = 0;
  for (long i = 0; i < n; i++) {
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      volatile char page[4096];
      page[i & 4095] = (char)(i & 127);
      _exit(page[i & 4095]);
    }
    int status = 0;
    waitpid(child, &status, 0);
    sum = sum * 31 + (uint32_t)WEXITSTATUS(status);
  }
  return sum;
}

// Two processes yield to each other, n times each.
uint64_t yield(long n) {
  one_cpu();
  const pid_t child = fork();
  if (child < 0) fail("fork");
  for (long i = 0; i < n; i++) sched_yield();
  if (child == 0) _exit(0);
  int status = 0;
  waitpid(child, &status, 0);
  return (uint64_t)n + (uint64_t)status;
}

uint64_t syscalls(long n) {
  long sum = 0;
  for (long i = 0; i < n; i++) sum += syscall(SYS_getppid) != 0;
  return (uint64_t)sum;
}

static volatile sig_atomic_t caught;
static void on_signal(int number) {
  (void)number;
  caught++;
}

uint64_t signals(long n) {
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &action, 0);
  const pid_t self = getpid();
  for (long i = 0; i < n; i++) kill(self, SIGUSR1);
  return (uint64_t)caught;
}

// n starts of this (static) program, which ends at once.
uint64_t exec_self(long n) {
  uint64_t good = 0;
  for (long i = 0; i < n; i++) {
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      execl("/proc/self/exe", "loops", "true", (char*)0);
      _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    good += status == 0;
  }
  return good;
}

// Credits the kernel's random pool, so that no program burns time waiting for it. Needs root; for the guest's init only.
uint64_t seed(long n) {
  struct {
    struct rand_pool_info info;
    uint32_t words[16];
  } pool = {.info = {.entropy_count = 512, .buf_size = 64}};
  for (int i = 0; i < 16; i++) pool.words[i] = (uint32_t)(n + i) * 2654435761u;
  const int fd = open("/dev/urandom", O_WRONLY);
  if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool)) fail("/dev/urandom");
  close(fd);
  return 0;
}
