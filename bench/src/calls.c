// Calls: recursion, and calls through a table whose index is not predictable from the site.
// Built with -fno-optimize-sibling-calls, so that the recursion stays one.
#include "loops.h"

__attribute__((noinline, noclone)) static uint32_t fibonacci(uint32_t n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

uint64_t fib(long n) { return fibonacci((uint32_t)n); }

#define FN(i, expr) \
  __attribute__((noinline, noclone)) static uint32_t f##i(uint32_t x) { return expr; }
FN(0, x + 1)
FN(1, x ^ 0x55)
FN(2, x * 3)
FN(3, x - 7)
FN(4, x << 1 | x >> 31)
FN(5, x >> 1 | x << 31)
FN(6, x + (x >> 3))
FN(7, ~x)

uint64_t icall(long n) {
  static uint32_t (*const table[8])(uint32_t) = {f0, f1, f2, f3, f4, f5, f6, f7};
  uint32_t (*const volatile* calls)(uint32_t) = table;
  uint32_t x = 1, lcg = 1;
  for (long i = 0; i < n; i++) {
    x = calls[i & 7](x);                      // a short cycle, as in interpreters
    if ((i & 3) == 0) {
      lcg = lcg * 1664525u + 1013904223u;
      x = calls[lcg >> 29](x);                // a random one
    }
  }
  return x;
}
