#include "app/wait_for.h"

#include <chrono>
#include <cstdio>
#include <thread>

namespace doppel::app {

class WaitFor::Tap final : public chardev::Chardev {
 public:
  Tap(std::shared_ptr<WaitFor> owner, std::shared_ptr<chardev::Chardev> inner)
      : owner_(std::move(owner)), inner_(std::move(inner)) {}
  void write(std::span<const u8> data) override {
    owner_->seen(data);
    if (inner_) inner_->write(data);
  }
  void attach(FrontEnd front) override {
    if (inner_) inner_->attach(std::move(front));
  }
  void accept_input() override {
    if (inner_) inner_->accept_input();
  }
  std::string description() const override { return inner_ ? inner_->description() : "null"; }

 private:
  std::shared_ptr<WaitFor> owner_;
  std::shared_ptr<chardev::Chardev> inner_;
};

std::shared_ptr<chardev::Chardev> WaitFor::tap(std::shared_ptr<chardev::Chardev> inner) {
  return std::make_shared<Tap>(shared_from_this(), std::move(inner));
}

void WaitFor::seen(std::span<const u8> data) {
  std::lock_guard lock(lock_);
  tail_.append(reinterpret_cast<const char*>(data.data()), data.size());
  if (tail_.find(text_) != std::string::npos) found_.store(true);
  if (tail_.size() > 65536) tail_.erase(0, tail_.size() - 32768);
}

void WaitFor::watch(machine::Machine& machine, int timeout_seconds, const std::atomic<bool>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(timeout_seconds);
  while (!done.load() && !found_.load() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (display::Console* c = machine.console(); c && c->in_text_mode() && c->text().find(text_) != std::string::npos)
      found_.store(true);
  }
  if (!found_.load()) {
    std::lock_guard lock(lock_);
    display::Console* c = machine.console();
    std::fprintf(
        stderr,
        "doppel: '%s' did not appear within %d seconds; the serial port's last output and the screen:\n%s\n----\n%s\n",
        text_.c_str(), timeout_seconds, tail_.substr(tail_.size() > 2000 ? tail_.size() - 2000 : 0).c_str(),
        c ? c->text().c_str() : "(no screen)");
  }
  if (!done.load()) machine.request_quit(machine::ShutdownCause::HostQuit, found_.load() ? 0 : 1);
}

}  // namespace doppel::app
