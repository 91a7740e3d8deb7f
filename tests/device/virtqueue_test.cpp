// The split ring: chains, indirect tables, notifications, and rings that lie.
#include "hw/bus/virtio/virtqueue.h"

#include <gtest/gtest.h>

#include "device/virtio_bench.h"

namespace doppel::hw::test {
namespace {

constexpr u64 kDesc = 0x1000, kAvail = 0x2000, kUsed = 0x3000, kTable = 0x4000, kData = 0x8000;

struct Ring {
  FakeMemory memory{1 << 20};
  Virtqueue q{8};
  explicit Ring(bool event_idx = false, bool indirect = true) {
    q.setup() = {.size = 8, .enabled = true, .descriptors = kDesc, .driver = kAvail, .device = kUsed};
    q.start(memory, {.event_idx = event_idx, .indirect = indirect});
  }
  u8* at(u64 pa) { return &memory.bytes[pa]; }
  void descriptor(u64 table, u16 i, u64 address, u32 length, u16 flags, u16 next = 0) {
    u8* d = at(table + 16 * i);
    store_le<u64>(d, address);
    store_le<u32>(d + 8, length);
    store_le<u16>(d + 12, flags);
    store_le<u16>(d + 14, next);
  }
  void offer(u16 head) {
    const u16 index = load_le<u16>(at(kAvail + 2));
    store_le<u16>(at(kAvail + 4 + 2 * (index % 8)), head);
    store_le<u16>(at(kAvail + 2), static_cast<u16>(index + 1));
  }
};

TEST(Virtqueue, AChainIsReadWrittenAndGivenBack) {
  Ring r;
  std::memcpy(r.at(kData), "hello", 5);
  r.descriptor(kDesc, 3, kData, 3, 1, 5);
  r.descriptor(kDesc, 5, kData + 3, 2, 1, 1);
  r.descriptor(kDesc, 1, kData + 0x100, 4, 3, 0);
  r.descriptor(kDesc, 0, kData + 0x200, 100, 2);
  VirtqChain c;
  EXPECT_FALSE(r.q.pop(c));
  r.offer(3);
  ASSERT_TRUE(r.q.pop(c));
  EXPECT_EQ(c.readable(), 5u);
  EXPECT_EQ(c.writable(), 104u);
  u8 text[10] = {};
  EXPECT_EQ(c.read(1, text), 4u);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(text)), "ello");
  const u8 answer[6] = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(c.write(2, answer), 6u);
  EXPECT_EQ(*r.at(kData + 0x102), 1);
  EXPECT_EQ(*r.at(kData + 0x203), 6);
  EXPECT_EQ(c.write(104, answer), 0u);
  r.q.push(c, 8);
  EXPECT_EQ(load_le<u16>(r.at(kUsed + 2)), 0);
  EXPECT_TRUE(r.q.publish());
  EXPECT_EQ(load_le<u16>(r.at(kUsed + 2)), 1);
  EXPECT_EQ(load_le<u32>(r.at(kUsed + 4)), 3u);
  EXPECT_EQ(load_le<u32>(r.at(kUsed + 8)), 8u);
  EXPECT_FALSE(r.q.publish());
}

TEST(Virtqueue, APoppedChainCanBePutBack) {
  Ring r;
  r.descriptor(kDesc, 2, kData, 3, 0);
  r.offer(2);
  VirtqChain c;
  ASSERT_TRUE(r.q.pop(c));
  EXPECT_TRUE(r.q.empty());
  r.q.unpop(1);
  EXPECT_FALSE(r.q.empty());
  ASSERT_TRUE(r.q.pop(c));
  EXPECT_EQ(c.readable(), 3u);
}

TEST(Virtqueue, TheDriverSaysWhenItWantsInterrupts) {
  Ring plain;
  VirtqChain c;
  plain.descriptor(kDesc, 0, kData, 1, 0);
  store_le<u16>(plain.at(kAvail), 1);
  plain.offer(0);
  plain.q.pop(c);
  plain.q.push(c, 0);
  EXPECT_FALSE(plain.q.publish());

  Ring r(true);
  r.descriptor(kDesc, 0, kData, 1, 0);
  store_le<u16>(r.at(kAvail + 4 + 16), 1);  // used_event: after the second
  for (const bool wanted : {false, true, false}) {
    r.offer(0);
    ASSERT_TRUE(r.q.pop(c));
    r.q.push(c, 0);
    EXPECT_EQ(r.q.publish(), wanted);
  }
  EXPECT_TRUE(r.q.empty());
  EXPECT_EQ(load_le<u16>(r.at(kUsed + 4 + 64)), 3);  // avail_event: tell of the next one
}

