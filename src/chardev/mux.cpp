#include "chardev/mux.h"

#include <chrono>
#include <cstdio>

namespace doppel::chardev {
namespace {
constexpr u8 kEscape = 1;          // Ctrl-A
constexpr size_t kPending = 4096;  // input kept for a front end that takes none: escape keys still work

s64 now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
}  // namespace

class Mux::Front final : public Chardev {
 public:
  Front(std::weak_ptr<Mux> mux, std::shared_ptr<Chardev> device, std::string front_name,
        std::function<void(bool)> on_focus)
      : name(std::move(front_name)), focus(std::move(on_focus)), mux_(std::move(mux)), device_(std::move(device)) {}
  void write(std::span<const u8> data) override {
    if (const auto mux = mux_.lock()) mux->write(data);
  }
  void attach(FrontEnd f) override {
    {
      std::lock_guard guard(lock_);
      front_ = std::make_shared<const FrontEnd>(std::move(f));
    }
    device_->accept_input();
  }
  // The front end's lock may be held: input is passed on by the I/O thread, when the device calls us.
  void accept_input() override { device_->accept_input(); }
  std::string description() const override { return "mux:" + device_->description(); }

  // I/O thread.
  void deliver() {
    const auto f = get();
    while (f && f->receive && !pending.empty()) {
      const size_t room = f->can_receive ? f->can_receive() : pending.size();
      if (room == 0) return;
      const size_t n = std::min(room, pending.size());
      const std::vector<u8> part(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(n));
      pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(n));
      f->receive(part);
    }
  }
  void send_break() {
    const auto f = get();
    if (f && f->send_break) f->send_break();
  }
  std::string name;
  std::function<void(bool)> focus;
  std::vector<u8> pending;

 private:
  std::shared_ptr<const FrontEnd> get() {
    std::lock_guard guard(lock_);
    return front_;
  }
  std::weak_ptr<Mux> mux_;
  std::shared_ptr<Chardev> device_;
  std::mutex lock_;
  std::shared_ptr<const FrontEnd> front_;
};

std::shared_ptr<Mux> Mux::create(std::shared_ptr<Chardev> device, Hooks hooks) {
  std::shared_ptr<Mux> mux(new Mux(std::move(device), std::move(hooks)));
  mux->start();
  return mux;
}

Mux::Mux(std::shared_ptr<Chardev> device, Hooks hooks)
    : device_(std::move(device)), hooks_(std::move(hooks)), timestamp_base_(now_ms()) {}

void Mux::start() {
  Chardev::FrontEnd f;
  f.can_receive = [weak = weak_from_this()]() -> size_t {
    const auto self = weak.lock();
    return self ? self->room() : 0;
  };
  f.receive = [weak = weak_from_this()](std::span<const u8> data) {
    if (const auto self = weak.lock()) self->receive(data);
  };
  f.send_break = [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->send_break();
  };
  device_->attach(std::move(f));
}

std::shared_ptr<Chardev> Mux::add_front(std::string name, std::function<void(bool)> focus) {
  auto front = std::make_shared<Front>(weak_from_this(), device_, std::move(name), std::move(focus));
  std::lock_guard guard(lock_);
  fronts_.push_back(front);
  return std::shared_ptr<Chardev>(front, front.get());
}

std::shared_ptr<Mux::Front> Mux::focused() const {
  std::lock_guard guard(lock_);
  return focus_ < fronts_.size() ? fronts_[focus_] : nullptr;
}

size_t Mux::fronts() const {
  std::lock_guard guard(lock_);
  return fronts_.size();
}

std::string Mux::description() const { return device_->description(); }

size_t Mux::room() {
  const auto front = focused();
  if (!front) return kPending;
  front->deliver();
  return front->pending.size() < kPending ? kPending - front->pending.size() : 1;
}

