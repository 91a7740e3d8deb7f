// Damaged images: every byte of the header, of the first tables and random others takes odd values. Whatever happens,
// there is an error or an answer, no crash, no read of more than a bounded size, and repair ends.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "block/qcow2/compact.h"
#include "block/qcow2_images.h"

namespace doppel::block::qcow2 {
namespace {

constexpr u64 kLargestRead = kMaxSnapshotTableBytes;

unsigned effort() {
  const char* full = std::getenv("DOPPEL_TEST_FULL");
  return full != nullptr && *full != 0 ? 20 : 1;
}

// An image with something of everything in it.
std::vector<u8> rich_image(const ImageKind& kind) {
  CreateOptions o = kind.options;
  o.size = 300 << 10;
  o.backing_file = kind.backing ? "nowhere.raw" : "";
  auto file = std::make_shared<RecordingFile>();
  EXPECT_TRUE(create(*file, o));
  auto node = Qcow2::open_image(file, {.no_backing = true}, 0);
  EXPECT_TRUE(node);
  const std::vector<u8> data(100 << 10, 7);
  write_sync(**node, 1000 * 512 % o.size, std::span(data).first(50 << 10));
  const u64 cluster = (*node)->cluster_size();
  if (2 * cluster <= o.size) {
    const auto packed = compress_cluster((*node)->compression(), std::vector<u8>(cluster, 9));
    (*node)->write_compressed(cluster, packed);
  }
  if (o.refcount_order > 1) (*node)->locked([](Image& i) { return create_snapshot(i, "s"); }).ok();
  write_sync(**node, 0, data);
  write_zeroes_sync(**node, 4096, 65536);
  (*node)->close();
  return file->bytes;
}

// All that a guest and a user can do with it.
void use(const std::shared_ptr<RecordingFile>& file) {
  for (const bool repair : {false, true}) {
    OpenOptions options{.read_only = !repair, .no_backing = true, .repair = false, .caches = {.total = 64 << 10}};
    auto node = Qcow2::open_image(file, options, 0);
    if (!node) {
      EXPECT_FALSE(node.error().cause.empty());
      continue;
    }
    Qcow2& n = **node;
    std::vector<u8> data(64 << 10);
    for (u64 at = 0; at < std::min<u64>(n.size(), 2 << 20); at += data.size()) read_sync(n, at, data);
    read_sync(n, n.size() - std::min<u64>(n.size(), 4096), data);
    for (u64 at = 0, step = 0; at < n.size() && step < 200; step++)
      at += std::max<u64>(n.extent(at, n.size() - at).length, 1);
    n.info();
    n.locked([&](Image& i) { return check(i, repair ? Repair::All : Repair::None, [](const std::string&) {}); });
  }
  auto node = Qcow2::open_image(file, {.no_backing = true, .caches = {.total = 64 << 10}}, 0);
  if (!node) return;
  std::vector<u8> data(10 << 10, 3), back(10 << 10);
  for (const u64 at : {u64{0}, u64{4096}, (*node)->size() / 2}) {
    if (write_sync(**node, at, data) != 0 || at + data.size() > (*node)->size()) continue;
    EXPECT_EQ(read_sync(**node, at, back), 0);
    EXPECT_EQ(data, back);
  }
  write_zeroes_sync(**node, 0, std::min<u64>((*node)->size(), 70000));
  discard_sync(**node, 0, std::min<u64>((*node)->size(), 70000));
  flush_sync(**node);
  (*node)->locked([](Image& i) { return delete_snapshot(i, "s"); }).ok();
  (*node)->locked([](Image& i) { return create_snapshot(i, "t"); }).ok();
  CompactResult compacted;
  (*node)->locked([&](Image& i) {
    return compact(
        i, [](u64) {}, compacted);
  });
  for (u64 at = 0; at < std::min<u64>((*node)->size(), 1 << 20); at += data.size()) read_sync(**node, at, data);
  (*node)->close();
}

void put_odd(std::vector<u8>& bytes, size_t at, std::mt19937_64& random) {
  static constexpr u64 kOdd[] = {0,          1,          2,          255,        511,        512,
                                 0x7fffffff, 0xffffffff, 1ull << 31, 1ull << 40, 1ull << 62, ~0ull};
  const unsigned width = 1u << random() % 4;
  u64 value = random() % 3 == 0 ? random() : kOdd[random() % std::size(kOdd)];
  for (unsigned i = width; i-- > 0 && at + i < bytes.size(); value >>= 8) bytes[at + i] = static_cast<u8>(value);
}

TEST(Qcow2Fuzz, DamagedImagesGiveErrors) {
  std::mt19937_64 random(1);
  u64 images = 0;
  for (const ImageKind& kind : image_kinds()) {
    if (kind.options.cluster_bits > 16) continue;  // the same, slower
    const std::vector<u8> good = rich_image(kind);
    const u64 cluster = u64{1} << (kind.options.cluster_bits != 0 ? kind.options.cluster_bits : 16);
    for (unsigned round = 0; round < 100 * effort(); round++) {
      auto file = std::make_shared<RecordingFile>("damaged.qcow2", good);
      file->room = 64 << 20;
      const unsigned places = 1 + static_cast<unsigned>(random() % 4);
      for (unsigned i = 0; i < places; i++) {
        const u64 which = random() % 4;
        // The header, a table's first entries, anywhere on a metadata-like place, anywhere.
        const u64 at = which == 0   ? random() % 120
                       : which == 1 ? random() % (good.size() / cluster) * cluster + random() % 64
                                    : random() % good.size();
        put_odd(file->bytes, at, random);
      }
      if (random() % 10 == 0) file->bytes.resize(random() % file->bytes.size());
      use(file);
      ASSERT_LE(file->largest_read, kLargestRead) << kind.name;
      if (HasFailure()) FAIL() << kind.name << " round " << round;
      images++;
    }
  }
  std::printf("damaged qcow2 images: %llu\n", static_cast<unsigned long long>(images));
}

TEST(Qcow2Fuzz, EveryHeaderByte) {
  const std::vector<u8> good = rich_image(image_kinds()[3]);
  for (size_t at = 0; at < 512; at++) {
    for (const u8 value : {0x00, 0x01, 0x80, 0xff}) {
      auto file = std::make_shared<RecordingFile>("damaged.qcow2", good);
      file->room = 64 << 20;
      file->bytes[at] = value;
      use(file);
      ASSERT_LE(file->largest_read, kLargestRead) << at;
    }
  }
}

}  // namespace
}  // namespace doppel::block::qcow2
