// What the kernel itself writes to descriptors (events, counts) is in its own byte order: for big-endian programs it is
// turned after a read and before a write.
#pragma once
#include "user/linux/handlers.h"

namespace doppel::user::calls {

// After `size` bytes came to guest memory at `va` from `fd`.
void turn_records(Thread& t, u64 fd, u64 va, size_t size);
// Is `fd` an eventfd, whose 8 bytes are to be turned before they are written?
bool takes_count(u64 fd);

}  // namespace doppel::user::calls
