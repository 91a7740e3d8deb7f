// What a string helper has to know, packed into its one argument by the translator.
#pragma once
#include "base/bits.h"

namespace doppel::x86 {

struct StringInfo {
  u8 size = 1;  // bytes of an element
  u8 addrsize = 4;
  u8 segment = 3;            // of the source (SegReg); the destination's is ES
  bool repeat = false;       // counts rCX down
  bool until_equal = false;  // REPNE (F2): SCAS and CMPS stop at equality, else at inequality
  bool code64 = false;
  bool one = false;  // one iteration at most: single step
  constexpr u32 pack() const {
    return size | u32{addrsize} << 4 | u32{segment} << 8 | u32{repeat} << 12 | u32{until_equal} << 13 |
           u32{code64} << 14 | u32{one} << 15;
  }
  static constexpr StringInfo unpack(u64 v) {
    return {static_cast<u8>(v & 15), static_cast<u8>((v >> 4) & 15), static_cast<u8>((v >> 8) & 15),
            (v & (1 << 12)) != 0,    (v & (1 << 13)) != 0,           (v & (1 << 14)) != 0,
            (v & (1 << 15)) != 0};
  }
};

}  // namespace doppel::x86
