// Runs a few bytes of code on the host CPU with all general registers given, 64-bit or (in a compatibility segment)
// 32-bit code: the reference for translated integer code. It ends at an INT3 or a fault, which a signal handler turns
// into a result. x86-64 Linux only.
#pragma once
#if defined(__x86_64__) && defined(__linux__)
#include "base/bits.h"

namespace doppel::x86::test {

struct NativeState {
  u64 gpr[16];
  u64 rflags;
  u64 rip;
  int signal;      // SIGTRAP: ran into an INT3 (rip is its address)
  u64 fault_va;    // SIGSEGV by a page fault
  u64 error;       // its error code
  u8 fxsave[512];  // x87 and SSE at the end, as FXSAVE stores them (out only)
};

// Code and data pages, all below 4 GiB: the data lies between pages that can't be accessed.
class NativeHost {
 public:
  static constexpr u64 kPage = 4096;
  NativeHost();
  ~NativeHost();
  NativeHost(const NativeHost&) = delete;
  bool usable() const { return code_ != nullptr; }
  u8* code() { return code_; }  // one page, filled with INT3 by clear_code
  u8* data() { return data_; }  // two pages, then one without access
  void clear_code();
  void run(NativeState& state, u64 pc, bool bits32);

 private:
  u8* code_ = nullptr;
  u8* data_ = nullptr;
  u8* alt_stack_ = nullptr;
};

}  // namespace doppel::x86::test
#endif
