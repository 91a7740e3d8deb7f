// Runs in the guest: diskbench DEVICE SECONDS [TEST]. Random 4 KiB and sequential 1 MiB reads and writes of a disk, past the
// guest's page cache, by one process and by eight. A line a test: DISK name rate unit.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <linux/fs.h>
#include <time.h>
#include <unistd.h>

static const char *only;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
static uint64_t state = 88172645463325252ull;
static uint64_t next(void) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state;
}

// One process's operations within the time.
static uint64_t work(int fd, uint64_t size, size_t block, int writes, int random, double seconds, void *buffer) {
  uint64_t n = 0, blocks = size / block, at = random ? 0 : next() % blocks;
  for (double end = now() + seconds; now() < end; n++) {
    uint64_t where = (random ? next() % blocks : at++ % blocks) * block;
    ssize_t done = writes ? pwrite(fd, buffer, block, where) : pread(fd, buffer, block, where);
    if (done != (ssize_t)block) {
      perror("diskbench");
      exit(1);
    }
  }
  return n;
}

static void test(const char *name, const char *device, size_t block, int writes, int random, int processes, double seconds) {
  if (only && strcmp(only, name) != 0) return;
  int fd = open(device, (writes ? O_RDWR : O_RDONLY) | O_DIRECT);
  uint64_t size = 0;
  if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) != 0) {
    perror(device);
    exit(1);
  }
  uint64_t *count = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  double begin = now();
  for (int p = 0; p < processes; p++) {
    if (fork() == 0) {
      void *buffer = mmap(0, block, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      memset(buffer, 0x5a + p, block);
      state += 0x9e3779b97f4a7c15ull * (p + 1);
      count[p] = work(fd, size, block, writes, random, seconds, buffer);
      _exit(0);
    }
  }
  while (wait(0) > 0) {
  }
  if (writes) fsync(fd);
  double took = now() - begin;
  uint64_t total = 0;
  for (int p = 0; p < processes; p++) total += count[p];
  if (random) {
    printf("DISK %s %.0f op/s\n", name, total / took);
  } else {
    printf("DISK %s %.1f MiB/s\n", name, total * (block / 1048576.0) / took);
  }
  fflush(stdout);
  close(fd);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  only = argv[3];
  double s = atof(argv[2]);
  test("read-4k", argv[1], 4096, 0, 1, 1, s);
  test("write-4k", argv[1], 4096, 1, 1, 1, s);
  test("read-4k-8", argv[1], 4096, 0, 1, 8, s);
  test("write-4k-8", argv[1], 4096, 1, 1, 8, s);
  test("read-1m", argv[1], 1 << 20, 0, 0, 1, s);
  test("write-1m", argv[1], 1 << 20, 1, 0, 1, s);
  return 0;
}
