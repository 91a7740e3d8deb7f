// Integer loops: arithmetic in registers, branches that depend on data, a table-driven checksum.
#include "loops.h"

uint64_t alu(long n) {
  uint32_t a = 0x12345678, b = 0x9abcdef0, c = 1;
  for (long i = 0; i < n; i++) {
    a ^= a << 13;
    a ^= a >> 17;
    a ^= a << 5;
    b = b * 1664525u + 1013904223u;
    c = (c << 7 | c >> 25) + (a & b);
    b -= c ^ (uint32_t)i;
  }
  return a ^ b ^ c;
}

// Lengths of the Collatz sequences of 1..n.
uint64_t branch(long n) {
  uint32_t steps = 0;
  for (uint32_t i = 1; i <= (uint32_t)n; i++) {
    uint32_t x = i;
    while (x != 1) {
      if (x & 1) x = 3 * x + 1;
      else x >>= 1;
      steps++;
    }
  }
  return steps;
}

// CRC-32 of 64 KiB, n times.
uint64_t crc(long n) {
  static uint32_t table[256];
  static uint8_t data[65536];
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    table[i] = c;
  }
  for (uint32_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 31 + (i >> 8));
  uint32_t sum = ~0u;
  for (long r = 0; r < n; r++)
    for (uint32_t i = 0; i < sizeof data; i++) sum = table[(sum ^ data[i]) & 0xff] ^ sum >> 8;
  return ~sum;
}

#ifdef X86
// 16 dependent additions a round, one cycle each: tells the host's clock rate.
uint64_t hz(long n) {
  unsigned long x = 1;
  for (long i = 0; i < n; i++)
    __asm__ volatile(
        "add $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\t"
        "add $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0"
        : "+r"(x));
  return x;
}
#endif
