// Damaged images of the formats that are only read: the files in the folder DOPPEL_TEST_IMAGES (tests/img/run.py makes
// them), with odd values in their headers and tables. There is an error or an answer, no crash and no unbounded read.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "block/formats/read_only_image.h"
#include "block/recording_file.h"
#include "block/sync.h"

namespace doppel::block {
namespace {

const std::map<std::string, OpenFormat> kFormats = {{".vdi", open_vdi},
                                                    {".vpc", open_vpc},
                                                    {".vhdx", open_vhdx},
                                                    {".vmdk", open_vmdk},
                                                    {".parallels", open_parallels},
                                                    {".qcow", open_qcow1},
                                                    {".dmg", open_dmg}};

void use(const std::shared_ptr<RecordingFile>& file, OpenFormat open) {
  auto node = open(file, {.read_only = true, .no_backing = true}, 0);
  if (!node) {
    EXPECT_FALSE(node.error().cause.empty());
    return;
  }
  Node& n = **node;
  std::vector<u8> data(64 << 10);
  for (u64 at = 0, step = 0; at < n.size() && step < 100; step++) {
    const u64 length = std::max<u64>(n.extent(at, n.size() - at).length, 1);
    read_sync(n, at, std::span(data).first(std::min<u64>(length, data.size())));
    at += length;
  }
  read_sync(n, n.size() - std::min<u64>(n.size(), 4096), data);
  EXPECT_EQ(write_sync(n, 0, data), EROFS);
}

TEST(FormatFuzz, DamagedImagesGiveErrors) {
  const char* folder = std::getenv("DOPPEL_TEST_IMAGES");
  if (folder == nullptr) GTEST_SKIP() << "DOPPEL_TEST_IMAGES is not set";
  static constexpr u64 kOdd[] = {0, 1, 255, 511, 0x7fffffff, 0xffffffff, 0xfffffffe, 1ull << 40, 1ull << 62, ~0ull};
  std::mt19937_64 random(1);
  unsigned images = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto format = kFormats.find(entry.path().extension().string());
    if (format == kFormats.end()) continue;
    images++;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::vector<u8> good((std::istreambuf_iterator<char>(in)), {});
    std::vector<u64> places;  // that hold something: near the start, the end, and 64 KiB boundaries
    for (u64 i = 0; i < good.size(); i++) {
      if (i < 4096 || i + 2048 > good.size() || i % 65536 < 64) places.push_back(i);
    }
    for (unsigned round = 0; round < 200; round++) {
      auto file = std::make_shared<RecordingFile>(entry.path().string(), good);
      for (u64 k = 0; k < 1 + random() % 3; k++) {
        const u64 at = places[random() % places.size()];
        const u64 value = random() % 3 == 0 ? random() : kOdd[random() % std::size(kOdd)];
        for (unsigned i = 0; i < 1u << random() % 4 && at + i < good.size(); i++)
          file->bytes[at + i] = static_cast<u8>(value >> i * 8);
      }
      if (random() % 8 == 0) file->bytes.resize(random() % good.size());
      use(file, format->second);
      ASSERT_LE(file->largest_read, 512u << 20) << entry.path();
    }
  }
  std::printf("damaged images of other formats: %u\n", images * 200);
  EXPECT_GE(images, 7u);
}

}  // namespace
}  // namespace doppel::block
