// The virtio disk, through its ring.
#include "hw/block/virtio_blk.h"

#include <thread>

#include "block/memory_node.h"
#include "device/virtio_bench.h"

namespace doppel::hw::test {
namespace {

constexpr u64 kFlush = virtio::feature(9), kWce = virtio::feature(11),
              kAll =
                  kFlush | kWce | virtio::feature(13) | virtio::feature(14) | virtio::kIndirectDesc | virtio::kEventIdx;
enum : u32 { kIn = 0, kOut = 1, kFlushType = 4, kGetId = 8, kDiscard = 11, kZeroes = 13 };

struct Disk : VirtioBench {
  std::shared_ptr<block::MemoryNode> node;
  explicit Disk(u64 size = 1 << 20, bool read_only = false, bool synchronous = true)
      : node(std::make_shared<block::MemoryNode>(size, read_only)) {
    make<VirtioBlk>(VirtioBlk::Params{.node = node,
                                      .clock = clock,
                                      .device_lock = lock,
                                      .serial = "disk 1",
                                      .queues = 2,
                                      .read_only = read_only,
                                      .synchronous = synchronous});
  }
  static std::vector<u8> header(u32 type, u64 sector) {
    std::vector<u8> h(16);
    store_le<u32>(&h[0], type);
    store_le<u64>(&h[8], sector);
    return h;
  }
  static std::vector<u8> range(u64 sector, u32 count, u32 flags = 0) {
    std::vector<u8> r(16);
    store_le<u64>(&r[0], sector);
    store_le<u32>(&r[8], count);
    store_le<u32>(&r[12], flags);
    return r;
  }
  // Returns the status byte.
  int request(u32 type, u64 sector, std::vector<Buffer> data, size_t queue = 0) {
    std::vector<Buffer> chain = {out(header(type, sector))};
    chain.insert(chain.end(), data.begin(), data.end());
    const Buffer status = in(1);
    *at(status.address) = 0xee;
    chain.push_back(status);
    add(queue, chain);
    kick(queue);
    return *at(status.address);
  }
};

TEST(VirtioBlk, ReadsAndWritesInPieces) {
  Disk d;
  d.start(kAll);
  EXPECT_EQ(d.device->config_read(0, 8), 2048u);
  EXPECT_EQ(d.device->config_read(34, 2), 2u);
  std::vector<u8> bytes(1536);
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<u8>(i * 7);
  const std::span<u8> all = bytes;
  EXPECT_EQ(d.request(kOut, 5, {d.out({all.begin(), all.begin() + 100}), d.out({all.begin() + 100, all.end()})}), 0);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), d.node->data.begin() + 5 * 512));
  const auto a = d.in(1000), b = d.in(536);
  EXPECT_EQ(d.request(kIn, 5, {a, b}, 1), 0);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.begin() + 1000, d.at(a.address)));
  EXPECT_TRUE(std::equal(bytes.begin() + 1000, bytes.end(), d.at(b.address)));
  EXPECT_EQ(d.used_length(1, 0), 1537u);
  EXPECT_EQ(d.queue_interrupts, 2u);
}

TEST(VirtioBlk, RefusesWhatIsNotOnTheDisk) {
  Disk d;
  d.start(kAll);
  EXPECT_EQ(d.request(kIn, 2047, {d.in(512)}), 0);
  EXPECT_EQ(d.request(kIn, 2047, {d.in(1024)}), 1);
  EXPECT_EQ(d.request(kIn, ~u64{0}, {d.in(512)}), 1);
  EXPECT_EQ(d.request(kIn, u64{1} << 55, {d.in(512)}), 1);
  EXPECT_EQ(d.request(kIn, 0, {d.in(500)}), 1);
  EXPECT_EQ(d.request(99, 0, {d.in(512)}), 2);
  EXPECT_EQ(d.request(kIn, 0, {{0x80000, 0xfffffe00, true}}), 1);  // 4 GiB of buffer: no memory is taken for it
  EXPECT_FALSE(d.needs_reset());
  Disk r(1 << 20, true);
  r.start(0);
  EXPECT_TRUE(r.device->offered(false) & virtio::feature(5));
  EXPECT_EQ(r.request(kOut, 0, {r.out(std::vector<u8>(512))}), 1);
}

