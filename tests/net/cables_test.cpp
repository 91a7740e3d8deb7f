// Sockets, hub, dump: frames go from card to card, whole and in order.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/os/ports.h"
#include "net/net_fixture.h"

namespace doppel::net::test {
namespace {

std::vector<u8> frame(u8 tag, size_t size = 60) {
  std::vector<u8> f(size, tag);
  f[12] = 0x88, f[13] = 0xb5;  // a local experimental type
  return f;
}
std::string temp(const char* name) {
  return (std::filesystem::temp_directory_path() / ("doppel_net_" + std::to_string(getpid()) + "_" + name)).string();
}
std::string port_text() {
  in_addr loopback{};
  loopback.s_addr = htonl(INADDR_LOOPBACK);
  return std::to_string(os::free_port(loopback, true));
}

std::unique_ptr<FakeCard> card(Network& n, const Properties& p) {
  auto id = n.add_backend(p);
  EXPECT_TRUE(id.ok()) << (id.ok() ? "" : id.error().text());
  if (!id.ok()) return nullptr;
  auto port = n.add_nic("fake", "", "", *id);
  EXPECT_TRUE(port.ok());
  return std::make_unique<FakeCard>(*port);
}

// Both ways between two machines, 100 frames of all sizes.
void exchange(FakeCard& a, FakeCard& b) {
  ASSERT_TRUE(eventually([&] {  // a stream may still be about to be accepted
    a.send(frame(1));
    b.send(frame(2));
    return a.count() > 0 && b.count() > 0;
  }));
  const auto drain = [](FakeCard& c) {
    size_t before = ~size_t{0};
    while (std::exchange(before, c.count()) != c.count()) std::this_thread::sleep_for(std::chrono::milliseconds(30));
    const std::lock_guard guard(c.lock);
    c.frames.clear();
  };
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  drain(a);
  drain(b);
  for (u8 i = 0; i < 100; i++) {
    ASSERT_TRUE(a.send(frame(i, 14 + size_t{i} * 15)));
    ASSERT_TRUE(b.send(frame(static_cast<u8>(200 - i), 60)));
  }
  ASSERT_TRUE(eventually([&] { return a.count() == 100 && b.count() == 100; })) << a.count() << " " << b.count();
  for (u8 i = 0; i < 100; i++) {
    EXPECT_EQ(b.frames[i], frame(i, 14 + size_t{i} * 15));
    EXPECT_EQ(a.frames[i], frame(static_cast<u8>(200 - i), 60));
  }
}

TEST(Cables, StreamOverUnixSocket) {
  const std::string path = temp("stream");
  Network n1({}), n2({});
  auto a = card(n1, {{"type", "stream"}, {"server", "on"}, {"addr.type", "unix"}, {"addr.path", path}});
  auto b = card(n2, {{"type", "stream"}, {"addr.type", "unix"}, {"addr.path", path}});
  exchange(*a, *b);
}

TEST(Cables, SocketListenAndConnect) {
  const std::string place = "127.0.0.1:" + port_text();
  Network n1({}), n2({});
  auto a = card(n1, {{"type", "socket"}, {"listen", place}});
  auto b = card(n2, {{"type", "socket"}, {"connect", place}});
  exchange(*a, *b);
}

TEST(Cables, AStreamReconnects) {
  const std::string path = temp("again");
  Network n2({});
  auto b = card(n2, {{"type", "stream"}, {"addr.type", "unix"}, {"addr.path", path}, {"reconnect", "1"}});
  ASSERT_NE(b, nullptr);
  Network n1({});
  auto a = card(n1, {{"type", "stream"}, {"server", "on"}, {"addr.type", "unix"}, {"addr.path", path}});
  exchange(*a, *b);
}

TEST(Cables, Datagrams) {
  const std::string p1 = port_text(), p2 = port_text();
  Network n1({}), n2({});
  auto a = card(n1, {{"type", "dgram"},
                     {"local.host", "127.0.0.1"},
                     {"local.port", p1},
                     {"remote.host", "127.0.0.1"},
                     {"remote.port", p2}});
  auto b = card(n2, {{"type", "socket"}, {"udp", "127.0.0.1:" + p1}, {"localaddr", "127.0.0.1:" + p2}});
  exchange(*a, *b);
}

TEST(Cables, AStreamOfNonsenseIsClosed) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  Network n({});
  auto a = card(n, {{"type", "stream"}, {"addr.type", "fd"}, {"addr.str", std::to_string(fds[0])}});
  ASSERT_NE(a, nullptr);
  const u8 nonsense[] = {0xff, 0xff, 0xff, 0xff, 1, 2, 3};
  ASSERT_EQ(write(fds[1], nonsense, sizeof nonsense), ssize_t{sizeof nonsense});
  u8 byte;
  EXPECT_LE(read(fds[1], &byte, 1), 0);  // the other end closed it
  close(fds[1]);
  EXPECT_EQ(a->count(), 0u);
}

TEST(Cables, AHubHandsToAllOthers) {
  Network n({});
  std::vector<std::unique_ptr<FakeCard>> cards;
  for (int i = 0; i < 3; i++) {
    auto id = n.add_hub_port(0, "", "");
    ASSERT_TRUE(id.ok());
    cards.push_back(std::make_unique<FakeCard>(*n.add_nic("fake", "", "", *id)));
  }
  const std::string path = temp("hub");
  auto inner = n.add_backend({{"type", "stream"}, {"server", "on"}, {"addr.type", "unix"}, {"addr.path", path}});
  ASSERT_TRUE(inner.ok());
  ASSERT_TRUE(n.add_hub_port(0, "", *inner).ok());
  Network far({});
  auto outside = card(far, {{"type", "stream"}, {"addr.type", "unix"}, {"addr.path", path}});
  exchange(*cards[0], *outside);
  EXPECT_GE(cards[1]->count(), 200u);
  EXPECT_EQ(cards[1]->count(), cards[2]->count());
  EXPECT_NE(n.info().find("hub 0"), std::string::npos);
}

TEST(Cables, ADumpHoldsEveryFrame) {
  const std::string file = temp("dump.pcap"), path = temp("dumped");
  {
    Network n1({}), n2({});
    auto id =
        n1.add_backend({{"type", "stream"}, {"id", "s"}, {"server", "on"}, {"addr.type", "unix"}, {"addr.path", path}});
    ASSERT_TRUE(id.ok());
    ASSERT_TRUE(n1.add_dump({{"netdev", "s"}, {"file", file}, {"maxlen", "32"}}).ok());
    FakeCard a(*n1.add_nic("fake", "", "", "s"));
    a.send(frame(7, 100));
  }
  std::ifstream in(file, std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(in)), {});
  ASSERT_EQ(all.size(), 24u + 16 + 32);
  EXPECT_EQ(load_le<u32>(all.data()), 0xa1b2c3d4u);
  EXPECT_EQ(load_le<u32>(all.data() + 24 + 8), 32u);
  EXPECT_EQ(load_le<u32>(all.data() + 24 + 12), 100u);
  std::filesystem::remove(file);
  Network n({});
  EXPECT_FALSE(n.add_dump({{"netdev", "s"}, {"file", file}}).ok());
  ASSERT_TRUE(n.add_backend({{"type", "user"}, {"id", "u"}}).ok());
  const Status bad = n.add_dump({{"netdev", "u"}, {"file", "/nonexistent/dump.pcap"}});
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().cause.find("No such file or directory"), std::string::npos) << bad.error().text();
}

