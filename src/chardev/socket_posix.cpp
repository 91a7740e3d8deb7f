// TCP and Unix socket character devices, server and client, with telnet's in-band commands if asked for.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/os/ports.h"
#include "chardev/devices.h"

namespace doppel::chardev {
namespace {
// Telnet (RFC 854).
enum : u8 { kIac = 255, kDont = 254, kDo = 253, kWont = 252, kWill = 251, kSb = 250, kBrk = 243, kSe = 240 };

class TelnetFilter {
 public:
  // Takes commands out of `in`; true if a break was among them.
  bool input(std::span<const u8> in, std::vector<u8>& out) {
    bool broke = false;
    for (const u8 b : in) {
      switch (state_) {
        case State::Data:
          if (b == kIac)
            state_ = State::Command;
          else if (!(after_return_ && (b == 0 || b == '\n')))
            out.push_back(b);
          after_return_ = b == '\r';
          break;
        case State::Command:
          state_ = State::Data;
          if (b == kIac)
            out.push_back(b);
          else if (b == kBrk)
            broke = true;
          else if (b == kSb)
            state_ = State::Sub;
          else if (b >= kWill && b <= kDont)
            state_ = State::Option;
          break;
        case State::Option: state_ = State::Data; break;
        case State::Sub:
          if (b == kIac) state_ = State::SubEnd;
          break;
        case State::SubEnd: state_ = b == kSe ? State::Data : State::Sub; break;
      }
    }
    return broke;
  }

 private:
  enum class State { Data, Command, Option, Sub, SubEnd } state_ = State::Data;
  bool after_return_ = false;
};

// Without a name nobody but this host gets in; 0.0.0.0 or :: listens to all.
std::string host_of(const SocketOptions& o) { return !o.host.empty() ? o.host : o.server ? "127.0.0.1" : "localhost"; }

std::string socket_name(const SocketOptions& o) { return o.path.empty() ? host_of(o) + ":" + o.port : o.path; }
Error socket_error(const char* what, const SocketOptions& o, const char* fix) {
  return Error{std::string(what) + " " + socket_name(o) + ": " + std::strerror(errno), fix};
}

// One try at one address; -1 with errno.
int open_at(const sockaddr* address, socklen_t size, int family, bool server) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int on = 1;
  if (server && family != AF_UNIX) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool ok = server ? ::bind(fd, address, size) == 0 && ::listen(fd, 1) == 0 : ::connect(fd, address, size) == 0;
  if (ok) return fd;
  const int saved = errno;
  ::close(fd);
  errno = saved;
  return -1;
}

Result<int> open_unix(const SocketOptions& o) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (o.path.size() >= sizeof address.sun_path) return Error{"socket path is too long: " + o.path, "at most 107 bytes"};
  std::memcpy(address.sun_path, o.path.c_str(), o.path.size() + 1);
  if (o.server) ::unlink(o.path.c_str());
  // SAFETY: the sockets API takes every address type as sockaddr.
  const int fd = open_at(reinterpret_cast<const sockaddr*>(&address), sizeof address, AF_UNIX, o.server);
  if (fd < 0)
    return socket_error(o.server ? "can't listen on" : "can't connect to", o,
                        o.server ? "the folder must exist and be writable" : "is the server running?");
  return fd;
}

// The culprit, and a port that is free on the host's loopback.
Error port_taken(const SocketOptions& o) {
  const u16 port = static_cast<u16>(std::strtoul(o.port.c_str(), nullptr, 10));
  const std::string holder = os::port_holder(port);
  const u16 free = os::free_port({htonl(INADDR_LOOPBACK)}, false, port);
  return Error{
      "can't listen on " + socket_name(o) + ": " + std::strerror(EADDRINUSE) + (holder.empty() ? "" : " by " + holder),
      free == 0 ? "give another port" : "port " + std::to_string(free) + " is free"};
}

Result<int> open_tcp(const SocketOptions& o) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = o.server ? AI_PASSIVE : 0;
  addrinfo* list = nullptr;
  const int failed = ::getaddrinfo(host_of(o).c_str(), o.port.c_str(), &hints, &list);
  if (failed != 0)
    return Error{"can't resolve " + socket_name(o) + ": " + ::gai_strerror(failed),
                 "use tcp:HOST:PORT with a port number"};
  int fd = -1;
  for (const addrinfo* a = list; a != nullptr && fd < 0; a = a->ai_next)
    fd = open_at(a->ai_addr, a->ai_addrlen, a->ai_family, o.server);
  const int saved = errno;
  ::freeaddrinfo(list);
  errno = saved;
  if (fd >= 0) return fd;
  if (o.server && errno == EADDRINUSE) return port_taken(o);
  return socket_error(o.server ? "can't listen on" : "can't connect to", o,
                      o.server ? "is it an address of this host?" : "is the server running?");
}

