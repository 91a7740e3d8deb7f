// The caches of a qcow2 image's tables: bounds, sizes as they are asked for, what is dropped when it is not used.
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "block/bytes.h"
#include "block/qcow2_images.h"

namespace doppel::block::qcow2 {
namespace {

constexpr u64 kTerabyte = u64{1} << 40;

std::shared_ptr<RecordingFile> new_image(CreateOptions o) {
  auto file = std::make_shared<RecordingFile>();
  EXPECT_TRUE(create(*file, o));
  return file;
}

std::shared_ptr<Qcow2> open(const std::shared_ptr<RecordingFile>& file, const CacheSizes& caches) {
  auto node = Qcow2::open_image(file, {.caches = caches}, 0);
  EXPECT_TRUE(node);
  return node ? node.take() : nullptr;
}

struct Peak {
  u64 bytes = 0, used = 0;
};

// Writes all over the disk in a random order, twice, with discards in between; then everything is read.
Peak write_all_over(const std::shared_ptr<RecordingFile>& file, const CacheSizes& caches, u64 step) {
  auto node = open(file, caches);
  const u64 places = kTerabyte / step;
  std::vector<u64> order(places);
  for (u64 i = 0; i < places; i++) order[i] = i;
  std::mt19937_64 random(1);
  std::vector<u8> data(512);
  for (u64 round = 0; round < 2; round++) {
    std::shuffle(order.begin(), order.end(), random);
    for (const u64 i : order) {
      store_le<u64>(&data[0], i * 2 + round);
      EXPECT_EQ(write_sync(*node, i * step, data), 0);
    }
    for (u64 i = 0; i < places && round == 0; i += 3) EXPECT_EQ(discard_sync(*node, i * step, step), 0);
  }
  EXPECT_EQ(node->close(), 0);
  Peak peak;
  node->locked([&](Image& image) { peak = {image.peak_cached_bytes(), image.cached_bytes()}; });
  node.reset();
  node = open(file, caches);
  for (u64 i = 0; i < places; i++) {
    EXPECT_EQ(read_sync(*node, i * step, data), 0);
    if (load_le<u64>(&data[0]) != i * 2 + 1) ADD_FAILURE() << "place " << i << " has " << load_le<u64>(&data[0]);
  }
  node->locked([&](Image& image) { peak.bytes = std::max(peak.bytes, image.peak_cached_bytes()); });
  return peak;
}

TEST(Qcow2Cache, BoundsMemoryOfATerabyte) {
  struct {
    unsigned cluster_bits;
    u64 step;  // each is in a table of its own
  } const shapes[] = {{12, u64{1} << 30}, {16, u64{4} << 30}};
  for (const auto& shape : shapes) {
    const auto file = new_image({.size = kTerabyte, .cluster_bits = shape.cluster_bits});
    const u64 total = 512 << 10;
    const Peak small = write_all_over(file, {.total = total}, shape.step);
    EXPECT_LE(small.bytes, total + (64 << 10)) << shape.cluster_bits;
    EXPECT_GT(small.used, 0u);
    EXPECT_EQ(findings(file), "");
    const Peak least = write_all_over(new_image({.size = kTerabyte, .cluster_bits = shape.cluster_bits}),
                                      {.l2 = 0, .refcounts = 0}, shape.step);
    EXPECT_LE(least.bytes, (2 * SliceCache::kMinSlices + 8) * 4096) << shape.cluster_bits;
    const Peak all = write_all_over(file, {}, shape.step);
    EXPECT_GT(all.bytes, total) << "the bound is what holds";
  }
}

TEST(Qcow2Cache, SizesAsAskedFor) {
  const u64 k = 1 << 10, m = 1 << 20;
  const Header h{.cluster_bits = 16, .size = u64{64} << 30};  // 8 MiB of tables
  struct {
    CacheSizes asked;
    u64 l2, refcounts;
  } const rows[] = {
      {{}, 32 * m, 256 * k},
      {{.l2 = 3 * m}, 3 * m, 256 * k},
      {{.refcounts = m}, 32 * m, m},
      {{.total = 10 * m}, 8 * m, 2 * m},
      {{.total = m}, m - 256 * k, 256 * k},
      {{.total = 300 * k}, 150 * k, 150 * k},
      {{.total = 4 * m, .l2 = m}, m, 3 * m},
      {{.total = 4 * m, .refcounts = m}, 3 * m, m},
      {{.total = m, .l2 = m}, m, 0},
  };
  for (const auto& row : rows) {
    const auto got = cache_bounds(h, row.asked);
    ASSERT_TRUE(got) << got.error().text();
    EXPECT_EQ(got->l2, row.l2) << &row - rows;
    EXPECT_EQ(got->refcounts, row.refcounts) << &row - rows;
    EXPECT_EQ(got->l2_slice, 4096u);
    EXPECT_EQ(got->clean_seconds, 0u);
  }
  EXPECT_EQ(cache_bounds(h, {.clean = true})->clean_seconds, 600u);
  EXPECT_EQ(cache_bounds(h, {.clean_seconds = 7, .clean = true})->clean_seconds, 7u);
  struct {
    CacheSizes asked;
    const char* error;
  } const errors[] = {
      {{.total = m, .l2 = k, .refcounts = k},
       "cache-size, l2-cache-size and refcount-cache-size may not be set at the same time"},
      {{.total = m, .l2 = m + 1}, "l2-cache-size may not exceed cache-size"},
      {{.total = m, .refcounts = m + 1}, "refcount-cache-size may not exceed cache-size"},
      {{.l2_entry = 256}, "L2 cache entry size must be a power of two between 512 and the cluster size (65536)"},
      {{.l2_entry = 1000}, "L2 cache entry size must be a power of two between 512 and the cluster size (65536)"},
      {{.l2_entry = 128 * k}, "L2 cache entry size must be a power of two between 512 and the cluster size (65536)"},
      {{.l2 = ~u64{0}}, "L2 cache size too big"},
      {{.refcounts = ~u64{0}}, "Refcount cache size too big"},
      {{.clean_seconds = u64{1} << 32}, "Cache clean interval too big"},
  };
  for (const auto& row : errors) {
    const auto got = cache_bounds(h, row.asked);
    ASSERT_FALSE(got) << row.error;
    EXPECT_NE(got.error().text().find(row.error), std::string::npos) << got.error().text();
  }
}

TEST(Qcow2Cache, ErrorsReachWhoOpens) {
  const auto file = new_image({.size = kTerabyte});
  const auto node = Qcow2::open_image(file, {.caches = {.total = 1 << 20, .l2 = 2 << 20}}, 0);
  ASSERT_FALSE(node);
  EXPECT_NE(node.error().text().find("l2-cache-size may not exceed cache-size"), std::string::npos);
}

TEST(Qcow2Cache, DropsWhatIsNotUsedButNoChanges) {
  const auto file = new_image({.size = kTerabyte, .cluster_bits = 12});
  const auto node = open(file, {.clean_seconds = 0});
  const std::vector<u8> data(512, 7);
  for (u64 i = 0; i < 100; i++) ASSERT_EQ(write_sync(*node, i << 30, data), 0);
  const auto drop = [&] {
    return node->locked([](Image& image) {
      image.drop_unused();
      return image.cached_bytes();
    });
  };
  const u64 changed = drop();
  EXPECT_GE(changed, 100u * 4096);
  EXPECT_EQ(drop(), changed) << "nothing is on the disk yet";
  ASSERT_EQ(flush_sync(*node), 0);
  std::vector<u8> back(512);
  ASSERT_EQ(read_sync(*node, 5 << 30, back), 0);
  EXPECT_EQ(drop(), 4096u) << "what was read just now stays";
  EXPECT_EQ(drop(), 0u);
  for (u64 i = 0; i < 100; i++) {
    ASSERT_EQ(read_sync(*node, i << 30, back), 0);
    ASSERT_EQ(back, data);
  }
}

TEST(Qcow2Cache, CleansByItself) {
  const auto file = new_image({.size = kTerabyte, .cluster_bits = 12});
  std::vector<std::shared_ptr<Qcow2>> nodes;
  for (int i = 0; i < 3; i++) nodes.push_back(open(new_image({.size = kTerabyte, .cluster_bits = 12}), {}));
  const std::vector<u8> data(512, 7);
  for (const auto& node : nodes) {
    for (u64 i = 0; i < 50; i++) ASSERT_EQ(write_sync(*node, i << 30, data), 0);
    ASSERT_EQ(flush_sync(*node), 0);
    node->keep_clean(std::chrono::milliseconds(2));
  }
  const auto cached = [](Qcow2& node) { return node.locked([](Image& image) { return image.cached_bytes(); }); };
  for (const auto& node : nodes) {
    for (int i = 0; i < 20000 && cached(*node) != 0; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(cached(*node), 0u);
  }
  // While it is used, and while images come and go.
  for (int i = 0; i < 200; i++) {
    std::vector<u8> back(512);
    nodes[1]->keep_clean(std::chrono::milliseconds(1));
    ASSERT_EQ(read_sync(*nodes[1], static_cast<u64>(i % 50) << 30, back), 0);
    ASSERT_EQ(back, data);
    const auto other = open(file, {.clean_seconds = 1});
    other->keep_clean(std::chrono::milliseconds(1));
  }
}

}  // namespace
}  // namespace doppel::block::qcow2
