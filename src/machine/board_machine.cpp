#include "machine/board_machine.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/os/thread_id.h"

namespace doppel::machine {
namespace {
constexpr s64 kForever = std::numeric_limits<s64>::max();
constexpr s64 kLongSlice = 1'000'000;   // instructions between looks at the clock when no timer is armed
constexpr s64 kBellBehind = 1'000'000;  // ns that the main loop's bell is behind the deadline that an idle CPU watches
constexpr s64 kCalmAfter = 1'000'000'000;  // ns without a program after which ticks come in bundles
constexpr size_t kLeastCodeCache = size_t{1} << 20;
}  // namespace

BoardMachine::BoardMachine(MachineConfig config) : Machine(std::move(config)) {
  memory_.io_lock = &device_lock_;
  clock_.on_earlier = [this] {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (clock_.counts_instructions()) {
      if (!in_slice_ && !vcpus_.empty()) vcpus_[0]->kick();
    } else if (deadline() < std::min(bell_at_.load(), watched_.load())) {
      set_bell();
    }
  };
}

BoardMachine::~BoardMachine() = default;

void BoardMachine::shut_down() {
  if (thread_.joinable()) {
    request_quit(ShutdownCause::HostQuit, 0);
    {
      const std::lock_guard guard(loop_lock_);
      stop_loop_ = true;
      bell_.ring();
    }
    thread_.join();
  }
  for (auto& vcpu : vcpus_) vcpu->stop();
  memory_.on_change = nullptr;
  stop_timer_.reset();
  vcpus_.clear();
  end_buried();
  windows_.clear();
  devices_.clear();
  while (!owned_.empty()) owned_.pop_back();  // last made, first gone
}

void BoardMachine::register_device(std::string name, std::unique_ptr<hw::Device> device) {
  devices_.emplace(std::move(name), device.get());
  owned_.push_back(std::move(device));
}

void BoardMachine::ports(std::string name, u16 first, u32 count, hw::MmioHandler& handler) {
  windows_.push_back(port_bus_.map(std::move(name), first, count, handler));
}

void BoardMachine::mmio(std::string name, u64 address, u64 size, hw::MmioHandler& handler, int priority) {
  windows_.push_back(bus_.map(std::move(name), address, size, handler, priority));
}

Status BoardMachine::add_vcpu(std::unique_ptr<guest::GuestCpu> cpu) {
  accel::Options options = config_.accel;
  options.code_cache_bytes = std::max(kLeastCodeCache, options.code_cache_bytes / config_.cpus);
  auto vcpu = accel::make_dbt_vcpu(std::move(cpu), memory_, options);
  if (!vcpu.ok()) return vcpu.error();
  accel::Vcpu& v = **vcpu;
  v.on_debug_stop = [this](accel::Vcpu&, u64) {
    const std::lock_guard guard(loop_lock_);
    debug_ = true;
    bell_.ring();
  };
  if (!bell_.ok())
    return Error{"the host has no file descriptor left for a timer", "ulimit -n says how many there may be"};
  if (config_.accel.icount_shift < 0 && config_.cpus == 1)
    v.on_idle = [this](accel::Vcpu::Idle now) { return idle(now); };
  if (config_.accel.icount_shift >= 0) {
    v.on_icount_slice = [this](u64) { return icount_slice(); };
    v.on_icount_idle = [this] { return icount_idle(); };
    clock_.use_instructions([&v] { return v.icount(); }, config_.accel.icount_shift);
    if (config_.accel.stop_at_ns >= 0) {
      stop_timer_.emplace(clock_, [&v] {
        v.pause();
        v.on_debug_stop(v, 0);
      });
      stop_timer_->arm_at(config_.accel.stop_at_ns);
    }
  }
  vcpus_.push_back(vcpu.take());
  return success();
}

std::vector<accel::Vcpu*> BoardMachine::vcpus() {
  std::vector<accel::Vcpu*> out;
  for (auto& vcpu : vcpus_) out.push_back(vcpu.get());
  return out;
}

int BoardMachine::current_cpu() const {
  const auto self = std::this_thread::get_id();
  for (size_t i = 0; i < vcpu_threads_.size(); i++) {
    if (vcpu_threads_[i] == self) return static_cast<int>(i);
  }
  return -1;
}

// --- devices that come and go

void BoardMachine::change_devices(const std::function<void(bool runs)>& change) {
  const std::lock_guard run(run_lock_);
  const std::lock_guard guard(device_lock_);
  change(state() == RunState::Running);
}

std::unique_ptr<hw::Device> BoardMachine::take_device(const std::string& name) {
  const auto it = devices_.find(name);
  if (it == devices_.end()) return nullptr;
  const auto own =
      std::find_if(owned_.begin(), owned_.end(), [&](const auto& device) { return device.get() == it->second; });
  std::unique_ptr<hw::Device> out = std::move(*own);
  owned_.erase(own);
  devices_.erase(it);
  return out;
}

void BoardMachine::bury(std::unique_ptr<hw::Device> device, std::function<void()> after) {
  const std::lock_guard guard(loop_lock_);
  buried_.push_back({std::move(device), std::move(after)});
  bell_.ring();
}

// First nobody may call in any more, then no vCPU may be at the device's door: it can have looked the window up before
// it was closed.
void BoardMachine::end_buried() {
  std::vector<Buried> all;
  {
    const std::lock_guard guard(loop_lock_);
    all.swap(buried_);
  }
  if (all.empty()) return;
  for (Buried& b : all) b.device->leave();
  {
    const std::lock_guard run(run_lock_);
    const bool was_running = state() == RunState::Running;
    if (was_running) {
      for (auto& vcpu : vcpus_) vcpu->pause();
    }
    {
      const std::lock_guard guard(device_lock_);
      for (Buried& b : all) b.device.reset();
    }
    if (was_running) {
      for (auto& vcpu : vcpus_) vcpu->resume();
    }
  }
  for (Buried& b : all) b.after();
}

std::vector<DeviceConfig> BoardMachine::given_devices() {
  const std::lock_guard guard(device_lock_);
  return config_.devices;
}

Status BoardMachine::add_drive(const DriveConfig& drive) {
  const std::lock_guard guard(plug_lock_);
  for (const DriveConfig& other : config_.drives) {
    if (other.id == drive.id) return Error{"there is already a drive '" + drive.id + "'", "choose another name"};
  }
  for (const DriveInfo& other : drives()) {
    if (other.id == drive.id) return Error{"there is already a drive '" + drive.id + "'", "choose another name"};
  }
  config_.drives.push_back(drive);
  return success();
}

Status BoardMachine::remove_drive(const std::string& id) {
  const std::lock_guard guard(plug_lock_);
  const auto it = std::find_if(config_.drives.begin(), config_.drives.end(),
                               [&](const DriveConfig& d) { return d.id == id && d.interface == "none"; });
  if (it == config_.drives.end()) return Error{"there is no drive '" + id + "' that could go", ""};
  for (const DriveInfo& used : drives()) {
    if (used.id == id || used.node_name == id)
      return Error{"the drive '" + id + "' is used by " + used.path, "take that away first: device_del"};
  }
  config_.drives.erase(it);
  return success();
}

std::vector<DriveConfig> BoardMachine::loose_drives() {
  const std::lock_guard guard(plug_lock_);
  std::vector<DriveConfig> out;
  for (const DriveConfig& d : config_.drives) {
    if (d.interface == "none") out.push_back(d);
  }
  return out;
}

void BoardMachine::change_names(const std::function<void(MachineConfig&)>& change) {
  const std::lock_guard guard(plug_lock_);
  change(config_);
}

// --- the machine's life

void BoardMachine::start() {
  memory_.on_change = [this] {
    for (auto& vcpu : vcpus_) vcpu->flush_tlb();
  };
  vcpu_threads_.resize(vcpus_.size());
  thread_ids_.resize(vcpus_.size());
  for (auto& vcpu : vcpus_) vcpu->start();
  for (size_t i = 0; i < vcpus_.size(); i++)
    vcpus_[i]->run_on([this, i] {
      vcpu_threads_[i] = std::this_thread::get_id();
      thread_ids_[i] = os::thread_id();
    });
  thread_ = std::thread([this] { loop(); });
  if (!config_.start_paused) resume();
}

void BoardMachine::set_state(RunState state) {
  const RunState before = state_.exchange(state);
  if (state == RunState::Running && before != state) tell({.kind = MachineEvent::Kind::Resume});
  if (before == RunState::Running && before != state) tell({.kind = MachineEvent::Kind::Stop});
}

void BoardMachine::set_still(RunState why) {
  const std::lock_guard run(run_lock_);
  if (!exited() && state() != RunState::Running) set_state(why);
}

void BoardMachine::pause_vcpus() {
  for (auto& vcpu : vcpus_) vcpu->pause();
  clock_.stop();
  const std::lock_guard guard(device_lock_);
  clock_.run_due();  // nothing is overdue in a machine that stands still: its state says so
  for (auto& device : owned_) device->sleep();
}

void BoardMachine::resume_vcpus() {
  {
    const std::lock_guard guard(device_lock_);
    for (auto& device : owned_) device->wake();
  }
  clock_.start();
  wake_loop();
  for (auto& vcpu : vcpus_) vcpu->resume();
}

void BoardMachine::pause() {
  const std::lock_guard run(run_lock_);
  if (state() != RunState::Running) return;
  pause_vcpus();
  set_state(RunState::Paused);
}

void BoardMachine::resume() {
  const std::lock_guard run(run_lock_);
  if (exited() || state() == RunState::Running) return;
  set_state(RunState::Running);
  resume_vcpus();
}

void BoardMachine::wake_loop() { bell_.ring(); }

void BoardMachine::request_reset() {
  const std::lock_guard guard(loop_lock_);
  reset_ = true;
  bell_.ring();
}

// The guest has ended its run: the instruction that did it is the last one, before the main loop acts.
void BoardMachine::stop_calling_cpu() {
  if (const int cpu = current_cpu(); cpu >= 0) vcpus_[static_cast<size_t>(cpu)]->pause();
}

bool BoardMachine::is_guests(ShutdownCause cause) {
  return cause == ShutdownCause::GuestShutdown || cause == ShutdownCause::GuestReset ||
         cause == ShutdownCause::GuestPanic;
}

void BoardMachine::guest_reset() {
  stop_calling_cpu();
  if (config_.no_reboot) {
    request_quit(ShutdownCause::GuestReset, 0);
  } else {
    const std::lock_guard guard(loop_lock_);
    reset_ = reset_by_guest_ = true;
    bell_.ring();
  }
}

void BoardMachine::guest_shutdown() {
  stop_calling_cpu();
  const std::lock_guard guard(loop_lock_);
  guest_off_ = true;
  bell_.ring();
}

void BoardMachine::request_io_error() {
  const std::lock_guard guard(loop_lock_);
  io_error_ = true;
  bell_.ring();
}

void BoardMachine::request_powerdown() {
  const std::lock_guard guard(loop_lock_);
  powerdown_ = true;
  bell_.ring();
}

void BoardMachine::request_quit(ShutdownCause cause, int exit_status) {
  stop_calling_cpu();
  const std::lock_guard guard(loop_lock_);
  if (!quit_) {  // the first reason counts
    quit_ = exit_status;
    quit_cause_ = cause;
  }
  bell_.ring();
}

int BoardMachine::wait_for_exit() {
  std::unique_lock lock(loop_lock_);
  exit_changed_.wait(lock, [this] { return exited_.load(); });
  return exit_status_;
}

std::string BoardMachine::memory_tree() {
  const std::lock_guard guard(device_lock_);
  const std::string ports_text = port_bus_.describe();
  return memory_.describe() + (ports_text.empty() ? "" : "address-space: I/O\n" + ports_text);
}

std::string BoardMachine::block_info() { return {}; }

// --- the main loop

void BoardMachine::loop() {
  for (;;) {
    if (!carry_out()) return;
    if (!clock_.counts_instructions()) run_timers();
    wait_for_work();
  }
}

void BoardMachine::run_timers() {
  const s64 deadline = clock_.next_deadline();
  if (deadline < 0 || !clock_.running() || deadline > clock_.now()) return;
  const std::lock_guard guard(device_lock_);
  clock_.run_due();
}

// By when somebody must look at the timers.
s64 BoardMachine::deadline() const { return calm_.load() ? clock_.patient_deadline() : clock_.next_deadline(); }

// The main loop wakes at the earliest deadline that no idle CPU watches, or before it. While one watches, the bell is a
// little behind its deadline: it stays there when the CPU goes on, and most runs end before it rings, so it is set once
// for a sleep and a run. To be called by whoever makes the first deadline an earlier one, and at changes of who
// watches.
void BoardMachine::set_bell() {
  const std::lock_guard guard(bell_lock_);
  const s64 first = deadline(), watched = watched_.load(), before = bell_at_.load();
  const bool timed = clock_.running() && !clock_.counts_instructions() && first >= 0;
  s64 at = before;
  if (!timed)
    at = kForever;
  else if (first < watched)
    at = std::min(before, first);
  else if (before < watched + kBellBehind || before - watched > 2 * kBellBehind)
    at = watched + kBellBehind;
  if (at == before) return;
  bell_at_ = at;
  bell_.set(at == kForever ? -1 : std::max<s64>(at - clock_.now(), 0));
}

void BoardMachine::wait_for_work() {
  if (watched_ == kForever) calm_ = false;  // the CPU runs on
  set_bell();
  bell_.wait();
  bell_at_ = kForever;  // it has rung: what is still to come is set anew
}

// The only CPU is halted: timers fire on its own thread, which saves it and the host the way over another one. The main
// loop sees to deadlines that others make while it sleeps. Returns the ns until it shall look again; -1: no timer runs.
s64 BoardMachine::idle(accel::Vcpu::Idle step) {
  using Idle = accel::Vcpu::Idle;
  if (step == Idle::Look) {
    run_timers();
    return 0;
  }
  watch_calm(step == Idle::Sleep);
  const s64 deadline = step == Idle::Sleep && clock_.running() ? this->deadline() : -1;
  watched_ = deadline < 0 ? kForever : deadline;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const s64 first = this->deadline(), bell = bell_at_.load();
  const bool late = first >= 0 && first < std::min(bell, watched_.load());  // nobody would see to it
  // Or the bell would ring for nothing.
  const bool early = deadline >= 0 && (bell < deadline + kBellBehind || bell == kForever);
  if (late || early) set_bell();
  return deadline < 0 ? -1 : std::max<s64>(deadline - clock_.now(), 0);
}

// The machine is calm when for a while no program ran (the CPU stayed in one mode) and nothing but timers woke the CPU:
// then these may be as late as their patience allows (ADR 16).
void BoardMachine::watch_calm(bool sleeps) {
  const s64 now = clock_.now();
  const u64 switches = mem::tlb_mode_switches(vcpus_[0]->cpu().header());
  const bool woken = !sleeps && watched_ != kForever && now < watched_;
  if (woken || switches != seen_switches_) calm_from_ = now + kCalmAfter;
  seen_switches_ = switches;
  if (sleeps)
    calm_ = now >= calm_from_;
  else if (woken)
    calm_ = false;
}

// Returns false when the loop ends.
bool BoardMachine::carry_out() {
  bool reset, by_guest, powerdown, debug, off, stop, io_error;
  std::optional<int> quit;
  {
    const std::lock_guard guard(loop_lock_);
    reset = std::exchange(reset_, false);
    by_guest = std::exchange(reset_by_guest_, false);
    powerdown = std::exchange(powerdown_, false);
    debug = std::exchange(debug_, false);
    off = std::exchange(guest_off_, false);
    io_error = std::exchange(io_error_, false);
    quit = quit_;
    stop = stop_loop_;
    if (off && !config_.no_shutdown && !quit) {
      quit = quit_ = 0;
      quit_cause_ = ShutdownCause::GuestShutdown;
    }
  }
  if (off) off_ = true;
  if (quit || stop) {
    if (quit) exit_status_ = *quit;
    do_exit();
    return false;
  }
  end_buried();
  if (off) {
    const std::lock_guard run(run_lock_);
    tell({.kind = MachineEvent::Kind::Shutdown, .guest = true, .cause = ShutdownCause::GuestShutdown});
    pause_vcpus();
    set_state(RunState::Shutdown);
  }
  if (debug) {
    const std::lock_guard run(run_lock_);
    pause_vcpus();
    set_state(RunState::Debug);
  }
  if (io_error) {
    const std::lock_guard run(run_lock_);
    if (state() == RunState::Running) {
      pause_vcpus();
      set_state(RunState::IoError);
    }
  }
  if (reset) do_reset(by_guest);
  if (powerdown) {
    const std::lock_guard guard(device_lock_);
    tell({.kind = MachineEvent::Kind::Powerdown});
    press_power_button();
  }
  return true;
}

void BoardMachine::reset_devices(bool for_state) {
  off_ = false;
  {
    const std::lock_guard guard(device_lock_);
    for (auto& device : owned_) device->reset();
    after_reset();
    if (!for_state) fill_ram();
  }
  for (auto& vcpu : vcpus_) vcpu->run_on([&vcpu] { vcpu->cpu().reset(); });
  for (auto& vcpu : vcpus_) vcpu->flush_tlb();
}

void BoardMachine::do_reset(bool guest) {
  const std::lock_guard run(run_lock_);
  const bool was_running = state() == RunState::Running;
  if (was_running) pause_vcpus();
  reset_devices(false);
  tell({.kind = MachineEvent::Kind::Reset, .guest = guest});
  if (was_running) resume_vcpus();
  if (state() == RunState::Shutdown || state() == RunState::IoError) set_state(RunState::Paused);
}

void BoardMachine::do_exit() {
  {
    const std::lock_guard run(run_lock_);
    pause_vcpus();
    for (auto& node : nodes_) {
      if (!node->read_only()) node->flush([](int) {});
    }
    tell({.kind = MachineEvent::Kind::Shutdown, .guest = is_guests(quit_cause_), .cause = quit_cause_});
    state_.store(RunState::Shutdown);  // for good: no STOP
  }
  {
    const std::lock_guard guard(loop_lock_);
    exited_.store(true);
    exit_changed_.notify_all();
  }
  if (on_exit) on_exit();
}

// --- -icount, on the vCPU's thread

s64 BoardMachine::icount_slice() {
  in_slice_ = true;
  s64 deadline = clock_.next_deadline();
  if (deadline >= 0 && deadline <= clock_.now()) {
    const std::lock_guard guard(device_lock_);
    clock_.run_due();
    deadline = clock_.next_deadline();
  }
  in_slice_ = false;
  return deadline < 0 ? kLongSlice : std::min(clock_.instructions_until(deadline), kLongSlice);
}

bool BoardMachine::icount_idle() {
  const s64 deadline = clock_.next_deadline();
  if (deadline < 0) return false;
  in_slice_ = true;
  clock_.skip_to(deadline);
  {
    const std::lock_guard guard(device_lock_);
    clock_.run_due();
  }
  in_slice_ = false;
  return true;
}

}  // namespace doppel::machine
