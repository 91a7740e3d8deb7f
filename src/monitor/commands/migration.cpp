// Migration, as far as there is any: a machine that stands still goes to a descriptor, program or file, and comes back.
#include "migration/migrator.h"
#include "monitor/commands/command.h"

namespace doppel::monitor {

enum class MigrationCapability { events };
template <>
struct EnumNames<MigrationCapability> {
  static constexpr const char* kType = "MigrationCapability";
  static std::vector<std::string_view> names() { return {"events"}; }
};
namespace {

struct CapabilityState {
  static constexpr const char* kType = "MigrationCapabilityStatus";
  MigrationCapability capability{};
  bool state = false;
  template <class V>
  void visit(V& v) {
    v("capability", capability, "events: a MIGRATION event tells of each step");
    v("state", state);
  }
};
Answer<std::vector<CapabilityState>> query_capabilities(Context& c, Empty&) {
  const std::lock_guard guard(c.services.change_lock);
  return std::vector<CapabilityState>{{MigrationCapability::events, c.services.migration_events}};
}

struct SetCapabilities {
  static constexpr const char* kType = "migrate-set-capabilities-arg";
  std::vector<CapabilityState> capabilities;
  template <class V>
  void visit(V& v) {
    v("capabilities", capabilities, "those that change");
  }
};
Answer<Empty> set_capabilities(Context& c, SetCapabilities& args) {
  const std::lock_guard guard(c.services.change_lock);
  for (const CapabilityState& s : args.capabilities) c.services.migration_events = s.state;
  return Empty{};
}

// The machine does not run while its state is written: how fast that may be, and how long it may stand, bounds nothing.
struct Parameters {
  static constexpr const char* kType = "MigrationParameters";
  std::optional<u64> bandwidth, downtime;
  template <class V>
  void visit(V& v) {
    v("max-bandwidth", bandwidth, "bytes a second; kept, but a state is written as fast as it goes");
    v("downtime-limit", downtime, "milliseconds; kept, but the machine stands still all the time");
  }
};
Answer<Parameters> query_parameters(Context& c, Empty&) {
  const std::lock_guard guard(c.services.change_lock);
  return Parameters{c.services.migration_bandwidth, c.services.migration_downtime};
}
Answer<Empty> set_parameters(Context& c, Parameters& args) {
  const std::lock_guard guard(c.services.change_lock);
  if (args.bandwidth) c.services.migration_bandwidth = *args.bandwidth;
  if (args.downtime) c.services.migration_downtime = *args.downtime;
  return Empty{};
}

struct Migrate {
  static constexpr const char* kType = "migrate-arg";
  std::string uri;
  std::optional<bool> detach, blk, inc, resume;
  template <class V>
  void visit(V& v) {
    v("uri", uri, "fd:NAME (of getfd), exec:COMMAND or file:PATH");
    v("detach", detach, "always so: query-migrate and the MIGRATION event tell how it went");
    v("blk", blk, "the disks too: not built");
    v("inc", inc, "what of the disks differs: not built");
    v("resume", resume, "of a postcopy migration: not built");
  }
};
migration::TakeDescriptor descriptors_of(Context& c) {
  return [&c](const std::string& name) { return c.descriptors->take(name).value_or(-1); };
}
Answer<Empty> migrate(Context& c, Migrate& args) {
  for (const auto& [name, on] : {std::pair{"blk", args.blk}, {"inc", args.inc}, {"resume", args.resume}}) {
    if (on.value_or(false)) return CommandError{"Parameter '" + std::string(name) + "' is not built (leave it out)"};
  }
  const std::lock_guard guard(c.services.change_lock);
  if (Status s = c.services.migrator.send(args.uri, descriptors_of(c)); !s) return s.error();
  return Empty{};
}
struct Uri {
  static constexpr const char* kType = "migrate-incoming-arg";
  std::string uri;
  template <class V>
  void visit(V& v) {
    v("uri", uri, "fd:N, exec:COMMAND or file:PATH");
  }
};
Answer<Empty> migrate_incoming(Context& c, Uri& args) {
  const std::lock_guard guard(c.services.change_lock);
  if (Status s = c.services.migrator.receive(args.uri, descriptors_of(c)); !s) return s.error();
  return Empty{};
}
Answer<Empty> migrate_cancel(Context& c, Empty&) {
  c.services.migrator.cancel();
  return Empty{};
}

struct MigratedRam {
  static constexpr const char* kType = "MigrationStats";
  u64 transferred = 0, remaining = 0, total = 0;
  template <class V>
  void visit(V& v) {
    v("transferred", transferred, "bytes of the state that were written");
    v("remaining", remaining, "bytes of RAM that are left");
    v("total", total, "bytes of RAM");
  }
};
struct MigrationInfo {
  static constexpr const char* kType = "MigrationInfo";
  std::optional<MigrationState> status;
  std::optional<MigratedRam> ram;
  std::optional<s64> total_time, downtime, setup_time;
  std::optional<std::string> error;
  template <class V>
  void visit(V& v) {
    v("status", status, "left out: there was none");
    v("ram", ram);
    v("total-time", total_time, "milliseconds since it began");
    v("downtime", downtime, "milliseconds that the machine stood still");
    v("setup-time", setup_time, "milliseconds before the first byte");
    v("error-desc", error, "why it failed");
  }
};
Answer<MigrationInfo> query_migrate(Context& c, Empty&) {
  const migration::Migrator::Progress p = c.services.migrator.progress();
  MigrationInfo out;
  if (p.state == MigrationState::None) return out;
  out.status = p.state;
  if (!p.error.empty()) out.error = p.error;
  const bool done = p.state == MigrationState::Completed;
  out.ram = {.transferred = p.written,
             .remaining = done || p.written > p.ram_bytes ? 0 : p.ram_bytes - p.written,
             .total = p.ram_bytes};
  out.total_time = p.milliseconds;
  out.setup_time = 0;
  if (done) out.downtime = p.milliseconds;
  return out;
}

constexpr Definition kRows[] = {
    command<&migrate>(
        "migrate", "write the machine's state to a descriptor, program or file; the machine stands still from then on"),
    command<&migrate_cancel>("migrate_cancel", "end a migration; the machine goes on"),
    command<&migrate_incoming>("migrate-incoming",
                               "take the state that a machine started with -incoming defer waits for"),
    command<&query_migrate>("query-migrate", "how a migration goes, or went"),
    command<&query_parameters>("query-migrate-parameters", "parameters of migration"),
    command<&set_parameters>("migrate-set-parameters", "set parameters of migration"),
    command<&query_capabilities>("query-migrate-capabilities", "what migration can do"),
    command<&set_capabilities>("migrate-set-capabilities", "turn capabilities of migration on or off"),
};

}  // namespace

std::span<const Definition> migration_commands() { return kRows; }

}  // namespace doppel::monitor
