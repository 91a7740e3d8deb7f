// Joining of TCP segments on their way to a card that takes large ones (receive offload): fewer, longer frames cost the
// guest far less. Only neighbours of one stream are joined, when they say together what they said alone: same headers,
// sequence numbers that follow each other, all but the last of one size, checksums known to be right. `segment()` of
// checksum.h would cut them apart again.
#pragma once
#include <deque>

#include "net/packet.h"

namespace doppel::net {

// Joins to the front of `frames` those behind it that can be. Linear in the bytes moved.
void coalesce_front(std::deque<Packet>& frames);

}  // namespace doppel::net
