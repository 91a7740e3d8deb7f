// The character devices behind Factory's names. Each is made by the factory; the monitor may ask for a RingBuffer.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "chardev/chardev.h"
#include "chardev/fd_stream.h"
#include "chardev/terminal.h"

namespace doppel::chardev {

// Keeps the front end and calls it safely from the I/O thread.
class FrontEndSlot {
 public:
  void set(Chardev::FrontEnd front);
  size_t room() const;
  void receive(std::span<const u8> data) const;
  void send_break() const;
  void opened() const;
  void closed() const;

 private:
  std::shared_ptr<const Chardev::FrontEnd> get() const;
  mutable std::mutex lock_;
  std::shared_ptr<const Chardev::FrontEnd> front_;
};

class NullDevice final : public Chardev {
 public:
  void write(std::span<const u8>) override {}
  void attach(FrontEnd) override {}
  void accept_input() override {}
  std::string description() const override { return "null"; }
};

// The last bytes written, for tests and the monitor; bytes can be typed in.
class RingBuffer final : public Chardev {
 public:
  explicit RingBuffer(size_t size) : size_(size) {}
  void write(std::span<const u8> data) override;
  void attach(FrontEnd front) override { front_.set(std::move(front)); }
  // Called by the front end with its own lock held: nothing may be given to it now; the next type() goes on.
  void accept_input() override {}
  std::string description() const override { return "ringbuf"; }
  std::string take(size_t most = std::string::npos);  // any thread: what was written and not yet taken, oldest first
  void type(std::string_view text);  // any thread: input for the front end, sent on the caller's thread

 private:
  void feed();
  size_t size_;
  FrontEndSlot front_;
  std::mutex lock_, feed_lock_;
  std::string data_, input_;
};

// Any pair of descriptors: stdio, file, pipe, pty.
class StreamDevice final : public Chardev {
 public:
  StreamDevice(const std::shared_ptr<IoLoop>& loop, FdStream::Options options, std::string description,
               std::unique_ptr<Terminal> terminal = nullptr);
  ~StreamDevice() override;
  void write(std::span<const u8> data) override { stream_->write(data); }
  void attach(FrontEnd front) override;
  void accept_input() override { stream_->accept_input(); }
  size_t pending() const override { return stream_->pending(); }
  std::string description() const override { return description_; }

 private:
  std::string description_;
  std::unique_ptr<Terminal> terminal_;
  std::shared_ptr<FrontEndSlot> front_ = std::make_shared<FrontEndSlot>();
  std::shared_ptr<FdStream> stream_;
};

// Copies output to a file (logfile=).
class LoggedDevice final : public Chardev {
 public:
  LoggedDevice(std::shared_ptr<Chardev> inner, std::shared_ptr<Chardev> log)
      : inner_(std::move(inner)), log_(std::move(log)) {}
  void write(std::span<const u8> data) override {
    inner_->write(data);
    log_->write(data);
  }
  void attach(FrontEnd front) override { inner_->attach(std::move(front)); }
  void accept_input() override { inner_->accept_input(); }
  bool connected() const override { return inner_->connected(); }
  size_t pending() const override { return inner_->pending(); }
  std::vector<int> take_descriptors() override { return inner_->take_descriptors(); }
  std::string description() const override { return inner_->description(); }

 private:
  std::shared_ptr<Chardev> inner_, log_;
};

struct SocketOptions {
  std::string host, port;  // TCP
  std::string path;        // or a Unix socket
  int fd = -1;             // or a socket that is open already: listening (server) or connected
  bool server = false, wait = true, nodelay = false, telnet = false;
  int reconnect_seconds = 0;  // client: try again; 0: once
};
// Blocks for a client if server and wait. Errors: address in use, refused, no such host.
Result<std::shared_ptr<Chardev>> open_socket(const std::shared_ptr<IoLoop>& loop, const SocketOptions& options);

Result<std::shared_ptr<Chardev>> open_stdio(const std::shared_ptr<IoLoop>& loop, bool signals);
Result<std::shared_ptr<Chardev>> open_file(const std::shared_ptr<IoLoop>& loop, const std::string& path,
                                           const std::string& input, bool append);
Result<std::shared_ptr<Chardev>> open_pipe(const std::shared_ptr<IoLoop>& loop, const std::string& path);
Result<std::shared_ptr<Chardev>> open_pty(const std::shared_ptr<IoLoop>& loop);

}  // namespace doppel::chardev
