// Machine: a board with its CPUs, memory, devices and clocks. The app builds one from MachineConfig; monitor and
// gdbstub see it through this header.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "accel/accel.h"
#include "base/result.h"
#include "block/tuning.h"
#include "chardev/chardev.h"
#include "display/surface.h"
#include "hw/core/clock.h"
#include "hw/core/device.h"
#include "hw/net/rx_filter.h"

namespace doppel::net {
class Network;
}
namespace doppel::machine {

struct DriveConfig {
  std::string file;
  std::string interface = "ide";  // ide virtio floppy none
  std::string media = "disk";     // disk cdrom
  std::string id, format;
  std::string device_id;  // of the -device that uses it
  int index = -1, bus = -1, unit = -1;
  bool read_only = false, snapshot = false;
  std::string driver;                 // of a -blockdev: file, qcow2...
  bool is_node = false;               // of -blockdev: stays when the device that uses it goes
  std::shared_ptr<block::Node> node;  // open already; null: it is opened when a device wants it
  std::string serial;                 // for a device that says none
  block::Tuning tuning;
};

struct NicConfig {
  std::string model;  // empty: the board's own
  std::string name, mac, netdev, address;
  std::string rom_file;                           // empty: the model's own; "none": none
  std::map<std::string, std::string> properties;  // of -device, for models that have more
  int boot_index = -1;
  bool mitigation = false;  // e1000
};

// -object memory-backend-*, used by -machine memory-backend=ID.
struct MemoryBackend {
  std::string kind, id, path;  // path: memory-backend-file's
  u64 size = 0;
  bool shared = false;
};

// -fsdev local: a folder of the host, which a virtio-9p device names.
struct SharedFolder {
  std::string id, path, security_model;
  bool read_only = false;
};

struct DeviceConfig {
  std::string driver;
  std::map<std::string, std::string> properties;
  bool hotplugged = false;
  bool operator==(const DeviceConfig&) const = default;
};

struct MachineConfig {
  std::string board = "pc";
  std::map<std::string, std::string> board_options;
  std::string target = "x86_64";  // of qemu-system-TARGET: i386, x86_64, mips, mipsel, mips64, mips64el
  std::string cpu;                // empty: board's default
  u64 ram_bytes = u64{128} << 20;
  std::vector<MemoryBackend> memory_backends;
  std::string memory_backend;  // the one that is the RAM; empty: memory of its own
  u32 cpus = 1, sockets = 0, cores = 0, threads = 0;
  std::string kernel, initrd, append, bios;
  std::string vga;  // empty: the board's own
  std::string boot_order = "cad", boot_once;
  bool boot_menu = false;
  std::string uuid, name;
  std::string rtc_base = "utc", rtc_clock = "host";
  std::vector<std::string> firmware_dirs;  // -L, first wins
  std::vector<DriveConfig> drives;
  std::vector<DeviceConfig> devices;
  // What devices name: character devices by id, sources of random numbers (-object rng-random, rng-builtin).
  std::map<std::string, std::shared_ptr<chardev::Chardev>> chardevs;
  std::vector<std::string> rng_sources;
  std::vector<SharedFolder> shared_folders;
  std::shared_ptr<net::Network> network;                    // back ends; null: none
  std::vector<NicConfig> nics;                              // of -nic and -net
  std::vector<std::pair<std::string, std::string>> fw_cfg;  // name, file contents
  std::vector<std::shared_ptr<chardev::Chardev>> serial;    // com1, com2...
  std::shared_ptr<chardev::Chardev> debugcon;               // port 0xe9 when given
  bool debugcon_firmware = false;                           // port 0x402 too
  bool hpet = true, acpi = true, vmport = true, no_defaults = false;
  bool no_reboot = false, no_shutdown = false, start_paused = false;
  accel::Options accel;
};

enum class RunState {
  Prelaunch /* has never run */,
  Paused,
  Running,
  Shutdown,
  Debug,
  GuestPanicked,
  InternalError,
  IoError,
  InMigrate,   // waits for a state
  PostMigrate  // its state has left
};
enum class ShutdownCause { None, GuestShutdown, GuestReset, HostQuit, HostSignal, HostWindow, GuestPanic };

// What happens to a machine, for whoever watches it.
struct MachineEvent {
  enum class Kind {
    Stop,
    Resume,
    Reset,
    Powerdown,
    Shutdown,
    TrayMoved,
    RtcChange,
    DeviceDeleted,  // a device has gone, and nothing of it is left
    UnplugRefused,  // the guest does not let go of a device
    BlockError,     // a disk failed a request
    PortChanged,    // the guest has opened or closed a port of virtio-serial
    FilterChanged,  // the guest has changed what a network card takes; once, until rx_filters() is called
  } kind = Kind::Stop;
  bool guest = false;                         // Reset, Shutdown: the guest asked
  ShutdownCause cause = ShutdownCause::None;  // Shutdown
  std::string name, path;                     // TrayMoved, RtcChange, DeviceDeleted...; PortChanged: the port's id
  bool open = false;                          // TrayMoved, PortChanged
  s64 offset = 0;                             // RtcChange: seconds from what the clock started with
  // BlockError: errno value, whether it was a read, and what becomes of the request.
  int error = 0;
  bool is_read = false;
  enum class Action { Report, Ignore, Stop } action = Action::Report;
};

struct MediumOptions {
  bool read_only = false;
  bool force = false;  // the guest's lock on the drive is ignored
  std::string format;  // empty: by content
};

// A drive as the monitor shows it.
struct DriveInfo {
  std::string id;  // ide1-cd0, what -drive's id= or -blockdev's node-name= says
  bool is_node = false, is_virtio = false;
  std::string node_name;  // of the medium; empty: it has none
  std::string path;       // among the objects: /machine/unattached/ide1-cd0, /machine/peripheral/ID
  bool removable = false, has_tray = false, tray_open = false, locked = false;
  std::string file;
  std::shared_ptr<block::Node> node;  // null: no medium
  block::Limits limits;
};

struct NicFilter {
  std::string nic;
  hw::RxFilter filter;
};

struct PciRegionInfo {
  int bar = 0;  // 6: expansion ROM
  bool io = false, prefetchable = false, is_64bit = false;
  u64 size = 0;
  s64 address = -1;  // -1: not mapped
};
struct PciFunctionInfo {
  unsigned slot = 0, function = 0;
  std::string id;          // what -device's id= says
  std::vector<u8> config;  // the first 64 bytes of configuration space
  std::vector<PciRegionInfo> regions;
};

class Machine {
 public:
  virtual ~Machine() = default;
  // Threads: any, unless said otherwise.
  virtual void start() = 0;  // creates vCPU threads and the main loop thread; runs unless start_paused
  virtual void pause() = 0;
  virtual void resume() = 0;
  virtual RunState state() const = 0;
  virtual void set_still(RunState why) = 0;  // of a machine that does not run: why
  virtual void request_reset() = 0;          // like a reset button; honours no_reboot when the guest asked
  virtual void request_powerdown() = 0;      // ACPI power button
  virtual void request_quit(ShutdownCause cause, int exit_status = 0) = 0;
  virtual int wait_for_exit() = 0;  // main thread: blocks until shutdown; the process's exit status
  virtual bool exited() const = 0;  // polled by the UI loop
  // Any thread, with the machine's locks held: for leaves only. Set before start().
  std::function<void(const MachineEvent&)> on_event;
  std::function<void()> on_exit;

