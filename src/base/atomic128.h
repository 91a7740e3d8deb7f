// Compare-and-swap of 16 bytes. Compilers call a library for it unless told which instruction the host has.
#pragma once
#include "base/bits.h"

namespace doppel {

// `p` is aligned to 16. False: `expected` holds what was there.
inline bool cas128(void* p, u128& expected, u128 desired) {
#if defined(__x86_64__)
  u64 lo = static_cast<u64>(expected), hi = static_cast<u64>(expected >> 64);
  bool equal;
  asm volatile("lock cmpxchg16b %0"
               : "+m"(*static_cast<u128*>(p)), "+a"(lo), "+d"(hi), "=@ccz"(equal)
               : "b"(static_cast<u64>(desired)), "c"(static_cast<u64>(desired >> 64))
               : "memory");
  expected = static_cast<u128>(hi) << 64 | lo;
  return equal;
#else
  return __atomic_compare_exchange_n(static_cast<u128*>(p), &expected, desired, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST);
#endif
}

}  // namespace doppel
