// The human monitor: reads lines from a character device (own line editing: echo, backspace, history, Ctrl-C/U), runs
// commands, prints answers. Commands are rows in monitor/commands.
#pragma once
#include <memory>
#include <string>

#include "chardev/chardev.h"
#include "monitor/commands/context.h"

namespace doppel::monitor {

class Hmp {
 public:
  Hmp(Services& services, std::shared_ptr<chardev::Chardev> device);
  ~Hmp();
  void focus(bool on);  // prompt when the terminal's mux switches here

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace doppel::monitor
