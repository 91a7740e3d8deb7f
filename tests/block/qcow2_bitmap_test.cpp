// qcow2: persistent bitmaps that are made and changed; the power cut in between; directories that are not valid.
#include <gtest/gtest.h>

#include "block/bytes.h"
#include "block/qcow2/bitmap_edit.h"
#include "block/qcow2/qcow2.h"
#include "block/qcow2_images.h"

namespace doppel::block::qcow2 {
namespace {

std::shared_ptr<RecordingFile> new_image(CreateOptions o = {}) {
  if (o.size == 0) o.size = 4 << 20;
  auto file = std::make_shared<RecordingFile>();
  EXPECT_TRUE(create(*file, o));
  return file;
}

template <typename Fn>
Status with(const std::shared_ptr<RecordingFile>& file, Fn&& fn) {
  auto node = Qcow2::open_image(file, {}, 0);
  if (!node) return node.error();
  Status s = (*node)->locked([&](Image& i) -> Status { return fn(i); });
  EXPECT_EQ((*node)->close(), 0);
  return s;
}

ReadBits pattern(u8 first) {
  return [first](u64 offset, std::span<u8> bits) {
    for (u64 i = 0; i < bits.size(); i++) bits[i] = static_cast<u8>(first + (offset + i) * 7);
    return 0;
  };
}

// "name/granularity bits/flags/sum of bits" of each.
std::string describe(const std::shared_ptr<RecordingFile>& file) {
  std::string text;
  const Status s = with(file, [&](Image& i) -> Status {
    auto list = valid_bitmaps(i);
    if (!list) return list.error();
    for (const Bitmap& b : *list) {
      auto read = bitmap_reader(i, b);
      if (!read) return read.error();
      std::vector<u8> bits(bitmap_bytes(i.header.size, b.granularity_bits));
      EXPECT_EQ((*read)(0, bits), 0);
      u64 sum = 0;
      for (const u8 v : bits) sum = sum * 31 + v;
      text += b.name + "/" + std::to_string(b.granularity_bits) + "/" + std::to_string(b.flags) + "/" +
              std::to_string(sum) + " ";
    }
    return success();
  });
  return s ? text : s.error().text();
}

TEST(Qcow2BitmapEdit, ChangesAreThereAndNothingLeaks) {
  for (const unsigned bits : {9u, 12u, 16u, 21u}) {
    auto file = new_image({.cluster_bits = bits});
    EXPECT_TRUE(with(file, [](Image& i) {
      return add_bitmaps(i, {{"a", 9, true, {}}, {"b", 12, false, pattern(3)}});
    }));
    EXPECT_EQ(describe(file).substr(0, 8), "a/9/2/0 ");
    const std::string before = describe(file);
    EXPECT_FALSE(with(file, [](Image& i) { return add_bitmaps(i, {{"a", 9, true, {}}}); }));
    EXPECT_TRUE(with(file, [](Image& i) { return enable_bitmap(i, "a", false); }));
    EXPECT_EQ(describe(file).substr(0, 8), "a/9/0/0 ");
    EXPECT_TRUE(with(file, [](Image& i) { return merge_bitmap(i, "a", {"", 12, true, pattern(3)}); }));
    EXPECT_NE(describe(file).substr(0, 8), "a/9/0/0 ");
    EXPECT_EQ(findings(file), "") << bits;
    EXPECT_TRUE(with(file, [](Image& i) { return clear_bitmap(i, "a"); }));
    EXPECT_EQ(describe(file).substr(0, 8), "a/9/0/0 ");
    EXPECT_EQ(findings(file), "") << bits;
    EXPECT_TRUE(with(file, [](Image& i) { return remove_bitmap(i, "b"); }));
    EXPECT_FALSE(with(file, [](Image& i) { return remove_bitmap(i, "b"); }));
    EXPECT_TRUE(with(file, [](Image& i) { return remove_bitmap(i, "a"); }));
    EXPECT_EQ(describe(file), "");
    EXPECT_EQ(findings(file), "") << bits;
  }
}

TEST(Qcow2BitmapEdit, MergeGoesBetweenGranularities) {
  auto file = new_image();
  const ReadBits third = [](u64 offset, std::span<u8> bits) {  // bit 3: with 64 KiB, the bytes from 192 KiB on
    std::fill(bits.begin(), bits.end(), u8{0});
    if (offset == 0) bits[0] = 8;
    return 0;
  };
  EXPECT_TRUE(with(file, [](Image& i) { return add_bitmaps(i, {{"fine", 15, true, {}}, {"wide", 20, true, {}}}); }));
  EXPECT_TRUE(with(file, [&](Image& i) { return merge_bitmap(i, "fine", {"", 16, true, third}); }));
  EXPECT_TRUE(with(file, [&](Image& i) { return merge_bitmap(i, "wide", {"", 16, true, third}); }));
  EXPECT_TRUE(with(file, [](Image& i) {
    auto list = valid_bitmaps(i);
    std::vector<u8> bits(16);
    EXPECT_EQ((*bitmap_reader(i, (*list)[0]))(0, bits), 0);
    EXPECT_EQ(load_le<u64>(bits.data()), u64{3} << 6);
    EXPECT_EQ((*bitmap_reader(i, (*list)[1]))(0, bits), 0);
    EXPECT_EQ(load_le<u64>(bits.data()), 1u);
    return success();
  }));
}

TEST(Qcow2BitmapEdit, ThePowerCutLeavesTheOldOrTheNew) {
  for (const bool first : {true, false}) {
    auto file = new_image({.cluster_bits = 12});
    if (!first) {
      EXPECT_TRUE(with(file, [](Image& i) { return add_bitmaps(i, {{"old", 10, true, pattern(1)}}); }));
    }
    const std::string before = describe(file);
    file->start_recording();
    EXPECT_TRUE(with(file, [](Image& i) { return add_bitmaps(i, {{"new", 9, true, pattern(9)}}); }));
    const size_t end = file->log.size();
    const std::string after = describe(file);
    std::mt19937_64 random(5);
    for (size_t cut = 0; cut <= end; cut++) {
      for (int round = 0; round < 4; round++) {
        auto part = std::make_shared<RecordingFile>("cut.qcow2", file->cut_off(cut, random));
        CheckResult r;
        findings(part, &r);
        EXPECT_EQ(r.corruptions + r.check_errors, 0u) << cut;
        const std::string now = describe(part);
        EXPECT_TRUE(now == before || now == after) << cut << ": " << now;
      }
    }
  }
}

TEST(Qcow2BitmapEdit, LimitsHold) {
  auto file = new_image();
  const auto refused = [&](NewBitmap b) { return !with(file, [&](Image& i) { return add_bitmaps(i, {b}); }); };
  EXPECT_TRUE(refused({"", 16, true, {}}));
  EXPECT_TRUE(refused({std::string(1024, 'x'), 16, true, {}}));
  EXPECT_TRUE(refused({"x", 8, true, {}}));
  EXPECT_TRUE(refused({"x", 32, true, {}}));
  EXPECT_FALSE(refused({std::string(1023, 'x'), 31, true, {}}));
  EXPECT_EQ(findings(file), "");
  auto old = new_image({.version = 2});
  EXPECT_FALSE(with(old, [](Image& i) { return add_bitmaps(i, {{"x", 16, true, {}}}); }));
  auto huge = new_image({.size = u64{1} << 45});
  EXPECT_FALSE(with(huge, [](Image& i) { return add_bitmaps(i, {{"x", 9, true, {}}}); }));
}

TEST(Qcow2BitmapEdit, DamagedDirectoriesAreRefused) {
  auto file = new_image();
  u64 row = 0;
  EXPECT_TRUE(with(file, [](Image& i) { return add_bitmaps(i, {{"x", 16, true, {}}}); }));
  EXPECT_TRUE(with(file, [&](Image& i) {
    row = (*load_bitmaps(i))[0].entry_offset;
    return success();
  }));
  const std::vector<u8> good = file->bytes;
  for (const auto& [at, value] :
       std::vector<std::pair<u64, u8>>{{0, 0x7f}, {8, 0xff}, {17, 8}, {17, 32}, {18, 0xff}, {20, 0xff}}) {
    auto bad = std::make_shared<RecordingFile>("bad.qcow2", good);
    bad->bytes[row + at] = value;
    EXPECT_NE(describe(bad).find("is not valid"), std::string::npos) << at;
    EXPECT_LT(bad->largest_read, u64{8} << 20);
  }
}

}  // namespace
}  // namespace doppel::block::qcow2
