// `info`: what the machine is and does.
#include "monitor/commands/command.h"
#include "net/network.h"

namespace doppel::monitor {
namespace {

const char* state_name(machine::RunState s) {
  switch (s) {
    case machine::RunState::Prelaunch: return "paused (prelaunch)";
    case machine::RunState::Paused: return "paused";
    case machine::RunState::Running: return "running";
    case machine::RunState::Shutdown: return "paused (shutdown)";
    case machine::RunState::Debug: return "paused (debug)";
    case machine::RunState::GuestPanicked: return "paused (guest-panicked)";
    case machine::RunState::InternalError: return "paused (internal-error)";
  }
  return "";
}

std::string status(machine::Machine& m, const Words&) {
  return std::string("VM status: ") + state_name(m.state()) + "\n";
}
std::string version(machine::Machine&, const Words&) { return "8.2.0 (Doppel 0.1.0)\n"; }
std::string name(machine::Machine& m, const Words&) { return m.config().name.empty() ? "" : m.config().name + "\n"; }
std::string mtree(machine::Machine& m, const Words&) { return m.memory_tree(); }
std::string pic(machine::Machine& m, const Words&) { return m.pic_info(); }
std::string block(machine::Machine& m, const Words&) { return m.block_info(); }

std::string registers(machine::Machine& m, const Words& w) {
  std::string text;
  const bool all = w.size() > 1 && w[1] == "-a";
  auto cpus = m.vcpus();
  for (size_t i = 0; i < cpus.size() && (all || i == 0); i++) {
    if (all) text += format("\nCPU#%zu\n", i);
    cpus[i]->run_on([&] { text += cpus[i]->cpu().dump_registers(); });
  }
  if (!text.empty() && text.back() != '\n') text += "\n";
  return text;
}

std::string cpus(machine::Machine& m, const Words&) {
  std::string text;
  auto all = m.vcpus();
  for (size_t i = 0; i < all.size(); i++) {
    u64 pc = 0;
    bool halted = false;
    all[i]->run_on([&] {
      pc = all[i]->cpu().linear_pc();
      halted = all[i]->cpu().halted();
    });
    text += format("%c CPU #%zu: pc=0x%016llx%s\n", i == 0 ? '*' : ' ', i, static_cast<unsigned long long>(pc),
                   halted ? " (halted)" : "");
  }
  return text;
}

std::string jit(machine::Machine& m, const Words&) {
  std::string text;
  auto all = m.vcpus();
  for (size_t i = 0; i < all.size(); i++) {
    if (all.size() > 1) text += format("CPU #%zu\n", i);
    text += all[i]->jit_info();
  }
  return text;
}

std::string tlb(machine::Machine& m, const Words&) { return m.vcpus().empty() ? "" : m.vcpus()[0]->tlb_info(); }

std::string screen(machine::Machine& m, const Words&) {
  display::Console* console = m.console();
  if (!console) return "there is no display adapter\n";
  if (console->in_text_mode()) return console->text() + "\n";
  display::Surface surface;
  console->refresh(surface);
  return format("graphics, %u x %u pixels\n", surface.width, surface.height);
}

std::string devices(machine::Machine& m, const Words& w) {
  std::string text;
  for (const auto& [device_name, device] : m.devices()) {
    if (w.size() > 1 && device_name != w[1]) continue;
    std::lock_guard lock(m.device_lock());
    const std::string info = device->info();
    text += device_name + "\n";
    if (w.size() > 1) text += info;
  }
  return text;
}

std::string network(machine::Machine& m, const Words&) { return m.config().network ? m.config().network->info() : ""; }
std::string usernet(machine::Machine& m, const Words&) {
  return m.config().network ? m.config().network->user_info() : "";
}

constexpr Command kRows[] = {
    {"status", "", "running or stopped", status},
    {"version", "", "version", version},
    {"name", "", "the machine's name", name},
    {"registers", "[-a]", "CPU registers (-a: of all CPUs)", registers},
    {"cpus", "", "the CPUs", cpus},
    {"mtree", "", "memory and port map", mtree},
    {"tlb", "", "the first CPU's soft TLB", tlb},
    {"jit", "", "the translator's counters", jit},
    {"pic", "", "interrupt controllers", pic},
    {"irq", "", "interrupt controllers", pic},
    {"screen", "", "the characters of a text screen", screen},
    {"block", "", "drives and media", block},
    {"network", "", "network cards and what they are plugged into", network},
    {"usernet", "", "connections of the user network", usernet},
    {"qdm", "[device]", "devices; with a name its state", devices},
};

}  // namespace

std::span<const Command> info_commands() { return kRows; }

}  // namespace doppel::monitor
