// The code cache: what regions without a key leave behind.
#include "exec/code_cache.h"

#include <gtest/gtest.h>

namespace doppel::exec {
namespace {

Installed& add(CodeCache& cache, u64 phys, bool keyed, size_t bytes = 100) {
  const CodeCache::Space at = cache.allocate(bytes, bytes / 2);
  Installed& b = cache.create_block();
  b.phys = b.pc = phys;
  b.code = at.code;
  b.cold = at.cold;
  b.hot_size = static_cast<u32>(bytes);
  b.code_size = static_cast<u32>(bytes + bytes / 2);
  const CodeRange range{phys, phys + 3};
  if (keyed) b.ranges = cache.arena().copy(std::span<const CodeRange>(&range, 1));
  cache.add(b, keyed);
  return b;
}

TEST(CodeCache, RegionsThatRunOnceTakeNoRoom) {
  CodeCache cache;
  ASSERT_TRUE(cache.create(1 << 20));
  const Installed& first = add(cache, 0x1000, true);
  size_t used = 0;
  for (int i = 0; i < 100'000; i++) {
    const Installed& passing = add(cache, ~u64{0}, false);
    EXPECT_EQ(cache.at_host(passing.code + 10), &passing);
    EXPECT_EQ(cache.at_host(passing.cold + 10), &passing);
    if (used != 0) ASSERT_EQ(cache.used(), used);
    used = cache.used();
  }
  const Installed& second = add(cache, 0x2000, true);
  EXPECT_EQ(cache.find({0x1000, 0x1000, 0, 0}), &first);
  EXPECT_EQ(cache.find({0x2000, 0x2000, 0, 0}), &second);
  EXPECT_EQ(cache.at_host(first.code), &first);
  EXPECT_EQ(cache.at_host(second.code), &second);
  for (const Installed* b : {&first, &second}) {
    EXPECT_EQ(cache.at_host(b->cold), b);
    EXPECT_EQ(cache.at_host(b->cold + 49), b);
  }
  EXPECT_EQ(cache.count(), 2u);
  add(cache, ~u64{0}, false);
  cache.flush();
  EXPECT_EQ(cache.find({0x1000, 0x1000, 0, 0}), nullptr);
  const Installed& third = add(cache, 0x3000, true);
  EXPECT_EQ(cache.find({0x3000, 0x3000, 0, 0}), &third);
}

// Somebody may still hold a slot of it: it stays.
TEST(CodeCache, ARegionWithLinksStays) {
  CodeCache cache;
  ASSERT_TRUE(cache.create(1 << 20));
  cache.allocate(100, 0);
  Installed& b = cache.create_block();
  const backend::LinkSlot slot{};
  b.links = cache.arena().copy(std::span<const backend::LinkSlot>(&slot, 1));
  cache.add(b, false);
  const size_t used = cache.used();
  add(cache, 0x1000, true);
  EXPECT_GT(cache.used(), used);
}

}  // namespace
}  // namespace doppel::exec
