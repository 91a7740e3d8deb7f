// `info`: what the machine is and does.
#include "monitor/commands/command.h"
#include "monitor/commands/snapshots.h"
#include "monitor/commands/tree.h"
#include "monitor/commands/version.h"
#include "net/network.h"

namespace doppel::monitor {
namespace {

std::string status(Context& c, const Words&) {
  Input none = Input::object();
  auto answer = find_command("query-status")->run(c, none);
  const std::string state = (*answer)["status"].get<std::string>();
  if (state == "running") return "VM status: running\n";
  return "VM status: paused" + (state == "paused" ? "" : " (" + state + ")") + "\n";
}
std::string migrate(Context& c, const Words&) {
  const migration::Migrator::Progress p = c.services.migrator.progress();
  if (p.state == MigrationState::None) return "there was no migration\n";
  std::string text =
      "Migration status: " + std::string(EnumNames<MigrationState>::names()[static_cast<size_t>(p.state)]) + "\n";
  if (!p.error.empty()) text += "error: " + p.error + "\n";
  return text + format("total time: %lld ms\nwritten: %llu bytes\n", static_cast<long long>(p.milliseconds),
                       static_cast<unsigned long long>(p.written));
}
std::string version(Context&, const Words&) { return version_text() + "\n"; }
std::string name(Context& c, const Words&) {
  const std::string& text = c.machine.config().name;
  return text.empty() ? "" : text + "\n";
}
std::string uuid(Context& c, const Words&) {
  Input none = Input::object();
  return (*find_command("query-uuid")->run(c, none))["UUID"].get<std::string>() + "\n";
}
std::string mtree(Context& c, const Words&) { return c.machine.memory_tree(); }
std::string pic(Context& c, const Words&) { return c.machine.pic_info(); }
std::string block(Context& c, const Words&) { return c.machine.block_info(); }

std::string registers(Context& c, const Words& w) {
  machine::Machine& m = c.machine;
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

std::string cpus(Context& c, const Words&) {
  machine::Machine& m = c.machine;
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

std::string jit(Context& c, const Words&) {
  machine::Machine& m = c.machine;
  std::string text;
  auto all = m.vcpus();
  for (size_t i = 0; i < all.size(); i++) {
    if (all.size() > 1) text += format("CPU #%zu\n", i);
    text += all[i]->jit_info();
  }
  return text;
}

std::string tlb(Context& c, const Words&) {
  machine::Machine& m = c.machine;
  return m.vcpus().empty() ? "" : m.vcpus()[0]->tlb_info();
}

std::string screen(Context& c, const Words&) {
  machine::Machine& m = c.machine;
  display::Console* console = m.console();
  if (!console) return "there is no display adapter\n";
  if (console->in_text_mode()) return console->text() + "\n";
  display::Surface surface;
  console->refresh(surface);
  return format("graphics, %u x %u pixels\n", surface.width, surface.height);
}

std::string devices(Context& c, const Words& w) {
  machine::Machine& m = c.machine;
  std::string text;
  const std::lock_guard lock(m.device_lock());
  for (const auto& [device_name, device] : m.devices()) {
    if (w.size() > 1 && device_name != w[1]) continue;
    const std::string info = device->info();
    text += device_name + "\n";
    if (w.size() > 1) text += info;
  }
  return text;
}

std::string blockstats(Context& c, const Words&) {
  Input none = Input::object();
  auto all = find_command("query-blockstats")->run(c, none);
  std::string text;
  for (const Output& row : *all) {
    const std::string name = row["device"].get<std::string>();
    text += (name.empty() ? row["qdev"].get<std::string>() : name) + ":";
    for (const auto& [key, value] : row["stats"].items()) {
      if (value.is_number() && !key.starts_with("invalid")) text += " " + key + "=" + value.dump();
    }
    text += "\n";
  }
  return text;
}

std::string chardevs(Context& c, const Words&) {
  Input none = Input::object();
  auto all = find_command("query-chardev")->run(c, none);
  std::string text;
  for (const Output& row : *all)
    text += row["label"].get<std::string>() + ": filename=" + row["filename"].get<std::string>() + "\n";
  return text;
}

std::string pci(Context& c, const Words&) {
  std::string text;
  for (const machine::PciFunctionInfo& f : c.machine.pci_functions()) {
    const auto word = [&](size_t at) { return static_cast<unsigned>(load_le<u16>(&f.config[at])); };
    text += format("  Bus  0, device %3u, function %u:\n    Class %04x: PCI device %04x:%04x\n", f.slot, f.function,
                   word(0x0a), word(0x00), word(0x02));
    if (f.config[0x3d]) text += format("      IRQ %u, pin %c\n", f.config[0x3c], '@' + f.config[0x3d]);
    for (const machine::PciRegionInfo& r : f.regions) {
      const char* kind = r.io ? "I/O" : r.is_64bit ? "64 bit memory" : "32 bit memory";
      if (r.address < 0)
        text += format("      BAR%d: %s of 0x%llx bytes, not mapped\n", r.bar, kind,
                       static_cast<unsigned long long>(r.size));
      else
        text += format("      BAR%d: %s at 0x%llx [0x%llx]\n", r.bar, kind, static_cast<unsigned long long>(r.address),
                       static_cast<unsigned long long>(static_cast<u64>(r.address) + r.size - 1));
    }
    text += "      id \"" + f.id + "\"\n";
  }
  return text;
}

std::string balloon(Context& c, const Words&) {
  const auto bytes = c.machine.balloon_bytes();
  return bytes ? "balloon: actual=" + std::to_string(*bytes >> 20) + "\n" : bytes.error().text() + "\n";
}

std::string network(Context& c, const Words&) {
  machine::Machine& m = c.machine;
  return m.config().network ? m.config().network->info() : "";
}
std::string usernet(Context& c, const Words&) {
  machine::Machine& m = c.machine;
  return m.config().network ? m.config().network->user_info() : "";
}

Output ask(Context& c, const char* command) {
  const Input none = Input::object();
  auto answer = find_command(command)->run(c, none);
  return answer ? *answer : Output::object();
}
std::string mice(Context& c, const Words&) {
  std::string text;
  for (const Output& m : ask(c, "query-mice"))
    text += format("%c Mouse #%lld: %s%s\n", m["current"].get<bool>() ? '*' : ' ',
                   static_cast<long long>(m["index"].get<s64>()), m["name"].get<std::string>().c_str(),
                   m["absolute"].get<bool>() ? " (absolute)" : "");
  return text.empty() ? "No mouse devices connected\n" : text;
}
std::string kvm(Context& c, const Words&) {
  return std::string("kvm support: ") + (ask(c, "query-kvm")["enabled"].get<bool>() ? "enabled\n" : "disabled\n");
}
std::string memory_sizes(Context& c, const Words&) {
  return "base memory: " + ask(c, "query-memory-size-summary")["base-memory"].dump() + "\n";
}

constexpr HumanCommand kRows[] = {
    {"status", "", "running or stopped", status},
    {"version", "", "version", version},
    {"name", "", "the machine's name", name},
    {"uuid", "", "the machine's UUID", uuid},
    {"registers", "[-a]", "CPU registers (-a: of all CPUs)", registers},
    {"cpus", "", "the CPUs", cpus},
    {"mtree", "", "memory and port map", mtree},
    {"tlb", "", "the first CPU's soft TLB", tlb},
    {"jit", "", "the translator's counters", jit},
    {"pic", "", "interrupt controllers", pic},
    {"irq", "", "interrupt controllers", pic},
    {"screen", "", "the characters of a text screen", screen},
    {"block", "", "drives and media", block},
    {"migrate", "", "how a migration goes, or went", migrate},
    {"snapshots", "", "states saved in the disks", info_snapshots},
    {"blockstats", "", "what was read and written", blockstats},
    {"chardev", "", "the character devices", chardevs},
    {"pci", "", "the PCI bus", pci},
    {"balloon", "", "the guest's memory, without what it gave back", balloon},
    {"network", "", "network cards and what they are plugged into", network},
    {"usernet", "", "connections of the user network", usernet},
    {"qdm", "[device]", "devices; with a name its state", devices},
    {"qtree", "", "devices, their buses and properties", info_qtree},
    {"qom-tree", "[path]", "the tree of objects", info_qom_tree},
    {"mice", "", "the pointing devices", mice},
    {"kvm", "", "whether KVM is there and used", kvm},
    {"memory_size_summary", "", "how much RAM the machine has", memory_sizes},
};

}  // namespace

std::span<const HumanCommand> info_commands() { return kRows; }

}  // namespace doppel::monitor
