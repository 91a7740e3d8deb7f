// Scan code sets of PS/2 keyboards (IBM PS/2 Technical Reference, "Keyboard", scan code tables). Set 1 is in
// display/keys.def; set 2 is what the 8042 translates to set 1; set 3 has one byte a key.
#pragma once
#include "base/bits.h"

namespace doppel::hw {

// The 8042's translation of set 2 to set 1.
u8 scan_set2_to_set1(u8 code);
// The set 2 code of a set 1 code (without prefix).
u8 scan_set1_to_set2(u8 code);
// The set 3 code of a set 1 code (0xe0nn: with the prefix e0); 0: none.
u8 scan_set1_to_set3(u16 code);

}  // namespace doppel::hw
