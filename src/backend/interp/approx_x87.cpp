// The x87's transcendental and partial instructions. On an x86 host by its own, so that the interpreter and the code
// generator agree in what the SDM leaves to the processor. The host's x87 is as we found it afterwards: no flags,
// control word 0x37f.
#include <cstring>

#include "backend/interp/frame.h"

namespace doppel::backend::interp {

#if defined(__x86_64__)

namespace {
struct alignas(16) Image {
  u64 significand;
  u16 sign_exponent;
  u16 pad[3];
};
Image image_of(const fpu::f80& v) { return {v.significand, v.sign_exponent, {}}; }
}  // namespace

// Both registers after it, where it pops the second one is rubbish. FNINIT clears what its store leaves behind, and the
// conditions before: some processors leave them alone where an operand is a NaN.
#define DOPPEL_CASE(code, opcode)                                                  \
  case code:                                                                       \
    asm volatile("fninit\n\tfldcw %5\n\tfldt %4\n\tfldt %3\n\t.byte 0xd9, " opcode \
                 "\n\tfnstsw %2\n\tfstpt %0\n\tfstpt %1\n\tfninit"                 \
                 : "=m"(first), "=m"(second), "=a"(sw)                             \
                 : "m"(x), "m"(y), "m"(cw));                                       \
    break;

fpu::X87Special x87_special(unsigned code, const fpu::f80& a, const fpu::f80& b, u16 control, fpu::Env& env) {
  const Image x = image_of(a), y = image_of(b);
  Image first{}, second{};
  u16 sw = 0;
  const u16 cw = control | 0x3f;
  switch (code) {
    DOPPEL_CASE(0, "0xf0")
    DOPPEL_CASE(1, "0xf1")
    DOPPEL_CASE(3, "0xf3")
    DOPPEL_CASE(4, "0xf4")
    DOPPEL_CASE(5, "0xf5")
    DOPPEL_CASE(8, "0xf8")
    DOPPEL_CASE(9, "0xf9")
    DOPPEL_CASE(13, "0xfd")
    DOPPEL_CASE(14, "0xfe")
    DOPPEL_CASE(15, "0xff")
    default: break;
  }
  env.flags = sw & 0x3f;
  fpu::X87Special r;
  r.st0 = {first.significand, first.sign_exponent};
  r.st1 = {second.significand, second.sign_exponent};
  r.pushes = code == 4;
  r.pops = ir::kXSpecialPops >> code & 1;
  if (r.pops) r.st1 = r.st0;
  r.conditions = sw & 0x4700;
  return r;
}
#undef DOPPEL_CASE

#else

fpu::X87Special x87_special(unsigned code, const fpu::f80& a, const fpu::f80& b, u16, fpu::Env& env) {
  return fpu::x87_special(code, a, b, env);
}

#endif

}  // namespace doppel::backend::interp
