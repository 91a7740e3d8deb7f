// 82540EM through its registers: EEPROM, rings, filters, offloads, interrupts, and rings that lie.
#include "hw/net/e1000.h"

#include <gtest/gtest.h>

#include <random>

#include "device/nic_rig.h"
#include "net/checksum.h"
#include "net/network.h"

namespace doppel::hw::test {
namespace {

using namespace e1000;
constexpr u32 kRx = 0x1000, kTx = 0x2000, kBuffers = 0x10000;
constexpr u64 kBar = 0xf0000000;

struct Card {
  Rig rig;
  std::shared_ptr<net::NicPort> port =
      std::make_shared<net::NicPort>("nic", "e1000", net::MacAddress{0x52, 0x54, 0, 0x12, 0x34, 0x56});
  E1000* card = nullptr;
  std::vector<std::vector<u8>> sent;
  explicit Card(bool mitigation = true) {
    port->add_tap("", [this](std::span<const u8> f, bool out) {
      if (out) sent.emplace_back(f.begin(), f.end());
    });
    card = &rig.make<E1000>(
        NicParams{.port = port, .clock = rig.clock, .device_lock = rig.lock, .rom = {}, .mitigation = mitigation});
    rig.pci.attach(0x10, *card);
    rig.pci.config_write(0, 0x10, 0x10, kBar, 4);
    rig.pci.config_write(0, 0x10, 0x04, 6, 2);
  }
  u32 get(u32 r) { return static_cast<u32>(rig.address_bus.at(kBar)->handler->read(r, 4)); }
  void set(u32 r, u32 v) { rig.address_bus.at(kBar)->handler->write(r, v, 4); }
  u8* mem(u32 at) { return &rig.memory.bytes[at]; }
  void rx_ring(u32 entries, u32 rctl) {
    for (u32 i = 0; i < entries; i++) store_le<u64>(mem(kRx + 16 * i), kBuffers + 2048 * i);
    set(kRdbal, kRx);
    set(kRdlen, entries * 16);
    set(kRdh, 0);
    set(kRdt, entries - 1);
    set(kRctl, rctl | kRctlEn);
  }
  void tx_ring(u32 entries) {
    set(kTdbal, kTx);
    set(kTdlen, entries * 16);
    set(kTctl, kTctlEn);
  }
  void descriptor(u32 i, u64 low, u32 lower, u32 upper) {
    store_le<u64>(mem(kTx + 16 * i), low);
    store_le<u32>(mem(kTx + 16 * i + 8), lower);
    store_le<u32>(mem(kTx + 16 * i + 12), upper);
  }
  net::NicClient::Took give(std::vector<u8> f) {
    const net::NicClient::Took took = card->receive(net::Packet(std::move(f)));
    card->received();
    return took;
  }
};

std::vector<u8> frame(std::initializer_list<int> to, size_t size = 100) {
  std::vector<u8> f(size, 0x77);
  std::copy(to.begin(), to.end(), f.begin());
  f[12] = 0x88, f[13] = 0xb5;
  return f;
}

u16 eeprom_word(Card& c, u32 word) {
  const auto clock = [&](bool in) {
    const u32 pins = kEecdCs | kEecdReq | (in ? u32{kEecdDi} : 0);
    c.set(kEecd, pins);
    c.set(kEecd, pins | kEecdSk);
    const bool out = (c.get(kEecd) & kEecdDo) != 0;
    c.set(kEecd, pins);
    return out;
  };
  for (const bool bit : {true, true, false}) clock(bit);
  for (int i = 5; i >= 0; i--) clock((word >> i & 1) != 0);
  u16 value = 0;
  for (int i = 0; i < 16; i++) value = static_cast<u16>(value << 1 | clock(false));
  c.set(kEecd, 0);
  return value;
}

TEST(E1000, TheEepromReadsByPinsAndByRegister) {
  Card c;
  u16 sum = 0;
  for (u32 i = 0; i < 64; i++) {
    const u16 word = eeprom_word(c, i);
    sum = static_cast<u16>(sum + word);
    c.set(kEerd, i << 8 | kEerdStart);
    EXPECT_EQ(c.get(kEerd) >> 16, word);
  }
  EXPECT_EQ(sum, 0xbaba);
  EXPECT_EQ(eeprom_word(c, 0), 0x5452);
}

TEST(E1000, ThePhyAnswersAtAddressOne) {
  Card c;
  c.set(kMdic, kMdicRead << 26 | 1 << 21 | 2 << 16);
  EXPECT_EQ(c.get(kMdic) & 0xffff, 0x0141u);
  c.set(kMdic, kMdicRead << 26 | 2 << 21 | 2 << 16);
  EXPECT_NE(c.get(kMdic) & kMdicError, 0u);
  EXPECT_NE(c.get(kStatus) & kStatusLu, 0u);
  c.port->set_link(false);
  EXPECT_EQ(c.get(kStatus) & kStatusLu, 0u);
  EXPECT_NE(c.get(kIcr) & kIntLsc, 0u);
}

TEST(E1000, FiltersChooseFrames) {
  Card c;
  c.rx_ring(32, 0);
  const auto taken = [&](std::initializer_list<int> to) {
    const u32 before = c.get(kRdh);
    c.give(frame(to));
    return c.get(kRdh) != before;
  };
  EXPECT_TRUE(taken({0x52, 0x54, 0, 0x12, 0x34, 0x56}));
  EXPECT_FALSE(taken({0x52, 0x54, 0, 0x12, 0x34, 0x57}));
  EXPECT_FALSE(taken({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  c.set(kRctl, kRctlEn | kRctlBam);
  EXPECT_TRUE(taken({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_FALSE(taken({0x01, 0, 0x5e, 0, 0, 1}));
  c.set(kMta + 4 * (0x010 >> 5), 1u << (0x010 & 31));  // bits 47:36 of the address
  EXPECT_TRUE(taken({0x01, 0, 0x5e, 0, 0, 1}));
  c.set(kRctl, kRctlEn | kRctlUpe);
  EXPECT_TRUE(taken({0x52, 0x54, 0, 0x12, 0x34, 0x57}));
}

TEST(E1000, AFrameFillsBuffersAndInterrupts) {
  Card c;
  c.rx_ring(8, kRctlUpe | kRctlLpe | kRctlSecrc);
  c.set(kIms, kIntRxt0);
  c.give(frame({2}, 5000));
  EXPECT_TRUE(c.card->intx());
  EXPECT_EQ(c.get(kRdh), 3u);
  const u16 lengths[] = {2048, 2048, 904};
  for (u32 i = 0; i < 3; i++) {
    EXPECT_EQ(load_le<u16>(c.mem(kRx + 16 * i + 8)), lengths[i]);
    EXPECT_EQ(*c.mem(kRx + 16 * i + 12) & 3, i == 2 ? 3 : 1);
  }
  EXPECT_EQ(*c.mem(kBuffers + 4999), 0x77);
  EXPECT_NE(c.get(kIcr) & kIntRxt0, 0u);
  EXPECT_FALSE(c.card->intx());
  c.set(kRctl, 0);
  EXPECT_EQ(c.give(frame({2})), net::NicClient::Took::Frame);  // receiver off: lost
  EXPECT_EQ(c.get(kRdh), 3u);
}

TEST(E1000, AFullRingKeepsTheFrameOutside) {
  Card c;
  c.rx_ring(8, kRctlUpe);
  for (int i = 0; i < 7; i++) EXPECT_EQ(c.give(frame({2})), net::NicClient::Took::Frame);
  EXPECT_EQ(c.give(frame({2})), net::NicClient::Took::Nothing);
  c.set(kRdt, 2);
  EXPECT_EQ(c.give(frame({2})), net::NicClient::Took::Frame);
}

TEST(E1000, ALegacyDescriptorSends) {
  Card c;
  c.tx_ring(8);
  const auto f = frame({2}, 90);
  std::copy(f.begin(), f.end(), c.mem(kBuffers));
  c.descriptor(0, kBuffers, 40, 0);
  c.descriptor(1, kBuffers + 40, 50 | u32{kTxEop | kTxRs} << 24, 0);
  c.set(kTdt, 2);
  ASSERT_EQ(c.sent.size(), 1u);
  EXPECT_EQ(c.sent[0], f);
  EXPECT_EQ(*c.mem(kTx + 12), 0);
  EXPECT_EQ(*c.mem(kTx + 28), 1);
  EXPECT_EQ(c.get(kIcr), kIntTxdw | kIntTxqe);
  EXPECT_EQ(c.get(kGptc), 1u);
  EXPECT_EQ(c.get(kGptc), 0u);
}

TEST(E1000, TheThrottleKeepsInterruptsApart) {
  Card c;
  c.set(kIms, kIntLsc);
  c.set(kItr, 1000);  // 256 us
  c.set(kIcs, kIntLsc);
  EXPECT_TRUE(c.card->intx());
  c.get(kIcr);
  c.set(kIcs, kIntLsc);
  EXPECT_FALSE(c.card->intx());
  c.rig.clock.advance(300'000);
  EXPECT_TRUE(c.card->intx());
}

TEST(E1000, WithoutMitigationTheThrottleWaitsForNothing) {
  Card c(false);
  c.set(kIms, kIntLsc);
  c.set(kItr, 1000);
  c.set(kIcs, kIntLsc);
  c.get(kIcr);
  EXPECT_FALSE(c.card->intx());
  c.set(kIcs, kIntLsc);
  EXPECT_TRUE(c.card->intx());
}

// A context and data descriptors: the segment leaves the card whole, with MSS and headers told.
TEST(E1000, SegmentationIsLeftToTheBackEnd) {
  Card c;
  net::Network network({});
  c.tx_ring(8);
  u8* f = c.mem(kBuffers);
  std::memset(f, 0, 4054);
  f[12] = 8, f[14] = 0x45, f[23] = 6, f[46] = 0x50;
  c.descriptor(0, 0, 0, 0);
  store_le<u32>(c.mem(kTx), 14 | 24 << 8 | 33u << 16);
  store_le<u32>(c.mem(kTx + 4), 34 | 50 << 8);
  store_le<u32>(c.mem(kTx + 8), 4000 | u32{kTuTcp | kTuIp | kTuTse | kTxDext} << 24);
  store_le<u32>(c.mem(kTx + 12), 54 << 8 | 1460u << 16);
  c.descriptor(1, kBuffers, 4054 | 1 << 20 | u32{kTxEop | kTxTse | kTxDext} << 24, (kTxIxsm | kTxTxsm) << 8);
  c.set(kTdt, 2);
  ASSERT_EQ(c.sent.size(), 1u);
  EXPECT_EQ(c.sent[0].size(), 4054u);
  EXPECT_EQ(c.get(kTsctc), 1u);
}

TEST(E1000, RingsThatLieDoNoHarm) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; round++) {
    Card c;
    for (u32 i = 0; i < 0x8000; i++) *c.mem(kRx + i) = static_cast<u8>(random());
    for (int i = 0; i < 60; i++) {
      constexpr u32 kSome[] = {kRdbal, kRdbah, kRdlen, kRdh,  kRdt,  kTdbal,  kTdbah,
                               kTdlen, kTdh,   kTdt,   kRctl, kTctl, kRxcsum, kCtrl};
      const u32 r = kSome[random() % std::size(kSome)];
      u32 v = random() & 1 ? random() : random() & 0xfff;
      if (r == kRdbal || r == kTdbal) v &= 0xffff;
      if (r == kRdbah || r == kTdbah) v &= random() & 3 ? 0 : ~0u;
      if (r == kRctl || r == kTctl) v |= 2;
      if (r == kCtrl) v &= ~u32{kCtrlRst};
      c.set(r, v);
      c.give(frame({static_cast<int>(random() & 0xff)}, 14 + random() % 3000));
      c.rig.clock.advance(100'000);
    }
    c.card->info();
  }
}

}  // namespace
}  // namespace doppel::hw::test
