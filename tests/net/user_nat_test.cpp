// The user network as a guest sees it: DHCP, ports forwarded in, a port that is taken, guestfwd's refusals.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net_fixture.h"

namespace doppel::net::test {
namespace {

constexpr MacAddress kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

// DHCPDISCOVER (RFC 2131).
std::vector<u8> discover(const MacAddress& mac) {
  std::vector<u8> m(240);
  m[0] = 1, m[1] = 1, m[2] = 6;
  m[4] = 0xde, m[5] = 0xad;
  std::copy(mac.begin(), mac.end(), m.begin() + 28);
  m[236] = 99, m[237] = 130, m[238] = 83, m[239] = 99;
  m.insert(m.end(), {53, 1, 1, 255});
  m.resize(300);
  return udp_frame(mac, kBroadcast, 0, 0xffffffff, 68, 67, m);
}

bool is_offer(const std::vector<u8>& f) {
  return f.size() > 282 && f[23] == 17 && f[37] == 68 && f[42] == 2 && f[46] == 0xde;
}

struct World {
  explicit World(const Properties& user = {{"type", "user"}, {"id", "n0"}}) {
    auto id = network.add_backend(user);
    EXPECT_TRUE(id.ok()) << (id.ok() ? "" : id.error().text());
    auto port = network.add_nic("fake", "", "", id.ok() ? *id : "");
    card = std::make_unique<FakeCard>(*port);
  }
  ~World() { card.reset(); }
  std::vector<std::string> said;
  Network network{{.open_chardev = {}, .say = [this](const std::string& t) { said.push_back(t); }}};
  std::unique_ptr<FakeCard> card;
};

TEST(UserNat, DhcpOffersTheFirstAddress) {
  World w;
  w.card->send(discover(w.card->port->mac()));
  const auto offer = w.card->wait_for(is_offer);
  ASSERT_FALSE(offer.empty());
  EXPECT_EQ((std::vector<u8>(offer.begin() + 58, offer.begin() + 62)), (std::vector<u8>{10, 0, 2, 15}));
}

TEST(UserNat, OptionsMoveTheNetwork) {
  World w({{"type", "user"}, {"id", "n0"}, {"net", "192.168.76.0/24"}, {"dhcpstart", "192.168.76.9"}});
  w.card->send(discover(w.card->port->mac()));
  const auto offer = w.card->wait_for(is_offer);
  ASSERT_FALSE(offer.empty());
  EXPECT_EQ((std::vector<u8>(offer.begin() + 58, offer.begin() + 62)), (std::vector<u8>{192, 168, 76, 9}));
  EXPECT_NE(w.network.info().find("net=192.168.76.0"), std::string::npos);
}

TEST(UserNat, ACardWithoutRoomGetsItsFramesLater) {
  World w;
  w.card->allow(0);
  w.card->send(discover(w.card->port->mac()));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(w.card->count(), 0u);
  w.card->allow(100);
  EXPECT_FALSE(w.card->wait_for(is_offer).empty());
}

TEST(UserNat, NothingPassesALinkThatIsDown) {
  World w;
  ASSERT_TRUE(w.network.set_link("fake.0", false));
  EXPECT_FALSE(w.card->up);
  w.card->send(discover(w.card->port->mac()));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(w.card->count(), 0u);
  ASSERT_TRUE(w.network.set_link("fake.0", true));
  EXPECT_TRUE(w.card->up);
  w.card->send(discover(w.card->port->mac()));
  EXPECT_FALSE(w.card->wait_for(is_offer).empty());
  EXPECT_FALSE(w.network.set_link("nothing", true));
}

int connect_to(u16 port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  a.sin_port = htons(port);
  if (connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0) return fd;
  close(fd);
  return -1;
}

TEST(UserNat, PortZeroPicksOneSaysItAndListens) {
  World w({{"type", "user"}, {"id", "n0"}, {"hostfwd", "tcp::0-:22"}});
  ASSERT_EQ(w.said.size(), 1u);
  unsigned port = 0;
  ASSERT_EQ(std::sscanf(w.said[0].c_str(), "TCP port %u", &port), 1) << w.said[0];
  const int fd = connect_to(static_cast<u16>(port));
  EXPECT_GE(fd, 0);
  // The guest is asked: an ARP request or a SYN to port 22 of the first DHCP address.
  EXPECT_TRUE(eventually([&] { return w.card->count() > 0; }));
  close(fd);
  const std::string rule = "tcp::" + std::to_string(port);
  EXPECT_TRUE(w.network.hostfwd_remove("", rule));
  EXPECT_LT(connect_to(static_cast<u16>(port)), 0);
  EXPECT_FALSE(w.network.hostfwd_remove("", rule));
}

TEST(UserNat, ATakenPortNamesItsHolderAndAFreeOne) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof a;
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&a), size), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
  World w;
  std::string said;
  const Status s = w.network.hostfwd_add("n0", "tcp::" + std::to_string(ntohs(a.sin_port)) + "-:22", said);
  close(fd);
  ASSERT_FALSE(s);
  EXPECT_NE(s.error().cause.find("pid " + std::to_string(getpid())), std::string::npos) << s.error().cause;
  EXPECT_NE(s.error().fix.find("is free"), std::string::npos) << s.error().fix;
}

TEST(UserNat, ErrorsNameWhatIsWrong) {
  const std::pair<Properties, const char*> rows[] = {
      {{{"type", "user"}, {"hostfwd", "tcp:2222"}}, "port forwarding rule"},
      {{{"type", "user"}, {"hostfwd", "tcp::99999-:22"}}, "99999"},
      {{{"type", "user"}, {"hostfwd", "sctp::1-:2"}}, "port forwarding rule"},
      {{{"type", "user"}, {"dns", "10.9.9.9"}}, "not in the network"},
      {{{"type", "user"}, {"net", "10.0.2.0/33"}}, "length"},
      {{{"type", "user"}, {"restrict", "maybe"}}, "neither on nor off"},
      {{{"type", "user"}, {"colour", "red"}}, "no property 'colour'"},
      {{{"type", "user"}, {"guestfwd", "tcp:10.0.2.100-x"}}, "port"},
      {{{"type", "vde"}}, "not built"},
      {{{"type", "socket"}}, "needs one of"},
      {{{"type", "socket"}, {"mcast", "127.0.0.1:4"}}, "no multicast group"},
      {{{"type", "hubport"}, {"netdev", "nothing"}}, "no network back end"},
  };
  for (const auto& [p, text] : rows) {
    Network n({});
    const auto r = n.add_backend(p);
    ASSERT_FALSE(r.ok()) << text;
    EXPECT_NE(r.error().text().find(text), std::string::npos) << r.error().text();
  }
}

}  // namespace
}  // namespace doppel::net::test
