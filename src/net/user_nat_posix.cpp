#include <arpa/inet.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "base/os/ports.h"
#include "net/checksum.h"
#include "net/user_nat.h"

namespace doppel::net {
namespace {

s64 now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int add_poll(int fd, int events, void* opaque) {
  short e = 0;
  if (events & SLIRP_POLL_IN) e |= POLLIN;
  if (events & SLIRP_POLL_OUT) e |= POLLOUT;
  if (events & SLIRP_POLL_PRI) e |= POLLPRI;
  if (events & SLIRP_POLL_ERR) e |= POLLERR;
  if (events & SLIRP_POLL_HUP) e |= POLLHUP;
  return static_cast<int>(static_cast<PollSet*>(opaque)->add(fd, e));
}

int get_events(int index, void* opaque) {
  const short e = static_cast<const PollSet*>(opaque)->ready(static_cast<size_t>(index));
  return ((e & POLLIN) ? SLIRP_POLL_IN : 0) | ((e & POLLOUT) ? SLIRP_POLL_OUT : 0) |
         ((e & POLLPRI) ? SLIRP_POLL_PRI : 0) | ((e & POLLERR) ? SLIRP_POLL_ERR : 0) |
         ((e & POLLHUP) ? SLIRP_POLL_HUP : 0);
}

}  // namespace

// A guestfwd to a character device. libslirp says on the network thread how much the guest takes; the device asks for
// it on its own thread.
struct UserNat::Stream : std::enable_shared_from_this<UserNat::Stream> {
  Slirp* slirp = nullptr;
  in_addr server{};
  u16 port = 0;
  std::shared_ptr<chardev::Chardev> chardev;
  std::atomic<size_t> room{0};

