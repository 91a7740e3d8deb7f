// The virtio console device, through its rings: control messages, consoles, named streams.
#include "hw/char/virtio_serial.h"

#include "chardev/devices.h"
#include "device/virtio_bench.h"

namespace doppel::hw::test {
namespace {

constexpr u64 kMultiport = virtio::feature(1);

struct Serial : VirtioBench {
  std::shared_ptr<chardev::RingBuffer> console = std::make_shared<chardev::RingBuffer>(4096);
  std::shared_ptr<chardev::RingBuffer> stream = std::make_shared<chardev::RingBuffer>(4096);
  Serial() {
    VirtioSerial::Params p{.clock = clock, .device_lock = lock, .max_ports = 4};
    p.ports.push_back({.number = 0, .console = true, .chardev = console});
    p.ports.push_back({.number = 2, .name = "org.test.0", .chardev = stream});
    make<VirtioSerial>(std::move(p));
  }
  void say(u32 port, u16 event, u16 value) {
    std::vector<u8> m(8);
    store_le<u32>(&m[0], port);
    store_le<u16>(&m[4], event);
    store_le<u16>(&m[6], value);
    add(3, {out(m)});
    kick(3);
  }
  std::string text(const Buffer& b, u32 length) { return {reinterpret_cast<char*>(at(b.address)), length}; }
  // Messages that the device sent so far, as "port:event:value".
  std::vector<std::string> heard() {
    std::vector<std::string> all;
    for (; seen < used(2); seen++) {
      const u8* m = at(messages[seen].address);
      all.push_back(std::to_string(load_le<u32>(m)) + ":" + std::to_string(load_le<u16>(m + 4)) + ":" +
                    std::to_string(load_le<u16>(m + 6)) +
                    text({messages[seen].address + 8, 0, false}, used_length(2, seen) - 8));
    }
    return all;
  }
  void begin() {
    start(kMultiport | virtio::kEventIdx);
    messages.clear();
    seen = 0;
    for (int i = 0; i < 16; i++) add(2, {messages.emplace_back(in(64))});
    kick(2);
  }
  std::vector<Buffer> messages;
  u16 seen = 0;
};

using Heard = std::vector<std::string>;

TEST(VirtioSerial, PortsAreTold) {
  Serial s;
  s.begin();
  EXPECT_EQ(s.device->config_read(4, 4), 4u);
  s.say(0, 0, 1);
  EXPECT_EQ(s.heard(), (Heard{"0:1:1", "2:1:1"}));
  s.say(0, 3, 1);
  EXPECT_EQ(s.heard(), (Heard{"0:4:1", "0:6:1"}));
  s.say(2, 3, 1);
  EXPECT_EQ(s.heard(), (Heard{"2:7:1org.test.0", "2:6:1"}));
  s.say(3, 3, 1);  // not there
  EXPECT_TRUE(s.heard().empty());
}

TEST(VirtioSerial, BytesGoBothWaysOnceThePortIsOpen) {
  Serial s;
  s.begin();
  s.say(0, 0, 1);
  s.say(2, 3, 1);
  s.stream->type("early ");
  const auto a = s.in(4), b = s.in(100);
  s.add(6, {a});
  s.add(6, {b});
  s.kick(6);
  EXPECT_EQ(s.used(6), 0);  // closed
  s.say(2, 6, 1);
  s.stream->type("bird");
  EXPECT_EQ(s.used(6), 2);
  EXPECT_EQ(s.text(a, s.used_length(6, 0)) + s.text(b, s.used_length(6, 1)), "early bird");
  s.add(7, {s.out({'h', 'i'}), s.out({'!'})});
  s.kick(7);
  EXPECT_EQ(s.stream->take(), "hi!");
  EXPECT_EQ(s.used(7), 1);
}

TEST(VirtioSerial, PortsComeAndGo) {
  Serial s;
  s.begin();
  auto& serial = static_cast<VirtioSerial&>(*s.device);
  serial.plug({.number = 1, .name = "early", .chardev = s.console});
  EXPECT_TRUE(s.heard().empty());  // the driver has not asked
  s.say(0, 0, 1);
  EXPECT_EQ(s.heard(), (Heard{"0:1:1", "2:1:1", "1:1:1"}));
  EXPECT_TRUE(serial.unplug(2));
  EXPECT_FALSE(serial.unplug(2));
  EXPECT_EQ(s.heard(), (Heard{"2:2:1"}));
  s.stream->type("lost");  // nobody is there
  const auto late = std::make_shared<chardev::RingBuffer>(4096);
  serial.plug({.number = 2, .name = "late", .chardev = late});
  EXPECT_EQ(s.heard(), (Heard{"2:1:1"}));
  s.say(2, 3, 1);
  EXPECT_EQ(s.heard(), (Heard{"2:7:1late", "2:6:1"}));
  s.say(2, 6, 1);
  const auto b = s.in(16);
  s.add(6, {b});
  s.kick(6);
  s.stream->type("of another");
  EXPECT_EQ(s.used(6), 0);
  late->type("mine");
  ASSERT_EQ(s.used(6), 1);
  EXPECT_EQ(s.text(b, s.used_length(6, 0)), "mine");
}

TEST(VirtioSerial, AStreamWithoutACharacterDeviceHasNobodyAtItsEnd) {
  Serial s;
  s.begin();
  s.say(0, 0, 1);
  auto& serial = static_cast<VirtioSerial&>(*s.device);
  serial.plug({.number = 1, .name = "alone", .chardev = nullptr});
  EXPECT_EQ(s.heard(), (Heard{"0:1:1", "2:1:1", "1:1:1"}));
  s.say(1, 3, 1);
  EXPECT_EQ(s.heard(), (Heard{"1:7:1alone"}));  // and never that it is open
  s.say(1, 6, 1);
  s.add(5, {s.out({'x'})});
  s.kick(5);
  EXPECT_EQ(s.used(5), 1);
  EXPECT_TRUE(serial.unplug(1));
}

TEST(VirtioSerial, ADriverWithoutPortsHasTheConsole) {
  Serial s;
  s.start(0);
  const auto b = s.in(10);
  s.add(0, {b});
  s.kick(0);
  s.console->type("login");
  EXPECT_EQ(s.used(0), 1);
  EXPECT_EQ(s.text(b, 5), "login");
  s.add(1, {s.out({'o', 'k'})});
  s.kick(1);
  EXPECT_EQ(s.console->take(), "ok");
}

TEST(VirtioSerial, ADriverThatNeverReadsItsMessagesTakesNoMemory) {
  Serial s;
  s.start(kMultiport);
  for (int i = 0; i < 5000; i++) s.say(0, 0, 1);
  StateArchive ar(StateArchive::Mode::Save);
  s.device->archive(ar);
  EXPECT_LT(ar.serialize().size(), 8000u);
}

TEST(VirtioSerial, RingsThatLieDoNoHarm) {
  for (u32 seed = 1; seed <= 20; seed++) {
    Serial s;
    s.fuzz(seed, 2000, kMultiport | virtio::kEventIdx | virtio::kIndirectDesc, [&](std::mt19937& random) {
      if (random() % 4 == 0) s.stream->type("xyz");
      if (random() % 8 == 0) s.say(random() % 5, static_cast<u16>(random() % 9), static_cast<u16>(random() % 2));
      s.console->take();
    });
  }
}

}  // namespace
}  // namespace doppel::hw::test
