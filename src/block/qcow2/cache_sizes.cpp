#include "block/qcow2/cache_sizes.h"

#include <algorithm>
#include <bit>

#include "block/bytes.h"

namespace doppel::block::qcow2 {
namespace {

constexpr u64 kMinEntry = 512, kDefaultEntry = 4096;
constexpr u64 kMinRefcountClusters = 4, kMinRefcounts = 256 << 10;
constexpr u64 kMaxCache = u64{1} << 40, kMaxCleanSeconds = 0xffffffff;

// Of all L2 tables of the disk.
u64 all_tables(const Header& h) {
  return align_up(div_up(h.size, h.cluster_size()) << h.l2_entry_bits(), h.cluster_size());
}

Status share(const Header& h, const CacheSizes& asked, u64 total, CacheBounds& out) {
  if (asked.l2 && asked.refcounts)
    return Error{"cache-size, l2-cache-size and refcount-cache-size may not be set at the same time",
                 "give two of them: the third is what is left"};
  if (asked.l2.value_or(0) > total) return Error{"l2-cache-size may not exceed cache-size", ""};
  if (asked.refcounts.value_or(0) > total) return Error{"refcount-cache-size may not exceed cache-size", ""};
  if (asked.l2) {
    out.refcounts = total - *asked.l2;
  } else if (asked.refcounts) {
    out.l2 = total - *asked.refcounts;
  } else if (const u64 all = all_tables(h); total >= all + out.refcounts) {
    out.l2 = all;
    out.refcounts = total - all;
  } else {
    out.refcounts = std::min(total / 2, out.refcounts);
    out.l2 = total - out.refcounts;
  }
  return success();
}

}  // namespace

Result<CacheBounds> cache_bounds(const Header& h, const CacheSizes& asked) {
  CacheBounds out;
  const u64 entry = asked.l2_entry.value_or(std::min(h.cluster_size(), kDefaultEntry));
  if (entry < kMinEntry || entry > h.cluster_size() || !std::has_single_bit(entry))
    return Error{"L2 cache entry size must be a power of two between " + std::to_string(kMinEntry) +
                     " and the cluster size (" + std::to_string(h.cluster_size()) + ")",
                 "leave l2-cache-entry-size out"};
  out.l2_slice = static_cast<u32>(entry);
  out.refcounts = asked.refcounts.value_or(std::max(kMinRefcountClusters * h.cluster_size(), kMinRefcounts));
  out.l2 = asked.l2.value_or(kDefaultL2Cache);
  if (asked.total) {
    if (Status s = share(h, asked, *asked.total, out); !s) return s.error();
  }
  if (out.l2 > kMaxCache) return Error{"L2 cache size too big", ""};
  if (out.refcounts > kMaxCache) return Error{"Refcount cache size too big", ""};
  out.clean_seconds = asked.clean_seconds.value_or(asked.clean ? kDefaultCleanSeconds : 0);
  if (out.clean_seconds > kMaxCleanSeconds) return Error{"Cache clean interval too big", ""};
  return out;
}

CacheSizes sizes_below(const CacheSizes& asked) {
  CacheSizes below = asked;
  below.l2_entry.reset();
  return below;
}

}  // namespace doppel::block::qcow2
