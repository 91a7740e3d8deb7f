// The virtio console device, through its rings: control messages, consoles, named streams.
#include "hw/char/virtio_serial.h"

#include "chardev/devices.h"
#include "device/virtio_bench.h"

namespace doppel::hw::test {
namespace {

constexpr u64 kMultiport = virtio::feature(1);

// A socket, as it were: somebody comes and goes.
struct Socket final : chardev::Chardev {
  bool there = false;
  std::string got;
  FrontEnd front;
  void write(std::span<const u8> data) override {
    if (there) got.append(data.begin(), data.end());
  }
  void attach(FrontEnd f) override { front = std::move(f); }
  void accept_input() override {}
  bool connected() const override { return there; }
  std::string description() const override { return "socket"; }
  void set(bool now) {
    there = now;
    (now ? front.opened : front.closed)();
  }
};

struct Serial : VirtioBench {
  std::shared_ptr<chardev::RingBuffer> console = std::make_shared<chardev::RingBuffer>(4096);
  std::shared_ptr<chardev::RingBuffer> stream = std::make_shared<chardev::RingBuffer>(4096);
  Serial() {
    VirtioSerial::Params p{.clock = clock, .device_lock = lock, .max_ports = 4};
    p.ports.push_back({.number = 0, .console = true, .chardev = console});
    p.ports.push_back({.id = "p2", .number = 2, .name = "org.test.0", .chardev = stream});
    p.port_changed = [this](const VirtioPort& port, bool open) {
      changes.push_back(port.id + (open ? " open" : " closed"));
    };
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
  void begin(int buffers = 16) {
    start(kMultiport | virtio::kEventIdx);
    messages.clear();
    seen = 0;
    listen(buffers);
  }
  void listen(int buffers) {
    for (int i = 0; i < buffers; i++) add(2, {messages.emplace_back(in(64))});
    kick(2);
  }
  // Port 1 with a socket that nobody is connected to; the driver knows of it and has it open.
  std::shared_ptr<Socket> with_socket() {
    const auto socket = std::make_shared<Socket>();
    static_cast<VirtioSerial&>(*device).plug({.id = "s", .number = 1, .name = "socket", .chardev = socket});
    begin();
    say(0, 0, 1);
    say(1, 3, 1);
    say(1, 6, 1);
    EXPECT_EQ(heard(), (std::vector<std::string>{"0:1:1", "2:1:1", "1:1:1", "1:7:1socket"}));
    return socket;
  }
  std::vector<Buffer> messages;
  u16 seen = 0;
  std::vector<std::string> changes;
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

TEST(VirtioSerial, TheBoardHearsOfPortsThatTheGuestOpens) {
  Serial s;
  EXPECT_FALSE(s.stream->front_open());
  EXPECT_TRUE(s.console->front_open());
  s.begin();
  s.say(0, 0, 1);
  EXPECT_TRUE(s.changes.empty());
  for (const u16 value : {1, 1, 0, 1}) s.say(2, 6, value);
  EXPECT_EQ(s.changes, (Heard{"p2 open", "p2 closed", "p2 open"}));
  EXPECT_TRUE(s.stream->front_open());
  s.say(0, 6, 1);
  s.changes.clear();
  s.device->reset();
  EXPECT_EQ(s.changes, (Heard{" closed", "p2 closed"}));
  EXPECT_FALSE(s.stream->front_open());
  EXPECT_TRUE(s.console->front_open());
  s.device->reset();
  EXPECT_EQ(s.changes.size(), 2u);
}

TEST(VirtioSerial, TheGuestHearsOfClientsThatComeAndGo) {
  Serial s;
  const auto socket = s.with_socket();
  s.add(5, {s.out({'l', 'o', 's', 't'})});
  s.kick(5);
  EXPECT_EQ(s.used(5), 1);  // and does not wait
  socket->set(true);
  EXPECT_EQ(s.heard(), (Heard{"1:6:1"}));
  s.add(5, {s.out({'h', 'i'})});
  s.kick(5);
  EXPECT_EQ(socket->got, "hi");
  socket->set(false);
  EXPECT_EQ(s.heard(), (Heard{"1:6:0"}));
  socket->set(true);
  EXPECT_EQ(s.heard(), (Heard{"1:6:1"}));
  s.say(1, 3, 1);  // a driver that asks again
  EXPECT_EQ(s.heard(), (Heard{"1:7:1socket", "1:6:1"}));
  s.begin();  // a driver that comes later
  socket->set(false);
  socket->set(true);
  EXPECT_TRUE(s.heard().empty());
  s.say(1, 3, 1);
  EXPECT_EQ(s.heard(), (Heard{"1:7:1socket", "1:6:1"}));
}

TEST(VirtioSerial, ClientsThatComeAndGoWhileTheDriverDoesNotListenTakeNoMemory) {
  Serial s;
  const auto socket = s.with_socket();
  for (int i = 0; i < 20; i++) socket->set(i % 2 == 0);
  EXPECT_EQ(s.heard().size(), 12u);  // the rest of its sixteen buffers
  for (int i = 0; i < 100'001; i++) socket->set(i % 2 == 0);
  StateArchive ar(StateArchive::Mode::Save);
  s.device->archive(ar);
  EXPECT_LT(ar.serialize().size(), 8000u);
  s.listen(4);
  EXPECT_EQ(s.heard(), (Heard{"1:6:1"}));  // what it had heard last was the opposite
}

TEST(VirtioSerial, ASleepingMachineHearsAtItsEnd) {
  Serial s;
  const auto socket = s.with_socket();
  s.device->sleep();
  socket->set(true);
  EXPECT_TRUE(s.heard().empty());
  s.device->wake();
  EXPECT_EQ(s.heard(), (Heard{"1:6:1"}));
  s.device->sleep();
  socket->set(false);
  socket->set(true);
  s.device->wake();
  EXPECT_TRUE(s.heard().empty());
}

TEST(VirtioSerial, AStateThatIsLoadedIsPutRight) {
  Serial s;
  const auto socket = s.with_socket();
  socket->set(true);
  EXPECT_EQ(s.heard(), (Heard{"1:6:1"}));
  StateArchive ar(StateArchive::Mode::Save);
  s.device->archive(ar);
  const auto stored = ar.serialize();
  const auto load = [&] {
    StateArchive from(StateArchive::Mode::Load);
    ASSERT_TRUE(from.deserialize(stored));
    s.device->sleep();
    s.changes.clear();
    s.device->archive(from);
    s.device->wake();
  };
  load();
  EXPECT_TRUE(s.heard().empty());
  EXPECT_EQ(s.changes, (Heard{"s closed", "s open"}));
  EXPECT_TRUE(socket->front_open());
  s.device->sleep();
  socket->set(false);
  load();
  EXPECT_EQ(s.heard(), (Heard{"1:6:0"}));
}

TEST(VirtioSerial, APortThatHasGoneIsNotOpen) {
  Serial s;
  const auto socket = s.with_socket();
  EXPECT_TRUE(socket->front_open());
  EXPECT_TRUE(static_cast<VirtioSerial&>(*s.device).unplug(1));
  EXPECT_FALSE(socket->front_open());
  EXPECT_FALSE(socket->front.opened);
  s.device.reset();
  EXPECT_FALSE(s.stream->front_open());
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
    const auto socket = std::make_shared<Socket>();
    static_cast<VirtioSerial&>(*s.device).plug({.id = "s", .number = 1, .name = "socket", .chardev = socket});
    s.fuzz(seed, 2000, kMultiport | virtio::kEventIdx | virtio::kIndirectDesc, [&](std::mt19937& random) {
      if (random() % 8 == 0) socket->set(random() % 2);
      if (random() % 4 == 0) s.stream->type("xyz");
      if (random() % 8 == 0) s.say(random() % 5, static_cast<u16>(random() % 9), static_cast<u16>(random() % 2));
      s.console->take();
    });
  }
}

}  // namespace
}  // namespace doppel::hw::test
