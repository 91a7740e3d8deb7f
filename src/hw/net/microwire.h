// A serial EEPROM of 64 words of 16 bits (93C46) as its pins see it: select, clock, data in, data out. A read is a
// start bit, 10, and six bits of address; then a zero and sixteen bits come out, highest first. It is write protected.
#pragma once
#include <array>

#include "base/bits.h"
#include "state/archive.h"

namespace doppel::hw {

class Microwire {
 public:
  std::array<u16, 64> words{};
  // The pins as they are now; acts on the clock's rising edge.
  void pins(bool select, bool clock, bool in) {
    const bool rising = clock && s_.clock == 0;
    s_.clock = clock ? 1 : 0;
    if (!select) {
      s_.shift = s_.bits = s_.out = s_.out_bits = 0;
      return;
    }
    if (!rising) return;
    if (s_.out_bits != 0) {
      s_.out = (s_.out << 1) & 0x1ffff;
      if (--s_.out_bits == 0) s_.bits = s_.shift = 0;
      return;
    }
    if (s_.bits == 0 && !in) return;
    s_.shift = (s_.shift << 1 | (in ? 1u : 0u)) & 0x1ff;
    if (++s_.bits < 9) return;
    s_.out = words[s_.shift & 63];
    s_.out_bits = (s_.shift >> 6) == 6 ? 17 : 0;
    if (s_.out_bits == 0) s_.bits = s_.shift = s_.out = 0;
  }
  bool out() const { return (s_.out >> 16 & 1) != 0; }
  void reset() { s_ = {}; }
  void archive(StateArchive& ar) {
    ar.field("eeprom_pins", s_);
    if (s_.out_bits > 17) s_.out_bits = 17;
  }

 private:
  struct State {
    u32 clock, shift, bits, out, out_bits;  // bits since the start bit; 17 bits still to come out
  } s_{};
};

}  // namespace doppel::hw
