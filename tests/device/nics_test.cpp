// RTL8139C and NE2000 through their registers, with small drivers: what is sent leaves as it was, what arrives is in
// the ring as it was, over many turns of it.
#include <gtest/gtest.h>

#include <random>

#include "device/nic_rig.h"
#include "hw/net/multicast.h"
#include "hw/net/ne2000.h"
#include "hw/net/rtl8139.h"

namespace doppel::hw::test {
namespace {

template <typename Chip>
using Card = NicCard<Chip>;

TEST(Multicast, TheHashIsTheOneOfTheDatasheets) {
  EXPECT_EQ(ethernet_crc_left(std::vector<u8>{0x01, 0x00, 0x5e, 0x00, 0x00, 0x01}) >> 26, 0x1fu);
  EXPECT_EQ(ethernet_crc_left(std::vector<u8>{0x33, 0x33, 0x00, 0x00, 0x00, 0x01}) >> 26, 0x3eu);
}

// --- RTL8139C

void start(Card<Rtl8139>& c, u32 rcr) {
  c.out(0x30, 0x8000, 4);
  c.out(0x37, 0x0c);
  c.out(0x44, rcr, 4);
  c.out(0x3c, 0xffff, 2);
}

TEST(Rtl8139, TheRingHoldsWhatArrives) {
  for (const u32 no_wrap : {0u, 0x80u}) {
    Card<Rtl8139> c;
    start(c, 0x0a | no_wrap);
    std::mt19937 random(1);
    u32 at = 0;
    for (int i = 0; i < 200; i++) {
      const auto f = random_frame(random, i % 3 == 0);
      ASSERT_EQ(c.in(0x37) & 1, 1u);
      ASSERT_EQ(c.give(f), net::NicClient::Took::Frame);
      ASSERT_EQ(c.in(0x37) & 1, 0u);
      EXPECT_TRUE(c.card->intx());
      c.out(0x3e, 0xffff, 2);
      EXPECT_FALSE(c.card->intx());
      const u8* ring = &c.rig.memory.bytes[0x8000];
      ASSERT_EQ(load_le<u16>(ring + at) & 1, 1);
      ASSERT_EQ(load_le<u16>(ring + at + 2), f.size() + 4);
      for (size_t k = 0; k < f.size(); k++) {
        const size_t where = at + 4 + k;
        ASSERT_EQ(ring[no_wrap ? where : where % 8192], f[k]) << i << " " << k;
      }
      at = static_cast<u32>(align_up(at + 8 + f.size(), 4)) % 8192;
      ASSERT_EQ(c.in(0x3a, 2), at);
      c.out(0x38, (at - 16) & 0xffff, 2);
    }
  }
}

TEST(Rtl8139, AFullRingRefusesAndGoesOn) {
  Card<Rtl8139> c;
  start(c, 0x0a);
  std::mt19937 random(2);
  const auto f = random_frame(random, true);
  int taken = 0;
  while (c.give(f) == net::NicClient::Took::Frame) ASSERT_LT(taken++, 200);
  EXPECT_GT(taken, 3);
  EXPECT_NE(c.in(0x3e, 2) & 0x10, 0u);
  c.out(0x38, (c.in(0x3a, 2) - 16) & 0xffff, 2);
  EXPECT_EQ(c.give(f), net::NicClient::Took::Frame);
}

TEST(Rtl8139, FourBuffersSend) {
  Card<Rtl8139> c;
  start(c, 0);
  std::mt19937 random(3);
  for (u32 i = 0; i < 12; i++) {
    const auto f = random_frame(random, true);
    std::copy(f.begin(), f.end(), &c.rig.memory.bytes[0x4000 + 0x800 * (i % 4)]);
    c.out(0x20 + 4 * (i % 4), 0x4000 + 0x800 * (i % 4), 4);
    c.out(0x10 + 4 * (i % 4), static_cast<u32>(f.size()), 4);
    EXPECT_EQ(c.in(0x10 + 4 * (i % 4), 4) & 0xa000, 0xa000u);
    ASSERT_EQ(c.sent.size(), i + 1);
    EXPECT_EQ(c.sent.back(), f);
  }
}

TEST(Rtl8139, TheTimerCountsThePciClock) {
  Card<Rtl8139> c;
  start(c, 0);
  c.out(0x48, 0, 4);
  c.out(0x54, 100'000, 4);  // 3 ms
  c.rig.clock.advance(2'900'000);
  EXPECT_FALSE(c.card->intx());
  c.rig.clock.advance(200'000);
  EXPECT_TRUE(c.card->intx());
  EXPECT_NE(c.in(0x3e, 2) & 0x4000, 0u);
}

// --- NE2000

void start(Card<Ne2000>& c) {
  c.out(0x0, 0x21);
  c.out(0xe, 0x49);
  c.out(0xc, 0x04);
  c.out(0xd, 0x00);
  c.out(0x1, 0x46);
  c.out(0x3, 0x46);
  c.out(0x2, 0x80);
  c.out(0xf, 0xff);
  c.out(0x7, 0xff);
  c.out(0x0, 0x61);
  for (u32 i = 0; i < 6; i++) c.out(1 + i, c.port->mac()[i]);
  c.out(0x7, 0x47);
  c.out(0x0, 0x22);
}

std::vector<u8> remote_read(Card<Ne2000>& c, u32 at, size_t size) {
  c.out(0x8, at & 0xff);
  c.out(0x9, at >> 8);
  c.out(0xa, static_cast<u32>(size) & 0xff);
  c.out(0xb, static_cast<u32>(size) >> 8);
  c.out(0x0, 0x0a);
  std::vector<u8> out;
  while (out.size() < size) {
    const u32 v = c.in(0x10, 2);
    out.push_back(static_cast<u8>(v));
    out.push_back(static_cast<u8>(v >> 8));
  }
  out.resize(size);
  EXPECT_NE(c.in(0x7) & 0x40, 0u);
  c.out(0x7, 0x40);
  return out;
}

TEST(Ne2000, ThePromHoldsTheAddressTwice) {
  Card<Ne2000> c;
  start(c);
  const auto prom = remote_read(c, 0, 32);
  for (size_t i = 0; i < 6; i++) {
    EXPECT_EQ(prom[2 * i], c.port->mac()[i]);
    EXPECT_EQ(prom[2 * i + 1], c.port->mac()[i]);
  }
  EXPECT_EQ(prom[28], 0x57);
}

TEST(Ne2000, TheRingHoldsWhatArrives) {
  Card<Ne2000> c;
  start(c);
  std::mt19937 random(4);
  u32 page = 0x47;
  for (int i = 0; i < 200; i++) {
    auto f = random_frame(random, i % 3 == 0);
    f.resize(f.size() & ~size_t{1});
    ASSERT_EQ(c.give(f), net::NicClient::Took::Frame);
    EXPECT_TRUE(c.card->intx());
    c.out(0x7, 0x01);
    EXPECT_FALSE(c.card->intx());
    const auto header = remote_read(c, page << 8, 4);
    ASSERT_EQ(load_le<u16>(&header[2]), f.size() + 4);
    const auto got = remote_read(c, (page << 8) + 4, f.size());
    ASSERT_EQ(got, f) << i;
    page = header[1];
    c.out(0x3, page - 1);  // at the ring's start: the page before it
  }
}

TEST(Ne2000, OnlyStpStopsTheReceiver) {
  Card<Ne2000> c;
  start(c);
  std::mt19937 random(7);
  const auto current = [&] {
    c.out(0x0, 0x60);
    return c.in(0x7);
  };
  const u32 before = current();
  c.give(random_frame(random, true));
  EXPECT_NE(current(), before);
  c.out(0x0, 0x21);
  const u32 stopped = current();
  c.out(0x0, 0x21);
  c.give(random_frame(random, true));
  EXPECT_EQ(current(), stopped);
}

// A driver may acknowledge with frames left in the ring; the frame that waits outside must bring it back.
TEST(Ne2000, AFullRingInterruptsAgain) {
  Card<Ne2000> c;
  start(c);
  std::mt19937 random(6);
  const auto f = random_frame(random, true);
  int taken = 0;
  while (c.give(f) == net::NicClient::Took::Frame) ASSERT_LT(taken++, 200);
  c.out(0x7, 0x01);
  EXPECT_FALSE(c.card->intx());
  EXPECT_EQ(c.give(f), net::NicClient::Took::Nothing);
  EXPECT_TRUE(c.card->intx());
}

TEST(Ne2000, AFrameFromPacketMemorySends) {
  Card<Ne2000> c;
  start(c);
  std::mt19937 random(5);
  auto f = random_frame(random, true);
  f.resize(f.size() & ~size_t{1});
  c.out(0x8, 0);
  c.out(0x9, 0x40);
  c.out(0xa, static_cast<u32>(f.size()) & 0xff);
  c.out(0xb, static_cast<u32>(f.size()) >> 8);
  c.out(0x0, 0x12);
  for (size_t i = 0; i < f.size(); i += 2) c.out(0x10, f[i] | u32{f[i + 1]} << 8, 2);
  c.out(0x4, 0x40);
  c.out(0x5, static_cast<u32>(f.size()) & 0xff);
  c.out(0x6, static_cast<u32>(f.size()) >> 8);
  c.out(0x0, 0x26);
  ASSERT_EQ(c.sent.size(), 1u);
  EXPECT_EQ(c.sent[0], f);
  EXPECT_NE(c.in(0x7) & 2, 0u);
}

}  // namespace
}  // namespace doppel::hw::test
