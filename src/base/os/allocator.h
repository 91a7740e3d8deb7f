// The C library's allocator.
#pragma once

namespace doppel::os {
// From now on large blocks (128 KiB and more) go back to the system as soon as they are freed, and are not kept for the
// next one. For processes that run for long and whose need varies: without it a machine would keep what its busiest
// minute took (the NAT has 256 KiB for a connection, until ten seconds after its end).
void return_large_blocks();
}  // namespace doppel::os
