// A monitor command: a row with its name, help and handler. The handler is a function of an Args structure that gives a
// Ret structure; the visitor (visit.h) makes parser, printer, introspection and documentation of the two. The human
// monitor's rows name such a command and the order of its words, or are text of their own (info ..., x).
//
// Handlers run on any thread; several may run at once. They take no lock of the caller.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "monitor/commands/answer.h"
#include "monitor/commands/context.h"
#include "monitor/commands/visit.h"

namespace doppel::monitor {

struct CommandTypes {
  const Type* arguments = nullptr;
  const Type* result = nullptr;
};
struct Definition {
  const char* name;
  const char* help;  // a sentence without a full stop
  Answer<Output> (*run)(Context& context, const Input& arguments);
  CommandTypes (*describe)(TypeTable& table);
};

template <typename F>
struct HandlerTypes;
template <typename R, typename A>
struct HandlerTypes<Answer<R> (*)(Context&, A&)> {
  using Args = A;
  using Ret = R;
};

// A row: `command<&query_status>("query-status", "whether the machine runs")`.
template <auto Handler>
constexpr Definition command(const char* name, const char* help) {
  using Types = HandlerTypes<decltype(Handler)>;
  return {name, help,
          [](Context& context, const Input& arguments) -> Answer<Output> {
            typename Types::Args args{};
            std::string error;
            Reader::read(arguments, args, "", error);
            if (!error.empty()) return CommandError{error};
            auto answer = Handler(context, args);
            if (!answer) return answer.error();
            return Writer::write(*answer);
          },
          [](TypeTable& table) -> CommandTypes {
            return {Describer::of<typename Types::Args>(table), Describer::of<typename Types::Ret>(table)};
          }};
}

// The tables, one a file; all_commands() joins them by name.
std::span<const Definition> status_commands();
std::span<const Definition> version_commands();
std::span<const Definition> cpu_commands();
std::span<const Definition> block_commands();
std::span<const Definition> block_limit_commands();
std::span<const Definition> balloon_commands();
std::span<const Definition> input_commands();
std::span<const Definition> display_commands();
std::span<const Definition> save_commands();
std::span<const Definition> network_commands();
std::span<const Definition> chardev_commands();
std::span<const Definition> object_commands();
std::span<const Definition> plug_commands();
std::span<const Definition> job_commands();
std::span<const Definition> migration_commands();
std::span<const Definition> descriptor_commands();
std::span<const Definition> pci_commands();
std::span<const Definition> snapshot_commands();
std::span<const Definition> introspection_commands();
std::vector<const Definition*> all_commands();
const Definition* find_command(const std::string& name);

// --- the human monitor

using Words = std::vector<std::string>;
struct HumanCommand {
  const char* name;                                          // "cont|c"
  const char* arguments;                                     // for the help
  const char* help;                                          // empty: the definition's
  std::string (*run)(Context& context, const Words& words);  // null: `qmp` with `order`
  const char* qmp = nullptr;
  const char* order = nullptr;  // "device filename [format]", "[-f:force] device": the words' parameter names
};

std::span<const HumanCommand> control_commands();
std::span<const HumanCommand> info_commands();  // `info NAME`
std::span<const HumanCommand> memory_commands();

// Any thread. The answer, with line ends; errors as text ("unknown command: 'x'").
std::string run_command(Context& context, const std::string& line);
std::string commands_help();
// Runs a command of the protocol for the human monitor: nothing, or the error's text.
std::string run_definition(Context& context, const char* name, const Input& arguments);

// 0x10, 16, 020; false if it isn't a number.
bool parse_number(const std::string& text, u64& value);
[[gnu::format(printf, 1, 2)]] std::string format(const char* text, ...);

}  // namespace doppel::monitor
