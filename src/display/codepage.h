// Code page 437: the character set of the PC's text modes, as UTF-8.
#pragma once
#include <string>

#include "base/bits.h"

namespace doppel::display {

// Appends the character that the byte shows on the screen (0 and 255 are blanks).
void append_cp437(std::string& out, u8 byte);

}  // namespace doppel::display
