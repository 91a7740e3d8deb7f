// Back ends over sockets: a stream (TCP or Unix; each frame after its length, 32 bits big-endian) and datagrams (UDP,
// multicast, Unix; a frame each). The peer is another machine's, ours or QEMU's.
#pragma once
#include <sys/socket.h>

#include "net/backend.h"
#include "net/properties.h"

namespace doppel::net {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::string text;
  // SAFETY: the sockets API takes every address type as sockaddr.
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
Result<SocketAddress> inet_address(const std::string& host, u16 port);
Result<SocketAddress> unix_address(const std::string& path);
// PREFIX.type=inet|unix, PREFIX.host=, PREFIX.port=, PREFIX.path=
Result<SocketAddress> address_property(const Properties& p, const std::string& prefix);

class StreamBackend final : public Backend {
 public:
  struct Config {
    SocketAddress address;
    bool server = false;
    int reconnect_seconds = 0;
    int fd = -1;  // already connected
  };
  static Result<std::shared_ptr<StreamBackend>> make(std::string id, Loop& loop, Config config);
  StreamBackend(std::string id, Loop& loop, Config config);
  ~StreamBackend() override;
  std::string info() const override;
  // Where it listens, if the host chose the port; empty: nowhere, or where it was told to.
  std::string chosen() const { return chosen_ ? config_.address.text : ""; }
  void before_wait(PollSet& set) override;
  void after_wait(const PollSet& set) override;

 protected:
  void transmit(Packet&& packet) override;

 private:
  static constexpr size_t kMaxOutput = 4 << 20;
  Status open();
  void take_chosen_port();
  void accept_client();
  void close_stream();
  bool read_some();
  void write_some();
  Config config_;
  int listen_fd_ = -1, fd_ = -1;
  bool connecting_ = false, chosen_ = false;
  s64 retry_at_ms_ = -1;
  std::vector<u8> in_, out_;
  size_t poll_index_ = 0;
  std::atomic<bool> connected_{false};
};

class DatagramBackend final : public Backend {
 public:
  struct Config {
    SocketAddress local, remote;  // either may be missing
    bool multicast = false;       // `remote` is the group
    std::string unlink_path;
    int fd = -1;
  };
  static Result<std::shared_ptr<DatagramBackend>> make(std::string id, Loop& loop, Config config);
  DatagramBackend(std::string id, Loop& loop, Config config)
      : Backend(std::move(id), loop), config_(std::move(config)) {}
  ~DatagramBackend() override;
  std::string info() const override;
  void before_wait(PollSet& set) override;
  void after_wait(const PollSet& set) override;

 protected:
  void transmit(Packet&& packet) override;

 private:
  Status open();
  Config config_;
  int fd_ = -1;
  size_t poll_index_ = 0;
};

// What `-netdev socket|stream|dgram` says.
Result<std::shared_ptr<Backend>> make_socket(std::string id, Loop& loop, const Properties& p);
Result<std::shared_ptr<Backend>> make_stream(std::string id, Loop& loop, const Properties& p);
Result<std::shared_ptr<Backend>> make_dgram(std::string id, Loop& loop, const Properties& p);

}  // namespace doppel::net
