#include <malloc.h>

#include "base/os/allocator.h"

namespace doppel::os {
// mallopt(3): setting it keeps the C library from raising the threshold to the size of what was freed.
void return_large_blocks() { mallopt(M_MMAP_THRESHOLD, 128 << 10); }
}  // namespace doppel::os