void Mux::receive(std::span<const u8> data) {
  for (const u8 byte : data) {
    if (escape(byte)) continue;
    const auto front = focused();
    if (front && front->pending.size() < kPending) front->pending.push_back(byte);
  }
  if (const auto front = focused()) front->deliver();
}

bool Mux::escape(u8 byte) {
  if (!escape_seen_) {
    escape_seen_ = byte == kEscape;
    return escape_seen_;
  }
  escape_seen_ = false;
  switch (byte) {
    case kEscape: return false;  // Ctrl-A twice sends one
    case 'h':
    case '?': help(); return true;
    case 'x': {
      static constexpr char kBye[] = "\r\ndoppel: terminated\r\n";
      device_->write({reinterpret_cast<const u8*>(kBye), sizeof kBye - 1});  // SAFETY: chars as bytes
      if (hooks_.quit) hooks_.quit();
      return true;
    }
    case 's':
      if (hooks_.save) hooks_.save();
      return true;
    case 'b': send_break(); return true;
    case 't': {
      std::lock_guard guard(lock_);
      timestamps_ = !timestamps_;
      timestamp_base_ = now_ms();
      line_start_ = false;
      return true;
    }
    case 'c': focus_next(); return true;
    default: return true;
  }
}

void Mux::send_break() {
  if (const auto front = focused()) front->send_break();
}

void Mux::focus_next() {
  size_t next = 0;
  {
    std::lock_guard guard(lock_);
    if (fronts_.size() < 2) return;
    next = (focus_ + 1) % fronts_.size();
  }
  move_focus(next);
}

void Mux::move_focus(size_t index) {
  std::shared_ptr<Front> from, to;
  {
    std::lock_guard guard(lock_);
    if (index >= fronts_.size() || index == focus_) return;
    from = fronts_[focus_];
    to = fronts_[index];
    focus_ = index;
  }
  if (from->focus) from->focus(false);
  if (to->focus) to->focus(true);
}

void Mux::set_focus(const std::shared_ptr<Chardev>& front) {
  size_t index = 0;
  {
    std::lock_guard guard(lock_);
    while (index < fronts_.size() && fronts_[index].get() != front.get()) index++;
  }
  move_focus(index);
}

void Mux::write(std::span<const u8> data) {
  std::string stamped;
  {
    std::lock_guard guard(lock_);
    if (!timestamps_) {
      device_->write(data);
      return;
    }
    for (const u8 byte : data) {
      if (line_start_) {
        const s64 ms = now_ms() - timestamp_base_;
        char stamp[48];
        std::snprintf(stamp, sizeof stamp, "[%02d:%02d:%02d.%03d] ", static_cast<int>(ms / 3'600'000),
                      static_cast<int>(ms / 60'000 % 60), static_cast<int>(ms / 1000 % 60),
                      static_cast<int>(ms % 1000));
        stamped += stamp;
        line_start_ = false;
      }
      stamped += static_cast<char>(byte);
      if (byte == '\n') line_start_ = true;
    }
    device_->write({reinterpret_cast<const u8*>(stamped.data()), stamped.size()});  // SAFETY: chars as bytes
  }
}

void Mux::help() {
  std::string text =
      "\r\n"
      "Ctrl-A h    print this help\r\n"
      "Ctrl-A x    quit\r\n"
      "Ctrl-A s    write changes of snapshot disks back to their files\r\n"
      "Ctrl-A t    time stamps on or off\r\n"
      "Ctrl-A b    send a break\r\n"
      "Ctrl-A c    go to the next of:";
  {
    std::lock_guard guard(lock_);
    for (size_t i = 0; i < fronts_.size(); i++)
      text += (i == focus_ ? " [" : " ") + fronts_[i]->name + (i == focus_ ? "]" : "");
  }
  text += "\r\nCtrl-A Ctrl-A sends Ctrl-A\r\n";
  device_->write({reinterpret_cast<const u8*>(text.data()), text.size()});  // SAFETY: chars as bytes
}

}  // namespace doppel::chardev