// A descriptor that whoever started us has opened: it must be a socket, and listen if it is a server's.
Result<int> check_given(const SocketOptions& o) {
  int listening = 0;
  socklen_t size = sizeof listening;
  const std::string name = "fd=" + std::to_string(o.fd);
  if (::getsockopt(o.fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0)
    return Error{name + " is no open socket: " + std::strerror(errno), "pass the descriptor to the emulator"};
  if (o.server != (listening != 0))
    return Error{name + (listening ? " is a listening socket" : " is not a listening socket"),
                 listening ? "add server=on" : "leave out server=on"};
  ::fcntl(o.fd, F_SETFD, FD_CLOEXEC);
  return o.fd;
}

Result<int> open_fd(const SocketOptions& o) {
  if (o.fd >= 0) return check_given(o);
  return o.path.empty() ? open_tcp(o) : open_unix(o);
}

bool is_unix(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  // SAFETY: the sockets API takes every address type as sockaddr.
  return ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 && address.ss_family == AF_UNIX;
}

std::string bound_port(int fd, const std::string& asked) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  // SAFETY: as above; the family says which type it is.
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return asked;
  if (address.ss_family == AF_INET)
    return std::to_string(ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port));
  if (address.ss_family == AF_INET6)
    return std::to_string(ntohs(reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port));
  return asked;
}

// Everything that callbacks of the loop touch; lives until they are gone.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<IoLoop> loop, SocketOptions options) : loop_(std::move(loop)), o_(std::move(options)) {}
  ~Connection() {
    if (listen_fd_ >= 0) ::close(listen_fd_);
    if (o_.server && !o_.path.empty()) ::unlink(o_.path.c_str());
  }

  Status open() {
    Result<int> fd = open_fd(o_);
    if (!fd && (o_.server || o_.reconnect_seconds == 0)) return fd.error();
    if (o_.server) {
      listen_fd_ = *fd;
      if (o_.path.empty() && o_.fd < 0) {
        const bool any = o_.port == "0";
        o_.port = bound_port(*fd, o_.port);
        if (any && !o_.wait) std::fprintf(stderr, "doppel: a socket listens on %s\n", socket_name(o_).c_str());
      }
    }
    loop_->at_stop(weak_from_this(), [this] { end(); });
    loop_->call([&] {
      if (o_.server)
        start_listening();
      else if (fd)
        connected(*fd);
      else
        retry_later();
    });
    return success();
  }

  void wait_for_client() {
    std::unique_lock guard(lock_);
    arrived_.wait(guard, [&] { return stream_ != nullptr; });
  }

  void write(std::span<const u8> data) {
    const auto s = stream();
    if (!s) return;  // nobody is there: lost, as on a serial line
    if (!o_.telnet) {
      s->write(data);
      return;
    }
    std::vector<u8> quoted;
    for (const u8 b : data) {
      quoted.push_back(b);
      if (b == kIac) quoted.push_back(kIac);
    }
    s->write(quoted);
  }

  void accept_input() {
    if (const auto s = stream()) s->accept_input();
  }

  void drain() {
    if (const auto s = stream()) s->drain(500);
  }

  // On the loop's thread: nothing more happens.
  void end() {
    ended_ = true;
    if (const auto s = stream()) s->close();
    close_handle(listener_);
    close_handle(timer_);
  }

  bool connected() {
    const std::lock_guard guard(lock_);
    return stream_ != nullptr;
  }
  size_t pending() {
    const auto s = stream();
    return s ? s->pending() : 0;
  }
  std::vector<int> take_descriptors() {
    const auto s = stream();
    return s ? s->take_descriptors() : std::vector<int>{};
  }

  std::string description() const {
    if (o_.fd >= 0) return "fd:" + std::to_string(o_.fd) + (o_.server ? ",server=on" : "");
    return (o_.path.empty() ? o_.telnet ? "telnet:" : "tcp:" : "unix:") + socket_name(o_) +
           (o_.server ? ",server=on" : "");
  }
  const SocketOptions& options() const { return o_; }
  FrontEndSlot front;

 private:
  struct Handle {
    union {
      uv_handle_t any;
      uv_poll_t poll;
      uv_timer_t timer;
    };
    std::weak_ptr<Connection> owner;
    Handle() : timer{} {}
  };

  static void close_handle(Handle*& h) {
    if (h == nullptr) return;
    uv_close(&h->any, [](uv_handle_t* handle) { delete static_cast<Handle*>(handle->data); });
    h = nullptr;
  }

  Handle* make_handle() {
    auto* h = new Handle;
    h->owner = weak_from_this();
    return h;
  }

  std::shared_ptr<FdStream> stream() {
    std::lock_guard guard(lock_);
    return stream_;
  }

  void start_listening() {
    if (ended_) return;
    if (listener_ == nullptr) {
      listener_ = make_handle();
      if (uv_poll_init(loop_->uv(), &listener_->poll, listen_fd_) != 0) {
        delete listener_;
        listener_ = nullptr;
        return;
      }
      listener_->any.data = listener_;
    }
    uv_poll_start(&listener_->poll, UV_READABLE, [](uv_poll_t* p, int, int) {
      if (const auto self = static_cast<Handle*>(p->data)->owner.lock()) self->accept_client();
    });
  }

  void accept_client() {
    const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    uv_poll_stop(&listener_->poll);  // one at a time; others wait in the queue
    connected(fd);
  }

  void connected(int fd) {
    if (ended_) {
      ::close(fd);
      return;
    }
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    const int on = 1;
    if (o_.nodelay && o_.path.empty()) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    telnet_ = TelnetFilter{};
    FdStream::Options so;
    so.read_fd = so.write_fd = fd;
    so.receive_fds = is_unix(fd);
    FdStream::Handlers handlers;
    handlers.room = [weak = weak_from_this()] {
      const auto self = weak.lock();
      return self ? self->front.room() : 0;
    };
    handlers.input = [weak = weak_from_this()](std::span<const u8> data) {
      if (const auto self = weak.lock()) self->input(data);
    };
    handlers.closed = [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->disconnected();
    };
    auto s = FdStream::open(loop_, so, std::move(handlers));
    if (o_.telnet) {
      static constexpr u8 kHello[] = {kIac, kWill, 1, kIac, kWill, 3,
                                      kIac, kWill, 0, kIac, kDo,   0};  // echo, no go-ahead, binary
      s->write(kHello);
    }
    {
      std::lock_guard guard(lock_);
      stream_ = std::move(s);
      arrived_.notify_all();
    }
    front.opened();
  }

  void input(std::span<const u8> data) {
    if (!o_.telnet) {
      front.receive(data);
      return;
    }
    std::vector<u8> plain;
    const bool broke = telnet_.input(data, plain);
    if (!plain.empty()) front.receive(plain);
    if (broke) front.send_break();
  }

  void disconnected() {
    {
      std::lock_guard guard(lock_);
      stream_.reset();
    }
    if (ended_) return;
    front.closed();
    if (o_.server)
      start_listening();
    else if (o_.reconnect_seconds > 0)
      retry_later();
  }

  void retry_later() {
    if (timer_ == nullptr) {
      timer_ = make_handle();
      uv_timer_init(loop_->uv(), &timer_->timer);
      timer_->any.data = timer_;
    }
    uv_timer_start(
        &timer_->timer,
        [](uv_timer_t* t) {
          if (const auto self = static_cast<Handle*>(t->data)->owner.lock()) self->retry();
        },
        static_cast<u64>(o_.reconnect_seconds) * 1000, 0);
  }

  void retry() {
    if (Result<int> fd = open_fd(o_))
      connected(*fd);
    else
      retry_later();
  }

  std::shared_ptr<IoLoop> loop_;
  SocketOptions o_;
  int listen_fd_ = -1;
  std::mutex lock_;
  std::condition_variable arrived_;
  std::shared_ptr<FdStream> stream_;  // under lock_
  Handle* listener_ = nullptr;        // loop thread
  Handle* timer_ = nullptr;
  TelnetFilter telnet_;
  bool ended_ = false;
};

