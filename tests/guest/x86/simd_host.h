// Runs one SSE or MMX instruction on the host CPU with a given register state: the reference for the translated one.
// x86-64 only.
#pragma once
#if defined(__x86_64__) && defined(__linux__)
#include <cstddef>
#include <cstring>

#include "base/bits.h"

namespace doppel::x86::test {

// The memory image of FXSAVE (SDM vol. 1, table 10-2).
struct alignas(16) FxImage {
  u16 fcw, fsw;
  u8 ftw, reserved;
  u16 fop;
  u64 fip, fdp;
  u32 mxcsr, mxcsr_mask;
  struct {
    u64 significand;
    u16 sign_exponent;
    u8 pad[6];
  } st[8];  // ST(0) first
  u64 xmm[16][2];
  u8 rest[96];
};
static_assert(sizeof(FxImage) == 512);

struct HostRegisters {
  FxImage fx;
  u64 gpr[3];  // RAX RCX RDX
  u64 rsi, rdi;
  u64 rflags;
};

// Memory for code: `run` executes `code` (one instruction) with the registers, which it updates. False if it raised
// SIGFPE: the registers are those of the moment of the exception.
class HostCpu {
 public:
  HostCpu();
  ~HostCpu();
  HostCpu(const HostCpu&) = delete;
  bool run(const u8* code, size_t size, HostRegisters& registers);

 private:
  u8* page_ = nullptr;
};

}  // namespace doppel::x86::test
#endif
