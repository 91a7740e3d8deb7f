// MMX: 16-bit multiply-add, saturation and unpacking over 8 KiB.
#include <mmintrin.h>
#include <string.h>

#include "loops.h"

uint64_t mmx(long n) {
  enum { kWords = 1024 };
  static __m64 a[kWords], b[kWords];
  for (int i = 0; i < kWords; i++) {
    a[i] = _mm_set_pi16((short)(i * 3), (short)(i * 5), (short)(i * 7), (short)(i * 11));
    b[i] = _mm_set_pi16((short)(i * 13), (short)(i * 17), (short)(i * 19), (short)(i * 23));
  }
  __m64 sum = _mm_setzero_si64();
  for (long r = 0; r < n; r++)
    for (int i = 0; i < kWords; i++) {
      const __m64 low = _mm_unpacklo_pi16(a[i], b[i]), product = _mm_madd_pi16(low, b[i]);
      sum = _mm_add_pi32(sum, product);
      a[i] = _mm_adds_pi16(_mm_srai_pi16(a[i], 1), _mm_packs_pi32(product, sum));
    }
  uint64_t result;
  memcpy(&result, &sum, 8);
  _mm_empty();
  return result;
}
