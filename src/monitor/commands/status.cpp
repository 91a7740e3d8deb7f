// Run state: stop, go on, reset, power; and what the session itself needs.
#include "monitor/commands/command.h"
#include "monitor/commands/version.h"

namespace doppel::monitor {

enum class Capability { oob };
template <>
struct EnumNames<Capability> {
  static constexpr const char* kType = "QMPCapability";
  static std::vector<std::string_view> names() { return {"oob"}; }
};
template <>
struct EnumNames<machine::RunState> {
  static constexpr const char* kType = "RunState";
  static std::vector<std::string_view> names() {  // in the order of machine::RunState
    return {"prelaunch",      "paused",         "running",  "shutdown",  "debug",
            "guest-panicked", "internal-error", "io-error", "inmigrate", "postmigrate"};
  }
};

namespace {

struct Negotiate {
  static constexpr const char* kType = "qmp_capabilities-arg";
  std::optional<std::vector<Capability>> enable;
  template <class V>
  void visit(V& v) {
    v("enable", enable, "capabilities of the greeting to turn on");
  }
};
Answer<Empty> negotiate(Context&, Negotiate& args) {
  if (args.enable && !args.enable->empty()) return CommandError{"The capability 'oob' is not offered by this monitor"};
  return Empty{};
}

struct StatusInfo {
  static constexpr const char* kType = "StatusInfo";
  bool running = false;
  machine::RunState status{};
  template <class V>
  void visit(V& v) {
    v("status", status, "state of the machine");
    v("running", running, "whether its CPUs run");
  }
};
Answer<StatusInfo> query_status(Context& c, Empty&) {
  const machine::RunState s = c.machine.state();
  return StatusInfo{s == machine::RunState::Running, s};
}

Answer<Empty> stop(Context& c, Empty&) {
  c.machine.pause();
  return Empty{};
}
Answer<Empty> cont(Context& c, Empty&) {
  if (c.machine.state() == machine::RunState::Shutdown)
    return CommandError{"The machine is shut down (reset it with system_reset first)"};
  if (c.machine.state() == machine::RunState::InMigrate)
    return CommandError{"The machine waits for its state (migrate-incoming brings it)"};
  c.machine.resume();
  return Empty{};
}
Answer<Empty> system_reset(Context& c, Empty&) {
  c.machine.request_reset();
  return Empty{};
}
Answer<Empty> system_powerdown(Context& c, Empty&) {
  c.machine.request_powerdown();
  return Empty{};
}
Answer<Empty> quit(Context& c, Empty&) {
  c.machine.request_quit(machine::ShutdownCause::HostQuit, 0);
  return Empty{};
}
Answer<Empty> inject_nmi(Context& c, Empty&) {
  if (c.machine.vcpus().empty()) return CommandError{"This machine has no CPU that takes an NMI"};
  c.machine.inject_nmi();
  return Empty{};
}

struct HumanLine {
  static constexpr const char* kType = "human-monitor-command-arg";
  std::string line;
  std::optional<s64> cpu;
  template <class V>
  void visit(V& v) {
    v("command-line", line, "the command as one types it in the human monitor");
    v("cpu-index", cpu, "the CPU that commands about registers are for; only 0");
  }
};
Answer<std::string> human(Context& c, HumanLine& args) {
  if (args.cpu && *args.cpu != 0)
    return CommandError{"Parameter 'cpu-index' takes only 0 (info registers -a shows all CPUs)"};
  std::string text = run_command(c, args.line);
  std::string out;
  for (const char ch : text) {
    if (ch == '\n') out += '\r';
    out += ch;
  }
  return out;
}

constexpr Definition kRows[] = {
    command<&negotiate>("qmp_capabilities", "end the negotiation: commands are taken from then on"),
    command<&query_status>("query-status", "whether the machine runs"),
    command<&stop>("stop", "stop the machine"),
    command<&cont>("cont", "go on"),
    command<&system_reset>("system_reset", "reset the machine"),
    command<&system_powerdown>("system_powerdown", "press the power button"),
    command<&quit>("quit", "end the emulator"),
    command<&inject_nmi>("inject-nmi", "raise an NMI on every CPU"),
    command<&human>("human-monitor-command", "run a command of the human monitor and return what it prints"),
};

}  // namespace

std::span<const Definition> status_commands() { return kRows; }

}  // namespace doppel::monitor
