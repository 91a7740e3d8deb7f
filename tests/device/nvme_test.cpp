// The NVMe controller, driven as a guest's driver does it.
#include "hw/block/nvme.h"

#include <gtest/gtest.h>

#include <condition_variable>

#include "device/disk_rig.h"

namespace doppel::hw::test {
namespace {

using namespace nvme;

struct Driver : Rig {
  static constexpr u64 kQueues = 0x10000, kData = 0x40000;
  static constexpr u32 kEntries = 8;
  std::shared_ptr<block::MemoryNode> node;
  MmioHandler* registers = nullptr;
  u32 tail[3] = {}, head[3] = {};
  bool phase[3] = {true, true, true};
  u16 next_id = 1;

  explicit Driver(u64 size = 1 << 20, bool read_only = false, bool synchronous = true)
      : node(std::make_shared<block::MemoryNode>(size, read_only)) {
    auto& d = make<Nvme>(
        Nvme::Params{.node = node, .serial = "serial 1", .device_lock = synchronous ? nullptr : &lock, .io_queues = 2});
    registers = &map_disk_controller(*this, d, 0);
    enable();
  }
  void enable() {
    set(kAqa, (kEntries - 1) | (kEntries - 1) << 16);
    set(kAsq, sq(0));
    set(kAcq, cq(0));
    set(kCc, kCcEnable | 6 << 16 | 4 << 20);
    ASSERT_EQ(get(kCsts), kCstsReady);
    for (u32 q = 1; q < 3; q++) {
      ASSERT_EQ(run(0, {.opcode = kCreateCq, .prp1 = cq(q), .dword10 = q | (kEntries - 1) << 16, .dword11 = 3}), 0);
      ASSERT_EQ(
          run(0, {.opcode = kCreateSq, .prp1 = sq(q), .dword10 = q | (kEntries - 1) << 16, .dword11 = 1 | q << 16}), 0);
    }
  }
  static u64 sq(u32 q) { return kQueues + q * 0x2000; }
  static u64 cq(u32 q) { return kQueues + q * 0x2000 + 0x1000; }
  u32 get(u32 reg) { return static_cast<u32>(registers->read(reg, 4)); }
  void set(u32 reg, u64 value) { registers->write(reg, value, 4); }
  void submit(u32 q, Command c) {
    c.id = next_id++;
    memory.write(sq(q) + tail[q] * 64, &c, sizeof c);
    tail[q] = (tail[q] + 1) % kEntries;
    set(kDoorbells + q * 8, tail[q]);
  }
  // The next completion's status, or -1.
  int take(u32 q, u32* result = nullptr, u16* id = nullptr) {
    u8 entry[16];
    memory.read(cq(q) + head[q] * 16, entry, 16);
    const u16 status = load_le<u16>(entry + 14);
    if ((status & 1) != phase[q]) return -1;
    head[q] = (head[q] + 1) % kEntries;
    if (head[q] == 0) phase[q] = !phase[q];
    set(kDoorbells + q * 8 + 4, head[q]);
    if (result) *result = load_le<u32>(entry);
    if (id) *id = load_le<u16>(entry + 12);
    return status >> 1;
  }
  int run(u32 q, Command c, u32* result = nullptr) {
    submit(q, c);
    return take(q, result);
  }
  static Command transfer(u8 op, u64 block, u32 count, u64 prp1, u64 prp2 = 0) {
    return {.opcode = op,
            .namespace_id = 1,
            .prp1 = prp1,
            .prp2 = prp2,
            .dword10 = static_cast<u32>(block),
            .dword11 = static_cast<u32>(block >> 32),
            .dword12 = count - 1};
  }
};

TEST(Nvme, IdentifiesItself) {
  Driver d;
  EXPECT_EQ(d.get(kVs), 0x00010400u);
  EXPECT_EQ(d.run(0, {.opcode = kIdentify, .prp1 = Driver::kData, .dword10 = 1}), 0);
  EXPECT_EQ(std::string(d.memory.bytes.begin() + Driver::kData + 4, d.memory.bytes.begin() + Driver::kData + 12),
            "serial 1");
  EXPECT_EQ(
      d.run(0, {.opcode = kIdentify, .namespace_id = 1, .prp1 = Driver::kData + 0x800, .prp2 = Driver::kData + 0x3000}),
      0);
  EXPECT_EQ(d.memory.load<u64>(Driver::kData + 0x800), 2048u);  // the second half is on another page
  EXPECT_EQ(d.run(0, {.opcode = kIdentify, .namespace_id = 7, .prp1 = Driver::kData}), kInvalidNamespace | kDnr);
  EXPECT_EQ(d.run(0, {.opcode = kIdentify, .prp1 = Driver::kData, .dword10 = 2}), 0);
  EXPECT_EQ(d.memory.load<u32>(Driver::kData), 1u);
  u32 result = 0;
  EXPECT_EQ(d.run(0, {.opcode = kGetFeatures, .dword10 = kNumberOfQueues}, &result), 0);
  EXPECT_EQ(result, 0x00010001u);
  EXPECT_EQ(
      d.run(
          0,
          {.opcode = kGetLogPage, .namespace_id = 0xffffffff, .prp1 = Driver::kData, .dword10 = kSmartLog | 127 << 16}),
      0);
  EXPECT_EQ(d.run(0, {.opcode = 0x77}), kInvalidOpcode | kDnr);
}

TEST(Nvme, MovesDataByPrpLists) {
  Driver d(2 << 20);
  for (size_t i = 0; i < d.node->data.size(); i++) d.node->data[i] = static_cast<u8>(i * 5 + i / 4096);
  // 40 KiB from the middle of a page: a list in two pieces, its first one at the end of a page.
  const u64 list = 0x60ff0, next = 0x62000;
  std::vector<u64> pages;
  for (u64 i = 0; i < 10; i++) pages.push_back(0x70000 + (i * 7 % 10) * 0x2000);
  d.memory.store<u64>(list, pages[0]);
  d.memory.store<u64>(list + 8, next);
  for (size_t i = 1; i < pages.size(); i++) d.memory.store<u64>(next + 8 * (i - 1), pages[i]);
  EXPECT_EQ(d.run(1, Driver::transfer(kRead, 3, 80, 0x50800, list)), 0);
  const auto at = [&](u64 offset) {
    if (offset < 0x800) return d.memory.bytes[0x50800 + offset];
    return d.memory.bytes[pages[(offset - 0x800) / 4096] + (offset - 0x800) % 4096];
  };
  for (u64 i = 0; i < 40960; i++) ASSERT_EQ(at(i), d.node->data[3 * 512 + i]) << i;
  EXPECT_EQ(d.run(2, Driver::transfer(kWrite, 1000, 80, 0x50800, list)), 0);
  EXPECT_TRUE(
      std::equal(d.node->data.begin() + 3 * 512, d.node->data.begin() + 83 * 512, d.node->data.begin() + 512000));
  EXPECT_EQ(d.run(1, Driver::transfer(kCompare, 1000, 80, 0x50800, list)), 0);
  d.node->data[512000] ^= 1;
  EXPECT_EQ(d.run(1, Driver::transfer(kCompare, 1000, 80, 0x50800, list)), kCompareFailure);
  EXPECT_EQ(d.run(1, Driver::transfer(kRead, 0, 80, 0x50800, list + 4)), kInvalidPrpOffset | kDnr);
  EXPECT_EQ(d.run(1, Driver::transfer(kRead, 0, 80, 0x50800, u64{1} << 40)), kDataTransferError);
  EXPECT_EQ(d.run(1, Driver::transfer(kRead, 4095, 2, 0x50000)), kLbaOutOfRange | kDnr);
  EXPECT_EQ(d.run(1, Driver::transfer(kRead, ~u64{0}, 1, 0x50000)), kLbaOutOfRange | kDnr);
}

TEST(Nvme, ZeroesDeallocatesAndFlushes) {
  Driver d;
  std::fill(d.node->data.begin(), d.node->data.end(), u8{0x55});
  EXPECT_EQ(d.run(1, Driver::transfer(kWriteZeroes, 2, 3, 0)), 0);
  EXPECT_EQ(d.node->data[2 * 512 - 1], 0x55);
  EXPECT_EQ(d.node->data[2 * 512], 0);
  EXPECT_EQ(d.node->data[5 * 512], 0x55);
  d.memory.store<u32>(Driver::kData + 4, 4);
  d.memory.store<u64>(Driver::kData + 8, 10);
  EXPECT_EQ(d.run(1, {.opcode = kDatasetManagement, .namespace_id = 1, .prp1 = Driver::kData, .dword11 = 4}), 0);
  EXPECT_EQ(d.node->data[10 * 512], 0);
  EXPECT_EQ(d.node->data[14 * 512], 0x55);
  const unsigned before = d.node->flushes;
  EXPECT_EQ(d.run(1, {.opcode = kFlush, .namespace_id = 0xffffffff}), 0);
  EXPECT_EQ(d.node->flushes, before + 1);
  EXPECT_EQ(d.run(0, {.opcode = kSetFeatures, .dword10 = kVolatileWriteCache, .dword11 = 0}), 0);
  EXPECT_EQ(d.run(1, Driver::transfer(kWrite, 0, 1, Driver::kData)), 0);
  EXPECT_EQ(d.node->flushes, before + 2);
  d.node->fail_with = EIO;
  EXPECT_EQ(d.run(1, Driver::transfer(kRead, 0, 1, Driver::kData)), kUnrecoveredRead);
  EXPECT_EQ(d.run(1, Driver::transfer(kWrite, 0, 1, Driver::kData)), kWriteFault);
}

TEST(Nvme, RefusesWritesToWhatIsReadOnly) {
  Driver d(1 << 20, true);
  EXPECT_EQ(d.run(1, Driver::transfer(kWrite, 0, 1, Driver::kData)), kWriteProtected | kDnr);
  EXPECT_EQ(d.run(1, Driver::transfer(kRead, 0, 1, Driver::kData)), 0);
}

TEST(Nvme, AFullCompletionQueueWaitsForRoom) {
  Driver d;
  for (int i = 0; i < 7; i++) d.submit(1, Driver::transfer(kRead, 0, 1, Driver::kData));
  d.submit(1, Driver::transfer(kRead, 0, 1, Driver::kData));  // its completion has no room
  for (int i = 0; i < 3; i++) d.submit(1, Driver::transfer(kRead, 0, 1, Driver::kData));
  std::vector<u16> ids;
  u16 id = 0;
  while (d.take(1, nullptr, &id) == 0) ids.push_back(id);
  ASSERT_EQ(ids.size(), 11u);
  for (size_t i = 1; i < ids.size(); i++) EXPECT_EQ(ids[i], ids[i - 1] + 1);
}

TEST(Nvme, TellsOfABadDoorbellOnce) {
  Driver d;
  d.submit(0, {.opcode = kAsyncEventRequest});
  EXPECT_EQ(d.take(0), -1);
  d.set(kDoorbells + 8, 99);
  u32 result = 0;
  EXPECT_EQ(d.take(0, &result), 0);
  EXPECT_EQ(result, 0x00010100u);
  d.submit(0, {.opcode = kAsyncEventRequest});
  d.set(kDoorbells + 8, 99);
  EXPECT_EQ(d.take(0), -1);  // until the log page is read
  EXPECT_EQ(d.run(0, {.opcode = kGetLogPage, .prp1 = Driver::kData, .dword10 = kErrorLog | 15 << 16}), 0);
  d.set(kDoorbells + 8, 99);
  EXPECT_EQ(d.take(0), 0);
}

TEST(Nvme, QueuesComeAndGo) {
  Driver d;
  EXPECT_EQ(d.run(0, {.opcode = kDeleteCq, .dword10 = 1}), kInvalidQueueDeletion | kDnr);
  EXPECT_EQ(d.run(0, {.opcode = kDeleteSq, .dword10 = 1}), 0);
  EXPECT_EQ(d.run(0, {.opcode = kDeleteCq, .dword10 = 1}), 0);
  EXPECT_EQ(d.run(0, {.opcode = kDeleteCq, .dword10 = 0}), kInvalidQueueId | kDnr);
  EXPECT_EQ(d.run(0, {.opcode = kCreateCq, .prp1 = 0x1000, .dword10 = 9 | 7 << 16, .dword11 = 1}),
            kInvalidQueueId | kDnr);
  EXPECT_EQ(d.run(0, {.opcode = kCreateCq, .prp1 = 0x1000, .dword10 = 1, .dword11 = 1}), kInvalidQueueSize | kDnr);
  d.set(kCc, 6 << 16 | 4 << 20 | 1 | 1 << 14);  // shutdown
  EXPECT_EQ(d.get(kCsts) & 0xc, kCstsShutdownDone);
  EXPECT_GE(d.node->flushes, 1u);
  d.set(kCc, 0);
  EXPECT_EQ(d.get(kCsts), 0u);
}

// The disk blocks; the guest goes on, and the completion comes when the disk is done.
TEST(Nvme, DoesNotWaitForTheDisk) {
  class Slow final : public block::Node {
   public:
    std::mutex lock;
    std::condition_variable go;
    bool open = false;
    u64 size() const override { return 1 << 20; }
    bool read_only() const override { return false; }
    std::string filename() const override { return "slow"; }
    void read(u64, std::span<u8> data, block::Completion done) override {
      {
        std::unique_lock guard(lock);
        go.wait(guard, [this] { return open; });
      }
      std::fill(data.begin(), data.end(), u8{0x77});
      done(0);
    }
    void write(u64, std::span<const u8>, block::Completion done) override { done(0); }
    void flush(block::Completion done) override { done(0); }
    void discard(u64, u64, block::Completion done) override { done(0); }
    void write_zeroes(u64, u64, block::Completion done) override { done(0); }
  };
  Rig r;
  auto slow = std::make_shared<Slow>();
  auto& d = r.make<Nvme>(Nvme::Params{.node = slow, .serial = "s", .device_lock = &r.lock, .io_queues = 1});
  MmioHandler& regs = map_disk_controller(r, d, 0);
  const auto set = [&](u32 reg, u64 v) {
    const std::lock_guard guard(r.lock);
    regs.write(reg, v, 4);
  };
  set(kAqa, 7 | 7 << 16), set(kAsq, 0x1000), set(kAcq, 0x2000), set(kCc, 1 | 6 << 16 | 4 << 20);
  Command c{.opcode = kCreateCq, .prp1 = 0x4000, .dword10 = 1 | 7 << 16, .dword11 = 1};
  r.memory.write(0x1000, &c, sizeof c);
  c = {.opcode = kCreateSq, .prp1 = 0x3000, .dword10 = 1 | 7 << 16, .dword11 = 1 | 1 << 16};
  r.memory.write(0x1040, &c, sizeof c);
  set(kDoorbells, 2);
  c = Driver::transfer(kRead, 0, 1, 0x8000);
  r.memory.write(0x3000, &c, sizeof c);
  set(kDoorbells + 8, 1);  // returns at once
  EXPECT_EQ(r.memory.load<u16>(0x400e), 0);
  {
    const std::lock_guard guard(slow->lock);
    slow->open = true;
  }
  slow->go.notify_all();
  {
    const std::lock_guard guard(r.lock);
    d.sleep();
  }
  EXPECT_EQ(r.memory.load<u16>(0x400e), 1);
  EXPECT_EQ(r.memory.bytes[0x8000], 0x77);
}

}  // namespace
}  // namespace doppel::hw::test
