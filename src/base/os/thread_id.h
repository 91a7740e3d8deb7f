// The host's number of the calling thread, as its tools (ps -L, taskset) show it.
#pragma once
#include "base/bits.h"

namespace doppel::os {
s64 thread_id();
}
