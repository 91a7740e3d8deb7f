// BoardMachine: what every board shares: memory, clock, device lock, the vCPUs' life, and the main loop thread that
// fires timers and carries out requests (reset, power-off, debug stops). A board derives from it, adds devices and CPUs
// in its constructor function, and fills the hooks. Threads: requests may come from any thread, with or without the
// device lock; they are carried out on the main loop thread. Lock order: plug_lock_, run_lock_, device lock, loop_lock_
// (a leaf).
#pragma once
#include <atomic>
#include <condition_variable>
#include <optional>
#include <thread>

#include "base/os/wake_timer.h"
#include "machine/address_bus.h"
#include "machine/machine.h"
#include "machine/virtual_clock.h"

namespace doppel::machine {

struct VirtioContext;

class BoardMachine : public Machine {
 public:
  ~BoardMachine() override;
  void start() override;
  void pause() override;
  void resume() override;
  RunState state() const override { return state_.load(); }
  void set_still(RunState why) override;
  void request_reset() override;
  void request_powerdown() override;
  void request_quit(ShutdownCause cause, int exit_status) override;
  int wait_for_exit() override;
  bool exited() const override { return exited_.load(); }
  std::vector<accel::Vcpu*> vcpus() override;
  mem::AddressSpace& memory() override { return memory_; }
  std::mutex& device_lock() override { return device_lock_; }
  hw::Clock& clock() override { return clock_; }
  const std::map<std::string, hw::Device*>& devices() override { return devices_; }
  std::string memory_tree() override;
  std::string block_info() override;
  std::vector<DriveInfo> drives() override { return {}; }
  std::vector<PciFunctionInfo> pci_functions() override { return {}; }
  Status move_tray(const std::string& id, bool, bool) override { return no_tray(id); }
  Status remove_medium(const std::string& id) override { return no_tray(id); }
  Status insert_medium(const std::string& id, const std::string&) override { return no_tray(id); }
  Status plug(const DeviceConfig&) override { return no_bus(); }
  Status unplug(const std::string&) override { return no_bus(); }
  std::vector<DeviceConfig> given_devices() override;
  Status add_drive(const DriveConfig& drive) override;
  Status remove_drive(const std::string& id) override;
  std::vector<DriveConfig> loose_drives() override;
  void change_names(const std::function<void(MachineConfig&)>& change) override;
  std::vector<s64> vcpu_thread_ids() override { return thread_ids_; }
  Status set_balloon(u64) override { return Error{"this board has no balloon", ""}; }
  Result<std::vector<u64>> balloon_stats() override { return Error{"this board has no balloon", ""}; }
  Result<u64> balloon_bytes() override { return Error{"this board has no balloon", ""}; }
  std::vector<NicFilter> rx_filters(const std::string& nic) override;
  Status while_stopped(const StoppedWork& work) override;
  void archive(StateArchive& ar) override;
  bool guest_is_off() const override { return off_.load(); }
  // What the guest asks for: any thread.
  void guest_reset();
  void guest_shutdown();
  void request_io_error();  // a disk's request waits for the machine to stop, and to go on

