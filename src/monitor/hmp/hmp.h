// The human monitor: reads lines from a character device (own line editing: echo, backspace, history, Ctrl-C/U), runs
// commands, prints answers. Commands are rows in monitor/commands; run_command serves tests and QMP's
// human-monitor-command too.
#pragma once
#include <memory>
#include <string>

#include "chardev/chardev.h"
#include "machine/machine.h"

namespace doppel::monitor {

// Any thread. The answer, with line ends; errors as text ("unknown command: 'x'").
std::string run_command(machine::Machine& machine, const std::string& line);
std::string commands_help();

class Hmp {
 public:
  Hmp(machine::Machine& machine, std::shared_ptr<chardev::Chardev> device);
  ~Hmp();
  void focus(bool on);  // prompt when the terminal's mux switches here

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace doppel::monitor
