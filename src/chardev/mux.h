// Mux: several front ends (serial port, monitor) share one character device; input goes to the one in focus. Escape
// keys after Ctrl-A: h help, x quit, s flush disks, b break, t time stamps, c next front end, Ctrl-A sends itself.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "chardev/chardev.h"

namespace doppel::chardev {

class Mux : public std::enable_shared_from_this<Mux> {
 public:
  // Called on the I/O thread without locks.
  struct Hooks {
    std::function<void()> quit;  // Ctrl-A x
    std::function<void()> save;  // Ctrl-A s
  };
  static std::shared_ptr<Mux> create(std::shared_ptr<Chardev> device, Hooks hooks);
  // A new front end; the first one has the focus. `focus` is called with true when it gets the focus by Ctrl-A c, false
  // when it loses it (I/O thread; optional).
  std::shared_ptr<Chardev> add_front(std::string name, std::function<void(bool)> focus = {});
  void set_focus(const std::shared_ptr<Chardev>& front);
  std::string description() const;
  size_t fronts() const;

 private:
  class Front;
  explicit Mux(std::shared_ptr<Chardev> device, Hooks hooks);
  void start();
  size_t room();
  void receive(std::span<const u8> data);
  bool escape(u8 byte);  // true: consumed
  void focus_next();
  void move_focus(size_t index);
  void send_break();
  void write(std::span<const u8> data);
  void help();
  std::shared_ptr<Front> focused() const;

  std::shared_ptr<Chardev> device_;
  Hooks hooks_;
  mutable std::mutex lock_;
  std::vector<std::shared_ptr<Front>> fronts_;
  size_t focus_ = 0;
  bool escape_seen_ = false, timestamps_ = false, line_start_ = true;
  s64 timestamp_base_ = 0;
};

}  // namespace doppel::chardev
