// Requests that wait for their completion: for devices that finish a command inside a register access, and for tools.
// Costs nothing when the node completes inline. Returns 0 or an errno value.
#pragma once
#include "block/node.h"

namespace doppel::block {

int read_sync(Node& node, u64 offset, std::span<u8> data);
int write_sync(Node& node, u64 offset, std::span<const u8> data);
int read_sync(Node& node, u64 offset, Pieces data);
int write_sync(Node& node, u64 offset, Pieces data);
int flush_sync(Node& node);
int discard_sync(Node& node, u64 offset, u64 length);
int write_zeroes_sync(Node& node, u64 offset, u64 length);

}  // namespace doppel::block
