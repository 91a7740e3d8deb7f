// Chardev: a byte stream to the outside (stdio, pty, tcp, unix, file, null, ringbuf). Input arrives on the I/O thread.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::chardev {

class Chardev {
 public:
  virtual ~Chardev() = default;
  // Any thread. Whole: buffers what the outside can't take yet (a slow reader never stops the guest).
  virtual void write(std::span<const u8> data) = 0;
  // The front end's input; set once. `can_receive` returns how many bytes it takes now; call accept_input() when it
  // grows. Called on the I/O thread without any lock held.
  struct FrontEnd {
    std::function<size_t()> can_receive;
    std::function<void(std::span<const u8>)> receive;
    std::function<void()> send_break;
    std::function<void()> opened;  // a client connected to a listening socket
    std::function<void()> closed;  // it is gone
  };
  virtual void attach(FrontEnd front) = 0;
  virtual void accept_input() = 0;
  virtual bool connected() const { return true; }  // whether somebody may be at the other end
  virtual size_t pending() const { return 0; }     // bytes written that the outside has not taken yet
  // Descriptors that came with the input (unix sockets), for the caller to close; input handlers ask on the I/O thread.
  virtual std::vector<int> take_descriptors() { return {}; }
  virtual std::string description() const = 0;
  // Whether the front end has its end open; one that can close it says so. For the monitor. Any thread.
  void set_front_open(bool open) { front_open_ = open; }
  bool front_open() const { return front_open_; }

 private:
  std::atomic<bool> front_open_{true};
};

}  // namespace doppel::chardev
