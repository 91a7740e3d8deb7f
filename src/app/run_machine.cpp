#include "app/run_machine.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <thread>

#include "app/daemon.h"
#include "app/network.h"
#include "app/run_time.h"
#include "app/wait_for.h"
#include "base/log.h"
#include "base/os/allocator.h"
#include "chardev/factory.h"
#include "display/sdl/window.h"
#include "gdbstub/machine/gdbstub.h"
#include "migration/folder_snapshots.h"
#include "migration/internal_snapshots.h"
#include "monitor/hmp/hmp.h"
#include "monitor/qmp/qmp.h"

namespace doppel::app {
namespace {

int fail(const Error& e) {
  std::fprintf(stderr, "doppel: %s\n", e.text().c_str());
  return e.exit_status;
}

std::atomic<int> g_signals{0};  // written by the signal handler only
extern "C" void on_signal(int) { g_signals.fetch_add(1); }

// Everything that talks to the outside while a machine runs. Order matters: the last member goes first.
struct Session {
  std::unique_ptr<chardev::Factory> chardevs;
  std::shared_ptr<WaitFor> wait;
  std::unique_ptr<monitor::Services> services;  // made for the machine, which reports to it until it is gone
  std::unique_ptr<machine::Machine> machine;
  std::unique_ptr<monitor::Builder> builder;
  std::vector<std::unique_ptr<monitor::Hmp>> monitors;
  std::vector<std::unique_ptr<monitor::Qmp>> qmp;
  std::unique_ptr<gdbstub::MachineServer> gdb;
};

// -device isa-serial,chardev=ID[,index=N]
Status plug_serial(Session& s, Options& o, const machine::DeviceConfig& device) {
  const auto property = [&](const char* name) {
    const auto it = device.properties.find(name);
    return it == device.properties.end() ? std::string() : it->second;
  };
  if (property("chardev").empty()) return Error{"-device isa-serial needs chardev=ID", "define it with -chardev"};
  auto dev = s.chardevs->open("chardev:" + property("chardev"));
  if (!dev) return dev.error();
  auto& ports = o.machine.serial;
  const std::string index = property("index");
  const auto free = std::find(ports.begin(), ports.end(), nullptr) - ports.begin();
  const size_t at = index.empty() ? static_cast<size_t>(free) : std::strtoul(index.c_str(), nullptr, 10);
  if (at > 3) return Error{"there is no serial port " + std::to_string(at), "the board has four: index=0 to 3"};
  if (at < ports.size() && ports[at]) return Error{"two serial ports have index=" + index, "change one of them"};
  if (ports.size() <= at) ports.resize(at + 1);
  ports[at] = *dev;
  return success();
}

Status open_serial(Session& s, Options& o) {
  std::vector<std::string> specs = o.serial;
  const bool own_terminal = o.nographic;
  if (specs.empty() && own_terminal && !o.machine.no_defaults) specs = {"mon:stdio"};
  if (specs.empty() && !o.machine.no_defaults) specs = {"null"};
  for (const std::string& spec : specs) {
    if (spec == "none") continue;
    auto dev = s.chardevs->open(spec, "serial" + std::to_string(o.machine.serial.size()));
    if (!dev) return dev.error();
    std::shared_ptr<chardev::Chardev> port = *dev;
    if (s.wait && o.machine.serial.empty()) port = s.wait->tap(port);
    o.machine.serial.push_back(port);
  }
  if (s.wait && o.machine.serial.empty()) o.machine.serial.push_back(s.wait->tap(nullptr));
  for (const machine::DeviceConfig& d : o.machine.devices) {
    if (d.driver != "isa-serial") continue;
    if (Status st = plug_serial(s, o, d); !st) return st;
  }
  if (!o.debugcon.empty()) {
    auto dev = s.chardevs->open(o.debugcon, "debugcon");
    if (!dev) return dev.error();
    o.machine.debugcon = *dev;
  }
  return success();
}

// "mon:stdio" on a serial port brings a monitor on the same terminal; -monitor adds others.
Status open_monitors(Session& s, const Options& o) {
  std::vector<std::string> specs = o.monitors;
  bool mux = o.nographic && o.serial.empty() && !o.monitor_given;
  for (const std::string& serial : o.serial) mux |= serial.starts_with("mon:");
  if (mux) {
    auto shared = s.chardevs->stdio_mux();
    if (!shared) return shared.error();
    auto index = s.monitors.size();
    auto* monitors = &s.monitors;
    auto front = (*shared)->add_front("monitor", [monitors, index](bool on) {
      if (index < monitors->size()) (*monitors)[index]->focus(on);
    });
    s.monitors.push_back(std::make_unique<monitor::Hmp>(*s.services, front));
  }
  size_t monitors_opened = 0;
  for (const std::string& spec : specs) {
    auto dev = s.chardevs->open(spec, "compat_monitor" + std::to_string(monitors_opened++));
    if (!dev) return dev.error();
    if (!*dev) continue;
    s.monitors.push_back(std::make_unique<monitor::Hmp>(*s.services, *dev));
    s.monitors.back()->focus(true);
  }
  return success();
}

// The sockets are there before the machine runs; clients are served once it does.
using QmpDevices = std::vector<std::pair<std::shared_ptr<chardev::Chardev>, bool>>;
Result<QmpDevices> open_qmp(Session& s, const Options& o) {
  QmpDevices out;
  for (const Options::QmpMonitor& q : o.qmp) {
    auto dev = s.chardevs->open(q.device, "compat_qmp" + std::to_string(out.size()));
    if (!dev) return dev.error();
    if (*dev) out.emplace_back(*dev, q.pretty);
  }
  return out;
}

void make_services(Session& s, const Options& o) {
  s.services = std::make_unique<monitor::Services>(*s.machine);
  s.services->chardevs = s.chardevs.get();
  s.services->command_line_options = option_parameters();
  s.services->display = o.display;
  s.services->launch = o.launch;
  monitor::report_machine_events(*s.machine, s.services->events);
}

Status check_daemon(const Options& o) {
  std::vector<std::string> specs = o.serial;
  specs.insert(specs.end(), o.monitors.begin(), o.monitors.end());
  for (const auto& q : o.qmp) specs.push_back(q.device);
  if (o.nographic && o.serial.empty() && !o.machine.no_defaults) specs.emplace_back("mon:stdio");
  for (const std::string& spec : specs) {
    if (spec.find("stdio") != std::string::npos)
      return Error{"-daemonize leaves no terminal for " + spec, "use a socket, or -nodefaults"};
  }
  return success();
}

// First signal: ask the guest; second: end.
void watch_signals(machine::Machine& machine, std::atomic<bool>& done) {
  int seen = 0;
  while (!done.load()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const int now = g_signals.load();
    if (now == seen) continue;
    if (now == 1 && machine.config().acpi && machine.state() == machine::RunState::Running && isatty(0)) {
      machine.request_powerdown();
    } else {
      machine.request_quit(machine::ShutdownCause::HostSignal, 0);
    }
    seen = now;
  }
}

// What a throwaway run has written becomes a snapshot, if it is wanted.
Status keep_what_was_written(machine::Machine& machine, const Options& o) {
  std::string name = o.keep;
  if (name == "?") {
    std::fputs("Keep what the guest has written? Name of the snapshot (empty: throw it away): ", stderr);
    char line[200] = "";
    if (std::fgets(line, sizeof line, stdin) == nullptr) return success();
    name = line;
    while (!name.empty() && (name.back() == '\n' || name.back() == '\r')) name.pop_back();
  }
  if (name.empty()) return success();
  if (Status s = migration::keep_throwaway(machine, o.launch, name); !s) return s;
  std::fprintf(stderr, "doppel: kept as '%s': doppel run --restore %s FILE goes on from there\n", name.c_str(),
               name.c_str());
  return success();
}

// -incoming: clients may look on while the state comes; if it does not, this was all.
Status await_state(monitor::Services& services, const std::string& from, bool run) {
  services.migrator.expect(run);
  if (from == "defer") return success();
  services.on_migration = [&services](monitor::MigrationState state) {
    if (state != monitor::MigrationState::Failed) return;
    std::fprintf(stderr, "doppel: -incoming: %s\n", services.migrator.progress().error.c_str());
    services.machine.request_quit(machine::ShutdownCause::HostQuit, 1);
  };
  return services.migrator.receive(from, {});
}

// Starts the machine; with a state, it goes on from there.
Status start_from_state(machine::Machine& machine, monitor::Services& services, const Options& o, bool stopped) {
  machine.start();
  if (o.loadvm.empty() && !o.restore && o.incoming.empty()) return success();
  if (!o.incoming.empty()) return await_state(services, o.incoming, !stopped);
  Status s = o.restore ? migration::start_from_folder(machine, o.launch.folder, *o.restore)
                       : migration::load_snapshot(machine, o.loadvm);
  if (s && o.on_restored) o.on_restored();
  if (s && !stopped) machine.resume();
  return s;
}

}  // namespace

int run_machine(Options o) {
  os::return_large_blocks();
  Daemon daemon;
  if (o.daemonize) {
    if (Status st = check_daemon(o); !st) return fail(st.error());
    auto role = daemon.detach();
    if (!role) return fail(role.error());
    if (*role >= 0) return *role;
  }
  if (!o.log_items.empty()) {
    auto mask = parse_log_items(o.log_items);
    if (!mask) return fail(mask.error());
    if (Status st = log_open(o.log_file); !st) return fail(st.error());
    log_set_mask(*mask);
  }
  if (o.display.empty())
    o.display = o.nographic || o.machine.vga == "none" || !display::sdl_display_available() ? "none" : "sdl";
  if (o.nographic) o.display = "none";
  if (o.display == "sdl" && !display::sdl_display_available())
    return fail({"there is no display to open a window on", "set DISPLAY, or use -nographic or -display none", 1});

  if (o.sandbox.on) {
    auto missing = enter_file_sandbox(o.sandbox);
    if (!missing) return fail(missing.error());
    if (!missing->empty()) std::fprintf(stderr, "doppel: sandbox: %s\n", missing->c_str());
  }
  if (o.machine.board == "none") o.machine.no_defaults = true;
  PidFile pid_file;
  Session s;
  machine::Machine* running = nullptr;
  s.chardevs = std::make_unique<chardev::Factory>(chardev::Mux::Hooks{[&running] {
                                                                        if (running)
                                                                          running->request_quit(
                                                                              machine::ShutdownCause::HostQuit, 0);
                                                                      },
                                                                      {}});
  for (const std::string& c : o.chardevs) {
    if (auto dev = s.chardevs->create(c); !dev) return fail(dev.error());
  }
  o.machine.chardevs = s.chardevs->all();
  if (!o.wait_for.empty()) s.wait = std::make_shared<WaitFor>(o.wait_for);
  if (Status st = open_serial(s, o); !st) return fail(st.error());

  if (Status st = build_network(o, *s.chardevs); !st) return fail(st.error());
  const bool stopped = o.machine.start_paused;
  if (!o.loadvm.empty() || o.restore || !o.incoming.empty()) o.machine.start_paused = true;
  auto built = machine::build(o.machine);
  if (!built) return fail(built.error());
  s.machine = built.take();
  tell_unplugged(*o.machine.network);
  o.machine.chardevs.clear();  // the machine and those who use them have them
  running = s.machine.get();
  make_services(s, o);
  s.builder = make_builder(o, *s.machine);
  s.services->builder = s.builder.get();
  auto qmp = open_qmp(s, o);
  if (!qmp) return fail(qmp.error());
  if (Status st = open_monitors(s, o); !st) return fail(st.error());
  if (!o.gdb.empty()) {
    auto server = gdbstub::start(*s.machine, o.gdb);
    if (!server) return fail(server.error());
    s.gdb = server.take();
  }
  if (!o.pid_file.empty()) {
    if (Status st = pid_file.write(o.pid_file); !st) return fail(st.error());
  }

  if (o.sandbox.on) {
    if (Status st = enter_call_sandbox(o.sandbox); !st) return fail(st.error());
  }
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGHUP, on_signal);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes is an error of the disk (EFBIG)
  std::atomic<bool> done{false};
  std::thread signals([&] { watch_signals(*s.machine, done); });
  std::thread waiter;
  if (s.wait) waiter = std::thread([&] { s.wait->watch(*s.machine, o.wait_timeout, done); });

  Status restored = start_from_state(*s.machine, *s.services, o, stopped);
  for (auto& [device, pretty] : *qmp) s.qmp.push_back(std::make_unique<monitor::Qmp>(*s.services, device, pretty));
  qmp->clear();
  daemon.ready();
  Status window = success();
  if (!restored) s.machine->request_quit(machine::ShutdownCause::HostQuit, 1);
  if (o.display == "sdl") window = display::run_sdl_window(*s.machine, o.machine.name, o.full_screen);
  if (!window) s.machine->request_quit(machine::ShutdownCause::HostQuit, 1);
  const int status = s.machine->wait_for_exit();
  s.services->migrator.end();
  done.store(true);
  signals.join();
  if (waiter.joinable()) waiter.join();
  s.gdb.reset();
  s.qmp.clear();
  s.monitors.clear();
  if (!window) return fail(window.error());
  if (!restored) return fail(restored.error());
  if (!o.keep.empty()) {
    if (Status kept = keep_what_was_written(*s.machine, o); !kept) return fail(kept.error());
  }
  return s.wait ? s.wait->exit_status() : status;
}

}  // namespace doppel::app
