// Compressed clusters. zlib: a raw deflate stream with a window of 4 KiB (readers allocate no more); zstd: one frame.
// Both functions may run on any thread.
#pragma once
#include <vector>

#include "block/qcow2/header.h"

namespace doppel::block::qcow2 {

// Empty: the data doesn't get smaller.
std::vector<u8> compress_cluster(Compression kind, std::span<const u8> cluster);
// Fills the whole of `out`; `in` may go on past the end of the stream. False: `in` is no such stream.
bool decompress_cluster(Compression kind, std::span<const u8> in, std::span<u8> out);

}  // namespace doppel::block::qcow2
