// The hash of multicast addresses that DP8390, RTL8139 and Am79C970A share: the Ethernet CRC of the address picks one
// of 64 bits.
#pragma once
#include <span>

#include "base/bits.h"

namespace doppel::hw {

// CRC-32 of Ethernet as a register that shifts left: the first bit sent is the lowest of the first byte.
inline u32 ethernet_crc_left(std::span<const u8> data) {
  u32 crc = ~u32{0};
  for (const u8 byte : data) {
    for (unsigned i = 0; i < 8; i++) {
      const bool carry = ((crc >> 31) ^ (byte >> i & 1)) != 0;
      crc = (crc << 1) ^ (carry ? 0x04c11db7 : 0);
    }
  }
  return crc;
}

// `filter`: eight bytes, bit 0 of the first is hash 0.
inline bool multicast_hash_hit(std::span<const u8, 8> filter, std::span<const u8> address) {
  const u32 hash = ethernet_crc_left(address.first(6)) >> 26;
  return (filter[hash >> 3] >> (hash & 7) & 1) != 0;
}

inline bool is_broadcast(std::span<const u8> frame) {
  for (size_t i = 0; i < 6; i++) {
    if (frame[i] != 0xff) return false;
  }
  return true;
}

}  // namespace doppel::hw
