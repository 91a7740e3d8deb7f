// Pieces: memory that is not in one place but is seen as one run of bytes, as preadv takes it: a guest's buffers.
#pragma once
#include <span>
#include <vector>

#include "base/bits.h"

namespace doppel::block {

using Pieces = std::span<const std::span<u8>>;

u64 size_of(Pieces pieces);
bool is_zero(std::span<const u8> data);
bool is_zero(std::span<const u8> data);
void clear(Pieces pieces);
void copy_in(Pieces to, std::span<const u8> from);  // as many bytes as `from` has
void copy_out(Pieces from, std::span<u8> to);
// The bytes [at, at + length) of a run.
std::vector<std::span<u8>> slice(Pieces pieces, u64 at, u64 length);

}  // namespace doppel::block