TEST(VirtioBlk, FlushesDiscardsZeroesAndTellsItsName) {
  Disk d;
  std::fill(d.node->data.begin(), d.node->data.end(), u8{0x55});
  d.start(kAll);
  EXPECT_EQ(d.request(kFlushType, 0, {}), 0);
  EXPECT_EQ(d.node->flushes, 1u);
  EXPECT_EQ(d.request(kDiscard, 0, {d.out(Disk::range(8, 2))}), 0);
  EXPECT_EQ(d.node->data[8 * 512], 0);
  EXPECT_EQ(d.node->data[10 * 512], 0x55);
  EXPECT_EQ(d.request(kZeroes, 0, {d.out(Disk::range(20, 1, 1)), d.out(Disk::range(22, 1))}), 0);
  EXPECT_EQ(d.node->data[22 * 512], 0);
  EXPECT_EQ(d.node->data[21 * 512], 0x55);
  EXPECT_EQ(d.request(kDiscard, 0, {d.out(Disk::range(2047, 2))}), 1);
  EXPECT_EQ(d.request(kDiscard, 0, {d.out(Disk::range(0, 1, 1))}), 1);  // no flags here
  EXPECT_EQ(d.request(kDiscard, 0, {}), 1);
  const auto id = d.in(20);
  EXPECT_EQ(d.request(kGetId, 0, {id}), 0);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(d.at(id.address))), "disk 1");
}

TEST(VirtioBlk, WithoutAWriteCacheEveryWriteIsFlushed) {
  Disk d;
  d.start(0);
  d.request(kOut, 0, {d.out(std::vector<u8>(512))});
  EXPECT_EQ(d.node->flushes, 1u);
  d.start(kAll);
  d.request(kOut, 0, {d.out(std::vector<u8>(512))});
  EXPECT_EQ(d.node->flushes, 1u);
  d.device->config_write(32, 0, 1);
  EXPECT_EQ(d.device->config_read(32, 1), 0u);
  d.request(kOut, 0, {d.out(std::vector<u8>(512))});
  EXPECT_EQ(d.node->flushes, 2u);
}

TEST(VirtioBlk, AnErrorOfTheDiskReachesTheGuest) {
  Disk d;
  d.start(kAll);
  d.node->fail_with = ENOSPC;
  EXPECT_EQ(d.request(kOut, 0, {d.out(std::vector<u8>(512))}), 1);
  EXPECT_EQ(d.request(kFlushType, 0, {}), 1);
  d.node->fail_with = 0;
  EXPECT_EQ(d.request(kIn, 0, {d.in(512)}), 0);
}

TEST(VirtioBlk, ARequestWithoutStatusNeedsAReset) {
  Disk d;
  d.start(kAll);
  d.add(0, {d.out(Disk::header(kFlushType, 0))});
  d.kick(0);
  EXPECT_TRUE(d.needs_reset());
  EXPECT_EQ(d.config_interrupts, 1u);
  EXPECT_EQ(d.request(kIn, 0, {d.in(512)}), 0xee);  // nothing moves
  d.start(kAll);
  EXPECT_FALSE(d.needs_reset());
  EXPECT_EQ(d.request(kIn, 0, {d.in(512)}), 0);
}

// The thread of the device: requests from the ring of a running machine, stopped and reset in the middle.
TEST(VirtioBlk, TheWorkerEndsWhatItHasWhenTheMachineStops) {
  Disk d(1 << 20, false, false);
  for (int round = 0; round < 50; round++) {
    std::vector<Disk::Buffer> status;
    {
      const std::lock_guard guard(d.lock);
      d.start(kAll);
      for (u32 i = 0; i < 12; i++) {
        status.push_back(d.in(1));
        *d.at(status.back().address) = 0xee;
        d.add(i % 2, {d.out(Disk::header(kOut, i)),
                      d.out(std::vector<u8>(512, static_cast<u8>(round + static_cast<int>(i)))), status.back()});
        d.kick(i % 2);
      }
      if (round % 3 == 0) d.device->sleep();
      if (round % 3 == 0) {
        for (const auto& s : status) EXPECT_EQ(*d.at(s.address), 0);
      }
      if (round % 3 == 1) d.device->reset();
    }
    for (int wait = 0; round % 3 == 2 && wait < 10000; wait++) {
      const std::lock_guard guard(d.lock);
      if (d.used(0) + d.used(1) == 12) break;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    const std::lock_guard guard(d.lock);
    if (round % 3 != 1) EXPECT_EQ(d.used(0) + d.used(1), 12);
    EXPECT_EQ(d.node->data[512 * 11], static_cast<u8>(round + 11));
  }
}

TEST(VirtioBlk, RingsThatLieDoNoHarm) {
  for (u32 seed = 1; seed <= 20; seed++) {
    Disk d(1 << 16);
    d.fuzz(seed, 2000, kAll);
  }
}

}  // namespace
}  // namespace doppel::hw::test
