// CPUs, boards and CPU models.
#include "monitor/commands/command.h"

namespace doppel::monitor {

enum class ExpansionType { static_names, full };
template <>
struct EnumNames<ExpansionType> {
  static constexpr const char* kType = "CpuModelExpansionType";
  static std::vector<std::string_view> names() { return {"static", "full"}; }
};

namespace {

std::string type_name(const machine::MachineConfig& config, const std::string& model) {
  return model + "-" + config.target + "-cpu";
}

struct CpuPlace {
  static constexpr const char* kType = "CpuInstanceProperties";
  s64 socket = 0, core = 0, thread = 0;
  template <class V>
  void visit(V& v) {
    v("socket-id", socket);
    v("core-id", core);
    v("thread-id", thread);
  }
};
CpuPlace place_of(const machine::MachineConfig& config, u32 index) {
  const u32 threads = std::max(config.threads, 1u);
  const u32 cores = config.cores     ? config.cores
                    : config.sockets ? std::max(config.cpus / config.sockets / threads, 1u)
                                     : 1;
  return {index / (cores * threads), index / threads % cores, index % threads};
}

struct CpuInfo {
  static constexpr const char* kType = "CpuInfoFast";
  s64 index = 0, thread_id = 0;
  std::string path, target;
  CpuPlace props;
  template <class V>
  void visit(V& v) {
    v("cpu-index", index);
    v("qom-path", path, "its path among the objects");
    v("thread-id", thread_id, "the host's thread that runs it");
    v("props", props, "where it is plugged in");
    v("target", target, "the guest's architecture");
  }
};
Answer<std::vector<CpuInfo>> query_cpus_fast(Context& c, Empty&) {
  std::vector<CpuInfo> out;
  const auto ids = c.machine.vcpu_thread_ids();
  for (size_t i = 0; i < ids.size(); i++)
    out.push_back({static_cast<s64>(i), ids[i], "/machine/unattached/device[" + std::to_string(i) + "]",
                   c.machine.config().target, place_of(c.machine.config(), static_cast<u32>(i))});
  return out;
}

struct HotpluggableCpu {
  static constexpr const char* kType = "HotpluggableCPU";
  std::string type, path;
  s64 vcpus = 1;
  CpuPlace props;
  template <class V>
  void visit(V& v) {
    v("type", type);
    v("vcpus-count", vcpus);
    v("props", props, "where it is plugged in");
    v("qom-path", path);
  }
};
Answer<std::vector<HotpluggableCpu>> query_hotpluggable_cpus(Context& c, Empty&) {
  const auto count = static_cast<u32>(c.machine.vcpus().size());
  if (count == 0) return CommandError{"This machine has no places for CPUs"};
  std::vector<HotpluggableCpu> out;
  const std::string type = type_name(c.machine.config(), machine::cpu_model_name(c.machine.config()));
  for (u32 i = count; i-- > 0;)
    out.push_back({type, "/machine/unattached/device[" + std::to_string(i) + "]", 1, place_of(c.machine.config(), i)});
  return out;
}

struct MachineInfo {
  static constexpr const char* kType = "MachineInfo";
  std::string name;
  std::optional<std::string> alias;
  std::optional<bool> is_default;
  s64 cpu_max = 1;
  bool hotpluggable_cpus = false, numa = false, deprecated = false;
  std::optional<std::string> cpu_type, ram_id;
  template <class V>
  void visit(V& v) {
    v("name", name);
    v("alias", alias, "another name for it");
    v("is-default", is_default);
    v("cpu-max", cpu_max, "CPUs at most");
    v("hotpluggable-cpus", hotpluggable_cpus, "whether CPUs can be plugged in while it runs");
    v("numa-mem-supported", numa);
    v("deprecated", deprecated);
    v("default-cpu-type", cpu_type);
    v("default-ram-id", ram_id);
  }
};
Answer<std::vector<MachineInfo>> query_machines(Context& c, Empty&) {
  std::vector<MachineInfo> out;
  for (const machine::BoardInfo& b : machine::boards(c.machine.config().target)) {
    MachineInfo m{.name = b.name, .cpu_max = b.cpus_max};
    if (!b.alias.empty()) m.alias = b.alias;
    if (b.is_default) m.is_default = true;
    if (!b.default_cpu.empty()) {
      m.cpu_type = type_name(c.machine.config(), b.default_cpu);
      m.ram_id = "pc.ram";
    }
    out.push_back(m);
  }
  return out;
}

struct CurrentMachine {
  static constexpr const char* kType = "CurrentMachineParams";
  bool wakeup_suspend = false;
  template <class V>
  void visit(V& v) {
    v("wakeup-suspend-support", wakeup_suspend, "whether a sleeping guest can be woken");
  }
};
Answer<CurrentMachine> query_current_machine(Context&, Empty&) { return CurrentMachine{}; }

struct CpuDefinition {
  static constexpr const char* kType = "CpuDefinitionInfo";
  std::string name, type;
  bool migration_safe = true, is_static = false, deprecated = false;
  std::vector<std::string> unavailable;
  template <class V>
  void visit(V& v) {
    v("name", name);
    v("typename", type);
    v("migration-safe", migration_safe);
    v("static", is_static);
    v("unavailable-features", unavailable, "what the model should have and this emulator has not");
    v("deprecated", deprecated);
  }
};
Answer<std::vector<CpuDefinition>> query_cpu_definitions(Context& c, Empty&) {
  std::vector<CpuDefinition> out;
  for (const std::string& name : machine::cpu_models(c.machine.config().target))
    out.push_back({.name = name, .type = type_name(c.machine.config(), name), .migration_safe = name != "max"});
  return out;
}

struct CpuModel {
  static constexpr const char* kType = "CpuModelInfo";
  std::string name;
  std::optional<Input> props;
  template <class V>
  void visit(V& v) {
    v("name", name);
    v("props", props, "features by name, true or false");
  }
};
struct Expand {
  static constexpr const char* kType = "query-cpu-model-expansion-arg";
  ExpansionType type{};
  CpuModel model;
  template <class V>
  void visit(V& v) {
    v("type", type, "static: on top of the model base; full: everything");
    v("model", model);
  }
};
struct Expansion {
  static constexpr const char* kType = "CpuModelExpansionInfo";
  CpuModel model;
  template <class V>
  void visit(V& v) {
    v("model", model);
  }
};
// The model with its features spelled out. `static` ones name the features that differ from none at all.
Answer<Expansion> expand(Context& c, Expand& args) {
  std::string spec = args.model.name;
  const Input asked = args.model.props.value_or(Input::object());
  if (!asked.is_object()) return CommandError{"Invalid parameter type for 'model.props', expected: object"};
  for (auto it = asked.begin(); it != asked.end(); ++it) {
    if (!it->is_boolean()) continue;  // not a feature: min-level and its like
    spec += std::string(it->get<bool>() ? ",+" : ",-") + it.key();
  }
  auto features = machine::cpu_features(spec, c.machine.config().target);
  if (!features) return features.error();
  const bool is_static = args.type == ExpansionType::static_names;
  Input props = Input::object();
  for (const auto& [name, on] : *features) {
    if (on || !is_static) props[name] = on;
  }
  return Expansion{{is_static ? "base" : args.model.name, props}};
}

constexpr Definition kRows[] = {
    command<&query_cpus_fast>("query-cpus-fast", "the CPUs, without disturbing them"),
    command<&query_hotpluggable_cpus>("query-hotpluggable-cpus", "places for CPUs and what is plugged in"),
    command<&query_machines>("query-machines", "the boards that there are"),
    command<&query_current_machine>("query-current-machine", "properties of the machine that runs"),
    command<&query_cpu_definitions>("query-cpu-definitions", "the CPU models that there are"),
    command<&expand>("query-cpu-model-expansion", "the features of a CPU model"),
};

}  // namespace

std::span<const Definition> cpu_commands() { return kRows; }

}  // namespace doppel::monitor