  virtual std::vector<accel::Vcpu*> vcpus() = 0;
  virtual mem::AddressSpace& memory() = 0;
  virtual std::mutex& device_lock() = 0;
  virtual hw::Clock& clock() = 0;
  virtual display::Console* console() = 0;  // null: no display adapter
  // By name, for info and archives; with the device lock held, as devices come and go.
  virtual const std::map<std::string, hw::Device*>& devices() = 0;
  bool has_device(const std::string& name) {
    const std::lock_guard guard(device_lock());
    return devices().contains(name);
  }
  virtual std::string memory_tree() = 0;  // info mtree
  virtual std::string pic_info() = 0;     // info pic
  virtual void inject_nmi() = 0;
  // Input from UI and monitor.
  virtual void key(u32 qemu_qcode, bool down) = 0;  // display/input_event.h codes
  virtual void pointer_relative(int dx, int dy, int wheel, u32 buttons) = 0;
  virtual void pointer_absolute(int x, int y, int wheel, u32 buttons) = 0;  // 0..32767
  virtual bool pointer_is_absolute() const = 0;
  // Removable media by device id (floppy0, ide1-cd0): change or eject.
  virtual Status change_medium(const std::string& id, const std::string& file, const MediumOptions& wanted) = 0;
  virtual Status eject(const std::string& id, bool force) = 0;
  // The same in steps: a medium goes in and out while the tray is open. Drives without a tray take the first without a
  // word.
  virtual Status move_tray(const std::string& id, bool open, bool force) = 0;
  virtual Status remove_medium(const std::string& id) = 0;
  virtual Status insert_medium(const std::string& id, const std::string& node_name) = 0;
  virtual std::string block_info() = 0;
  virtual std::vector<DriveInfo> drives() = 0;
  virtual Status set_drive_limits(const std::string& id,
                                  const block::Limits& limits);  // of a disk, as -drive throttling.*
  virtual std::vector<PciFunctionInfo> pci_functions() = 0;
  // Devices that come and go while the machine is there; one call at a time is carried out. Errors are the user's.
  virtual Status plug(const DeviceConfig& device) = 0;
  virtual Status unplug(const std::string& id) = 0;       // asks the guest: DeviceDeleted follows when it has let go
  virtual std::vector<DeviceConfig> given_devices() = 0;  // of -device and plug()
  // Drives that devices to come name (as -drive if=none and -blockdev).
  virtual Status add_drive(const DriveConfig& drive) = 0;
  virtual Status remove_drive(const std::string& id) = 0;
  virtual std::vector<DriveConfig> loose_drives() = 0;  // all of them, used or not
  // What else devices to come look up by name: sources of random numbers, character devices.
  virtual void change_names(const std::function<void(MachineConfig&)>& change) = 0;
  virtual std::vector<s64> vcpu_thread_ids() = 0;  // the host's numbers of the vCPUs' threads
  // The memory balloon: what the guest shall have, and what it has.
  virtual Status set_balloon(u64 bytes) = 0;
  virtual Result<u64> balloon_bytes() = 0;
  // What the guest told of its memory, by virtio's tags (1.2, 5.5.6.4); all ones: not told. The guest is asked again.
  virtual Result<std::vector<u64>> balloon_stats() = 0;
  // What network cards take, of those that can tell: the one of this name; empty: all. Their next change is an event.
  virtual std::vector<NicFilter> rx_filters(const std::string& nic) = 0;
  // The machine's state as a whole. `while_stopped` holds the machine between two instructions, with no request of a
  // disk in flight, runs `work` and lets it go on as it was, unless work sets `stay`. Not from the threads of vCPUs and
  // devices. Inside of it: `archive` saves or loads all but RAM (which is to be loaded first); `ram` is null where
  // there is none.
  using StoppedWork = std::function<Status(bool& stay)>;
  virtual Status while_stopped(const StoppedWork& work) = 0;
  virtual Status can_archive() const { return success(); }  // an error: this board's states are not built
  virtual void archive(StateArchive& ar) = 0;
  virtual mem::RamBlock* ram() = 0;
  virtual bool guest_is_off() const = 0;  // it has switched itself off
  const MachineConfig& config() const { return config_; }

