#include "display/sdl/library.h"

#include "base/os/library.h"

namespace doppel::display {

Result<const Sdl*> load_sdl() {
  static Sdl sdl;
  if (sdl.Init) return &sdl;
  constexpr const char* kFix = "install SDL 2 (Debian: libsdl2-2.0-0), or use -nographic or -display none";
  std::string why;
  void* library = os::load_library("SDL2-2.0", 0, why);
  if (!library) return Error{"there is no SDL library: " + why, kFix, 1};
  Sdl found;
#define F(name)                                                                                \
  found.name = reinterpret_cast<decltype(found.name)>(os::find_symbol(library, "SDL_" #name)); \
  if (!found.name) return Error{"the SDL library has no SDL_" #name, kFix, 1};
#include "display/sdl/functions.def"
#undef F
  sdl = found;
  return &sdl;
}

}  // namespace doppel::display
