#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace doppel {
void assert_failed(const char* expression, const char* file, int line, const char* message) {
  std::fprintf(stderr, "doppel: internal error: %s at %s:%d%s%s\n", expression, file, line, message ? ": " : "",
               message ? message : "");
  std::fflush(nullptr);
  std::abort();
}
}  // namespace doppel