  void attach(Loop& loop) {
    chardev->attach({.can_receive =
                         [weak = weak_from_this()] {
                           const auto self = weak.lock();
                           return self ? self->room.load() : size_t{0};
                         },
                     .receive =
                         [weak = weak_from_this(), &loop](std::span<const u8> data) {
                           const auto alive = weak.lock();
                           if (!alive) return;
                           alive->room.fetch_sub(std::min(alive->room.load(), data.size()));
                           loop.post([weak, bytes = std::vector<u8>(data.begin(), data.end())] {
                             if (auto self = weak.lock(); self && self->slirp)
                               slirp_socket_recv(self->slirp, self->server, self->port, bytes.data(),
                                                 static_cast<int>(bytes.size()));
                           });
                         },
                     .send_break = {},
                     .opened = {}});
  }
  void look() {
    const size_t now = slirp_socket_can_recv(slirp, server, port), before = room.exchange(now);
    if (before == 0 && now != 0) chardev->accept_input();
  }
};

const SlirpCb UserNat::kCallbacks = {
    .send_packet = [](const void* data, size_t size, void* self) -> ssize_t {
      Packet p({static_cast<const u8*>(data), size});
      p.offload.checksum_valid = true;  // libslirp has just made it
      static_cast<UserNat*>(self)->deliver(std::move(p));
      return static_cast<ssize_t>(size);
    },
    .guest_error = [](const char* text, void*) { DOPPEL_LOG(GuestErrors, "user network: %s\n", text); },
    .clock_get_ns = [](void*) -> int64_t { return now_ns(); },
    .timer_new = nullptr,
    .timer_free =
        [](void* timer, void* self) {
          std::erase_if(static_cast<UserNat*>(self)->timers_, [&](const auto& t) { return t.get() == timer; });
        },
    .timer_mod = [](void* timer, int64_t ms, void*) { static_cast<Timer*>(timer)->deadline_ms = ms; },
    .register_poll_fd = [](int, void*) {},
    .unregister_poll_fd = [](int, void*) {},
    .notify = [](void* self) { static_cast<UserNat*>(self)->loop().wake(); },
    .init_completed = [](Slirp*, void*) {},
    .timer_new_opaque = [](SlirpTimerId id, void* data, void* self) -> void* {
      auto& timers = static_cast<UserNat*>(self)->timers_;
      timers.push_back(std::make_unique<Timer>(Timer{id, data}));
      return timers.back().get();
    }};

Result<std::shared_ptr<UserNat>> UserNat::make(std::string id, Loop& loop, const UserConfig& config,
                                               const OpenChardev& open_chardev,
                                               const std::function<void(const std::string&)>& say) {
  auto nat = std::make_shared<UserNat>(std::move(id), loop);
  Status status = success();
  loop.call([&] { status = nat->start(config, open_chardev); });
  if (!status) return status.error();
  if (!config.tftp.empty() && ::access(config.tftp.c_str(), R_OK) != 0 && say)
    say("tftp=" + config.tftp + ": " + std::strerror(errno) + " (the guest can fetch nothing)");
  for (const Forward& f : config.forwards) {
    auto added = nat->add_forward(f);
    if (!added) return added.error();
    if (f.host_port == 0 && say)
      say(std::string(f.udp ? "UDP" : "TCP") + " port " + std::to_string(added->host_port) + " of " +
          ipv4_text(f.host) + " goes to the guest's port " + std::to_string(f.guest_port));
  }
  loop.add(*nat);
  return nat;
}

Status UserNat::start(const UserConfig& c, const OpenChardev& open_chardev) {
  SlirpConfig s{};
  s.version = SLIRP_CONFIG_VERSION_MAX;
  s.restricted = c.restricted;
  s.in_enabled = c.ipv4;
  s.vnetwork = c.network;
  s.vnetmask = c.mask;
  s.vhost = c.host;
  s.in6_enabled = c.ipv6;
  s.vprefix_addr6 = c.prefix6;
  s.vprefix_len = c.prefix6_length;
  s.vhost6 = c.host6;
  const auto text = [](const std::string& t) { return t.empty() ? nullptr : t.c_str(); };
  s.vhostname = text(c.hostname);
  s.tftp_server_name = text(c.tftp_server);
  s.tftp_path = text(c.tftp);
  s.bootfile = text(c.bootfile);
  s.vdhcp_start = c.dhcp_start;
  s.vnameserver = c.dns;
  s.vnameserver6 = c.dns6;
  std::vector<const char*> search;
  for (const std::string& d : c.dns_search) search.push_back(d.c_str());
  search.push_back(nullptr);
  s.vdnssearch = c.dns_search.empty() ? nullptr : search.data();
  s.vdomainname = text(c.domain);
  network_ = c.network;
  restricted_ = c.restricted;
  slirp_ = slirp_new(&s, &kCallbacks, this);
  if (slirp_ == nullptr) return Error{"libslirp refuses this user network", "leave out properties of -netdev user"};
  for (const std::string& g : c.guest_forwards) {
    if (Status st = add_guest_forward(g, open_chardev); !st) return st;
  }
  return success();
}

UserNat::~UserNat() {
  loop().remove(*this);
  loop().call([this] {
    for (auto& s : streams_) s->slirp = nullptr;
    if (slirp_) slirp_cleanup(slirp_);
    slirp_ = nullptr;
  });
  if (slirp_) slirp_cleanup(slirp_);  // the loop has stopped
}

// tcp:SERVER:PORT-DEV, tcp:SERVER:PORT-cmd:PROGRAM
Status UserNat::add_guest_forward(const std::string& text, const OpenChardev& open_chardev) {
  const Error bad{"'" + text + "' is no guestfwd rule", "write tcp:SERVER:PORT-cmd:PROGRAM or tcp:SERVER:PORT-DEV"};
  const size_t dash = text.find('-');
  if (dash == std::string::npos) return bad;
  std::string from = text.substr(0, dash);
  const std::string to = text.substr(dash + 1);
  if (from.starts_with("tcp:")) from.erase(0, 4);
  auto place = parse_host_port("guestfwd", from);
  if (!place) return place.error();
  auto server = parse_ipv4("guestfwd", place->host);
  if (!server) return server.error();
  if (place->port == 0 || to.empty()) return bad;
  const Error taken{"guestfwd: " + from + " can't be used", "choose an address of the guest's network that is free"};
  if (to.starts_with("cmd:"))
    return slirp_add_exec(slirp_, to.c_str() + 4, &*server, place->port) == 0 ? success() : Status(taken);
  auto dev = open_chardev ? open_chardev(to) : Result<std::shared_ptr<chardev::Chardev>>(bad);
  if (!dev) return dev.error();
  if (!*dev) return bad;
  auto stream = std::make_shared<Stream>();
  stream->slirp = slirp_;
  stream->server = *server;
  stream->port = place->port;
  stream->chardev = *dev;
  const SlirpWriteCb write = [](const void* data, size_t size, void* self) -> ssize_t {
    static_cast<Stream*>(self)->chardev->write({static_cast<const u8*>(data), size});
    return static_cast<ssize_t>(size);
  };
  if (slirp_add_guestfwd(slirp_, write, stream.get(), &stream->server, stream->port) != 0) return taken;
  stream->attach(loop());
  streams_.push_back(std::move(stream));
  return success();
}

void UserNat::transmit(Packet&& p) {
  if (p.offload.segmentation != Segmentation::None && !complete_whole(p)) return;
  complete_checksum(p);
  slirp_input(slirp_, p.data.data(), static_cast<int>(p.data.size()));
}

void UserNat::before_wait(PollSet& set) {
  run_timers();
  u32 timeout = UINT32_MAX;
  slirp_pollfds_fill(slirp_, &timeout, add_poll, &set);
  if (timeout != UINT32_MAX) set.wake_within(static_cast<int>(std::min(timeout, u32{60'000})));
  for (const auto& t : timers_) {
    if (t->deadline_ms >= 0)
      set.wake_within(static_cast<int>(std::clamp<s64>(t->deadline_ms - now_ns() / 1'000'000, 0, 60'000)));
  }
  for (auto& s : streams_) s->look();
}

void UserNat::after_wait(const PollSet& set) { slirp_pollfds_poll(slirp_, 0, get_events, const_cast<PollSet*>(&set)); }

void UserNat::run_timers() {
  const s64 now = now_ns() / 1'000'000;
  for (size_t i = 0; i < timers_.size(); i++) {
    Timer& t = *timers_[i];
    if (t.deadline_ms < 0 || t.deadline_ms > now) continue;
    t.deadline_ms = -1;
    slirp_handle_timer(slirp_, t.id, t.data);
  }
}

Result<Forward> UserNat::add_forward(Forward f) {
  const bool any_port = f.host_port == 0;
  int failed = -1, error = 0;
  for (int attempt = 0; attempt < (any_port ? 10 : 1) && failed != 0; attempt++) {
    if (any_port) f.host_port = os::free_port(f.host, f.udp);
    loop().call([&] {
      errno = 0;
      failed = slirp_add_hostfwd(slirp_, f.udp, f.host, f.host_port, f.guest, f.guest_port);
      error = errno;
      if (failed == 0) forwards_.push_back(f);
    });
  }
  if (failed == 0) return f;
  const std::string holder = error == EADDRINUSE ? os::port_holder(f.host_port, f.udp) : "";
  const u16 free = os::free_port(f.host, f.udp, f.host_port);
  return Error{"can't forward " + std::string(f.udp ? "UDP" : "TCP") + " port " + std::to_string(f.host_port) + " of " +
                   ipv4_text(f.host) + ": " + std::strerror(error) + (holder.empty() ? "" : " by " + holder),
               free && error == EADDRINUSE ? "port " + std::to_string(free) + " is free; port 0 takes any"
                                           : "choose another port or address"};
}

Status UserNat::remove_forward(const Forward& f) {
  bool done = false;
  loop().call([&] {
    done = slirp_remove_hostfwd(slirp_, f.udp, f.host, f.host_port) == 0;
    std::erase_if(forwards_, [&](const Forward& g) {
      return g.udp == f.udp && g.host_port == f.host_port && g.host.s_addr == f.host.s_addr;
    });
  });
  if (done) return success();
  return Error{"no such port is forwarded", "info usernet lists them"};
}

std::vector<Forward> UserNat::forwards() {
  std::vector<Forward> out;
  loop().call([&] { out = forwards_; });
  return out;
}

std::string UserNat::info() const {
  return "type=user,net=" + ipv4_text(network_) + ",restrict=" + (restricted_ ? "on" : "off");
}

std::string UserNat::connections() {
  std::string text;
  loop().call([&] {
    char* t = slirp_connection_info(slirp_);
    text = t ? t : "";
    std::free(t);  // SAFETY: glib's g_free is free
  });
  return text;
}

}  // namespace doppel::net
