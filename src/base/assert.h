// ASSERT: our own bugs (STYLE rule 17). Prints the expression, the place and a message, then aborts. Stays on in
// release builds.
#pragma once

namespace doppel {
[[noreturn]] void assert_failed(const char* expression, const char* file, int line, const char* message);
}  // namespace doppel

#define ASSERT(cond)                                               \
  do {                                                             \
    if (!(cond)) [[unlikely]]                                      \
      ::doppel::assert_failed(#cond, __FILE__, __LINE__, nullptr); \
  } while (0)
#define ASSERT_MSG(cond, msg)                                  \
  do {                                                         \
    if (!(cond)) [[unlikely]]                                  \
      ::doppel::assert_failed(#cond, __FILE__, __LINE__, msg); \
  } while (0)
#define UNREACHABLE() ::doppel::assert_failed("unreachable", __FILE__, __LINE__, nullptr)
