// --wait-for TEXT: ends the machine with status 0 when TEXT appears on the first serial port or on the text screen; on
// time-out prints what was seen and fails. For scripts and tests.
#pragma once
#include <memory>
#include <mutex>
#include <string>

#include "chardev/chardev.h"
#include "machine/machine.h"

namespace doppel::app {

class WaitFor : public std::enable_shared_from_this<WaitFor> {
 public:
  explicit WaitFor(std::string text) : text_(std::move(text)) {}
  // A device that passes everything on to `inner` (may be null) and watches the output.
  std::shared_ptr<chardev::Chardev> tap(std::shared_ptr<chardev::Chardev> inner);
  void watch(machine::Machine& machine, int timeout_seconds, const std::atomic<bool>& done);  // thread body
  int exit_status() const { return found_ ? 0 : 1; }

 private:
  class Tap;
  void seen(std::span<const u8> data);
  std::string text_;
  std::mutex lock_;
  std::string tail_;
  std::atomic<bool> found_{false};
};

}  // namespace doppel::app
