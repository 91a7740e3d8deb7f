// What monitor commands see: the machine, and what all monitors of the process share.
#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "machine/machine.h"
#include "migration/migrator.h"
#include "migration/record.h"
#include "monitor/commands/builder.h"
#include "monitor/commands/descriptors.h"
#include "monitor/commands/events.h"
#include "monitor/commands/jobs.h"

namespace doppel::chardev {
class Factory;
}
namespace doppel::monitor {

struct OptionParameter {
  std::string name, type, help;  // type: string, boolean, number, size
};
struct CommandLineOption {
  std::string name;
  std::vector<OptionParameter> parameters;
};

struct PointerState {
  u32 buttons = 0;
  int x = 0, y = 0;
};

// Made by the application before the monitors; outlives them.
struct Services {
  explicit Services(machine::Machine& m) : machine(m), migrator(m) {
    migrator.on_state = [this](MigrationState state) {
      if (migration_events) events.emit(MigrationEvent{state});
      if (on_migration) on_migration(state);
    };
  }
  machine::Machine& machine;
  EventHub events;
  migration::Migrator migrator;
  std::function<void(MigrationState)> on_migration;     // the application's; set before the first one
  Builder* builder = nullptr;                           // null: nothing can be added
  chardev::Factory* chardevs = nullptr;                 // null: chardev commands say that there are none
  std::vector<CommandLineOption> command_line_options;  // for query-command-line-options
  std::string arch = "x86_64";
  std::string display = "none";
  migration::Launch launch;  // without a folder: not started by `doppel run`
  // Commands that change what is shared (chardevs, network, pointer): one at a time.
  std::mutex change_lock;
  std::atomic<bool> migration_events{false};                           // the capability "events"
  u64 migration_bandwidth = u64{128} << 20, migration_downtime = 300;  // as clients set them
  u64 balloon_polling = 0;                                             // seconds, as a client set it
  PointerState pointer;                                                // as input-send-event left it
  JobList jobs;                                                        // the last: its threads use what stands above
};

// One client of a monitor.
struct Context {
  explicit Context(Services& s) : services(s), machine(s.machine), descriptors(std::make_shared<Descriptors>()) {}
  Services& services;
  machine::Machine& machine;
  std::shared_ptr<Descriptors> descriptors;
};

}  // namespace doppel::monitor
