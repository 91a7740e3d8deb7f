#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/os/ports.h"
#include "net/sockets.h"

namespace doppel::net {
namespace {

s64 now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void prepare(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails on Unix sockets, which need none
}

Error listen_error(const SocketAddress& a, int error) {
  std::string holder;
  u16 port = 0, free = 0;
  if (error == EADDRINUSE && a.storage.ss_family == AF_INET) {
    // SAFETY: the family says which type it is.
    const auto* in = reinterpret_cast<const sockaddr_in*>(&a.storage);
    port = ntohs(in->sin_port);
    holder = os::port_holder(port);
    free = os::free_port(in->sin_addr, false, port);
  }
  return {"can't listen on " + a.text + ": " + std::strerror(error) + (holder.empty() ? "" : " by " + holder),
          free ? "port " + std::to_string(free) + " is free" : "choose another address"};
}

}  // namespace

StreamBackend::StreamBackend(std::string id, Loop& loop, Config config)
    : Backend(std::move(id), loop), config_(std::move(config)) {}

Result<std::shared_ptr<StreamBackend>> StreamBackend::make(std::string id, Loop& loop, Config config) {
  auto b = std::make_shared<StreamBackend>(std::move(id), loop, std::move(config));
  if (Status s = b->open(); !s) return s.error();
  loop.add(*b);
  return b;
}

StreamBackend::~StreamBackend() {
  loop().remove(*this);
  if (fd_ >= 0) ::close(fd_);
  if (listen_fd_ >= 0) {
    ::close(listen_fd_);
    if (config_.address.storage.ss_family == AF_UNIX) ::unlink(config_.address.text.c_str());
  }
}

std::string StreamBackend::info() const {
  return "type=stream," + std::string(config_.server ? "listening on " : "to ") + config_.address.text +
         (connected_.load() ? ",connected" : ",not connected");
}

// Port 0: the host chose one.
void StreamBackend::take_chosen_port() {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  // SAFETY: the family says which type it is; the sockets API takes every address type as sockaddr.
  if (::getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return;
  u16 port = 0;
  if (bound.ss_family == AF_INET) port = ntohs(reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
  if (bound.ss_family == AF_INET6) port = ntohs(reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port);
  std::string& text = config_.address.text;
  if (port == 0 || !text.ends_with(":0")) return;
  text = text.substr(0, text.size() - 1) + std::to_string(port);
  chosen_ = true;
}

Status StreamBackend::open() {
  if (config_.fd >= 0) {
    fd_ = config_.fd;
    prepare(fd_);
    connected_.store(true);
    return success();
  }
  const SocketAddress& a = config_.address;
  const int fd = ::socket(a.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Error{"the host gives no socket: " + std::string(std::strerror(errno)), ""};
  if (config_.server) {
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a.storage.ss_family == AF_UNIX) ::unlink(a.text.c_str());
    if (::bind(fd, a.get(), a.size) != 0 || ::listen(fd, 1) != 0) {
      const int error = errno;
      ::close(fd);
      return listen_error(a, error);
    }
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    listen_fd_ = fd;
    take_chosen_port();
    return success();
  }
  if (config_.reconnect_seconds > 0) prepare(fd);
  if (::connect(fd, a.get(), a.size) != 0 && errno != EINPROGRESS) {
    const int error = errno;
    ::close(fd);
    if (config_.reconnect_seconds > 0) {
      retry_at_ms_ = now_ms() + config_.reconnect_seconds * 1000;
      return success();
    }
    return Error{"can't connect to " + a.text + ": " + std::strerror(error), "start the other side first"};
  }
  fd_ = fd;
  connecting_ = config_.reconnect_seconds > 0;
  connected_.store(!connecting_);
  prepare(fd_);
  return success();
}

void StreamBackend::close_stream() {
  ::close(fd_);
  fd_ = -1;
  connected_.store(false);
  connecting_ = false;
  in_.clear();
  out_.clear();
  if (!config_.server && config_.reconnect_seconds > 0) retry_at_ms_ = now_ms() + config_.reconnect_seconds * 1000;
}

void StreamBackend::before_wait(PollSet& set) {
  if (fd_ < 0 && retry_at_ms_ >= 0) {
    if (now_ms() >= retry_at_ms_) {
      retry_at_ms_ = -1;
      if (!open()) return;
    } else {
      set.wake_within(static_cast<int>(retry_at_ms_ - now_ms()));
    }
  }
  if (fd_ < 0) {
    if (listen_fd_ >= 0) poll_index_ = set.add(listen_fd_, POLLIN);
    return;
  }
  const short in = can_deliver() ? POLLIN : 0, out = connecting_ || !out_.empty() ? POLLOUT : 0;
  poll_index_ = set.add(fd_, static_cast<short>(in | out));
}

void StreamBackend::after_wait(const PollSet& set) {
  const short events = poll_index_ ? set.ready(poll_index_) : short{0};
  poll_index_ = 0;
  if (events == 0) return;
  if (fd_ < 0) {
    accept_client();
    return;
  }
  if (connecting_) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      close_stream();
      return;
    }
    connecting_ = false;
    connected_.store(true);
  }
  if (events & POLLOUT) write_some();
  if (fd_ >= 0 && (events & (POLLIN | POLLHUP | POLLERR)) && !read_some()) close_stream();
}

void StreamBackend::accept_client() {
  const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  prepare(fd);
  fd_ = fd;
  connected_.store(true);
}

// False: the stream ended, or what comes is not framed as it should be.
bool StreamBackend::read_some() {
  u8 buffer[65536];
  const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  in_.insert(in_.end(), buffer, buffer + n);
  size_t at = 0;
  while (in_.size() - at >= 4) {
    const size_t length = u32{in_[at]} << 24 | in_[at + 1] << 16 | in_[at + 2] << 8 | in_[at + 3];
    if (length > kMaxPacket) return false;
    if (in_.size() - at - 4 < length) break;
    if (length >= kEthernetHeader) deliver(Packet(std::span<const u8>(in_).subspan(at + 4, length)));
    at += 4 + length;
  }
  in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(at));
  return true;
}

