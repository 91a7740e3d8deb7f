/* Loads and stores at any address: Linux does them for programs of CPUs that can't. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint8_t memory[64];

/* Stored at an odd address and copied out; copied in and loaded. */
#define TRY(type, format, value)                                     \
  for (int at = 0; at < 8; at++) {                                   \
    volatile type* p = (volatile type*)(memory + 16 + at);           \
    const type stored = (type)(value) + at;                          \
    type copy;                                                       \
    *p = stored;                                                     \
    memcpy(&copy, memory + 16 + at, sizeof copy);                    \
    const type in = stored * 2;                                      \
    memcpy(memory + 24 + at, &in, sizeof in);                        \
    printf(#type " %d " format " " format "\n", at, copy, *(volatile type*)(memory + 24 + at)); \
  }

int main(void) {
  TRY(int16_t, "%d", -12345)
  TRY(uint16_t, "%u", 54321 / 2)
  TRY(int32_t, "%d", -123456789)
  TRY(float, "%g", 1.25)
  TRY(double, "%g", -2e100)
  TRY(int64_t, "%lld", 0x123456789abcdefll)
  return 0;
}
