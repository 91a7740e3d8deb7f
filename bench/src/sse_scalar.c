// Scalar single precision in SSE registers (-mfpmath=sse on i386 too): a logistic map, a square root and a comparison a round.
#include <math.h>
#include <string.h>

#include "loops.h"

uint64_t flt(long n) {
  float x = 0.3f, y = 0.1f, sum = 0;
  for (long i = 0; i < n; i++) {
    x = 3.7f * x * (1.0f - x);
    y = sqrtf(y * x + 0.5f) / (1.0f + x);
    if (x > y) sum += x - y;
    else sum -= x * 0.5f;
  }
  uint32_t b;
  sum += y;
  memcpy(&b, &sum, 4);
  return b;
}
