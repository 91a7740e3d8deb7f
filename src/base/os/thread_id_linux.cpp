#include <unistd.h>

#include "base/os/thread_id.h"

namespace doppel::os {
s64 thread_id() { return ::gettid(); }
}  // namespace doppel::os
