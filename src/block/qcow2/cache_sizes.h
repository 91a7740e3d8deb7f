// The bounds of an image's caches, from what was asked for. Names and defaults are those of QEMU's qcow2 driver.
#pragma once
#include "block/node.h"
#include "block/qcow2/header.h"

namespace doppel::block::qcow2 {

constexpr u64 kDefaultL2Cache = 32 << 20;
constexpr u64 kDefaultCleanSeconds = 600;

struct CacheBounds {
  u64 l2 = kDefaultL2Cache, refcounts = 256 << 10;  // bytes
  u32 l2_slice = 4096;
  u64 clean_seconds = 0;
};

// Errors: sizes that contradict each other, an entry that is no power of two.
Result<CacheBounds> cache_bounds(const Header& header, const CacheSizes& asked);
// For the image below: the same bounds, but entries as its own clusters want them.
CacheSizes sizes_below(const CacheSizes& asked);

}  // namespace doppel::block::qcow2