void StreamBackend::write_some() {
  const ssize_t n = ::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
  if (n < 0) {
    if (errno != EAGAIN && errno != EINTR) close_stream();
    return;
  }
  out_.erase(out_.begin(), out_.begin() + n);
}

void StreamBackend::transmit(Packet&& p) {
  if (fd_ < 0 || connecting_ || out_.size() > kMaxOutput) return;  // as a cable that ends nowhere
  const u32 n = static_cast<u32>(p.data.size());
  const u8 length[4] = {static_cast<u8>(n >> 24), static_cast<u8>(n >> 16), static_cast<u8>(n >> 8),
                        static_cast<u8>(n)};
  const bool idle = out_.empty();
  out_.insert(out_.end(), length, length + 4);
  out_.insert(out_.end(), p.data.begin(), p.data.end());
  if (idle) write_some();
}

Result<std::shared_ptr<Backend>> make_stream(std::string id, Loop& loop, const Properties& p) {
  static constexpr const char* kKeys[] = {"server",    "addr.type", "addr.host", "addr.port", "addr.path",
                                          "addr.ipv4", "addr.ipv6", "reconnect", "addr.str"};
  if (Status s = check_keys(p, "stream", kKeys); !s) return s.error();
  StreamBackend::Config c;
  auto server = parse_on_off("server", property(p, "server", "off"));
  if (!server) return server.error();
  c.server = *server;
  c.reconnect_seconds = std::atoi(property(p, "reconnect", "0").c_str());
  if (property(p, "addr.type") == "fd") {
    c.fd = std::atoi(property(p, "addr.str", "-1").c_str());
    if (c.fd < 0 || ::fcntl(c.fd, F_GETFD) < 0)
      return Error{"addr.str: '" + property(p, "addr.str") + "' is no open file descriptor", "give its number"};
  } else {
    auto a = address_property(p, "addr");
    if (!a) return a.error();
    c.address = *a;
  }
  auto b = StreamBackend::make(std::move(id), loop, std::move(c));
  if (!b) return b.error();
  return std::shared_ptr<Backend>(b.take());
}

}  // namespace doppel::net
