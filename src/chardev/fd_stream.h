// FdStream: reads and writes file descriptors on the I/O thread, with an output buffer that any thread fills.
// Descriptors keep their blocking mode (a terminal or pipe is shared with other programs): each is polled before it is
// touched.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/bits.h"
#include "chardev/io_loop.h"

namespace doppel::chardev {

class FdStream : public std::enable_shared_from_this<FdStream> {
 public:
  struct Handlers {
    std::function<size_t()> room;  // how much input is welcome. All on the I/O thread
    std::function<void(std::span<const u8>)> input;
    std::function<void()> closed;  // end of file or error; the stream does nothing more
  };
  struct Options {
    int read_fd = -1, write_fd = -1;  // may be the same; -1: none
    bool owned = true;                // close them
    int companion_fd = -1;            // closed with the stream too; not used
    bool receive_fds = false;         // read_fd is a unix socket: take descriptors that are passed
    size_t limit = size_t{64} << 20;  // output kept for a slow reader; what comes after is dropped
  };
  static std::shared_ptr<FdStream> open(const std::shared_ptr<IoLoop>& loop, Options options, Handlers handlers);
  ~FdStream();
  void write(std::span<const u8> data);  // any thread
  void accept_input();                   // any thread
  void close();                          // any thread; `closed` is not called
  void drain(int milliseconds);          // any thread: waits until output is out, or the time is over
  size_t pending();                      // any thread: output not taken yet
  std::vector<int> take_descriptors();   // I/O thread: what came with the input since the last call

 private:
  struct Poll;
  FdStream(const std::shared_ptr<IoLoop>& loop, Options options, Handlers handlers);
  void start();
  void readable();
  void failed(uv_poll_t* handle);
  void read_file();  // of a file that can't be polled
  bool flush();      // true: all out
  void update();
  void finish(bool tell);
  ssize_t receive(std::span<u8> buffer);
  Poll* make_poll(int fd);

  std::shared_ptr<IoLoop> loop_;
  Options o_;
  Handlers h_;
  std::mutex lock_;
  std::vector<u8> out_;                       // under lock_
  size_t unsent_ = 0;                         // under lock_: what flush() has taken from out_ and not written
  bool flush_posted_ = false, dead_ = false;  // under lock_
  // I/O thread:
  Poll* read_poll_ = nullptr;
  Poll* write_poll_ = nullptr;
  std::vector<u8> sending_;
  size_t sent_ = 0;
  std::vector<int> descriptors_;
  bool want_read_ = true, want_write_ = false, file_ = false, finished_ = false, input_ended_ = false;
};

}  // namespace doppel::chardev
