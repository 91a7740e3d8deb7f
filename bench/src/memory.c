// Memory loops: strided read-modify-write, a pointer chase, the C library's memcpy, string instructions.
#include <string.h>

#include "loops.h"

// 4 MiB, one word of every 68 bytes, n passes.
uint64_t stride(long n) {
  static uint32_t a[1 << 20];
  for (long r = 0; r < n; r++)
    for (uint32_t i = 0; i < 1 << 20; i += 17) a[i] += i ^ (uint32_t)r;
  uint32_t sum = 0;
  for (uint32_t i = 0; i < 1 << 20; i++) sum = sum * 31 + a[i];
  return sum;
}

struct Node {
  struct Node* next;
  uint32_t value;
};

// One cycle through 64 KiB of nodes in a shuffled order, n thousand steps.
uint64_t chase(long n) {
  enum { kNodes = 65536 / sizeof(struct Node) };
  static struct Node nodes[kNodes];
  static uint32_t order[kNodes];
  uint32_t lcg = 1;
  for (uint32_t i = 0; i < kNodes; i++) order[i] = i;
  for (uint32_t i = kNodes - 1; i > 0; i--) {
    lcg = lcg * 1664525u + 1013904223u;
    const uint32_t j = (lcg >> 8) % (i + 1), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
  for (uint32_t i = 0; i < kNodes; i++) {
    nodes[order[i]].next = &nodes[order[(i + 1) % kNodes]];
    nodes[i].value = i & 255;
  }
  const struct Node* p = nodes;
  uint32_t sum = 0;
  for (long i = 0; i < n * 1000; i++) {
    sum = sum * 3 + p->value;
    p = p->next;
  }
  return sum;
}

// memcpy of 64 KiB and of 40 blocks of 8 to 320 bytes, n times.
uint64_t copy(long n) {
  static uint8_t from[65536 + 64], to[65536 + 64];
  for (uint32_t i = 0; i < sizeof from; i++) from[i] = (uint8_t)(i * 7 + 3);
  for (long r = 0; r < n; r++) {
    memcpy(to, from + (r & 15), 65536);
    for (int k = 1; k <= 40; k++) memcpy(to + k * 512, from + k + (r & 31), (size_t)k * 8);
    from[r & 65535]++;
  }
  uint32_t sum = 0;
  for (uint32_t i = 0; i < sizeof to; i++) sum = sum * 31 + to[i];
  return sum;
}

#ifdef X86
static void rep_movsb(void* to, const void* from, unsigned long bytes) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static void rep_stosl(void* to, uint32_t value, unsigned long words) {
  __asm__ volatile("rep stosl" : "+D"(to), "+c"(words) : "a"(value) : "memory");
}

// rep movsb of 32 KiB, n times.
uint64_t movsb(long n) {
  static uint8_t from[32768 + 64], to[32768 + 64];
  for (uint32_t i = 0; i < sizeof from; i++) from[i] = (uint8_t)(i * 5 + 1);
  for (long r = 0; r < n; r++) rep_movsb(to + (r & 7), from + (r & 31), 32768);
  uint32_t sum = 0;
  for (uint32_t i = 0; i < sizeof to; i++) sum = sum * 31 + to[i];
  return sum;
}

// rep stosd of 32 KiB, n times.
uint64_t stosd(long n) {
  static uint8_t to[32768 + 64];
  for (long r = 0; r < n; r++) rep_stosl(to + (r & 3) * 4, (uint32_t)r * 2654435761u, 8192);
  uint32_t sum = 0;
  for (uint32_t i = 0; i < sizeof to; i++) sum = sum * 31 + to[i];
  return sum;
}
#endif
