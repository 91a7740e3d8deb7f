// Bit helpers shared by everything: fields, sign extension, alignment, little-endian access to unaligned host memory.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace doppel {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 s128;

constexpr u64 mask_bits(unsigned n) { return n >= 64 ? ~u64{0} : (u64{1} << n) - 1; }
constexpr u64 bit_field(u64 v, unsigned lsb, unsigned width) { return (v >> lsb) & mask_bits(width); }
constexpr u64 sign_extend(u64 v, unsigned width) {
  return width >= 64 ? v : static_cast<u64>(static_cast<s64>(v << (64 - width)) >> (64 - width));
}
constexpr u64 align_down(u64 v, u64 a) { return v & ~(a - 1); }
constexpr u64 align_up(u64 v, u64 a) { return (v + a - 1) & ~(a - 1); }

// Little-endian load and store of unaligned host memory.
template <typename T>
inline T load_le(const void* p) {
  static_assert(std::endian::native == std::endian::little, "big-endian hosts swap here");
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <typename T>
inline void store_le(void* p, std::type_identity_t<T> v) {
  std::memcpy(p, &v, sizeof v);
}

}  // namespace doppel
