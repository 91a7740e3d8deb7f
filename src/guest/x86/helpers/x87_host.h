// The host's x87 for the guest's: exact by nature. On other hosts kHostX87 is false and src/fpu does the work. Control
// word and sticky flags are the guest's while an operation runs; the host's are put back (0x37f, no flags): translated
// code, too, runs on the host's x87, and takes flags there for the guest's. Nothing else in the program uses x87.
#pragma once
#include "base/bits.h"

namespace doppel::x86::x87 {

struct alignas(16) Raw80 {
  u64 significand;
  u16 sign_exponent;
  u16 pad[3];
};

#if defined(__x86_64__)
constexpr bool kHostX87 = true;

struct HostControl {
  explicit HostControl(u16 cw) { asm volatile("fnclex\n\tfldcw %0" : : "m"(cw)); }
  ~HostControl() {
    const u16 normal = 0x37f;
    asm volatile("fnclex\n\tfldcw %0" : : "m"(normal));
  }
};
// The guest's sticky flags have been replaced: none may be left here.
inline void host_clear_flags() { asm volatile("fnclex"); }

// r = st1 OP st0 with a in st1 and b in st0; the opcode bytes are those of the popping form (DE xx).
#define DOPPEL_X87_BINARY(name, byte)                                                  \
  inline u16 host_##name(Raw80& r, const Raw80& a, const Raw80& b) {                   \
    u16 sw;                                                                            \
    asm volatile("fldt %2\n\tfldt %3\n\t.byte 0xde, " byte "\n\tfnstsw %1\n\tfstpt %0" \
                 : "=m"(r), "=a"(sw)                                                   \
                 : "m"(a), "m"(b));                                                    \
    return sw;                                                                         \
  }
DOPPEL_X87_BINARY(add, "0xc1")
DOPPEL_X87_BINARY(mul, "0xc9")
DOPPEL_X87_BINARY(sub, "0xe9")
DOPPEL_X87_BINARY(div, "0xf9")
#undef DOPPEL_X87_BINARY

inline u16 host_load32(Raw80& r, u32 bits) {
  u16 sw;
  asm volatile("flds %2\n\tfnstsw %1\n\tfstpt %0" : "=m"(r), "=a"(sw) : "m"(bits));
  return sw;
}
inline u16 host_load64(Raw80& r, u64 bits) {
  u16 sw;
  asm volatile("fldl %2\n\tfnstsw %1\n\tfstpt %0" : "=m"(r), "=a"(sw) : "m"(bits));
  return sw;
}
inline u16 host_store32(u32& bits, const Raw80& v) {
  u16 sw;
  asm volatile("fldt %2\n\tfstps %0\n\tfnstsw %1" : "=m"(bits), "=a"(sw) : "m"(v));
  return sw;
}
inline u16 host_store64(u64& bits, const Raw80& v) {
  u16 sw;
  asm volatile("fldt %2\n\tfstpl %0\n\tfnstsw %1" : "=m"(bits), "=a"(sw) : "m"(v));
  return sw;
}
inline u16 host_compare(const Raw80& a, const Raw80& b, bool quiet) {
  u16 sw;
  if (quiet)
    asm volatile("fldt %2\n\tfldt %1\n\tfucompp\n\tfnstsw %0" : "=a"(sw) : "m"(a), "m"(b));
  else
    asm volatile("fldt %2\n\tfldt %1\n\tfcompp\n\tfnstsw %0" : "=a"(sw) : "m"(a), "m"(b));
  return sw;
}
// D9 xx with a in ST(0), b in ST(1); out[0], out[1]: what ST(0) and ST(1) are after it. Ends with FNINIT;
// begins with conditions of 0, which some processors leave alone where an operand is a NaN.
inline u16 host_special(u8 modrm, const Raw80& a, const Raw80& b, Raw80 (&out)[2]) {
  u16 sw = 0;
#define DOPPEL_X87_SPECIAL(byte)                                                            \
  case byte:                                                                                \
    asm volatile("fld1\n\tftst\n\tfstp %%st(0)\n\tfldt %4\n\tfldt %3\n\t.byte 0xd9, " #byte \
                 "\n\tfnstsw %2\n\tfstpt %0\n\tfstpt %1\n\tfninit"                          \
                 : "=m"(out[0]), "=m"(out[1]), "=a"(sw)                                     \
                 : "m"(a), "m"(b));                                                         \
    break;
  switch (modrm) {
    DOPPEL_X87_SPECIAL(0xf0)
    DOPPEL_X87_SPECIAL(0xf1)
    DOPPEL_X87_SPECIAL(0xf2)
    DOPPEL_X87_SPECIAL(0xf3)
    DOPPEL_X87_SPECIAL(0xf4)
    DOPPEL_X87_SPECIAL(0xf5) DOPPEL_X87_SPECIAL(0xf8) DOPPEL_X87_SPECIAL(0xf9) DOPPEL_X87_SPECIAL(0xfa)
        DOPPEL_X87_SPECIAL(0xfb) DOPPEL_X87_SPECIAL(0xfc) DOPPEL_X87_SPECIAL(0xfd) DOPPEL_X87_SPECIAL(0xfe)
            DOPPEL_X87_SPECIAL(0xff) default : break;
  }
#undef DOPPEL_X87_SPECIAL
  return sw;
}
#else
constexpr bool kHostX87 = false;
struct HostControl {
  explicit HostControl(u16) {}
};
inline void host_clear_flags() {}
inline u16 host_add(Raw80&, const Raw80&, const Raw80&) { return 0; }
inline u16 host_mul(Raw80&, const Raw80&, const Raw80&) { return 0; }
inline u16 host_sub(Raw80&, const Raw80&, const Raw80&) { return 0; }
inline u16 host_div(Raw80&, const Raw80&, const Raw80&) { return 0; }
inline u16 host_load32(Raw80&, u32) { return 0; }
inline u16 host_load64(Raw80&, u64) { return 0; }
inline u16 host_store32(u32&, const Raw80&) { return 0; }
inline u16 host_store64(u64&, const Raw80&) { return 0; }
inline u16 host_compare(const Raw80&, const Raw80&, bool) { return 0; }
inline u16 host_special(u8, const Raw80&, const Raw80&, Raw80 (&)[2]) { return 0; }
#endif

}  // namespace doppel::x86::x87
