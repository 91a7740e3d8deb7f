// A machine as the debugger sees it: a thread is a CPU.
#include <algorithm>
#include <atomic>

#include "gdbstub/machine/gdbstub.h"
#include "gdbstub/server.h"

namespace doppel::gdbstub {
namespace {

class MachineDebuggee final : public Debuggee, public MachineServer {
 public:
  MachineDebuggee(machine::Machine& machine, std::unique_ptr<os::Listener> listener)
      : machine_(machine), server_(std::make_unique<Server>(*this, std::move(listener))) {
    for (accel::Vcpu* v : machine_.vcpus()) {
      v->on_debug_stop = [this](accel::Vcpu& cpu, u64 watch) {
        stopped_watch_.store(watch);
        stopped_.store(number_of(cpu));
        server_->wake();
      };
    }
    server_->start();
  }
  ~MachineDebuggee() override {
    server_.reset();
    for (accel::Vcpu* v : machine_.vcpus()) v->on_debug_stop = nullptr;
  }

  std::vector<u64> threads() override {
    std::vector<u64> all;
    for (size_t i = 0; i < machine_.vcpus().size(); i++) all.push_back(i + 1);
    return all;
  }
  std::string thread_name(u64 thread) override { return "CPU#" + std::to_string(thread - 1); }
  bool with_cpu(u64 thread, const std::function<void(guest::GuestCpu&)>& look) override {
    accel::Vcpu* v = vcpu(thread);
    if (v) v->run_on([&] { look(v->cpu()); });
    return v != nullptr;
  }
  size_t read_memory(u64 thread, u64 va, u8* out, size_t size) override { return memory(thread, va, out, size, false); }
  size_t write_memory(u64 thread, u64 va, const u8* data, size_t size) override {
    return memory(thread, va, const_cast<u8*>(data), size, true);
  }

  bool set_point(const Point& p, bool on) override {
    for (accel::Vcpu* v : machine_.vcpus()) {
      if (p.kind <= Point::Hardware)
        v->set_breakpoint(p.address, on);
      else
        v->set_watchpoint(p.address, p.size, p.kind != Point::Write, p.kind != Point::Read, on);
    }
    return true;
  }

  void pause() override { machine_.pause(); }
  void resume(const std::vector<Action>& actions) override {
    stopped_.store(0);
    for (const Action& a : actions) {
      accel::Vcpu* v = vcpu(a.thread);
      if (!a.step || !v) continue;
      v->set_single_step(true);
      v->resume();
      return;
    }
    machine_.resume();
  }
  bool take_stop(Stop& stop) override {
    const u64 who = stopped_.exchange(0);
    if (who == 0) return false;
    stop = {Stop::Signal, who, kSigTrap, {}};
    if (const u64 watch = stopped_watch_.exchange(0)) {
      stop.kind = Stop::Watchpoint;
      stop.point = {Point::Write, watch, 0};
    }
    return true;
  }
  void kill() override { machine_.request_quit(machine::ShutdownCause::HostQuit, 0); }

 private:
  u64 number_of(accel::Vcpu& cpu) {
    const auto all = machine_.vcpus();
    return static_cast<u64>(std::find(all.begin(), all.end(), &cpu) - all.begin()) + 1;
  }
  accel::Vcpu* vcpu(u64 thread) {
    const auto all = machine_.vcpus();
    return thread >= 1 && thread <= all.size() ? all[thread - 1] : nullptr;
  }
  // Page by page.
  size_t memory(u64 thread, u64 va, u8* data, size_t size, bool write) {
    accel::Vcpu* v = vcpu(thread);
    size_t done = 0;
    while (v && done < size) {
      u64 pa = 0;
      bool ok = false;
      v->run_on([&] { ok = v->cpu().debug_translate(va + done, pa); });
      if (!ok) break;
      const size_t n = std::min<size_t>(size - done, 4096 - ((va + done) & 4095));
      if (!(write ? machine_.memory().write(pa, data + done, n) : machine_.memory().read(pa, data + done, n))) break;
      done += n;
    }
    return done;
  }

  machine::Machine& machine_;
  std::atomic<u64> stopped_{0}, stopped_watch_{0};
  std::unique_ptr<Server> server_;
};

}  // namespace

Result<std::unique_ptr<MachineServer>> start(machine::Machine& machine, const std::string& spec) {
  Result<std::unique_ptr<os::Listener>> listener =
      Error{"the debugger address '" + spec + "' is not tcp:[HOST]:PORT or unix:PATH", "-gdb tcp::1234", 1};
  if (spec.starts_with("unix:")) {
    listener =
        os::listen_unix(spec.substr(5, spec.find(',') == std::string::npos ? std::string::npos : spec.find(',') - 5));
  } else if (spec.starts_with("tcp:")) {
    const size_t colon = spec.find(':', 4);
    if (colon != std::string::npos) {
      const unsigned long port = std::strtoul(spec.c_str() + colon + 1, nullptr, 10);
      if (port <= 65535) listener = os::listen_tcp(spec.substr(4, colon - 4), static_cast<u16>(port));
    }
  }
  if (!listener) return listener.error();
  return std::unique_ptr<MachineServer>(std::make_unique<MachineDebuggee>(machine, listener.take()));
}

}  // namespace doppel::gdbstub