 protected:
  explicit Machine(MachineConfig config) : config_(std::move(config)) {}
  MachineConfig config_;
};

// Boards by name. Errors: unknown board, missing firmware (names the Debian package), too much RAM, bad CPU model, bad
// kernel.
Result<std::unique_ptr<Machine>> build(MachineConfig config);
std::string boards_help();
bool is_board(const std::string& name);  // versions such as pc-i440fx-8.2 included
struct BoardInfo {
  std::string name, alias, description;  // pc-i440fx-8.2, pc
  bool is_default = false;
  u32 cpus_max = 1;
  std::string default_cpu;  // a model; empty: the board has no CPU
};
std::vector<BoardInfo> boards(const std::string& target);
std::vector<std::string> targets();
std::string default_board(const std::string& target);
std::string board_name(const std::string& given);  // pc -> pc-i440fx-8.2
std::vector<std::string> cpu_models(const std::string& target);
std::string cpu_help(const std::string& target);          // as -cpu help prints
std::string cpu_model_name(const MachineConfig& config);  // of a machine's CPUs: qemu64, max...
// The features of a model as -cpu takes it, on or off. Errors: no such model or feature.
Result<std::vector<std::pair<std::string, bool>>> cpu_features(const std::string& spec, const std::string& target);
std::string devices_help();
std::vector<std::string> device_names();
std::string device_bus(const std::string& driver);                      // pci, isa, ide; empty: none of these
std::vector<std::string> device_properties(const std::string& driver);  // empty: no such device
std::string nic_models();                                               // a line each

}  // namespace doppel::machine
