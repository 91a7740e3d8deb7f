#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/os/ports.h"
#include "net/sockets.h"

namespace doppel::net {

Result<std::shared_ptr<DatagramBackend>> DatagramBackend::make(std::string id, Loop& loop, Config config) {
  auto b = std::make_shared<DatagramBackend>(std::move(id), loop, std::move(config));
  if (Status s = b->open(); !s) return s.error();
  loop.add(*b);
  return b;
}

DatagramBackend::~DatagramBackend() {
  loop().remove(*this);
  if (fd_ >= 0) ::close(fd_);
  if (!config_.unlink_path.empty()) ::unlink(config_.unlink_path.c_str());
}

std::string DatagramBackend::info() const {
  return "type=dgram" + (config_.local.size ? ",local=" + config_.local.text : "") +
         (config_.remote.size ? std::string(config_.multicast ? ",mcast=" : ",remote=") + config_.remote.text : "");
}

Status DatagramBackend::open() {
  if (config_.fd >= 0) {
    fd_ = config_.fd;
    ::fcntl(fd_, F_SETFL, O_NONBLOCK);
    return success();
  }
  const SocketAddress& first = config_.local.size ? config_.local : config_.remote;
  fd_ = ::socket(first.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return Error{"the host gives no socket: " + std::string(std::strerror(errno)), ""};
  if (config_.multicast) {
    const int on = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // SAFETY: make_socket checked that the group is an IPv4 address.
    const auto* group = reinterpret_cast<const sockaddr_in*>(&config_.remote.storage);
    ip_mreq join{};
    join.imr_multiaddr = group->sin_addr;
    join.imr_interface.s_addr = htonl(INADDR_LOOPBACK);
    if (config_.local.size) join.imr_interface = reinterpret_cast<const sockaddr_in*>(&config_.local.storage)->sin_addr;
    if (::bind(fd_, config_.remote.get(), config_.remote.size) != 0 ||
        ::setsockopt(fd_, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join) != 0 ||
        ::setsockopt(fd_, IPPROTO_IP, IP_MULTICAST_IF, &join.imr_interface, sizeof join.imr_interface) != 0 ||
        ::setsockopt(fd_, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof on) != 0)
      return Error{"can't join the group " + config_.remote.text + ": " + std::strerror(errno), "choose another group"};
    return success();
  }
  if (config_.local.size && ::bind(fd_, config_.local.get(), config_.local.size) != 0) {
    const int error = errno;
    std::string holder;
    if (error == EADDRINUSE && first.storage.ss_family == AF_INET)
      holder = os::port_holder(ntohs(reinterpret_cast<const sockaddr_in*>(&first.storage)->sin_port), true);
    return Error{
        "can't use " + config_.local.text + ": " + std::strerror(error) + (holder.empty() ? "" : " by " + holder),
        "choose another address"};
  }
  return success();
}

void DatagramBackend::before_wait(PollSet& set) { poll_index_ = can_deliver() ? set.add(fd_, POLLIN) : 0; }

void DatagramBackend::after_wait(const PollSet& set) {
  if (poll_index_ == 0 || set.ready(poll_index_) == 0) return;
  u8 buffer[kMaxPacket];
  for (int i = 0; i < 64 && can_deliver(); i++) {
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n < 0) return;
    if (static_cast<size_t>(n) >= kEthernetHeader) deliver(Packet({buffer, static_cast<size_t>(n)}));
  }
}

void DatagramBackend::transmit(Packet&& p) {
  if (config_.remote.size == 0) {
    if (config_.fd >= 0 && ::send(fd_, p.data.data(), p.data.size(), MSG_NOSIGNAL) < 0) return;
    return;
  }
  if (::sendto(fd_, p.data.data(), p.data.size(), MSG_NOSIGNAL, config_.remote.get(), config_.remote.size) < 0) return;
}

namespace {
Result<std::shared_ptr<Backend>> finish(std::string id, Loop& loop, DatagramBackend::Config c) {
  auto b = DatagramBackend::make(std::move(id), loop, std::move(c));
  if (!b) return b.error();
  return std::shared_ptr<Backend>(b.take());
}

bool is_multicast(const SocketAddress& a) {
  return a.storage.ss_family == AF_INET &&
         IN_MULTICAST(ntohl(reinterpret_cast<const sockaddr_in*>(&a.storage)->sin_addr.s_addr));
}
}  // namespace

Result<std::shared_ptr<Backend>> make_dgram(std::string id, Loop& loop, const Properties& p) {
  static constexpr const char* kKeys[] = {"local.type",  "local.host",  "local.port",  "local.path", "local.str",
                                          "remote.type", "remote.host", "remote.port", "remote.path"};
  if (Status s = check_keys(p, "dgram", kKeys); !s) return s.error();
  DatagramBackend::Config c;
  if (property(p, "local.type") == "fd") {
    c.fd = std::atoi(property(p, "local.str", "-1").c_str());
    if (c.fd < 0 || ::fcntl(c.fd, F_GETFD) < 0)
      return Error{"local.str: '" + property(p, "local.str") + "' is no open file descriptor", "give its number"};
    return finish(std::move(id), loop, std::move(c));
  }
  if (has_property(p, "local.port") || has_property(p, "local.path")) {
    auto a = address_property(p, "local");
    if (!a) return a.error();
    c.local = *a;
    if (c.local.storage.ss_family == AF_UNIX) c.unlink_path = c.local.text;
  }
  if (has_property(p, "remote.port") || has_property(p, "remote.path")) {
    auto a = address_property(p, "remote");
    if (!a) return a.error();
    c.remote = *a;
  }
  c.multicast = c.remote.size != 0 && is_multicast(c.remote);
  if (c.local.size == 0 && !c.multicast)
    return Error{"-netdev dgram needs its own address", "add local.type=inet,local.host=127.0.0.1,local.port=PORT"};
  return finish(std::move(id), loop, std::move(c));
}

// The older way to say it: listen=, connect=, mcast=, or udp= with localaddr=.
Result<std::shared_ptr<Backend>> make_socket(std::string id, Loop& loop, const Properties& p) {
  static constexpr const char* kKeys[] = {"listen", "connect", "mcast", "udp", "localaddr", "fd"};
  if (Status s = check_keys(p, "socket", kKeys); !s) return s.error();
  const auto address = [&](const char* key) -> Result<SocketAddress> {
    auto place = parse_host_port(key, property(p, key));
    if (!place) return place.error();
    return inet_address(place->host, place->port);
  };
  for (const char* key : {"listen", "connect"}) {
    if (!has_property(p, key)) continue;
    auto a = address(key);
    if (!a) return a.error();
    StreamBackend::Config c;
    c.address = *a;
    c.server = std::string_view(key) == "listen";
    auto b = StreamBackend::make(std::move(id), loop, std::move(c));
    if (!b) return b.error();
    return std::shared_ptr<Backend>(b.take());
  }
  if (has_property(p, "fd")) {
    return make_stream(std::move(id), loop, {{"addr.type", "fd"}, {"addr.str", property(p, "fd")}});
  }
  DatagramBackend::Config c;
  const bool group = has_property(p, "mcast");
  if (!group && !has_property(p, "udp"))
    return Error{"-netdev socket needs one of listen=, connect=, mcast=, udp=, fd=", "add one"};
  auto remote = address(group ? "mcast" : "udp");
  if (!remote) return remote.error();
  c.remote = *remote;
  c.multicast = group;
  if (group && !is_multicast(c.remote))
    return Error{"mcast=" + c.remote.text + " is no multicast group", "use 224.0.0.0 to 239.255.255.255"};
  if (has_property(p, "localaddr")) {
    auto local = group ? inet_address(property(p, "localaddr"), 0) : address("localaddr");
    if (!local) return local.error();
    c.local = *local;
  } else if (!group) {
    return Error{"-netdev socket,udp= needs localaddr=HOST:PORT", "add it"};
  }
  return finish(std::move(id), loop, std::move(c));
}

}  // namespace doppel::net
