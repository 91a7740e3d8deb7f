// Am79C970A through its registers, with a small driver for each software style: what is sent leaves as it was, what
// arrives is in the ring as it was, over many turns of it.
#include "hw/net/pcnet.h"

#include <gtest/gtest.h>

#include "device/nic_rig.h"

namespace doppel::hw::test {
namespace {

constexpr u32 kRx = 0x8000, kTx = 0x9000, kInitBlock = 0xa000, kRxBuffers = 0x10000, kTxBuffers = 0x20000,
              kStep = 0x800;
constexpr u32 kEntries = 8;

struct Driver : NicCard<Pcnet> {
  unsigned style = 0;
  bool dwords = false;
  u32 rx = 0, tx = 0;

  u8* at(u32 address) { return &rig.memory.bytes[address]; }
  u32 size() const { return style == 0 ? 8 : 16; }
  void csr(u32 n, u32 v) { access(dwords ? 0x10 : 0x10, n, v); }
  u32 csr(u32 n) { return look(0x10, n); }
  void bcr(u32 n, u32 v) { access(dwords ? 0x1c : 0x16, n, v); }
  u32 bcr(u32 n) { return look(dwords ? 0x1c : 0x16, n); }
  void access(u32 port_at, u32 n, u32 v) {
    out(dwords ? 0x14 : 0x12, n, dwords ? 4 : 2);
    out(port_at, v, dwords ? 4 : 2);
  }
  u32 look(u32 port_at, u32 n) {
    out(dwords ? 0x14 : 0x12, n, dwords ? 4 : 2);
    return in(port_at, dwords ? 4 : 2);
  }
  u32 address_field(u32 d) const { return d + (style == 3 ? 8 : 0); }
  u32 status_field(u32 d) const { return d + (style == 0 ? 6 : style == 3 ? 0 : 8); }
  u32 flags_field(u32 d) const { return d + (style == 0 ? 3 : 7); }