 protected:
  explicit BoardMachine(MachineConfig config);
  // Makes a device, owned and named here; reset in order of creation.
  template <typename T, typename... Args>
  T& add(const std::string& name, Args&&... args) {
    auto device = std::make_unique<T>(std::forward<Args>(args)...);
    T& ref = *device;
    register_device(name, std::move(device));
    return ref;
  }
  void ports(std::string name, u16 first, u32 count, hw::MmioHandler& handler);
  void mmio(std::string name, u64 address, u64 size, hw::MmioHandler& handler, int priority = 1);
  void register_device(std::string name, std::unique_ptr<hw::Device> device);
  void kick(size_t cpu) {
    if (cpu < vcpus_.size()) vcpus_[cpu]->kick();
  }
  // Runs `change` when the machine does not change its state, with the device lock held. Devices made in it are to be
  // put to sleep if it does not run.
  void change_devices(const std::function<void(bool runs)>& change);
  // Takes a device out of the maps; it belongs to the caller then. Device lock held. Null: there is none of that name.
  std::unique_ptr<hw::Device> take_device(const std::string& name);
  // Ends a device that was taken out: on the main loop, when nobody can be inside it; then `after` runs. Any lock.
  void bury(std::unique_ptr<hw::Device> device, std::function<void()> after);
  static Error no_tray(const std::string& id) { return {"there is no drive '" + id + "'", "this board has none"}; }
  static Error no_bus() { return {"this board has no bus to plug a device into", "use the board pc"}; }
  Status add_vcpu(std::unique_ptr<guest::GuestCpu> cpu);
  // Index of the vCPU whose thread is calling, or -1.
  int current_cpu() const;
  // To be called by the most derived destructor: stops every thread.
  void shut_down();
  virtual void press_power_button() = 0;
  // What the board itself puts into RAM for the CPU to start with: at a reset, not before a state is loaded.
  virtual void fill_ram() {}
  virtual void after_reset() {}  // device lock held, devices are reset
  // Of a state: what is no device's; `loaded` comes when all else is there. Without the device lock, vCPUs paused.
  virtual void archive_board(StateArchive&) {}
  virtual void loaded() {}
  // Devices that collect other devices' lines: loaded last, so that what they hear from those meanwhile doesn't count.
  virtual std::vector<std::string> collectors() const { return {}; }
  const std::map<std::string, hw::Device*>& devices_by_name() const { return devices_; }
  void tell(const MachineEvent& event) const {
    if (on_event) on_event(event);
  }
  VirtioContext virtio_context();

  mem::AddressSpace memory_;
  mutable std::mutex device_lock_;
  VirtualClock clock_;
  MemoryBus bus_{memory_};
  MemoryDma dma_{memory_};
  hw::PortBus port_bus_;
  std::vector<std::shared_ptr<block::Node>> nodes_;  // flushed when the machine ends
  std::mutex plug_lock_;  // before run_lock_: what comes and goes, and config_'s drives and names, one at a time

 private:
  void loop();
  void run_timers();
  void wait_for_work();
  void set_bell();
  s64 deadline() const;
  s64 idle(accel::Vcpu::Idle step);
  void watch_calm(bool sleeps);
  bool carry_out();
  void do_reset(bool guest);
  void reset_devices(bool for_state);
  void archive_devices(StateArchive& ar);
  void do_exit();
  void end_buried();
  void pause_vcpus();
  void resume_vcpus();
  void set_state(RunState state);
  void wake_loop();
  s64 icount_slice();
  bool icount_idle();
  void stop_calling_cpu();
  static bool is_guests(ShutdownCause cause);

  std::vector<std::unique_ptr<hw::Device>> owned_;
  std::map<std::string, hw::Device*> devices_;
  std::vector<std::unique_ptr<hw::MappedWindow>> windows_;
  std::vector<std::unique_ptr<accel::Vcpu>> vcpus_;
  std::vector<std::thread::id> vcpu_threads_;
  std::vector<s64> thread_ids_;
  std::optional<hw::Timer> stop_timer_;  // --stop-at

  std::atomic<RunState> state_{RunState::Prelaunch};
  std::atomic<bool> exited_{false}, off_{false};  // off: the guest has asked for it
  int exit_status_ = 0;
  std::mutex run_lock_;  // pause, resume, reset, exit: one at a time
  std::thread thread_;
  // Requests, under loop_lock_.
  std::mutex loop_lock_;
  std::condition_variable exit_changed_;
  bool reset_ = false, reset_by_guest_ = false, powerdown_ = false, debug_ = false, guest_off_ = false,
       io_error_ = false, stop_loop_ = false;
  struct Buried {
    std::unique_ptr<hw::Device> device;
    std::function<void()> after;
  };
  std::vector<Buried> buried_;
  std::optional<int> quit_;
  ShutdownCause quit_cause_ = ShutdownCause::None;
  WakeTimer bell_;        // what the main loop sleeps on
  std::mutex bell_lock_;  // a leaf
  // When the bell rings, and the deadline that an idle CPU watches; the largest number: not at all.
  std::atomic<s64> bell_at_{INT64_MAX}, watched_{INT64_MAX};
  std::atomic<bool> calm_{false};  // no program runs: timers may be late (watch_calm)
  s64 calm_from_ = 0;              // of the CPU's thread: it is, from then on, if nothing happens
  u64 seen_switches_ = 0;
  std::atomic<bool> in_slice_{false};  // -icount: the vCPU's thread is running timers
};

}  // namespace doppel::machine
