// UserNat: the guest's own network behind the process's sockets, by libslirp: a gateway with DHCP, DNS, TFTP, TCP, UDP,
// ICMP echo and IPv6. Nothing from outside comes in but by port forwardings. The stack runs on the network thread only.
#pragma once
#include <libslirp.h>

#include <functional>

#include "chardev/chardev.h"
#include "net/backend.h"
#include "net/properties.h"

namespace doppel::net {

struct GuestForward {
  in_addr server{};
  u16 port = 0;
  std::string command;                        // a program for each connection, or
  std::shared_ptr<chardev::Chardev> chardev;  // one stream for all of them
};

struct UserConfig {
  bool ipv4 = true, ipv6 = true, restricted = false;
  in_addr network{}, mask{}, host{}, dns{}, dhcp_start{};
  in6_addr prefix6{}, host6{}, dns6{};
  u8 prefix6_length = 64;
  std::string hostname, domain, tftp, tftp_server, bootfile;
  std::vector<std::string> dns_search;
  std::vector<Forward> forwards;
  std::vector<std::string> guest_forwards;  // as given
};
Result<UserConfig> parse_user(const Properties& p);

class UserNat final : public Backend {
 public:
  // `say`: a line for the user (the port chosen for port 0).
  static Result<std::shared_ptr<UserNat>> make(std::string id, Loop& loop, const UserConfig& config,
                                               const OpenChardev& open_chardev,
                                               const std::function<void(const std::string&)>& say);
  UserNat(std::string id, Loop& loop) : Backend(std::move(id), loop) {}
  ~UserNat() override;

  std::string info() const override;
  bool takes_offload() const override { return true; }  // libslirp takes a segment of any length
  std::string connections();                            // `info usernet`
  // Any thread but the network's, without the device lock. The result has the port that was chosen for port 0.
  Result<Forward> add_forward(Forward f);
  Status remove_forward(const Forward& f);
  std::vector<Forward> forwards();

  void before_wait(PollSet& set) override;
  void after_wait(const PollSet& set) override;

 protected:
  void transmit(Packet&& packet) override;

 private:
  struct Stream;
  struct Timer {
    SlirpTimerId id;
    void* data;
    s64 deadline_ms = -1;
  };
  static const SlirpCb kCallbacks;
  Status start(const UserConfig& config, const OpenChardev& open_chardev);
  Status add_guest_forward(const std::string& text, const OpenChardev& open_chardev);
  void run_timers();
  Slirp* slirp_ = nullptr;
  in_addr network_{};
  bool restricted_ = false;
  std::vector<std::unique_ptr<Timer>> timers_;
  std::vector<Forward> forwards_;
  std::vector<std::shared_ptr<Stream>> streams_;
};

}  // namespace doppel::net
