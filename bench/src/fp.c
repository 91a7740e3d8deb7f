// Scalar floating point. `dbl` is what the compiler makes of double by default: x87 on i386, SSE2 on amd64.
#include <math.h>
#include <string.h>

#include "loops.h"

static uint64_t bits(double v) {
  uint64_t b;
  memcpy(&b, &v, 8);
  return b;
}

// A three-body problem, n steps.
uint64_t dbl(long n) {
  double p[3][3] = {{0, 0, 0}, {1, 0.1, 0.2}, {-1.2, 0.3, -0.1}}, v[3][3] = {{0, 0, 0.01}, {0.1, 0.9, 0}, {0, -0.8, 0.1}};
  const double m[3] = {1.0, 0.01, 0.02}, dt = 0.001;
  for (long step = 0; step < n; step++) {
    for (int i = 0; i < 3; i++)
      for (int j = i + 1; j < 3; j++) {
        const double dx = p[i][0] - p[j][0], dy = p[i][1] - p[j][1], dz = p[i][2] - p[j][2];
        const double d2 = dx * dx + dy * dy + dz * dz + 0.01;
        const double k = dt / (d2 * sqrt(d2));
        v[i][0] -= dx * m[j] * k;
        v[i][1] -= dy * m[j] * k;
        v[i][2] -= dz * m[j] * k;
        v[j][0] += dx * m[i] * k;
        v[j][1] += dy * m[i] * k;
        v[j][2] += dz * m[i] * k;
      }
    for (int i = 0; i < 3; i++)
      for (int c = 0; c < 3; c++) p[i][c] += dt * v[i][c];
  }
  return bits(p[0][0] + p[1][1] + p[2][2]);
}

// sin, exp, log and pow of the C library. The host's library may take another path (FMA), so only nine digits count.
uint64_t libm(long n) {
  double sum = 0;
  for (long i = 0; i < n; i++) {
    const double x = 0.25 + (double)(i & 1023) / 256;
    sum += sin(x) + exp(-x) + log(x) + pow(x, 1.5);
  }
  return (uint64_t)(sum * 1000);
}
