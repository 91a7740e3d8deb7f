// Shared libraries that are loaded when they are needed.
#pragma once
#include <string>

namespace doppel::os {

// The library of a name without prefix and suffix ("SDL2-2.0"), in its version of the ABI (0: libSDL2-2.0.so.0). Null:
// `why` tells.
void* load_library(const std::string& name, int version, std::string& why);
// Null: it has none of that name.
void* find_symbol(void* library, const char* name);

}  // namespace doppel::os
