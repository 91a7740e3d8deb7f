// The packed ring: chains, indirect tables, wrap-around, notifications, and rings that lie.
#include <gtest/gtest.h>

#include <functional>

#include "device/fake_machine.h"
#include "hw/bus/virtio/virtqueue.h"

namespace doppel::hw::test {
namespace {

constexpr u64 kRing = 0x1000, kDriver = 0x2000, kDevice = 0x3000, kTable = 0x4000, kData = 0x8000;
constexpr u16 kSize = 5;  // no power of two is needed
constexpr u16 kNext = 1, kWrite = 2, kIndirect = 4;

// The driver's side, as the specification's example code has it.
struct Ring {
  FakeMemory memory{1 << 20};
  Virtqueue q{8};
  u16 at = 0, seen = 0;
  bool wrap = true, seen_wrap = true;
  explicit Ring(bool event_idx = false) {
    q.setup() = {.size = kSize, .enabled = true, .descriptors = kRing, .driver = kDriver, .device = kDevice};
    q.start(memory, {.event_idx = event_idx, .indirect = true, .packed = true});
  }
  u8* bytes(u64 pa) { return &memory.bytes[pa]; }
  void put(u64 where, u64 address, u32 length, u16 id, u16 flags) {
    store_le<u64>(bytes(where), address);
    store_le<u32>(bytes(where) + 8, length);
    store_le<u16>(bytes(where) + 12, id);
    store_le<u16>(bytes(where) + 14, flags);
  }
  void offer(u64 address, u32 length, u16 id, u16 flags) {
    put(kRing + 16 * at, address, length, id, static_cast<u16>(flags | (wrap ? 1 << 7 : 1 << 15)));
    if (++at == kSize) at = 0, wrap = !wrap;
  }
  // What the device gave back at the next place: its number; -1: nothing. `slots`: how many entries it had.
  int take(u16 slots, u32* written = nullptr) {
    const u8* d = bytes(kRing + 16 * seen);
    const u16 flags = load_le<u16>(d + 14);
    if (((flags >> 7 & 1) != 0) != seen_wrap || ((flags >> 15 & 1) != 0) != seen_wrap) return -1;
    if (written) *written = load_le<u32>(d + 8);
    seen = static_cast<u16>(seen + slots);
    if (seen >= kSize) seen = static_cast<u16>(seen - kSize), seen_wrap = !seen_wrap;
    return load_le<u16>(d + 12);
  }
};

TEST(PackedRing, ChainsGoRoundAndRound) {
  Ring r;
  VirtqChain c;
  EXPECT_FALSE(r.q.pop(c));
  for (u16 round = 0; round < 40; round++) {
    *r.bytes(kData + 1) = static_cast<u8>(round);
    r.offer(kData, 2, 0, kNext);
    r.offer(kData + 0x100, 3, 0, kNext | kWrite);
    r.offer(kData + 0x200, 4, static_cast<u16>(100 + round), kWrite);
    ASSERT_TRUE(r.q.pop(c)) << round;
    EXPECT_EQ(c.readable(), 2u);
    EXPECT_EQ(c.writable(), 7u);
    u8 said = 0;
    EXPECT_EQ(c.read(1, {&said, 1}), 1u);
    EXPECT_EQ(said, round & 0xff);
    const u8 answer[5] = {1, 2, 3, 4, static_cast<u8>(round)};
    EXPECT_EQ(c.write(0, answer), 5u);
    EXPECT_EQ(*r.bytes(kData + 0x201), round & 0xff);
    r.q.push(c, 5);
    EXPECT_EQ(r.take(3), -1) << "shown too early";
    EXPECT_TRUE(r.q.publish());
    u32 written = 0;
    EXPECT_EQ(r.take(3, &written), 100 + round);
    EXPECT_EQ(written, 5u);
    EXPECT_FALSE(r.q.publish());
    EXPECT_FALSE(r.q.pop(c));
  }
}

TEST(PackedRing, ABatchIsShownAsAWhole) {
  Ring r;
  VirtqChain a, b;
  r.offer(kData, 1, 7, 0);
  r.offer(kData, 1, 0, kNext);
  r.offer(kData, 1, 8, 0);
  ASSERT_TRUE(r.q.pop(a));
  ASSERT_TRUE(r.q.pop(b));
  r.q.push(b, 0);  // in another order
  r.q.push(a, 0);
  EXPECT_EQ(r.take(2), -1);
  r.q.publish();
  EXPECT_EQ(r.take(2), 8);
  EXPECT_EQ(r.take(1), 7);
}

TEST(PackedRing, PoppedChainsCanBePutBack) {
  Ring r;
  VirtqChain c;
  for (int round = 0; round < 12; round++) {
    r.offer(kData, 1, 1, 0);
    r.offer(kData, 1, 0, kNext);
    r.offer(kData, 1, 0, kNext);
    r.offer(kData, 2, 2, 0);
    ASSERT_TRUE(r.q.pop(c));
    ASSERT_TRUE(r.q.pop(c));
    EXPECT_EQ(c.readable(), 4u);
    r.q.unpop(2);
    ASSERT_TRUE(r.q.pop(c));
    EXPECT_EQ(c.readable(), 1u);
    r.q.push(c, 0);
    ASSERT_TRUE(r.q.pop(c));
    EXPECT_EQ(c.readable(), 4u);
    r.q.unpop(1);
    ASSERT_TRUE(r.q.pop(c));
    r.q.push(c, 0);
    EXPECT_TRUE(r.q.empty());
    r.q.publish();
    EXPECT_EQ(r.take(1), 1);
    EXPECT_EQ(r.take(3), 2);
  }
}

TEST(PackedRing, AnIndirectTableStandsForItsChain) {
  Ring r;
  VirtqChain c;
  r.put(kTable, kData, 10, 9, kNext);  // only kWrite counts there
  r.put(kTable + 16, kData, 20, 9, kWrite);
  r.offer(kTable, 32, 77, kIndirect);
  ASSERT_TRUE(r.q.pop(c));
  EXPECT_EQ(c.readable(), 10u);
  EXPECT_EQ(c.writable(), 20u);
  r.q.push(c, 20);
  r.q.publish();
  EXPECT_EQ(r.take(1), 77);
}

TEST(PackedRing, TheDriverSaysWhenItWantsInterrupts) {
  Ring plain;
  VirtqChain c;
  store_le<u16>(plain.bytes(kDriver + 2), 1);  // never
  plain.offer(kData, 1, 0, 0);
  ASSERT_TRUE(plain.q.pop(c));
  plain.q.push(c, 0);
  EXPECT_FALSE(plain.q.publish());

  Ring r(true);
  store_le<u16>(r.bytes(kDriver + 2), 2);
  bool wrap = true;
  u16 place = 0;
  for (int round = 0; round < 23; round++) {
    // One step behind this one, then this one.
    for (const u16 ahead : {u16{1}, u16{0}}) {
      const u16 event = static_cast<u16>((place + ahead) % kSize);
      const bool event_wrap = place + ahead >= kSize ? !wrap : wrap;
      store_le<u16>(r.bytes(kDriver), static_cast<u16>(event | (event_wrap ? 0x8000 : 0)));
      r.offer(kData, 1, 3, 0);
      ASSERT_TRUE(r.q.pop(c));
      r.q.push(c, 0);
      EXPECT_EQ(r.q.publish(), ahead == 0) << round;
      EXPECT_EQ(r.take(1), 3);
      if (++place == kSize) place = 0, wrap = !wrap;
    }
  }
  EXPECT_TRUE(r.q.empty());
  EXPECT_EQ(load_le<u16>(r.bytes(kDevice)), place | (wrap ? 0x8000 : 0));  // ring here
  EXPECT_EQ(load_le<u16>(r.bytes(kDevice + 2)), 2);
}

TEST(PackedRing, ASavedRingGoesOn) {
  Ring r;
  VirtqChain c;
  for (int i = 0; i < 7; i++) {
    r.offer(kData, 1, 4, 0);
    ASSERT_TRUE(r.q.pop(c));
    r.q.push(c, 0);
    r.q.publish();
    EXPECT_EQ(r.take(1), 4);
  }
  StateArchive saved(StateArchive::Mode::Save), loaded(StateArchive::Mode::Load);
  r.q.archive(saved);
  ASSERT_TRUE(loaded.deserialize(saved.serialize()));
  Virtqueue other{8};
  other.archive(loaded);
  other.start(r.memory, {.indirect = true, .packed = true});
  r.offer(kData, 1, 5, 0);
  ASSERT_TRUE(other.pop(c));
  other.push(c, 0);
  other.publish();
  EXPECT_EQ(r.take(1), 5);
}

// Each makes one thing wrong; the queue breaks and stays so.
TEST(PackedRing, LiesBreakTheQueue) {
  const std::pair<const char*, std::function<void(Ring&)>> lies[] = {
      {"a chain without end",
       [](Ring& r) {
         for (u16 i = 0; i < kSize; i++) r.put(kRing + 16 * i, kData, 1, 0, kNext | 1 << 7);
       }},
      {"an indirect table in a chain",
       [](Ring& r) {
         r.offer(kData, 1, 0, kNext);
         r.offer(kTable, 16, 0, kIndirect);
       }},
      {"a table of a wrong size", [](Ring& r) { r.offer(kTable, 15, 0, kIndirect); }},
      {"a table with a successor", [](Ring& r) { r.offer(kTable, 16, 0, kIndirect | kNext); }},
      {"a table that is not there", [](Ring& r) { r.offer(0xffffff000, 16, 0, kIndirect); }},
      {"readable behind writable",
       [](Ring& r) {
         r.offer(kData, 1, 0, kNext | kWrite);
         r.offer(kData, 1, 0, 0);
       }},
  };
  for (const auto& [name, lie] : lies) {
    Ring r;
    VirtqChain c;
    lie(r);
    EXPECT_FALSE(r.q.pop(c)) << name;
    EXPECT_NE(r.q.error(), nullptr) << name;
    EXPECT_FALSE(r.q.pop(c)) << name;
  }
  Ring r;
  VirtqChain c;
  r.q.setup().descriptors = ~u64{0} - 100;
  EXPECT_FALSE(r.q.pop(c));
  EXPECT_NE(r.q.error(), nullptr);
}

}  // namespace
}  // namespace doppel::hw::test
