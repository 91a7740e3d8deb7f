// SDL scan codes (USB HID usages: positions, not letters) to key codes.
#pragma once
#include <SDL_scancode.h>

#include "display/input_event.h"

namespace doppel::display {
u32 key_of_scancode(SDL_Scancode code);  // 0: no such key in the guest
}
