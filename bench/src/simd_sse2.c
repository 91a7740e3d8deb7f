// Packed double precision and packed integers (SSE2) as the compiler's vectoriser writes them.
#include <string.h>

#include "loops.h"

enum { kLanes = 4096 };

uint64_t simd_f64(long n) {
  static double x[kLanes] __attribute__((aligned(16))), y[kLanes] __attribute__((aligned(16)));
  for (int i = 0; i < kLanes; i++) {
    x[i] = 0.001 * (i % 1000);
    y[i] = 0.5;
  }
  for (long r = 0; r < n; r++) {
    const double a = 0.001 * (double)(r & 7);
    for (int i = 0; i < kLanes; i++) y[i] = y[i] * 0.99 + a * x[i];
    for (int i = 0; i < kLanes; i++) x[i] = (x[i] + y[i]) * 0.5;
  }
  uint64_t sum = 0, b;
  for (int i = 0; i < kLanes; i++) {
    memcpy(&b, &y[i], 8);
    sum = sum * 31 + b;
  }
  return sum;
}

// Bytes: saturated blend; 16 bits: multiply and shift; 32 bits: add, compare, select.
uint64_t simd_int(long n) {
  static uint8_t p[kLanes] __attribute__((aligned(16))), q[kLanes] __attribute__((aligned(16)));
  static int16_t s[kLanes] __attribute__((aligned(16)));
  static int32_t w[kLanes] __attribute__((aligned(16)));
  for (int i = 0; i < kLanes; i++) {
    p[i] = (uint8_t)(i * 7);
    q[i] = (uint8_t)(i * 13);
    s[i] = (int16_t)(i * 31);
    w[i] = (int32_t)((uint32_t)i * 1000003u);
  }
  for (long r = 0; r < n; r++) {
    for (int i = 0; i < kLanes; i++) p[i] = (uint8_t)((p[i] + q[i] + 1) >> 1);
    for (int i = 0; i < kLanes; i++) q[i] = q[i] > p[i] ? q[i] : (uint8_t)(p[i] ^ 0x5a);
    for (int i = 0; i < kLanes; i++) s[i] = (int16_t)((s[i] * 3) >> 1);
    for (int i = 0; i < kLanes; i++) w[i] = w[i] > s[i] ? (int32_t)((uint32_t)w[i] - (uint32_t)r) : (int32_t)((uint32_t)w[i] + (uint32_t)s[i]);
  }
  uint32_t sum = 0;
  for (int i = 0; i < kLanes; i++) sum = sum * 31 + p[i] + q[i] * 3u + (uint32_t)s[i] + (uint32_t)w[i];
  return sum;
}
