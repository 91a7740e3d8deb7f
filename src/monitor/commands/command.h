// A monitor command: a row with name, arguments, help and a handler. Handlers run on any thread and take no lock of the
// caller.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "machine/machine.h"

namespace doppel::monitor {

using Words = std::vector<std::string>;
struct Command {
  const char* name;
  const char* arguments;
  const char* help;
  std::string (*run)(machine::Machine& machine,
                     const Words& words);  // words[0] is the command; the answer ends in a newline, or is empty
};

std::span<const Command> control_commands();
std::span<const Command> info_commands();  // `info NAME`
std::span<const Command> memory_commands();

// 0x10, 16, 020; false if it isn't a number.
bool parse_number(const std::string& text, u64& value);
[[gnu::format(printf, 1, 2)]] std::string format(const char* text, ...);

}  // namespace doppel::monitor
