// x87 with all 64 bits of precision: Horner's rule, a division and a square root a round; comparisons by fucomi or fnstsw.
#include <math.h>
#include <string.h>

#include "loops.h"

uint64_t x87(long n) {
  long double x = 0.37L, sum = 0;
  for (long i = 0; i < n; i++) {
    const long double t = (((x * 0.25L + 0.5L) * x - 0.125L) * x + 1.5L) * x + 0.01L;
    x = sqrtl(t) / (1.0L + x * x);
    if (x > 0.7L) x -= 0.6L;
    sum += x * (long double)(i & 7);
  }
  uint64_t mantissa;
  memcpy(&mantissa, &sum, 8);
  return mantissa;
}
