/* Computes and prints: compiled for instruction sets besides the usual ones (run.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t state = 12345;
static uint32_t next(void) { return state = state * 1664525u + 1013904223u; }

static uint8_t bytes[256], other[256];
static int16_t halves[128], more[128];
static int32_t words[64];
static float floats[64];
static double doubles[32];

static uint32_t sum_of(const void* data, unsigned size) {
  uint32_t h = 2166136261u;
  for (unsigned i = 0; i < size; i++) h = (h ^ ((const uint8_t*)data)[i]) * 16777619u;
  return h;
}

static void loops(void) {
  for (int i = 0; i < 256; i++) bytes[i] = next() >> 24, other[i] = next() >> 24;
  for (int i = 0; i < 128; i++) halves[i] = next() >> 16, more[i] = next() >> 16;
  for (int i = 0; i < 64; i++) words[i] = next(), floats[i] = (int32_t)next() / 65536.0f;
  for (int i = 0; i < 32; i++) doubles[i] = (int32_t)next() / 3.0;
  uint32_t total = 0;
  int64_t dot = 0;
  for (int i = 0; i < 256; i++) {
    total += bytes[i] > other[i] ? bytes[i] - other[i] : other[i] - bytes[i];
    bytes[i] = bytes[i] + other[i] > 255 ? 255 : bytes[i] + other[i];
  }
  for (int i = 0; i < 128; i++) {
    dot += (int32_t)halves[i] * more[i];
    halves[i] = halves[i] > more[i] ? halves[i] >> 3 : more[i] << 1;
  }
  for (int i = 0; i < 64; i++) words[i] = words[i] * 7 + (words[i] >> 5) - (words[i] / (i + 1));
  for (int i = 0; i < 64; i++) floats[i] = floats[i] * floats[63 - i] + 1.5f;
  for (int i = 0; i < 32; i++) doubles[i] = doubles[i] < 0 ? -doubles[i] : doubles[i] / 4;
  printf("%u %lld %08x %08x\n", total, (long long)dot, sum_of(bytes, sizeof bytes), sum_of(other, sizeof other));
  int hash = 0;
  for (int i = 0; i < 128; i++) hash = hash * 31 + halves[i];
  for (int i = 0; i < 64; i++) hash = hash * 31 + words[i];
  printf("%d %.6g %.6g %.10g\n", hash, floats[3], floats[40], doubles[7]);
}

static int added(int count, ...) {
  va_list list;
  va_start(list, count);
  int sum = 0;
  while (count--) sum += va_arg(list, int);
  va_end(list);
  return sum;
}

static const char* name_of(unsigned n) {
  switch (n) {
    case 0: return "zero";
    case 1: return "one";
    case 2: return "two";
    case 3: return "three";
    case 5: return "five";
    case 8: return "eight";
    case 13: return "thirteen";
    default: return "other";
  }
}

static int depth(int n, int a, int b, int c, int d, int e) {
  char room[200];
  memset(room, n, sizeof room);
  if (n == 0) return a + b * 2 + c * 3 + d * 4 + e * 5 + room[100];
  return depth(n - 1, b, c, d, e, a) + room[n];
}

static jmp_buf target;
static void jumps(int n) {
  if (n == 0) longjmp(target, 7);
  jumps(n - 1);
}

static int compare(const void* a, const void* b) { return *(const int*)a < *(const int*)b ? -1 : *(const int*)a > *(const int*)b; }
static void sort(int* v, int n, int (*cmp)(const void*, const void*)) {
  for (int i = 1; i < n; i++)
    for (int k = i; k > 0 && cmp(&v[k - 1], &v[k]) > 0; k--) {
      const int t = v[k];
      v[k] = v[k - 1], v[k - 1] = t;
    }
}

int main(void) {
  loops();
  loops();
  printf("%d %s %s %s\n", added(6, 1, 20, 300, 4000, 50000, 600000), name_of(5), name_of(6), name_of(13));
  printf("%d\n", depth(20, 1, 2, 3, 4, 5));
  const int came = setjmp(target);
  if (came == 0) jumps(5);
  printf("%d\n", came);
  sort((int*)words, 64, compare);
  printf("%d %d %d\n", words[0], words[31], words[63]);
  const uint64_t wide = 0x123456789abcdef0ull;
  printf("%llx %llx %lld %llu\n", (unsigned long long)(wide << 13), (unsigned long long)(wide >> 7),
         (long long)(int64_t)wide / -1234567, (unsigned long long)wide % 1000007);
  printf("%d %u %d\n", -17 / 5, 4000000000u / 7, -17 % 5);
  char text[64];
  snprintf(text, sizeof text, "%-8s|%5.2f|%c", "left", 3.14159, 'x');
  puts(text);
  return 0;
}
