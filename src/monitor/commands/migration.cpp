// Migration, as far as there is any: its capabilities, which clients set before they know whether they will migrate.
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

constexpr Definition kRows[] = {
    command<&query_capabilities>("query-migrate-capabilities", "what migration can do"),
    command<&set_capabilities>("migrate-set-capabilities", "turn capabilities of migration on or off"),
};

}  // namespace

std::span<const Definition> migration_commands() { return kRows; }

}  // namespace doppel::monitor