TEST(Virtqueue, AnIndirectTableStandsForItsChain) {
  Ring r;
  r.descriptor(kTable, 0, kData, 10, 1, 2);
  r.descriptor(kTable, 2, kData, 20, 2);
  r.descriptor(kDesc, 4, kTable, 48, 4);
  r.offer(4);
  VirtqChain c;
  ASSERT_TRUE(r.q.pop(c));
  EXPECT_EQ(c.readable(), 10u);
  EXPECT_EQ(c.writable(), 20u);
}

// Each makes one thing wrong; the queue breaks and stays so.
TEST(Virtqueue, LiesBreakTheQueue) {
  const std::pair<const char*, std::function<void(Ring&)>> lies[] = {
      {"index jumps", [](Ring& r) { store_le<u16>(r.at(kAvail + 2), 9); }},
      {"head outside", [](Ring& r) { r.offer(8); }},
      {"next outside", [](Ring& r) { r.descriptor(kDesc, 0, kData, 1, 1, 700), r.offer(0); }},
      {"loop",
       [](Ring& r) {
         r.descriptor(kDesc, 0, kData, 1, 1, 1);
         r.descriptor(kDesc, 1, kData, 1, 1, 0);
         r.offer(0);
       }},
      {"order",
       [](Ring& r) {
         r.descriptor(kDesc, 0, kData, 1, 3, 1);
         r.descriptor(kDesc, 1, kData, 1, 0);
         r.offer(0);
       }},
      {"nested",
       [](Ring& r) {
         r.descriptor(kDesc, 0, kTable, 16, 4);
         r.descriptor(kTable, 0, kTable, 16, 4);
         r.offer(0);
       }},
      {"loop inside",
       [](Ring& r) {
         r.descriptor(kDesc, 0, kTable, 16, 4);
         r.descriptor(kTable, 0, kData, 1, 1, 0);
         r.offer(0);
       }},
      {"table size", [](Ring& r) { r.descriptor(kDesc, 0, kTable, 17, 4), r.offer(0); }},
      {"table of nothing", [](Ring& r) { r.descriptor(kDesc, 0, kTable, 0, 4), r.offer(0); }},
      {"huge table", [](Ring& r) { r.descriptor(kDesc, 0, 0, 0xfffffff0, 4), r.offer(0); }},
      {"table and next", [](Ring& r) { r.descriptor(kDesc, 0, kTable, 16, 5), r.offer(0); }},
      {"table nowhere", [](Ring& r) { r.descriptor(kDesc, 0, u64{1} << 40, 16, 4), r.offer(0); }},
      {"ring nowhere", [](Ring& r) { r.q.setup().driver = u64{1} << 45; }},
      {"descriptors nowhere", [](Ring& r) { r.q.setup().descriptors = u64{1} << 50, r.offer(0); }},
  };
  for (const auto& [name, lie] : lies) {
    Ring r;
    lie(r);
    VirtqChain c;
    EXPECT_FALSE(r.q.pop(c)) << name;
    EXPECT_NE(r.q.error(), nullptr) << name;
    store_le<u16>(r.at(kAvail + 2), 0);
    EXPECT_FALSE(r.q.pop(c)) << name;
    EXPECT_FALSE(r.q.running()) << name;
  }
  Ring r(false, false);
  r.descriptor(kDesc, 0, kTable, 16, 4);
  r.offer(0);
  VirtqChain c;
  EXPECT_FALSE(r.q.pop(c)) << "indirect without the feature";
}

TEST(Virtqueue, ABufferThatIsNotThereBreaksTheQueueWhenGivenBack) {
  Ring r;
  r.descriptor(kDesc, 0, u64{1} << 40, 0xffffffff, 0);
  r.offer(0);
  VirtqChain c;
  ASSERT_TRUE(r.q.pop(c));
  EXPECT_EQ(c.readable(), 0xffffffffu);
  u8 bytes[16];
  c.read(5, bytes);
  EXPECT_TRUE(c.faulty());
  r.q.push(c, 0);
  EXPECT_NE(r.q.error(), nullptr);
}

}  // namespace
}  // namespace doppel::hw::test
