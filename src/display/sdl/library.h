// The SDL2 library, loaded when a window is wanted: it brings fifty others along, which cost every start of doppel six
// milliseconds, and a host without it has all but the window.
#pragma once
#include <SDL.h>

#include "base/result.h"

namespace doppel::display {

struct Sdl {
#define F(name) decltype(&::SDL_##name) name = nullptr;
#include "display/sdl/functions.def"
#undef F
};

// The functions, for as long as the process lives. Main thread.
Result<const Sdl*> load_sdl();

}  // namespace doppel::display
