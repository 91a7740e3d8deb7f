// Memory: mmap and its family, protections, maps of files, the heap, /proc/self/maps, code that is written.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static sigjmp_buf out;
static volatile int faults;
static void on_fault(int n) {
  faults++;
  siglongjmp(out, n);
}

static int can_read(volatile char* p) {
  if (sigsetjmp(out, 1)) return 0;
  (void)*p;
  return 1;
}
static int can_write(volatile char* p) {
  if (sigsetjmp(out, 1)) return 0;
  *p = *p;
  return 1;
}

// A function that returns `value`.
static size_t emit(unsigned char* at, int value) {
#if defined(__mips__)
  uint32_t code[3] = {0x24020000u | (value & 0xffff), 0x03e00008u, 0};
  memcpy(at, code, sizeof code);
  size_t size = sizeof code;
#else
  at[0] = 0xb8;
  memcpy(at + 1, &value, 4);
  at[5] = 0xc3;
  size_t size = 6;
#endif
  __builtin___clear_cache((char*)at, (char*)at + size);
  return size;
}

typedef int (*Function)(void);

static void written_code(void) {
  unsigned char* page = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  long sum = 0;
  for (int i = 0; i < 1000; i++) {
    emit(page, i);
    sum += ((Function)page)();
  }
  printf("rewritten code: %ld\n", sum);
  // Code and data in one page.
  emit(page, 3);
  volatile int* data = (volatile int*)(page + 2048);
  sum = 0;
  for (int i = 0; i < 1000; i++) {
    *data = i;
    sum += ((Function)page)() * *data;
  }
  printf("code beside data: %ld\n", sum);
  // Across a page's end, each half rewritten.
  unsigned char* edge = page + 4096 - 4;
  sum = 0;
  for (int i = 0; i < 100; i++) {
    emit(edge, i);
    sum += ((Function)edge)();
  }
  printf("across pages: %ld\n", sum);
  // Written by the kernel.
  int p[2];
  pipe(p);
  unsigned char code[16];
  size_t size = emit(code, 111);
  sum = 0;
  for (int i = 0; i < 3; i++) {
    emit(code, 111 + i);
    write(p[1], code, size);
    read(p[0], page, size);
    __builtin___clear_cache((char*)page, (char*)page + size);
    sum += ((Function)page)();
  }
  printf("read into code: %ld\n", sum);
  // Written, then protected; mapped anew at the same place.
  mprotect(page, 8192, PROT_READ | PROT_WRITE);
  emit(page, 20);
  mprotect(page, 8192, PROT_READ | PROT_EXEC);
  sum = ((Function)page)();
  mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  emit(page, 30);
  mprotect(page, 4096, PROT_READ | PROT_EXEC);
  sum += ((Function)page)();
  printf("protected and replaced: %ld\n", sum);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct sigaction a;
  memset(&a, 0, sizeof a);
  a.sa_handler = on_fault;
  sigaction(SIGSEGV, &a, NULL);
  sigaction(SIGBUS, &a, NULL);

  char* p = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(p, 7, 16 * 4096);
  mprotect(p + 4096, 4096, PROT_READ);
  mprotect(p + 8192, 4096, PROT_NONE);
  munmap(p + 3 * 4096, 4096);
  printf("protections: %d%d %d%d %d%d %d%d\n", can_read(p), can_write(p), can_read(p + 4096), can_write(p + 4096),
         can_read(p + 8192), can_write(p + 8192), can_read(p + 3 * 4096), can_write(p + 3 * 4096));
  char* q = mmap(p + 3 * 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  printf("fixed: %d, %d\n", q == p + 3 * 4096, *q);
  q = mmap(p, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  printf("no replace: %s\n", q == MAP_FAILED && errno == EEXIST ? "EEXIST" : "mapped");
  q = mmap(p + 1, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  printf("not aligned: %s\n", q == MAP_FAILED && errno == EINVAL ? "EINVAL" : "mapped");
  printf("munmap of nothing aligned: %d\n", munmap(p + 1, 4096));
  printf("mprotect of a hole: %s\n",
         munmap(p + 5 * 4096, 4096) == 0 && mprotect(p + 4 * 4096, 3 * 4096, PROT_READ) < 0 && errno == ENOMEM ? "ENOMEM"
                                                                                                               : "done");
  p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  strcpy(p, "moved");
  p = mremap(p, 4096, 64 * 4096, MREMAP_MAYMOVE);
  printf("mremap: %s, %d\n", p, p[63 * 4096]);
  char* place = mmap(NULL, 64 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  q = mremap(p, 64 * 4096, 64 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, place);
  printf("mremap fixed: %s, old %d\n", q == place ? q : "elsewhere", can_read(p));
  q = mremap(q, 64 * 4096, 4096, 0);
  printf("shrunk: %d %d\n", can_read(q), can_read(q + 4096));
  madvise(q, 4096, MADV_DONTNEED);
  printf("MADV_DONTNEED: %d\n", *q);

  char path[] = "/tmp/doppel-map-XXXXXX";
  int fd = mkstemp(path);
  unlink(path);
  char block[4096 * 2 + 100];
  for (size_t i = 0; i < sizeof block; i++) block[i] = (char)(i / 4096 + 'a');
  write(fd, block, sizeof block);
  char* shared = mmap(NULL, sizeof block, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  char* private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 4096);
  shared[4096] = 'X';
  private[1] = 'Y';
  char c[2];
  pread(fd, c, 2, 4096);
  printf("file: %c %c, %c%c, %c%c, %d\n", shared[0], shared[8192], c[0], c[1], private[1], private[2],
         shared[sizeof block]);
  printf("msync: %d\n", msync(shared, 4096, MS_SYNC));

  char* top = sbrk(0);
  printf("sbrk: %d\n", sbrk(100000) == top && (char*)sbrk(0) == top + 100000);
  memset(top, 1, 100000);
  printf("brk back: %d\n", brk(top));
  void* blocks[100];
  for (int i = 0; i < 100; i++) memset(blocks[i] = malloc(1000u * (unsigned)(i + 1)), i, 1000u * (unsigned)(i + 1));
  for (int i = 0; i < 100; i++) free(blocks[i]);

  FILE* maps = fopen("/proc/self/maps", "r");
  char line[512];
  int own = 0, stack = 0, foreign = 0;
  while (fgets(line, sizeof line, maps)) {
    unsigned long from, to;
    char perms[5];
    if (sscanf(line, "%lx-%lx %4s", &from, &to, perms) != 3) continue;
    if ((uintptr_t)main >= from && (uintptr_t)main < to) own += strcmp(perms, "r-xp") == 0;
    if ((uintptr_t)line >= from && (uintptr_t)line < to) stack += strncmp(perms, "rw", 2) == 0;
    foreign += strstr(line, "doppel\n") != NULL;
  }
  fclose(maps);
  printf("maps: program %d, stack %d, others %d\n", own, stack, foreign);
  char* high = mmap(NULL, (size_t)256 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  printf("large: %d\n", high != MAP_FAILED && munmap(high, (size_t)256 << 20) == 0);
  written_code();
  return 0;
}
