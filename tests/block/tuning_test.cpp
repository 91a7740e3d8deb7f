// What stands in front of an image: write-through, zeroes that are noticed, discards that are not passed on; and files
// past the page cache.
#include "block/tuning.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "block/file.h"
#include "block/memory_node.h"
#include "block/sync.h"

namespace doppel::block {
namespace {

TEST(Tuning, StandsInFrontOnlyWhenAsked) {
  const auto node = std::make_shared<MemoryNode>(u64{1} << 16);
  EXPECT_EQ(tuned(node, {}), node);
  EXPECT_EQ(tuned(nullptr, {.write_through = true}), nullptr);
}

TEST(Tuning, WritesThrough) {
  const auto node = std::make_shared<MemoryNode>(u64{1} << 16);
  const auto front = tuned(node, {.write_through = true});
  const std::vector<u8> data(512, 7);
  EXPECT_EQ(write_sync(*front, 0, data), 0);
  EXPECT_EQ(node->flushes, 1u);
  node->fail_with = EIO;
  EXPECT_EQ(write_sync(*front, 0, data), EIO);
}

TEST(Tuning, IgnoresDiscardsAndNoticesZeroes) {
  class Counting final : public Node {
   public:
    u64 size() const override { return 1 << 16; }
    bool read_only() const override { return false; }
    std::string filename() const override { return "counting"; }
    void read(u64, std::span<u8>, Completion done) override { done(0); }
    void write(u64, std::span<const u8>, Completion done) override { writes++, done(0); }
    void flush(Completion done) override { done(0); }
    void discard(u64, u64, Completion done) override { discards++, done(0); }
    void write_zeroes(u64, u64, Completion done) override { zeroes++, done(0); }
    int writes = 0, discards = 0, zeroes = 0;
  };
  const auto node = std::make_shared<Counting>();
  const auto front = tuned(node, {.discard = false, .detect_zeroes = true});
  EXPECT_EQ(discard_sync(*front, 0, 4096), 0);
  EXPECT_EQ(node->discards, 0);
  std::vector<u8> data(4096);
  EXPECT_EQ(write_sync(*front, 0, data), 0);
  EXPECT_EQ(node->zeroes, 1);
  data[4095] = 1;
  EXPECT_EQ(write_sync(*front, 0, data), 0);
  EXPECT_EQ(node->writes, 1);
}

// Any offset, size and memory; the file keeps its end and all that lies around what is written.
TEST(Tuning, FilesPastThePageCacheAreTheSame) {
  const std::string path = (std::filesystem::path("/var/tmp") / ("doppel-direct." + std::to_string(getpid()))).string();
  auto made = create_file(path, {});
  ASSERT_TRUE(made.ok());
  std::vector<u8> shadow(70'000);
  std::mt19937 random(1);
  for (u8& b : shadow) b = static_cast<u8>(random());
  ASSERT_EQ((*made)->write(0, shadow), 0);
  *made = nullptr;
  auto opened = open_file(path, {.direct = true});
  if (!opened.ok()) {
    std::filesystem::remove(path);
    GTEST_SKIP() << opened.error().cause;
  }
  File& file = **opened;
  for (int i = 0; i < 200; i++) {
    std::vector<u8> data(1 + random() % 20'000);
    const u64 offset = i % 3 == 0 ? random() % 16 * 4096 : random() % 75'000;
    for (u8& b : data) b = static_cast<u8>(random());
    if (i % 2) {
      ASSERT_EQ(file.write(offset, data), 0);
      if (shadow.size() < offset + data.size()) shadow.resize(offset + data.size());
      std::copy(data.begin(), data.end(), shadow.begin() + static_cast<long>(offset));
      ASSERT_EQ(std::filesystem::file_size(path), shadow.size());
    } else {
      ASSERT_EQ(file.read(offset, data), 0);
      for (size_t n = 0; n < data.size(); n++)
        ASSERT_EQ(data[n], offset + n < shadow.size() ? shadow[offset + n] : 0) << i;
    }
  }
  *opened = nullptr;
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace doppel::block
