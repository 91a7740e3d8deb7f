// Packed single precision (SSE) as the compiler's vectoriser writes it: y = a*x + y, a clamp and a reduction over 16 KiB arrays.
#include <string.h>

#include "loops.h"

enum { kLanes = 4096 };
static float x[kLanes] __attribute__((aligned(16))), y[kLanes] __attribute__((aligned(16)));

uint64_t simd_f32(long n) {
  for (int i = 0; i < kLanes; i++) {
    x[i] = 0.001f * (float)(i % 1000);
    y[i] = 0.5f;
  }
  for (long r = 0; r < n; r++) {
    const float a = 0.001f * (float)(r & 7);
    for (int i = 0; i < kLanes; i++) y[i] = y[i] * 0.99f + a * x[i];
    for (int i = 0; i < kLanes; i++) x[i] = x[i] < y[i] ? x[i] + 0.25f : x[i] - 0.125f;
  }
  uint32_t sum = 0, b;
  for (int i = 0; i < kLanes; i++) {
    memcpy(&b, &y[i], 4);
    sum = sum * 31 + b;
  }
  return sum;
}
