// qcow2: what the specification says about single fields; errors of the host; bounds.
#include "block/qcow2/qcow2.h"

#include <gtest/gtest.h>

#include "block/bytes.h"
#include "block/qcow2_images.h"

namespace doppel::block::qcow2 {
namespace {

std::shared_ptr<RecordingFile> new_image(CreateOptions o = {}) {
  if (o.size == 0) o.size = 4 << 20;
  auto file = std::make_shared<RecordingFile>();
  EXPECT_TRUE(create(*file, o));
  return file;
}

std::string open_error(const std::shared_ptr<RecordingFile>& file, const OpenOptions& o = {}) {
  auto node = Qcow2::open_image(file, o, 0);
  return node ? "" : node.error().text();
}

TEST(Qcow2Header, UnknownIncompatibleFeaturesAreRefusedByName) {
  auto file = new_image();
  file->bytes[72] = 0x80;  // bit 63
  EXPECT_NE(open_error(file).find("incompatible feature bit 63"), std::string::npos) << open_error(file);
  file = new_image();
  file->bytes[79] = 0x20;  // bit 5, which the image's table of names knows
  const std::string name = "time travel";
  auto at = std::search(file->bytes.begin(), file->bytes.end(), name.begin(), name.end());
  EXPECT_EQ(at, file->bytes.end());
  const std::string known = "extended L2 entries";
  at = std::search(file->bytes.begin(), file->bytes.end(), known.begin(), known.end());
  ASSERT_NE(at, file->bytes.end());
  *(at - 1) = 5;
  std::fill_n(at, known.size(), u8{0});
  std::copy(name.begin(), name.end(), at);
  EXPECT_NE(open_error(file).find("time travel"), std::string::npos) << open_error(file);
}

TEST(Qcow2Header, WhatIsNotKnownIsKept) {
  auto file = new_image({.version = 3});
  // An additional field at byte 112 and an extension of our own, before the others.
  auto& b = file->bytes;
  std::vector<u8> rest(b.begin() + 104, b.begin() + 60000);
  store_be<u32>(&b[100], 120);
  std::fill_n(b.begin() + 104, 16, u8{0});
  b[112] = 0xab;
  store_be<u32>(&b[120], 0x12345678);
  store_be<u32>(&b[124], 5);
  std::copy_n("hello\0\0\0", 8, b.begin() + 128);
  std::copy(rest.begin(), rest.end() - 1000, b.begin() + 136);
  {
    auto node = Qcow2::open_image(file, {}, 0);
    ASSERT_TRUE(node) << node.error().text();
    EXPECT_TRUE((*node)->set_backing("base.raw", "raw"));
    EXPECT_EQ((*node)->close(), 0);
  }
  auto h = parse_header(*file);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->backing_file, "base.raw");
  EXPECT_EQ(h->backing_format, "raw");
  ASSERT_EQ(h->unknown_extensions.size(), 1u);
  EXPECT_EQ(h->unknown_extensions[0].type, 0x12345678u);
  EXPECT_EQ(std::string(h->unknown_extensions[0].data.begin(), h->unknown_extensions[0].data.end()), "hello");
  EXPECT_EQ(b[112], 0xab);
}

TEST(Qcow2Header, UnknownAutoclearBitsFallWithTheFirstWrite) {
  auto file = new_image();
  file->bytes[88] = 0x40;
  {
    auto node = Qcow2::open_image(file, {}, 0);
    ASSERT_TRUE(node);
    std::vector<u8> data(512, 1);
    EXPECT_EQ(read_sync(**node, 0, data), 0);
    EXPECT_EQ(file->bytes[88], 0x40);
    EXPECT_EQ(write_sync(**node, 0, data), 0);
  }
  EXPECT_EQ(file->bytes[88], 0);
}

TEST(Qcow2Header, OptionsThatDontFit) {
  for (const CreateOptions& o : {CreateOptions{.size = 1 << 20, .cluster_bits = 8},
                                 {.size = 1 << 20, .cluster_bits = 22},
                                 {.size = u64{1} << 50, .cluster_bits = 9},
                                 {.version = 2, .lazy_refcounts = true},
                                 {.version = 2, .refcount_order = 3},
                                 {.cluster_bits = 12, .extended_l2 = true},
                                 {.version = 2, .compression = Compression::Zstd},
                                 {.raw_data_file = true}})
    EXPECT_FALSE(check_options(o));
  CreateOptions long_name{.size = 1 << 20, .cluster_bits = 9, .backing_file = std::string(500, 'x')};
  RecordingFile file;
  EXPECT_FALSE(create(file, long_name));
}

TEST(Qcow2Open, DirtyIsRepairedCorruptIsRefused) {
  auto file = new_image({.lazy_refcounts = true});
  {
    auto node = Qcow2::open_image(file, {}, 0);
    ASSERT_TRUE(node);
    EXPECT_EQ(write_sync(**node, 0, std::vector<u8>(512, 1)), 0);
    EXPECT_EQ(flush_sync(**node), 0);
    EXPECT_EQ(file->bytes[79] & 1, 1);
    auto cut = std::make_shared<RecordingFile>("cut", file->bytes);
    CheckResult r;
    findings(cut, &r);
    EXPECT_NE(r.corruptions, 0u);  // postponed
    auto again = Qcow2::open_image(cut, {}, 0);
    ASSERT_TRUE(again) << again.error().text();
    EXPECT_EQ((*again)->close(), 0);
    EXPECT_EQ(findings(cut), "");
    EXPECT_EQ(cut->bytes[79] & 1, 0);
  }
  EXPECT_EQ(file->bytes[79] & 1, 0);
  file->bytes[79] |= 2;
  EXPECT_NE(open_error(file).find("marked corrupt"), std::string::npos);
  EXPECT_EQ(open_error(file, {.read_only = true}), "");
}

TEST(Qcow2Errors, FullDiskLosesNothing) {
  for (u64 room = 300 << 10; room < 900 << 10; room += 17 * 512) {
    auto file = new_image({.cluster_bits = 12});
    file->room = room;
    u64 written = 0;
    {
      auto node = open_memory(file);
      ASSERT_NE(node, nullptr);
      std::vector<u8> data(20 << 10, 0x5a);
      int error = 0;
      for (; written < 2 << 20 && error == 0; written += data.size()) error = write_sync(*node, written, data);
      EXPECT_EQ(error, ENOSPC);
      written -= data.size();
      std::vector<u8> back(written);
      EXPECT_EQ(read_sync(*node, 0, back), 0);
      EXPECT_EQ(std::count(back.begin(), back.end(), 0x5a), static_cast<std::ptrdiff_t>(written));
      file->room = u64{1} << 40;
      EXPECT_EQ(write_sync(*node, written, data), 0);
      EXPECT_EQ(node->close(), 0);
    }
    CheckResult r;
    const std::string text = findings(file, &r);
    EXPECT_EQ(r.corruptions + r.check_errors, 0u) << text;
  }
}

TEST(Qcow2Errors, HostErrorsReachTheGuest) {
  auto file = new_image();
  auto node = open_memory(file);
  std::vector<u8> data(4096, 1);
  file->fail_writes = EIO;
  EXPECT_EQ(write_sync(*node, 0, data), EIO);
  file->fail_writes = 0;
  EXPECT_EQ(write_sync(*node, 0, data), 0);
  file->fail_writes = EIO;
  EXPECT_EQ(flush_sync(*node), EIO);
  file->fail_writes = 0;
  EXPECT_EQ(flush_sync(*node), 0);
  EXPECT_EQ(write_sync(*node, node->size() - 512, data), EIO);  // past the end
}

TEST(Qcow2Flush, AGuestFlushReachesTheHost) {
  auto file = new_image();
  auto node = open_memory(file);
  EXPECT_EQ(write_sync(*node, 0, std::vector<u8>(4096, 1)), 0);
  file->start_recording();
  EXPECT_EQ(flush_sync(*node), 0);
  ASSERT_FALSE(file->log.empty());
  EXPECT_EQ(file->log.back().what, RecordingFile::What::Flush);
  file->start_recording();
  EXPECT_EQ(flush_sync(*node), 0);  // also when nothing seems to be new
  ASSERT_EQ(file->log.size(), 1u);
}

TEST(Qcow2Cache, IsBounded) {
  const auto empty = new_image();
  SliceCache cache(*empty, 4096, 64 << 10);
  int error = 0;
  for (u64 i = 0; i < 1000; i++) ASSERT_NE(cache.load(i * 4096, error), nullptr);
  EXPECT_LE(cache.bytes(), 64u << 10);
  // A large disk of small clusters, written all over.
  auto file = new_image({.size = 256 << 20, .cluster_bits = 9});
  auto node = open_memory(file);
  for (u64 at = 0; at < node->size(); at += 1 << 20) ASSERT_EQ(write_sync(*node, at, std::vector<u8>(512, 1)), 0);
  node->locked([](Image& i) { EXPECT_LE(i.cached_bytes(), 64u << 10); });
}

TEST(Qcow2Cache, HoldsForLargeDisks) {
  auto file = new_image({.size = u64{1} << 40, .cluster_bits = 12});
  auto node = open_memory(file);
  std::vector<u8> data(4096, 1);
  for (const bool writes : {true, false}) {
    for (u64 at = 0; at < node->size(); at += 512 << 20)
      ASSERT_EQ(writes ? write_sync(*node, at, data) : read_sync(*node, at, data), 0);
    node->locked([](Image& i) { EXPECT_LE(i.cached_bytes(), 64u << 10); });
  }
}

TEST(Qcow2Bitmaps, FollowWritesWhenOn) {
  // A directory with two bitmaps, one of them on ("auto"), granularity 64 KiB: 64 bits for 4 MiB.
  auto file = new_image();
  constexpr u64 kCluster = 65536;
  const u64 directory = align_up(file->bytes.size(), kCluster), tables = directory + kCluster;
  file->bytes.resize(tables + 2 * kCluster);
  for (u64 i = 0; i < 2; i++) {
    u8* row = &file->bytes[directory + i * 32];
    store_be<u64>(row, tables + i * kCluster);
    store_be<u32>(row + 8, 1);
    store_be<u32>(row + 12, i == 0 ? u32{Bitmap::kAuto} : u32{0});
    row[16] = 1;
    row[17] = 16;
    store_be<u16>(row + 18, 2);
    std::copy_n(i == 0 ? "on" : "no", 2, row + 24);
  }
  {
    auto node = Qcow2::open_image(file, {}, 0);
    ASSERT_TRUE(node);
    (*node)->locked([&](Image& i) {
      i.header.bitmaps = BitmapsExtension{2, 64, directory};
      i.header.autoclear = kBitmaps;
      EXPECT_EQ(i.refcounts.add(directory / kCluster, 3, 1), 0);
      EXPECT_TRUE(i.rewrite_header());
    });
  }
  EXPECT_EQ(findings(file), "");
  {
    auto node = Qcow2::open_image(file, {}, 0);
    ASSERT_TRUE(node);
    EXPECT_EQ(write_sync(**node, 3 * kCluster + 512, std::vector<u8>(512, 1)), 0);
    EXPECT_EQ(write_zeroes_sync(**node, 20 * kCluster - 1, 2), 0);
    auto list = (*node)->locked([](Image& i) { return load_bitmaps(i); });
    EXPECT_EQ((*list)[0].flags, u32{Bitmap::kAuto | Bitmap::kInUse});  // until it is stored
    EXPECT_EQ((*list)[1].flags, 0u);
    EXPECT_EQ((*node)->close(), 0);
  }
  auto node = Qcow2::open_image(file, {.read_only = true}, 0);
  ASSERT_TRUE(node);
  (*node)->locked([&](Image& i) {
    auto list = load_bitmaps(i);
    ASSERT_TRUE(list);
    EXPECT_EQ((*list)[0].flags, u32{Bitmap::kAuto});
    std::vector<u64> table;
    EXPECT_EQ(load_bitmap_table(i, (*list)[0], table), 0);
    std::vector<u8> bits(8);
    EXPECT_EQ(i.file().read(table[0] & kOffsetMask, bits), 0);
    EXPECT_EQ(load_le<u64>(bits.data()), u64{1} << 3 | u64{1} << 19 | u64{1} << 20);
    EXPECT_EQ(load_bitmap_table(i, (*list)[1], table), 0);
    EXPECT_EQ(table[0], 0u);
  });
  EXPECT_EQ(findings(file), "");
}

TEST(Qcow2Refcounts, WidthsHoldWhatTheySay) {
  std::vector<u8> block(64);
  for (unsigned order = 0; order <= 6; order++) {
    const u64 max = order == 6 ? ~u64{0} : (u64{1} << (1u << order)) - 1;
    for (u64 i = 0; i < 8; i++) write_count(block.data(), i, order, i % 2 == 0 ? max : 0);
    for (u64 i = 0; i < 8; i++) EXPECT_EQ(read_count(block.data(), i, order), i % 2 == 0 ? max : 0) << order;
  }
  write_count(block.data(), 0, 4, 0x1234);
  EXPECT_EQ(block[0] << 8 | block[1], 0x1234);
  block[0] = 0;
  write_count(block.data(), 1, 0, 1);
  EXPECT_EQ(block[0], 2);  // bit 0 is the least significant
}

TEST(Qcow2Compress, BothKindsComeBackFromLongerInput) {
  for (const Compression kind : {Compression::Zlib, Compression::Zstd}) {
    std::vector<u8> data(65536);
    for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<u8>(i / 100);
    std::vector<u8> packed = compress_cluster(kind, data), out(data.size());
    ASSERT_FALSE(packed.empty());
    packed.resize(packed.size() + 300, 0xee);
    ASSERT_TRUE(decompress_cluster(kind, packed, out));
    EXPECT_EQ(out, data);
    packed.resize(20);
    EXPECT_FALSE(decompress_cluster(kind, packed, out));
    std::mt19937_64 random(1);
    for (u8& b : data) b = static_cast<u8>(random());
    EXPECT_TRUE(compress_cluster(kind, data).empty());
    for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<u8>(i);  // evenly spread, but no noise
    EXPECT_LT(compress_cluster(kind, data).size(), 2000u);
    EXPECT_FALSE(compress_cluster(kind, data).empty());
  }
}

}  // namespace
}  // namespace doppel::block::qcow2
