// Events: what the machine tells clients by itself. An event is a structure with kEvent (its name) and kHelp; the hub
// stamps it and hands it to every client that has negotiated.
#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <thread>

#include "machine/machine.h"
#include "migration/migrator.h"
#include "monitor/commands/visit.h"

namespace doppel::monitor {

class EventHub {
 public:
  using Listener = std::function<void(const Output& event)>;
  EventHub() = default;
  ~EventHub();
  EventHub(const EventHub&) = delete;
  EventHub& operator=(const EventHub&) = delete;

  // Any thread. Listeners are called one event at a time, on the thread that emits; they must not block or emit.
  int subscribe(Listener listener);
  void unsubscribe(int id);
  template <typename E>
  void emit(E event) {
    std::string of_what;
    if constexpr (requires { event.of_what(); }) of_what = event.of_what();
    emit(E::kEvent, Writer::write(event), E::kAtMostOnceASecond, of_what);
  }
  // Events of a kind that a guest can cause at will come at most once a second; the last one of a second is kept. If
  // they are about several things, `of_what` tells these apart: each has a second of its own.
  void emit(const std::string& name, Output data, bool at_most_once_a_second, const std::string& of_what = {});

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Throttle {
    Time next{};
    std::optional<Output> kept;
  };
  static Output stamped(const std::string& name, Output data);
  void deliver(const Output& event);
  void run();
  std::mutex lock_;
  std::condition_variable wake_;
  std::map<int, Listener> listeners_;
  Throttle& throttle(const std::string& key, Time now);
  std::map<std::string, Throttle> throttles_;
  std::thread thread_;  // delivers what was kept; made when first needed
  bool stopping_ = false;
  int next_id_ = 0;
};

using MigrationState = migration::Migrator::State;
template <>
struct EnumNames<MigrationState> {
  static constexpr const char* kType = "MigrationStatus";
  static std::vector<std::string_view> names() {  // in the order of Migrator::State
    return {"none", "setup", "active", "completed", "failed", "cancelled"};
  }
};
// Told by the migrator, not by the machine.
struct MigrationEvent {
  static constexpr const char *kType = "MIGRATION-data", *kEvent = "MIGRATION";
  static constexpr const char* kHelp = "a migration has come to another step (capability events)";
  static constexpr bool kAtMostOnceASecond = false;
  MigrationState status{};
  template <class V>
  void visit(V& v) {
    v("status", status, "the step");
  }
};

struct EventDefinition {
  const char* name;
  const char* help;
  const Type* (*describe)(TypeTable& table);
};
std::span<const EventDefinition> all_events();

enum class JobStatus;
void tell_job_status(EventHub& hub, const std::string& id, JobStatus status);

// Turns what the machine reports into events.
void report_machine_events(machine::Machine& machine, EventHub& hub);

}  // namespace doppel::monitor
