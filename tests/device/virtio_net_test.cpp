// The virtio network card, through its rings.
#include "hw/net/virtio_net.h"

#include "device/virtio_bench.h"
#include "hw/net/virtio_net_defs.h"

namespace doppel::hw::test {
namespace {

using namespace virtio_net;
using virtio::feature;
constexpr u64 kPlain = feature(kMrgRxbuf) | feature(virtio_net::kStatus) | virtio::kEventIdx;
constexpr u64 kControl = feature(kCtrlVq) | feature(kCtrlRx) | feature(kCtrlVlan) | feature(kCtrlRxExtra) |
                         feature(kCtrlMacAddr) | feature(kCtrlGuestOffloads);
constexpr u64 kOffloads = feature(kCsum) | feature(kGuestCsum) | feature(kGuestTso4) | feature(kGuestTso6) |
                          feature(kHostTso4) | feature(kHostTso6);
using Took = net::NicClient::Took;

struct Card : VirtioBench {
  std::shared_ptr<net::NicPort> port =
      std::make_shared<net::NicPort>("nic", "virtio-net-pci", net::MacAddress{0x52, 0x54, 0, 0x12, 0x34, 0x56});
  VirtioNet* card;
  std::vector<std::vector<u8>> sent;
  int filter_changes = 0;
  explicit Card(u16 pairs = 1) {
    port->add_tap("", [this](std::span<const u8> f, bool is_out) {
      if (is_out) sent.emplace_back(f.begin(), f.end());
    });
    VirtioNet::Params p{.port = port, .clock = clock, .device_lock = lock, .queue_pairs = pairs};
    p.filter_changed = [this] { filter_changes++; };
    card = &make<VirtioNet>(std::move(p));
  }
  Took give(const std::vector<u8>& frame) {
    const Took took = card->client().receive(net::Packet(std::span(frame)));
    card->client().received();
    return took;
  }
  int command(std::vector<u8> bytes, size_t queue = 2) {
    const Buffer ack = in(1);
    *at(ack.address) = 0xee;
    add(queue, {out(std::move(bytes)), ack});
    kick(queue);
    return *at(ack.address);
  }
  void send(std::vector<u8> header, const std::vector<u8>& frame, size_t queue = 1) {
    header.resize(12);
    add(queue, {out(std::move(header)), out(frame)});
    kick(queue);
  }
};

std::vector<u8> frame(std::initializer_list<int> to, size_t size = 100) {
  std::vector<u8> f(size, 0x77);
  std::copy(to.begin(), to.end(), f.begin());
  f[12] = 0x88, f[13] = 0xb5;
  return f;
}

TEST(VirtioNet, SendsWhatTheRingHolds) {
  Card c;
  c.start(kPlain);
  EXPECT_EQ(c.device->config_read(0, 4), 0x12005452u);
  EXPECT_EQ(c.device->config_read(6, 2), 1u);
  const auto f = frame({2}, 90);
  c.send({}, f);
  ASSERT_EQ(c.sent.size(), 1u);
  EXPECT_EQ(c.sent[0], f);
  EXPECT_EQ(c.used(1), 1);
  c.add(1, {c.out({1, 2, 3})});  // not even a header
  c.kick(1);
  EXPECT_EQ(c.sent.size(), 1u);
  EXPECT_EQ(c.used(1), 2);
  c.add(1, {{0x80000, 0xffffffff, false}});  // 4 GiB
  c.kick(1);
  EXPECT_EQ(c.used(1), 3);
  EXPECT_FALSE(c.needs_reset());
}

TEST(VirtioNet, AFrameFillsAsManyBuffersAsItNeeds) {
  Card c;
  c.start(kPlain);
  EXPECT_EQ(c.give(frame({2}, 200)), Took::Nothing);
  std::vector<Card::Buffer> b;
  for (int i = 0; i < 3; i++) c.add(0, {b.emplace_back(c.in(112))});
  const auto f = frame({2}, 200);
  EXPECT_EQ(c.give(f), Took::Frame);
  EXPECT_EQ(c.used(0), 2);
  EXPECT_EQ(load_le<u16>(c.at(b[0].address + kNumBuffers)), 2);
  EXPECT_EQ(c.used_length(0, 0), 112u);
  EXPECT_EQ(c.used_length(0, 1), 100u);
  EXPECT_TRUE(std::equal(f.begin(), f.begin() + 100, c.at(b[0].address + 12)));
  EXPECT_TRUE(std::equal(f.begin() + 100, f.end(), c.at(b[1].address)));
  EXPECT_EQ(c.give(frame({2}, 200)), Took::Nothing);  // one buffer is left: too little
  EXPECT_EQ(c.used(0), 2);
  c.add(0, {c.in(200)});
  EXPECT_EQ(c.give(frame({2}, 200)), Took::Frame);
  EXPECT_EQ(c.used(0), 4);
}

TEST(VirtioNet, WithoutMergingAFrameNeedsOneBuffer) {
  Card c;
  c.start(virtio::kEventIdx);
  c.add(0, {c.in(12), c.in(50)});
  c.add(0, {c.in(12), c.in(300)});
  EXPECT_EQ(c.give(frame({2}, 200)), Took::Frame);  // lost: the buffer is given back empty
  EXPECT_EQ(c.used_length(0, 0), 0u);
  EXPECT_EQ(c.give(frame({2}, 200)), Took::Frame);
  EXPECT_EQ(c.used_length(0, 1), 212u);
}

TEST(VirtioNet, TheControlQueueSetsFilters) {
  Card c;
  c.start(kPlain | kControl);
  for (int i = 0; i < 40; i++) c.add(0, {c.in(400)});
  const auto taken = [&](std::vector<u8> f) {
    const u16 before = c.used(0);
    c.give(std::move(f));
    return c.used(0) != before;
  };
  EXPECT_TRUE(taken(frame({2, 9})));  // promiscuous after reset
  EXPECT_EQ(c.command({kClassRx, kPromisc, 0}), kAckOk);
  EXPECT_FALSE(taken(frame({2, 9})));
  EXPECT_TRUE(taken(frame({0x52, 0x54, 0, 0x12, 0x34, 0x56})));
  EXPECT_TRUE(taken(frame({0xff, 0xff, 0xff, 0xff, 0xff, 0xff})));
  EXPECT_FALSE(taken(frame({1, 0, 0x5e, 0, 0, 1})));
  EXPECT_EQ(
      c.command({kClassMac, kTableSet, 1, 0, 0, 0, 2, 9, 0x77, 0x77, 0x77, 0x77, 1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1}),
      kAckOk);
  EXPECT_TRUE(taken(frame({2, 9})));
  EXPECT_TRUE(taken(frame({1, 0, 0x5e, 0, 0, 1})));
  EXPECT_EQ(c.command({kClassMac, kTableSet, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}), kAckError);
  EXPECT_EQ(c.command({kClassMac, kAddrSet, 2, 7, 7, 7, 7, 7}), kAckOk);
  EXPECT_TRUE(taken(frame({2, 7, 7, 7, 7, 7})));
  EXPECT_EQ(c.device->config_read(0, 2), 0x0702u);
  EXPECT_EQ(c.command({kClassRx, kNoBcast, 1}), kAckOk);
  EXPECT_FALSE(taken(frame({0xff, 0xff, 0xff, 0xff, 0xff, 0xff})));
  auto tagged = frame({2, 9});
  tagged[12] = 0x81, tagged[13] = 0, tagged[14] = 0, tagged[15] = 5;
  EXPECT_FALSE(taken(tagged));
  EXPECT_EQ(c.command({kClassVlan, kVlanAdd, 5, 0}), kAckOk);
  EXPECT_TRUE(taken(tagged));
  EXPECT_EQ(c.command({kClassVlan, kVlanAdd, 0xff, 0xff}), kAckError);
  EXPECT_EQ(c.command({77, 0, 0}), kAckError);
  c.device->reset();
  EXPECT_EQ(c.device->config_read(0, 2), 0x5452u);
}

TEST(VirtioNet, TheFilterIsThereToSee) {
  using Pass = RxFilter::Pass;
  Card c;
  c.start(kPlain | kControl);
  RxFilter f = c.card->take_filter();
  EXPECT_TRUE(f.promiscuous && f.broadcast);
  EXPECT_EQ(f.vlan, Pass::None);
  EXPECT_EQ(f.mac, (RxFilter::Mac{0x52, 0x54, 0, 0x12, 0x34, 0x56}));
  c.command({kClassRx, kPromisc, 0});
  c.command({kClassRx, kAllMulti, 1});
  c.command({kClassRx, kNoUni, 1});
  c.command({kClassRx, kNoBcast, 1});
  c.command({kClassMac, kTableSet, 1, 0, 0, 0, 2, 9, 0x77, 0x77, 0x77, 0x77, 1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1});
  c.command({kClassMac, kAddrSet, 2, 7, 7, 7, 7, 7});
  c.command({kClassVlan, kVlanAdd, 5, 0});
  c.command({kClassVlan, kVlanAdd, 0xff, 0x0f});
  f = c.card->take_filter();
  EXPECT_FALSE(f.promiscuous || f.broadcast || f.unicast_overflow || f.multicast_overflow);
  EXPECT_EQ(f.multicast, Pass::All);
  EXPECT_EQ(f.unicast, Pass::None);
  EXPECT_EQ(f.vlan, Pass::Normal);
  EXPECT_EQ(f.mac, (RxFilter::Mac{2, 7, 7, 7, 7, 7}));
  EXPECT_EQ(f.unicasts, (std::vector<RxFilter::Mac>{{2, 9, 0x77, 0x77, 0x77, 0x77}}));
  EXPECT_EQ(f.multicasts, (std::vector<RxFilter::Mac>{{1, 0, 0x5e, 0, 0, 1}}));
  EXPECT_EQ(f.vlans, (std::vector<u16>{5, 4095}));
  std::vector<u8> many(2 + 4 + 65 * 6 + 4);
  many[0] = kClassMac, many[1] = kTableSet, many[2] = 65;
  EXPECT_EQ(c.command(many), kAckOk);
  f = c.card->take_filter();
  EXPECT_TRUE(f.unicast_overflow && f.unicasts.empty());
  c.start(kPlain);  // a driver without a control queue
  EXPECT_EQ(c.card->take_filter().vlan, Pass::All);
}

TEST(VirtioNet, AChangeOfTheFilterIsToldOnceUntilSomebodyLooks) {
  Card c;
  c.start(kPlain | kControl);
  for (int i = 0; i < 1000; i++) c.command({kClassRx, kPromisc, static_cast<u8>(i % 2)});
  EXPECT_EQ(c.filter_changes, 1);
  (void)c.card->take_filter();
  EXPECT_EQ(c.command({kClassVlan, kVlanAdd, 0xff, 0xff}), kAckError);
  EXPECT_EQ(c.filter_changes, 1);
  for (const std::vector<u8>& change : std::vector<std::vector<u8>>{{kClassMac, kTableSet, 0, 0, 0, 0, 0, 0, 0, 0},
                                                                    {kClassMac, kAddrSet, 2, 7, 7, 7, 7, 7},
                                                                    {kClassVlan, kVlanAdd, 5, 0},
                                                                    {kClassVlan, kVlanDel, 5, 0}}) {
    const int before = c.filter_changes;
    EXPECT_EQ(c.command(change), kAckOk);
    EXPECT_EQ(c.filter_changes, before + 1);
    (void)c.card->take_filter();
  }
}

TEST(VirtioNet, TheLinkIsInTheConfiguration) {
  Card c;
  c.start(kPlain);
  c.port->set_link(false);
  EXPECT_EQ(c.device->config_read(6, 2), 0u);
  EXPECT_EQ(c.config_interrupts, 1u);
}

TEST(VirtioNet, OffloadsArePassedOn) {
  Card c;
  c.start(kPlain | kControl | kOffloads);
  EXPECT_TRUE(c.card->client().receives_offload());
  c.add(0, {c.in(4096)});
  net::Packet p(frame({2}, 3000));
  p.offload = {.segmentation = net::Segmentation::Tcp4,
               .segment_size = 1000,
               .header_size = 54,
               .needs_checksum = true,
               .checksum_start = 34,
               .checksum_offset = 16};
  EXPECT_EQ(c.card->client().receive(p), Took::Frame);
  const u8* h = c.at(VirtioBench::kBuffers);
  EXPECT_EQ(h[kFlags], kNeedsCsum);
  EXPECT_EQ(h[kGsoType], kGsoTcp4);
  EXPECT_EQ(load_le<u16>(h + kGsoSize), 1000);
  EXPECT_EQ(load_le<u16>(h + kCsumStart), 34);
  std::vector<u8> none(10);
  none[0] = kClassOffloads;
  EXPECT_EQ(c.command(none), kAckOk);
  EXPECT_FALSE(c.card->client().receives_offload());
  none[9] = 0x80;
  EXPECT_EQ(c.command(none), kAckError);
}

TEST(VirtioNet, AFlowComesBackOnItsQueue) {
  Card c(2);
  c.start(kPlain | kControl | feature(kMq));
  EXPECT_EQ(c.device->config_read(8, 2), 2u);
  EXPECT_EQ(c.command({kClassMq, 0, 2, 0}, 4), kAckOk);
  EXPECT_EQ(c.command({kClassMq, 0, 3, 0}, 4), kAckError);
  auto ip = [](u8 from, u8 to, u8 from_port, u8 to_port) {
    std::vector<u8> f(60);
    f[0] = 2, f[12] = 8, f[14] = 0x45, f[17] = 46, f[23] = 6, f[29] = from, f[33] = to;
    f[35] = from_port, f[37] = to_port, f[46] = 0x50;
    return f;
  };
  for (int i = 0; i < 4; i++) c.add(static_cast<size_t>(i & 2), {c.in(400)});
  c.send({}, ip(1, 2, 10, 80), 3);  // on the second pair
  c.give(ip(2, 1, 80, 10));
  EXPECT_EQ(c.used(2), 1);
  c.send({}, ip(1, 2, 10, 80), 1);
  c.give(ip(2, 1, 80, 10));
  EXPECT_EQ(c.used(0), 1);
}

TEST(VirtioNet, RingsThatLieDoNoHarm) {
  for (u32 seed = 1; seed <= 20; seed++) {
    Card c(2);
    c.fuzz(seed, 2000, c.device->offered(false), [&](std::mt19937& random) {
      c.give(frame({static_cast<int>(random() & 0xff)}, 14 + random() % 3000));
      if (random() % 32 == 0) c.port->set_link(random() % 2);
    });
    c.sent.clear();
  }
}

}  // namespace
}  // namespace doppel::hw::test
