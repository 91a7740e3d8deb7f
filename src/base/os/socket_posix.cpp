#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/os/ports.h"
#include "base/os/socket.h"

namespace doppel::os {
namespace {

// The same file by a high number, where there is one.
int raise_descriptor(int fd) {
  if (fd < 0) return fd;
  const int error = errno;
  for (const int from : {900, 200}) {
    const int high = fcntl(fd, F_DUPFD_CLOEXEC, from);
    if (high < 0) continue;
    close(fd);
    return high;
  }
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  errno = error;
  return fd;
}

struct Pipe {
  int fd[2] = {-1, -1};
  Pipe() {
    if (pipe(fd) != 0) fd[0] = fd[1] = -1;
    for (int& end : fd) end = raise_descriptor(end);
  }
  ~Pipe() {
    close(fd[0]);
    close(fd[1]);
  }
  void wake() {
    const char c = 1;
    if (::write(fd[1], &c, 1) < 0) return;
  }
  void drain() {
    char c[16];
    if (::read(fd[0], c, sizeof c) < 0) return;
  }
};

class PosixConnection final : public Connection {
 public:
  PosixConnection(int fd, std::shared_ptr<Pipe> pipe) : fd_(fd), pipe_(std::move(pipe)) {
    const int one = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  ~PosixConnection() override { close(fd_); }
  void close_descriptors() override { close(fd_); }

  Got read(std::span<u8> out, size_t& size) override {
    for (;;) {
      pollfd p[2] = {{fd_, POLLIN, 0}, {pipe_->fd[0], POLLIN, 0}};
      if (poll(p, 2, -1) < 0 && errno != EINTR) return Got::Closed;
      if (p[1].revents) {
        pipe_->drain();
        return Got::Woken;
      }
      if (!p[0].revents) continue;
      const ssize_t n = recv(fd_, out.data(), out.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return Got::Closed;
      size = static_cast<size_t>(n);
      return Got::Data;
    }
  }
  bool write(std::span<const u8> data) override {
    while (!data.empty()) {
      const ssize_t n = send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      data = data.subspan(static_cast<size_t>(n));
    }
    return true;
  }

 private:
  int fd_;
  std::shared_ptr<Pipe> pipe_;
};

class PosixListener final : public Listener {
 public:
  PosixListener(int fd, u16 port, std::string path)
      : fd_(fd), port_(port), path_(std::move(path)), pipe_(std::make_shared<Pipe>()) {}
  ~PosixListener() override {
    close(fd_);
    if (!path_.empty()) unlink(path_.c_str());
  }
  std::unique_ptr<Connection> accept() override {
    for (;;) {
      pollfd p[2] = {{fd_, POLLIN, 0}, {pipe_->fd[0], POLLIN, 0}};
      if (poll(p, 2, -1) < 0 && errno != EINTR) return nullptr;
      if (p[1].revents) {
        pipe_->drain();
        return nullptr;
      }
      if (!p[0].revents) continue;
      const int c = raise_descriptor(::accept(fd_, nullptr, nullptr));
      if (c >= 0) return std::make_unique<PosixConnection>(c, pipe_);
    }
  }
  void wake() override { pipe_->wake(); }
  void close_descriptors() override {
    for (const int fd : {fd_, pipe_->fd[0], pipe_->fd[1]}) close(fd);
  }
  u16 port() const override { return port_; }

 private:
  int fd_;
  u16 port_;
  std::string path_;
  std::shared_ptr<Pipe> pipe_;
};

}  // namespace

Result<std::unique_ptr<Listener>> listen_tcp(const std::string& host, u16 port) {
  const int fd = raise_descriptor(socket(AF_INET, SOCK_STREAM, 0));
  if (fd < 0) return Error{"the host gives no TCP socket: " + std::string(std::strerror(errno)), "", 1};
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!host.empty() && host != "localhost" && inet_pton(AF_INET, host.c_str(), &a.sin_addr) != 1) {
    close(fd);
    return Error{"'" + host + "' is not an IPv4 address", "write 127.0.0.1 or leave it out", 1};
  }
  if (bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0 || listen(fd, 4) != 0) {
    const int error = errno;
    close(fd);
    const std::string holder = error == EADDRINUSE ? port_holder(port) : "";
    return Error{"can't listen on TCP port " + std::to_string(port) + ": " + std::strerror(error) +
                     (holder.empty() ? "" : " by " + holder),
                 "choose another port", 1};
  }
  socklen_t size = sizeof a;
  getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
  return std::unique_ptr<Listener>(std::make_unique<PosixListener>(fd, ntohs(a.sin_port), ""));
}

Result<std::unique_ptr<Listener>> listen_unix(const std::string& path) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  if (path.size() >= sizeof a.sun_path)
    return Error{"the socket path " + path + " is too long", "use a shorter path", 1};
  std::memcpy(a.sun_path, path.c_str(), path.size() + 1);
  const int fd = raise_descriptor(socket(AF_UNIX, SOCK_STREAM, 0));
  unlink(path.c_str());
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0 || listen(fd, 4) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return Error{"can't listen on " + path + ": " + std::strerror(error), "choose another path", 1};
  }
  return std::unique_ptr<Listener>(std::make_unique<PosixListener>(fd, 0, path));
}

}  // namespace doppel::os
