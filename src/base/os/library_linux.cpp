#include <dlfcn.h>

#include "base/os/library.h"

namespace doppel::os {

void* load_library(const std::string& name, int version, std::string& why) {
  void* library = ::dlopen(("lib" + name + ".so." + std::to_string(version)).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) why = ::dlerror();
  return library;
}

void* find_symbol(void* library, const char* name) { return ::dlsym(library, name); }

}  // namespace doppel::os
