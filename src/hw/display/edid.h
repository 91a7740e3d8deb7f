// EDID 1.4 base block of the monitor at the card (VESA Enhanced EDID Standard, release A, revision 2).
#pragma once
#include <array>

#include "base/bits.h"

namespace doppel::hw {

std::array<u8, 128> make_edid(u16 width, u16 height);  // the preferred mode, at 60 Hz

}  // namespace doppel::hw
