// The events of the machine.
#include "monitor/commands/events.h"

#include <cerrno>
#include <cstring>

#include "monitor/commands/jobs.h"

namespace doppel::monitor {

enum class ShutdownReason { host_qmp_quit, host_signal, host_ui, guest_shutdown, guest_reset, guest_panic };
template <>
struct EnumNames<ShutdownReason> {
  static constexpr const char* kType = "ShutdownCause";
  static std::vector<std::string_view> names() {
    return {"host-qmp-quit", "host-signal", "host-ui", "guest-shutdown", "guest-reset", "guest-panic"};
  }
};
enum class ResetReason { host_qmp_system_reset, guest_reset };
template <>
struct EnumNames<ResetReason> {
  static constexpr const char* kType = "ResetCause";
  static std::vector<std::string_view> names() { return {"host-qmp-system-reset", "guest-reset"}; }
};

enum class IoOperation { read, write };
template <>
struct EnumNames<IoOperation> {
  static constexpr const char* kType = "IoOperationType";
  static std::vector<std::string_view> names() { return {"read", "write"}; }
};
template <>
struct EnumNames<machine::MachineEvent::Action> {
  static constexpr const char* kType = "BlockErrorAction";
  static std::vector<std::string_view> names() { return {"report", "ignore", "stop"}; }
};

namespace {

struct BlockIoErrorEvent {
  static constexpr const char *kType = "BLOCK_IO_ERROR-data", *kEvent = "BLOCK_IO_ERROR";
  static constexpr const char* kHelp = "a disk's image could not be read or written";
  static constexpr bool kAtMostOnceASecond = false;
  std::string device, path, reason;
  IoOperation operation{};
  machine::MachineEvent::Action action{};
  bool nospace = false;
  template <class V>
  void visit(V& v) {
    v("device", device, "name of the drive");
    v("qom-path", path, "its path among the objects");
    v("operation", operation, "what was tried");
    v("action", action, "what becomes of the request (werror=, rerror=)");
    v("nospace", nospace, "whether the host's disk is full");
    v("reason", reason, "for people");
  }
};
struct StopEvent : Empty {
  static constexpr const char *kEvent = "STOP", *kHelp = "the machine has stopped";
  static constexpr bool kAtMostOnceASecond = false;
};
struct ResumeEvent : Empty {
  static constexpr const char *kEvent = "RESUME", *kHelp = "the machine runs";
  static constexpr bool kAtMostOnceASecond = false;
};
struct PowerdownEvent : Empty {
  static constexpr const char *kEvent = "POWERDOWN", *kHelp = "the power button was pressed";
  static constexpr bool kAtMostOnceASecond = false;
};
struct ShutdownEvent {
  static constexpr const char *kType = "SHUTDOWN-data", *kEvent = "SHUTDOWN";
  static constexpr const char* kHelp = "the machine has been turned off; without -no-shutdown the emulator ends";
  static constexpr bool kAtMostOnceASecond = false;
  bool guest = false;
  ShutdownReason reason{};
  template <class V>
  void visit(V& v) {
    v("guest", guest, "whether the guest asked for it");
    v("reason", reason, "who asked, and how");
  }
};
struct ResetEvent {
  static constexpr const char *kType = "RESET-data", *kEvent = "RESET", *kHelp = "the machine was reset";
  static constexpr bool kAtMostOnceASecond = false;
  bool guest = false;
  ResetReason reason{};
  template <class V>
  void visit(V& v) {
    v("guest", guest, "whether the guest asked for it");
    v("reason", reason, "who asked");
  }
};
struct TrayMovedEvent {
  static constexpr const char *kType = "DEVICE_TRAY_MOVED-data", *kEvent = "DEVICE_TRAY_MOVED";
  static constexpr const char* kHelp = "the tray of a drive with removable media was opened or closed";
  static constexpr bool kAtMostOnceASecond = false;
  std::string device, id;
  bool tray_open = false;
  template <class V>
  void visit(V& v) {
    v("device", device, "name of the drive");
    v("id", id, "its path among the objects");
    v("tray-open", tray_open, "whether it is open now");
  }
};
struct RtcChangeEvent {
  static constexpr const char *kType = "RTC_CHANGE-data", *kEvent = "RTC_CHANGE",
                              *kHelp = "the guest has set its clock";
  static constexpr bool kAtMostOnceASecond = true;
  s64 offset = 0;
  std::string path;
  template <class V>
  void visit(V& v) {
    v("offset", offset, "seconds between the clock and what it started from (-rtc base)");
    v("qom-path", path, "path of the clock among the objects");
  }
};

struct DeviceEvent {
  static constexpr const char* kType = "DEVICE_DELETED-data";
  static constexpr bool kAtMostOnceASecond = false;
  std::optional<std::string> device;
  std::string path;
  template <class V>
  void visit(V& v) {
    v("device", device, "its id");
    v("path", path, "its path among the objects");
  }
};
struct DeviceDeletedEvent : DeviceEvent {
  static constexpr const char *kEvent = "DEVICE_DELETED", *kHelp = "a device has been taken out; nothing of it is left";
};
struct UnplugErrorEvent : DeviceEvent {
  static constexpr const char *kEvent = "DEVICE_UNPLUG_GUEST_ERROR", *kHelp = "the guest does not let go of a device";
};

struct VserportChangeEvent {
  static constexpr const char *kType = "VSERPORT_CHANGE-data", *kEvent = "VSERPORT_CHANGE",
                              *kHelp = "the guest has opened or closed a port of virtio-serial";
  static constexpr bool kAtMostOnceASecond = true;
  std::string id;
  bool open = false;
  std::string of_what() const { return id; }
  template <class V>
  void visit(V& v) {
    v("id", id, "the port's (-device virtserialport,id=)");
    v("open", open, "whether it is open now");
  }
};
struct NicRxFilterChangedEvent {
  static constexpr const char *kType = "NIC_RX_FILTER_CHANGED-data", *kEvent = "NIC_RX_FILTER_CHANGED";
  static constexpr const char* kHelp =
      "the guest has changed which frames a network card takes; told once, and again after query-rx-filter";
  static constexpr bool kAtMostOnceASecond = false;
  std::optional<std::string> name;
  std::string path;
  template <class V>
  void visit(V& v) {
    v("name", name, "the card's, as query-rx-filter takes it");
    v("path", path, "its path among the objects");
  }
};

struct JobStatusChangeEvent {
  static constexpr const char *kType = "JOB_STATUS_CHANGE-data", *kEvent = "JOB_STATUS_CHANGE",
                              *kHelp = "a job has come to another state";
  static constexpr bool kAtMostOnceASecond = false;
  std::string id;
  JobStatus status{};
  template <class V>
  void visit(V& v) {
    v("id", id, "name of the job");
    v("status", status, "what it is in now");
  }
};

template <typename E>
constexpr EventDefinition event() {
  return {E::kEvent, E::kHelp, [](TypeTable& table) { return Describer::of<E>(table); }};
}
constexpr EventDefinition kEvents[] = {event<BlockIoErrorEvent>(),
                                       event<DeviceDeletedEvent>(),
                                       event<TrayMovedEvent>(),
                                       event<MigrationEvent>(),
                                       event<UnplugErrorEvent>(),
                                       event<JobStatusChangeEvent>(),
                                       event<NicRxFilterChangedEvent>(),
                                       event<PowerdownEvent>(),
                                       event<ResetEvent>(),
                                       event<ResumeEvent>(),
                                       event<RtcChangeEvent>(),
                                       event<ShutdownEvent>(),
                                       event<StopEvent>(),
                                       event<VserportChangeEvent>()};

ShutdownReason reason_of(machine::ShutdownCause cause) {
  switch (cause) {
    case machine::ShutdownCause::None:
    case machine::ShutdownCause::HostQuit: return ShutdownReason::host_qmp_quit;
    case machine::ShutdownCause::HostSignal: return ShutdownReason::host_signal;
    case machine::ShutdownCause::HostWindow: return ShutdownReason::host_ui;
    case machine::ShutdownCause::GuestShutdown: return ShutdownReason::guest_shutdown;
    case machine::ShutdownCause::GuestReset: return ShutdownReason::guest_reset;
    case machine::ShutdownCause::GuestPanic: return ShutdownReason::guest_panic;
  }
  return {};
}

}  // namespace

std::span<const EventDefinition> all_events() { return kEvents; }

void tell_job_status(EventHub& hub, const std::string& id, JobStatus status) {
  hub.emit(JobStatusChangeEvent{id, status});
}

void report_machine_events(machine::Machine& machine, EventHub& hub) {
  machine.on_event = [&hub](const machine::MachineEvent& e) {
    using Kind = machine::MachineEvent::Kind;
    switch (e.kind) {
      case Kind::Stop: return hub.emit(StopEvent{});
      case Kind::Resume: return hub.emit(ResumeEvent{});
      case Kind::Powerdown: return hub.emit(PowerdownEvent{});
      case Kind::Reset:
        return hub.emit(ResetEvent{e.guest, e.guest ? ResetReason::guest_reset : ResetReason::host_qmp_system_reset});
      case Kind::Shutdown: return hub.emit(ShutdownEvent{e.guest, reason_of(e.cause)});
      case Kind::TrayMoved: return hub.emit(TrayMovedEvent{e.name, e.path, e.open});
      case Kind::DeviceDeleted: return hub.emit(DeviceDeletedEvent{{e.name, e.path}});
      case Kind::UnplugRefused: return hub.emit(UnplugErrorEvent{{e.name, e.path}});
      case Kind::RtcChange: return hub.emit(RtcChangeEvent{e.offset, e.path});
      case Kind::PortChanged: return e.name.empty() ? void() : hub.emit(VserportChangeEvent{e.name, e.open});
      case Kind::FilterChanged: return hub.emit(NicRxFilterChangedEvent{e.name, e.path});
      case Kind::BlockError:
        return hub.emit(BlockIoErrorEvent{e.name, e.path, std::strerror(e.error),
                                          e.is_read ? IoOperation::read : IoOperation::write, e.action,
                                          e.error == ENOSPC});
    }
  };
}

}  // namespace doppel::monitor
