// doppel screen, shot, type: look at a running machine's screen and write to it, through its socket.
#include <cstdio>
#include <filesystem>

#include "app/control.h"
#include "app/vm_launch.h"
#include "display/input_event.h"

namespace doppel::app {
namespace {

int fail(const Error& e) {
  std::fprintf(stderr, "doppel: %s\n", e.text().c_str());
  return e.exit_status;
}

Result<RunningVm> find(const std::string& name) {
  auto found = find_running(name);
  if (!found) return found.error();
  if (!*found) return Error{"no machine '" + name + "' runs", "start it with: doppel run " + name};
  return **found;
}

Result<std::string> monitor(const RunningVm& vm, const std::string& line) {
  return ask(vm, "human-monitor-command", {{"command-line", line}});
}

Status type_character(const RunningVm& vm, char c) {
  const auto key = display::key_from_character(c);
  if (!key) return Error{std::string("there is no key for '") + c + "' on a US keyboard", "leave it out"};
  const std::string chord = (key->shift ? "shift-" : "") + std::string(display::key_name(key->qcode));
  auto said = monitor(vm, "sendkey " + chord + " 20");
  if (!said) return said.error();
  return said->empty() ? success() : Status(Error{*said, ""});
}

}  // namespace

int screen_command(const std::vector<std::string>& args) {
  const bool text = args.size() == 2 && (args[0] == "--text" || args[1] == "--text");
  if (args.size() != 1 && !text) return fail({"screen needs a running machine", "doppel screen --text VM", 2});
  auto vm = find(text && args[0] == "--text" ? args[1] : args[0]);
  if (!vm) return fail(vm.error());
  auto said = monitor(*vm, "info screen");
  if (!said) return fail(said.error());
  return std::fputs(said->c_str(), stdout) < 0;
}

int shot_command(const std::vector<std::string>& args) {
  if (args.size() != 2) return fail({"shot needs a running machine and a file", "doppel shot VM screen.png", 2});
  auto vm = find(args[0]);
  if (!vm) return fail(vm.error());
  const std::string file = std::filesystem::absolute(args[1]).string();
  auto said = monitor(*vm, "screendump \"" + file + "\"");
  if (!said) return fail(said.error());
  return said->empty() ? 0 : fail({*said, ""});
}

int type_command(const std::vector<std::string>& args) {
  if (args.size() < 2) return fail({"type needs a running machine and a text", "doppel type VM 'ls\\n'", 2});
  auto vm = find(args[0]);
  if (!vm) return fail(vm.error());
  for (size_t i = 1; i < args.size(); i++) {
    const std::string& text = args[i];
    for (size_t at = 0; at < text.size(); at++) {
      char c = text[at];
      if (c == '\\' && at + 1 < text.size() && (text[at + 1] == 'n' || text[at + 1] == 't' || text[at + 1] == '\\')) {
        at++;
        c = text[at] == 'n' ? '\n' : text[at] == 't' ? '\t' : '\\';
      }
      if (Status s = type_character(*vm, c); !s) return fail(s.error());
    }
    if (i + 1 < args.size()) {
      if (Status s = type_character(*vm, ' '); !s) return fail(s.error());
    }
  }
  return 0;
}

}  // namespace doppel::app