  void give_buffer(u32 i, u32 length) {
    const u32 d = kRx + i * size();
    store_le<u32>(at(address_field(d)), kRxBuffers + i * kStep);
    store_le<u16>(at(d + 4), static_cast<u16>(-length));
    *at(flags_field(d)) = 0x80;
  }
  void start(unsigned with_style, u16 mode = 0, u32 length = kStep) {
    style = with_style;
    bcr(20, style);
    for (u32 i = 0; i < kEntries; i++) give_buffer(i, length);
    u8* b = at(kInitBlock);
    store_le<u16>(b, mode);
    u8* mac = b + (style == 0 ? 2 : 4);
    std::copy(port->mac().begin(), port->mac().end(), mac);
    std::fill(b + (style == 0 ? 8 : 12), b + (style == 0 ? 16 : 20), u8{0});
    if (style == 0) {
      store_le<u32>(b + 16, kRx | 3u << 29);
      store_le<u32>(b + 20, kTx | 3u << 29);
    } else {
      b[2] = b[3] = 3 << 4;
      store_le<u32>(b + 20, kRx);
      store_le<u32>(b + 24, kTx);
    }
    csr(1, kInitBlock);
    csr(2, 0);
    csr(0, 0x0001);
    EXPECT_EQ(csr(0) & 0x0101, 0x0101u);
    csr(0, 0x0142);
  }
  void send(const std::vector<u8>& f, u32 pieces = 1) {
    std::copy(f.begin(), f.end(), at(kTxBuffers));
    const u32 first = tx;
    for (u32 p = 0, from = 0; p < pieces; p++) {
      const u32 d = kTx + tx * size();
      const u32 n = p + 1 == pieces ? static_cast<u32>(f.size()) - from : static_cast<u32>(f.size()) / pieces;
      store_le<u32>(at(address_field(d)), kTxBuffers + from);
      store_le<u16>(at(d + 4), static_cast<u16>(-n));
      *at(flags_field(d)) = static_cast<u8>((p == 0 ? 2 : 0x80) | (p + 1 == pieces ? 1 : 0));
      from += n;
      tx = (tx + 1) % kEntries;
    }
    *at(flags_field(kTx + first * size())) |= 0x80;
    csr(0, 0x0048);
  }
};

TEST(Pcnet, SaysWhoItIs) {
  Driver c;
  EXPECT_EQ(c.csr(0), 4u);
  EXPECT_EQ(c.csr(88) | c.csr(89) << 16, 0x02621003u);
  EXPECT_EQ(c.csr(12), load_le<u16>(c.port->mac().data()));
  u32 sum = 0;
  for (u32 i = 0; i < 16; i++) sum += i == 12 || i == 13 ? 0 : c.in(i);
  EXPECT_EQ(c.in(12, 2), sum);
  EXPECT_EQ(c.in(14, 2), 0x5757u);
  EXPECT_EQ(c.bcr(4), 0x80c0u);
  c.port->set_link(false);
  EXPECT_EQ(c.bcr(4), 0x00c0u);
}

TEST(Pcnet, ADwordWriteChangesThePorts) {
  Driver c;
  EXPECT_EQ(c.bcr(18) & 0x80, 0u);
  c.out(0x10, 0, 4);
  c.dwords = true;
  EXPECT_EQ(c.bcr(18) & 0x80, 0x80u);
  EXPECT_EQ(c.csr(0), 4u);
  c.in(0x18, 4);  // a soft reset leaves it so
  EXPECT_EQ(c.bcr(18) & 0x80, 0x80u);
  EXPECT_EQ(c.in(0x12, 2), 0xffffu);
}

TEST(Pcnet, TheRingHoldsWhatArrives) {
  for (const unsigned style : {0u, 2u, 3u}) {
    Driver c;
    c.start(style);
    std::mt19937 random(style);
    for (int i = 0; i < 100; i++) {
      const auto f = random_frame(random, i % 3 == 0);
      ASSERT_EQ(c.give(f), net::NicClient::Took::Frame);
      EXPECT_TRUE(c.card->intx());
      c.csr(0, 0x0440);
      EXPECT_FALSE(c.card->intx());
      const u32 d = kRx + c.rx * c.size();
      ASSERT_EQ(*c.at(c.flags_field(d)), 0x03) << style;
      ASSERT_EQ(load_le<u16>(c.at(c.status_field(d))) & 0xfff, f.size() + 4);
      ASSERT_TRUE(std::equal(f.begin(), f.end(), c.at(kRxBuffers + c.rx * kStep)));
      if (style != 0) EXPECT_EQ(*c.at(d + 6) & 0x70, i % 3 == 0 ? 0x10 : 0x40);
      c.give_buffer(c.rx, kStep);
      c.rx = (c.rx + 1) % kEntries;
    }
  }
}

TEST(Pcnet, AFrameOverSeveralBuffers) {
  Driver c;
  c.start(2, 0, 256);
  std::vector<u8> f(1000, 0x5a);
  std::fill(f.begin(), f.begin() + 6, u8{0xff});
  ASSERT_EQ(c.give(f), net::NicClient::Took::Frame);
  EXPECT_EQ(*c.at(c.flags_field(kRx)), 0x02);
  EXPECT_EQ(*c.at(c.flags_field(kRx + 16)), 0x00);
  EXPECT_EQ(*c.at(c.flags_field(kRx + 48)), 0x01);
  EXPECT_EQ(load_le<u32>(c.at(kRx + 48 + 8)), 1004u);
}

TEST(Pcnet, AFullRingWaitsAndGoesOn) {
  Driver c;
  c.start(2);
  std::mt19937 random(1);
  const auto f = random_frame(random, true);
  for (u32 i = 0; i < kEntries; i++) ASSERT_EQ(c.give(f), net::NicClient::Took::Frame);
  EXPECT_EQ(c.give(f), net::NicClient::Took::Nothing);
  c.give_buffer(0, kStep);
  EXPECT_EQ(c.give(f), net::NicClient::Took::Frame);
}

// A driver that looks at a descriptor, finds the card's bit there, and gives it back all the same: a frame that came
// between is not lost. One that read the frame gets it once.
TEST(Pcnet, AFrameUnderAGivenBackDescriptorIsShownAgain) {
  for (const bool misses : {false, true}) {
    Driver c;
    c.start(2);
    std::mt19937 random(3);
    for (u32 i = 0; i < 3 * kEntries; i++) {
      const u32 d = kRx + c.rx * c.size();
      const u16 before = load_le<u16>(c.at(d + 6));
      ASSERT_NE(before & 0x8000, 0);
      const auto f = random_frame(random, false);
      ASSERT_EQ(c.give(f), net::NicClient::Took::Frame);
      c.csr(0, 0x0440);
      if (misses && i >= kEntries) {
        store_le<u16>(c.at(d + 6), before);
        c.rig.clock.advance(1'000'000);
        EXPECT_NE(c.csr(0) & 0x0400, 0u);
      }
      ASSERT_EQ(*c.at(d + 7), 0x03) << i;
      ASSERT_EQ(load_le<u32>(c.at(d + 8)), f.size() + 4);
      ASSERT_TRUE(std::equal(f.begin(), f.end(), c.at(kRxBuffers + c.rx * kStep)));
      store_le<u16>(c.at(d + 6), load_le<u16>(c.at(d + 6)) | 0x8000);
      c.csr(0, 0x0440);
      c.rig.clock.advance(1'000'000);
      EXPECT_EQ(c.csr(0) & 0x0400, 0u);
      ASSERT_NE(*c.at(d + 7) & 0x80, 0);
      c.rx = (c.rx + 1) % kEntries;
    }
  }
}

TEST(Pcnet, SendsFromEitherRing) {
  for (const unsigned style : {0u, 2u, 3u}) {
    Driver c;
    c.start(style);
    std::mt19937 random(10 + style);
    for (u32 i = 0; i < 50; i++) {
      const auto f = random_frame(random, true);
      const u32 first = c.tx;
      c.send(f, 1 + i % 3);
      ASSERT_EQ(c.sent.size(), i + 1);
      ASSERT_EQ(c.sent.back(), f);
      EXPECT_EQ(*c.at(c.flags_field(kTx + first * c.size())) & 0xc0, 0);
      EXPECT_NE(c.csr(0) & 0x0200, 0u);
      c.csr(0, 0x0240);
    }
  }
}

TEST(Pcnet, LooksForFramesByItself) {
  Driver c;
  c.start(2);
  c.csr(4, 0x0915);
  const u8 data[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  std::copy(std::begin(data), std::end(data), c.at(kTxBuffers));
  store_le<u32>(c.at(kTx), kTxBuffers);
  store_le<u32>(c.at(kTx + 4), 0x8300f000 | static_cast<u16>(-64));
  EXPECT_TRUE(c.sent.empty());
  c.rig.clock.advance(200'000'000);
  EXPECT_EQ(c.sent.size(), 1u);
}

TEST(Pcnet, FiltersAddresses) {
  Driver c;
  c.start(2, 0x4000);  // no broadcasts
  const auto taken = [&](std::vector<u8> to) {
    const u32 d = kRx + c.rx * 16;
    to.resize(60);
    c.give(to);
    if (*c.at(c.flags_field(d)) & 0x80) return false;
    c.give_buffer(c.rx, kStep);
    c.rx = (c.rx + 1) % kEntries;
    return true;
  };
  EXPECT_FALSE(taken({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_FALSE(taken({0x52, 0x54, 0, 0x12, 0x34, 0x57}));
  EXPECT_TRUE(taken({0x52, 0x54, 0, 0x12, 0x34, 0x56}));
  EXPECT_FALSE(taken({1, 0, 0x5e, 0, 0, 1}));
  c.csr(5, 1);  // suspended: the filter may change
  c.csr(9, 0x8000);
  c.csr(5, 0);
  EXPECT_TRUE(taken({1, 0, 0x5e, 0, 0, 1}));
  c.csr(8, 0xffff);  // not now
  EXPECT_EQ(c.csr(8), 0u);
}

TEST(Pcnet, ItsOwnFramesComeBackInLoopback) {
  Driver c;
  c.start(2, 0x0004);
  std::mt19937 random(5);
  const auto f = random_frame(random, false);
  c.send(f);
  EXPECT_TRUE(c.sent.empty());
  EXPECT_EQ(*c.at(c.flags_field(kRx)), 0x03);
  EXPECT_TRUE(std::equal(f.begin(), f.end(), c.at(kRxBuffers)));
}

TEST(Pcnet, AFrameWithoutItsEndIsAnError) {
  Driver c;
  c.start(2);
  store_le<u32>(c.at(kTx), kTxBuffers);
  store_le<u32>(c.at(kTx + 4), 0x8200f000 | static_cast<u16>(-64));
  c.csr(0, 0x0048);
  EXPECT_TRUE(c.sent.empty());
  EXPECT_EQ(*c.at(c.flags_field(kTx)) & 0xc0, 0x40);
  EXPECT_EQ(load_le<u32>(c.at(kTx + 8)) >> 30, 3u);
  EXPECT_EQ(c.csr(0) & 0x10, 0u);  // underflow stops the transmitter
}

TEST(Pcnet, ARingThatIsNotThereIsAMemoryError) {
  Driver c;
  c.csr(1, 0xfff0);
  c.csr(2, 0xf000);
  c.bcr(20, 2);
  c.csr(0, 0x0041);
  EXPECT_EQ(c.csr(0) & 0x8900, 0x8800u);
  EXPECT_TRUE(c.card->intx());
  c.csr(0, 0x0004);
  EXPECT_EQ(c.csr(0), 4u);
  EXPECT_FALSE(c.card->intx());
}

}  // namespace
}  // namespace doppel::hw::test
