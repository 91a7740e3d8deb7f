// XXH64 (the xxHash specification, version 0.1.1): the checksum of saved states and code; about 10 GB/s. Not against
// malice.
#pragma once
#include <span>

#include "base/bits.h"

namespace doppel {

u64 hash64(std::span<const u8> data, u64 seed = 0);

}  // namespace doppel