class SocketDevice final : public Chardev {
 public:
  SocketDevice(std::shared_ptr<IoLoop> loop, std::shared_ptr<Connection> c)
      : loop_(std::move(loop)), c_(std::move(c)) {}
  ~SocketDevice() override {
    c_->drain();
    loop_->call([this] { c_->end(); });
  }
  void write(std::span<const u8> data) override { c_->write(data); }
  void attach(FrontEnd front) override {
    c_->front.set(std::move(front));
    c_->accept_input();
  }
  void accept_input() override { c_->accept_input(); }
  bool connected() const override { return c_->connected(); }
  size_t pending() const override { return c_->pending(); }
  std::vector<int> take_descriptors() override { return c_->take_descriptors(); }
  std::string description() const override { return c_->description(); }

 private:
  std::shared_ptr<IoLoop> loop_;
  std::shared_ptr<Connection> c_;
};

}  // namespace

Result<std::shared_ptr<Chardev>> open_socket(const std::shared_ptr<IoLoop>& loop, const SocketOptions& options) {
  auto connection = std::make_shared<Connection>(loop, options);
  if (const Status s = connection->open(); !s) return s.error();
  if (options.server && options.wait) {
    std::fprintf(stderr, "doppel: waiting for a connection on %s\n", connection->description().c_str());
    connection->wait_for_client();
  }
  return std::shared_ptr<Chardev>(std::make_shared<SocketDevice>(loop, std::move(connection)));
}

}  // namespace doppel::chardev