TEST(Cables, APortThatTheHostChoseIsSaid) {
  std::vector<std::string> said;
  Network n1({.open_chardev = {}, .say = [&](const std::string&t) { said.push_back(t); }}), n2({});
  const auto a = card(n1, {{"type", "socket"}, {"id", "s"}, {"listen", "127.0.0.1:0"}});
  ASSERT_EQ(said.size(), 1u);
  const std::string start = "the network back end 's' listens on ";
  ASSERT_TRUE(said[0].starts_with(start + "127.0.0.1:")) << said[0];
  ASSERT_FALSE(said[0].ends_with(":0"));
  EXPECT_NE(n1.info().find("listening on " + said[0].substr(start.size())), std::string::npos) << n1.info();
  const auto b = card(n2, {{"type", "socket"}, {"connect", said[0].substr(start.size())}});
  exchange(*a, *b);
}

TEST(Cables, NamesOfInterfacesAreNotCutOff) {
  Network n({});
  auto tap = n.add_backend({{"type", "tap"}, {"ifname", "a-name-of-16-let"}});
  ASSERT_FALSE(tap.ok());
  EXPECT_NE(tap.error().cause.find("too long"), std::string::npos) << tap.error().text();
}

TEST(Cables, CardsTellTheirAddress) {
  Network n({});
  ASSERT_TRUE(n.add_nic("fake", "one", "52:54:00:aa:bb:cc", "").ok());
  ASSERT_TRUE(n.add_nic("fake", "two", "", "").ok());
  EXPECT_EQ(mac_text(*n.mac_of("one")), "52:54:00:aa:bb:cc");
  EXPECT_EQ(mac_text(*n.mac_of("two")), "52:54:00:12:34:56");
  EXPECT_FALSE(n.mac_of("three"));
}

}  // namespace
}  // namespace doppel::net::test
