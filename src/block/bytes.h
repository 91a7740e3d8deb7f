// Big-endian fields of image formats, and transfers of unaligned host memory (little-endian: base/bits.h).
#pragma once
#include <cstring>

#include "base/bits.h"

namespace doppel::block {

constexpr u16 swap_bytes(u16 v) { return __builtin_bswap16(v); }
constexpr u32 swap_bytes(u32 v) { return __builtin_bswap32(v); }
constexpr u64 swap_bytes(u64 v) { return __builtin_bswap64(v); }

template <typename T>
inline T load_be(const void* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return swap_bytes(v);
}
template <typename T>
inline void store_be(void* p, std::type_identity_t<T> v) {
  v = swap_bytes(v);
  std::memcpy(p, &v, sizeof v);
}

constexpr u64 div_up(u64 v, u64 by) { return v / by + (v % by != 0 ? 1 : 0); }

}  // namespace doppel::block
