// The SDL2 library, loaded when a window is wanted: it brings fifty others along, which cost every start of doppel six
// milliseconds, and a host without it has all but the window.
#pragma once
#include <SDL.h>

#include "base/result.h"

namespace doppel::display {

struct Sdl {
#define DOPPEL_SDL_FUNCTIONS(F)                                                                                 \
  F(Init)                                                                                                       \
  F(Quit) F(GetError) F(SetHint) F(EventState) F(GetTicks) F(PollEvent) F(WaitEventTimeout) F(GetModState)      \
      F(GetMouseState) F(ShowCursor) F(SetRelativeMouseMode) F(CreateWindow) F(DestroyWindow) F(SetWindowTitle) \
          F(SetWindowSize) F(SetWindowGrab) F(SetWindowFullscreen) F(CreateRenderer) F(DestroyRenderer)         \
              F(RenderSetLogicalSize) F(SetRenderDrawColor) F(RenderClear) F(RenderCopy) F(RenderPresent)       \
                  F(CreateTexture) F(DestroyTexture) F(UpdateTexture)
#define DOPPEL_SDL_POINTER(name) decltype(&::SDL_##name) name = nullptr;
  DOPPEL_SDL_FUNCTIONS(DOPPEL_SDL_POINTER)
#undef DOPPEL_SDL_POINTER
};

// The functions, for as long as the process lives. Main thread.
Result<const Sdl*> load_sdl();

}  // namespace doppel::display
