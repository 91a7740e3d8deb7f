// Memory in pieces through every kind of node, and the gate.
#include "block/pieces.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <thread>

#include "block/file.h"
#include "block/gate.h"
#include "block/memory_node.h"
#include "block/overlay.h"
#include "block/qcow2/create.h"
#include "block/raw.h"
#include "block/sync.h"
#include "block/tuning.h"

namespace doppel::block {
namespace {

constexpr u64 kSize = 1 << 20;

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/doppel-pieces.XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::vector<std::span<u8>> cut(std::span<u8> data, std::mt19937_64& random) {
  std::vector<std::span<u8>> out;
  while (!data.empty()) {
    const size_t n = 1 + random() % std::min<size_t>(data.size(), 9000);
    out.push_back(data.first(n));
    data = data.subspan(n);
  }
  return out;
}

void agrees_with_an_array(Node& node) {
  std::mt19937_64 random(7);
  std::vector<u8> model(kSize);
  for (int i = 0; i < 300; i++) {
    const u64 at = random() % kSize, n = 1 + random() % std::min<u64>(kSize - at, 150000);
    std::vector<u8> data(n);
    if (random() % 2 == 0) {
      std::generate(data.begin(), data.end(), [&] { return random() % 3 == 0 ? u8{0} : static_cast<u8>(random()); });
      ASSERT_EQ(write_sync(node, at, Pieces(cut(data, random))), 0);
      std::copy(data.begin(), data.end(), model.begin() + static_cast<long>(at));
    } else {
      ASSERT_EQ(read_sync(node, at, Pieces(cut(data, random))), 0);
      ASSERT_TRUE(std::equal(data.begin(), data.end(), model.begin() + static_cast<long>(at))) << i;
    }
  }
}

TEST(Pieces, ThroughEveryNode) {
  const Folder folder;
  for (const bool direct : {false, true}) {
    auto file = create_file(folder.file("raw"), {});
    ASSERT_TRUE(file);
    ASSERT_EQ((*file)->truncate(kSize), 0);
    file = std::shared_ptr<File>();
    auto opened = open_file(folder.file("raw"), {.direct = direct});
    if (direct && !opened) continue;  // a file system without that
    Raw raw(opened.take());
    agrees_with_an_array(raw);
  }
  MemoryNode memory(kSize);
  agrees_with_an_array(memory);
  auto overlay = Overlay::create(std::make_shared<MemoryNode>(kSize, true));
  ASSERT_TRUE(overlay);
  agrees_with_an_array(**overlay);
  const auto through = tuned(std::make_shared<MemoryNode>(kSize), {.write_through = true, .detect_zeroes = true});
  agrees_with_an_array(*through);
  auto image = create_file(folder.file("qcow2"), {});
  ASSERT_TRUE(image);
  ASSERT_TRUE(qcow2::create(**image, {.size = kSize}));
  image = std::shared_ptr<File>();
  auto node = open(folder.file("qcow2"), {});
  ASSERT_TRUE(node) << node.error().text();
  agrees_with_an_array(**node);
}

// Threads write and read their own parts of one image, and others flush, discard and look at it.
TEST(Pieces, Qcow2SideBySide) {
  const Folder folder;
  auto image = create_file(folder.file("qcow2"), {});
  ASSERT_TRUE(image);
  ASSERT_TRUE(qcow2::create(**image, {.size = 8 * kSize}));
  image = std::shared_ptr<File>();
  auto opened = open(folder.file("qcow2"), {});
  ASSERT_TRUE(opened);
  Node& node = **opened;
  std::atomic<int> wrong{0};
  const auto part = [&](u64 number) {
    std::mt19937_64 random(number);
    std::vector<u8> model(kSize), data;
    for (int i = 0; i < 150; i++) {
      const u64 at = random() % kSize, n = 1 + random() % std::min<u64>(kSize - at, 100000);
      data.assign(n, static_cast<u8>(random()));
      const u64 what = random() % 8;
      if (what == 0) wrong += flush_sync(node) != 0;
      if (what == 1) {
        wrong += write_zeroes_sync(node, number * kSize + at, n) != 0;
        std::fill_n(model.begin() + static_cast<long>(at), n, u8{0});
      } else if (what < 5) {
        wrong += write_sync(node, number * kSize + at, Pieces(cut(data, random))) != 0;
        std::copy(data.begin(), data.end(), model.begin() + static_cast<long>(at));
      } else {
        wrong += read_sync(node, number * kSize + at, Pieces(cut(data, random))) != 0;
        wrong += !std::equal(data.begin(), data.end(), model.begin() + static_cast<long>(at));
      }
      if (what == 6) node.extent(0, 8 * kSize);
    }
  };
  std::vector<std::thread> threads;
  for (u64 i = 0; i < 6; i++) threads.emplace_back(part, i);
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Gate, OneAloneGoesBeforeAStreamOfMany) {
  Gate gate;
  std::atomic<bool> stop{false}, alone{false};
  std::atomic<int> inside{0}, wrong{0};
  std::vector<std::thread> many;
  for (int i = 0; i < 3; i++) {
    many.emplace_back([&] {
      while (!stop) {
        const std::shared_lock hold(gate);
        inside++;
        wrong += alone;
        inside--;
      }
    });
  }
  for (int i = 0; i < 200; i++) {
    const std::lock_guard hold(gate);
    alone = true;
    wrong += inside != 0;
    alone = false;
  }
  stop = true;
  for (std::thread& t : many) t.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace doppel::block
