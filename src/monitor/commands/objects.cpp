// The machine as a tree of objects with properties (qom-*), and the types that there are. The tree is made from what
// the machine says when somebody asks; nothing is kept.
#include <algorithm>
#include <chrono>

#include "chardev/factory.h"
#include "monitor/commands/command.h"
#include "net/network.h"

namespace doppel::monitor {
namespace {

struct Property {
  std::string name, type;
  Output value;
};
using Properties = std::vector<Property>;

Properties container(const std::vector<std::pair<std::string, std::string>>& children) {
  Properties out = {{"type", "string", "container"}};
  for (const auto& [name, type] : children) out.push_back({name, "child<" + type + ">", nullptr});
  return out;
}

std::string machine_type(const machine::MachineConfig& config) {
  return machine::board_name(config.board) + "-machine";
}

std::string cpu_type(const machine::MachineConfig& config) {
  return machine::cpu_model_name(config) + "-" + config.target + "-cpu";
}

std::optional<machine::DeviceConfig> given_device(Context& c, const std::string& id) {
  for (const machine::DeviceConfig& d : c.machine.given_devices()) {
    const auto it = d.properties.find("id");
    if (it != d.properties.end() && it->second == id) return d;
  }
  return std::nullopt;
}

std::vector<std::string> all_devices(Context& c) {
  const std::lock_guard guard(c.machine.device_lock());
  std::vector<std::string> names;
  for (const auto& [name, device] : c.machine.devices()) names.push_back(name);
  return names;
}

// Our names of the board's own devices, as QEMU calls their types.
std::string device_type(Context& c, const std::string& name) {
  if (const auto d = given_device(c, name)) return d->driver;
  static const std::map<std::string, std::string> kTypes = {
      {"vga", "VGA"},          {"ide", "piix3-ide"},     {"piix3", "PIIX3"},
      {"i440fx", "i440FX"},    {"piix4-pm", "PIIX4_PM"}, {"rtc", "mc146818rtc"},
      {"pit", "isa-pit"},      {"pic", "isa-i8259"},     {"ioapic", "ioapic"},
      {"hpet", "hpet"},        {"dma", "i8257"},         {"fdc", "isa-fdc"},
      {"fw-cfg", "fw_cfg_io"}, {"port92", "port92"},     {"debugcon", "isa-debugcon"}};
  const auto it = kTypes.find(name);
  if (it != kTypes.end()) return it->second;
  if (name.starts_with("serial")) return "isa-serial";
  if (name.starts_with("apic")) return "apic";
  const auto models = machine::device_names();
  const std::string stem = name.substr(0, name.find('.'));  // e1000.0
  return std::find(models.begin(), models.end(), stem) != models.end() ? stem : name;
}

Properties machine_properties(Context& c) {
  const machine::MachineConfig& m = c.machine.config();
  Properties out = {{"type", "string", machine_type(m)},
                    {"peripheral", "child<container>", nullptr},
                    {"peripheral-anon", "child<container>", nullptr},
                    {"unattached", "child<container>", nullptr},
                    {"kernel", "string", m.kernel},
                    {"initrd", "string", m.initrd},
                    {"append", "string", m.append},
                    {"firmware", "string", m.bios},
                    {"graphics", "bool", m.vga != "none"},
                    {"usb", "bool", false}};
  if (machine::board_name(m.board) == "none") return out;
  out.push_back({"hpet", "bool", m.hpet});
  out.push_back({"acpi", "OnOffAuto", m.acpi ? "on" : "off"});
  out.push_back({"vmport", "OnOffAuto", m.vmport ? "on" : "off"});
  return out;
}

Properties cpu_properties(const std::string& spec, const machine::MachineConfig& m) {
  Properties out = {{"type", "string", cpu_type(m)}, {"realized", "bool", true}, {"hotplugged", "bool", false}};
  if (auto features = machine::cpu_features(spec, m.target)) {
    for (const auto& [name, on] : *features) out.push_back({name, "bool", on});
  }
  out.push_back({"unavailable-features", "strList", Output::array()});
  return out;
}

std::string property_type(const std::string& name) {
  static const std::map<std::string, std::string> kTypes = {{"bootindex", "int32"},
                                                            {"unit", "uint32"},
                                                            {"iobase", "uint32"},
                                                            {"iosize", "uint32"},
                                                            {"index", "uint32"},
                                                            {"rombar", "uint32"},
                                                            {"addr", "int32"},
                                                            {"vectors", "uint32"},
                                                            {"queue-size", "uint16"},
                                                            {"max-ports", "uint32"},
                                                            {"multifunction", "bool"},
                                                            {"disable-legacy", "OnOffAuto"},
                                                            {"disable-modern", "bool"},
                                                            {"vgamem_mb", "uint32"},
                                                            {"num-queues", "uint16"},
                                                            {"max_ports", "uint32"},
                                                            {"mq", "bool"},
                                                            {"host_mtu", "uint16"}};
  const auto it = kTypes.find(name);
  return it == kTypes.end() ? "str" : it->second;
}

// A property's value as its type has it.
Output typed(const std::string& type, const std::string& value) {
  if (type == "bool") return value == "on" || value == "true" || value == "yes";
  u64 number = 0;
  const bool is_number = type.find("int") != std::string::npos && parse_number(value, number);
  return is_number ? Output(number) : Output(value);
}

constexpr const char* kPollingInterval = "guest-stats-polling-interval";

// What the guest told of its memory; names by virtio's tags.
Output guest_stats(Context& c) {
  static constexpr const char* kNames[] = {
      "stat-swap-in",      "stat-swap-out",         "stat-major-faults", "stat-minor-faults", "stat-free-memory",
      "stat-total-memory", "stat-available-memory", "stat-disk-caches",  "stat-htlb-pgalloc", "stat-htlb-pgfail"};
  Output stats = Output::object();
  bool told = false;
  if (auto all = c.machine.balloon_stats()) {
    for (size_t i = 0; i < all->size() && i < std::size(kNames); i++) {
      stats[kNames[i]] = (*all)[i];
      told |= (*all)[i] != ~u64{0};
    }
  }
  const u64 now = static_cast<u64>(std::chrono::system_clock::now().time_since_epoch() / std::chrono::seconds(1));
  return {{"stats", stats}, {"last-update", told ? now : 0}};
}

// virtio-net-pci has a virtio-net-device below it.
std::string behind_virtio(const std::string& type) {
  const size_t end = type.find("-pci");
  return type.starts_with("virtio-") && end != std::string::npos ? type.substr(0, end) + "-device" : "";
}

Properties device_properties(Context& c, const std::string& name) {
  const auto d = given_device(c, name);
  Properties out = {
      {"type", "string", device_type(c, name)}, {"realized", "bool", true}, {"hotplugged", "bool", d && d->hotplugged}};
  if (d) {
    for (const auto& [key, value] : d->properties) {
      if (key != "id") out.push_back({key, property_type(key), typed(property_type(key), value)});
    }
  }
  // A card has the address that the guest sees, whoever chose it.
  const bool told = d && d->properties.contains("mac");
  if (const auto& network = c.machine.config().network; network && !told) {
    if (const auto mac = network->mac_of(name)) out.push_back({"mac", "str", net::mac_text(*mac)});
  }
  const std::string type = out[0].value.get<std::string>(), inner = behind_virtio(type);
  if (type.starts_with("virtio-balloon")) {
    out.push_back({"guest-stats", "guest statistics", guest_stats(c)});
    const std::lock_guard guard(c.services.change_lock);
    out.push_back({kPollingInterval, "int", c.services.balloon_polling});
  }
  if (!inner.empty()) out.push_back({"virtio-backend", "child<" + inner + ">", nullptr});
  return out;
}

std::vector<std::pair<std::string, std::string>> devices(Context& c, bool by_user) {
  const machine::MachineConfig& m = c.machine.config();
  std::vector<std::pair<std::string, std::string>> out;
  for (size_t i = 0; !by_user && i < c.machine.vcpus().size(); i++)
    out.emplace_back("device[" + std::to_string(i) + "]", cpu_type(m));
  for (const std::string& name : all_devices(c)) {
    if (given_device(c, name).has_value() == by_user) out.emplace_back(name, device_type(c, name));
  }
  for (const machine::DriveInfo& d : c.machine.drives()) {
    const std::string name = d.path.substr(d.path.rfind('/') + 1);
    const bool users = d.path.starts_with("/machine/peripheral/");
    const std::string type = d.id.starts_with("floppy") ? "floppy" : d.removable ? "ide-cd" : "ide-hd";
    if (users == by_user) out.emplace_back(name, users ? device_type(c, name) : type);
  }
  if (!by_user) return out;
  for (const machine::DeviceConfig& d : c.machine.given_devices()) {  // what is neither card nor drive: ports
    const auto id = d.properties.find("id");
    if (id == d.properties.end() || id->second.empty()) continue;
    if (std::none_of(out.begin(), out.end(), [&](const auto& known) { return known.first == id->second; }))
      out.emplace_back(id->second, d.driver);
  }
  return out;
}

// id, type
std::vector<std::pair<std::string, std::string>> given_objects(Context& c) {
  if (c.services.builder) {
    const std::lock_guard guard(c.services.change_lock);
    return c.services.builder->objects();
  }
  std::vector<std::pair<std::string, std::string>> all;
  for (const machine::MemoryBackend& b : c.machine.config().memory_backends) all.emplace_back(b.id, b.kind);
  return all;
}

Answer<Properties> object_at(Context& c, const std::string& path) {
  const machine::MachineConfig& m = c.machine.config();
  if (path == "/" || path.empty())
    return container({{"machine", machine_type(m)}, {"chardevs", "container"}, {"objects", "container"}});
  if (path == "/machine") return machine_properties(c);
  if (path == "/machine/peripheral") return container(devices(c, true));
  if (path == "/machine/unattached") return container(devices(c, false));
  if (path == "/machine/peripheral-anon") return container({});
  if (path == "/objects") {
    return container(given_objects(c));
  }
  if (path == "/chardevs") {
    std::vector<std::pair<std::string, std::string>> all;
    if (c.services.chardevs) {
      const std::lock_guard guard(c.services.change_lock);
      for (const auto& [id, dev] : c.services.chardevs->all()) all.emplace_back(id, "chardev");
    }
    return container(all);
  }
  constexpr std::string_view kBackend = "/virtio-backend";
  if (path.ends_with(kBackend)) {
    auto card = object_at(c, path.substr(0, path.size() - kBackend.size()));
    if (!card) return card.error();
    if (const std::string type = behind_virtio((*card)[0].value.get<std::string>()); !type.empty())
      return Properties{{"type", "string", type}, {"realized", "bool", true}};
  }
  const size_t slash = path.rfind('/');
  const std::string folder = path.substr(0, slash), name = path.substr(slash + 1);
  for (const machine::MemoryBackend& b : m.memory_backends) {
    if (path != "/objects/" + b.id) continue;
    Properties p = {{"type", "string", b.kind}, {"size", "size", b.size}, {"share", "bool", b.shared}};
    if (!b.path.empty()) p.push_back({"mem-path", "string", b.path});
    return p;
  }
  for (const auto& [id, type] : given_objects(c)) {
    if (path == "/objects/" + id) return Properties{{"type", "string", type}};
  }
  const bool by_user = folder == "/machine/peripheral";
  if (by_user || folder == "/machine/unattached") {
    for (const auto& [known, type] : devices(c, by_user)) {
      if (known != name) continue;
      if (name.starts_with("device[")) return cpu_properties(m.cpu.empty() ? machine::cpu_model_name(m) : m.cpu, m);
      Properties p = device_properties(c, name);
      p[0].value = type;
      return p;
    }
  }
  return CommandError{"Device '" + path + "' not found (qom-list shows what there is)", ErrorClass::DeviceNotFound};
}

// --- commands

struct Path {
  static constexpr const char* kType = "qom-list-arg";
  std::string path;
  template <class V>
  void visit(V& v) {
    v("path", path, "from the root: /machine/unattached");
  }
};
struct PropertyInfo {
  static constexpr const char* kType = "ObjectPropertyInfo";
  std::string name, type;
  template <class V>
  void visit(V& v) {
    v("name", name);
    v("type", type, "child<TYPE>: an object below this one");
  }
};
Answer<std::vector<PropertyInfo>> qom_list(Context& c, Path& args) {
  auto object = object_at(c, args.path);
  if (!object) return object.error();
  std::vector<PropertyInfo> out;
  for (const Property& p : *object) out.push_back({p.name, p.type});
  return out;
}

struct GetArgs {
  static constexpr const char* kType = "qom-get-arg";
  std::string path, property;
  template <class V>
  void visit(V& v) {
    v("path", path, "the object");
    v("property", property, "its property");
  }
};
Answer<Output> qom_get(Context& c, GetArgs& args) {
  auto object = object_at(c, args.path);
  if (!object) return object.error();
  for (const Property& p : *object) {
    if (p.name != args.property) continue;
    if (p.type.starts_with("child<")) return Output((args.path == "/" ? "" : args.path) + "/" + p.name);
    return p.value;
  }
  return CommandError{"Property '" + args.property + "' not found in " + args.path};
}

struct SetArgs {
  static constexpr const char* kType = "qom-set-arg";
  std::string path, property;
  Input value;
  template <class V>
  void visit(V& v) {
    v("path", path, "the object");
    v("property", property, "its property");
    v("value", value, "what it shall be");
  }
};
// The one property that can be changed is how often the balloon asks the guest for its statistics. It asks whenever
// somebody wants to know; the number is kept.
Answer<Empty> qom_set(Context& c, SetArgs& args) {
  auto object = object_at(c, args.path);
  if (!object) return object.error();
  const bool known =
      std::any_of((*object).begin(), (*object).end(), [&](const Property& p) { return p.name == args.property; });
  if (!known) return CommandError{"Property '" + args.property + "' not found in " + args.path};
  if (args.property != kPollingInterval)
    return CommandError{"Property '" + args.property + "' of " + args.path + " can't be changed"};
  if (!args.value.is_number_unsigned()) return CommandError{"Parameter 'value' expects a number of seconds"};
  const std::lock_guard guard(c.services.change_lock);
  c.services.balloon_polling = args.value.get<u64>();
  if (auto asked = c.machine.balloon_stats(); !asked) return asked.error();
  return Empty{};
}

struct TypeRow {
  std::string name, parent;
  bool abstract = false;
};
std::vector<TypeRow> types(const machine::MachineConfig& m) {
  const std::string cpu = m.target + "-cpu";
  std::vector<TypeRow> out = {{"object", "", true},
                              {"container", "object"},
                              {"device", "object", true},
                              {"machine", "object", true},
                              {"pci-device", "device", true},
                              {"isa-device", "device", true},
                              {"ide-device", "device", true},
                              {"cpu", "device", true},
                              {cpu, "cpu", true},
                              {"filter-dump", "object"},
                              {"secret", "object"},
                              {"rng-backend", "object", true},
                              {"rng-builtin", "rng-backend"},
                              {"rng-random", "rng-backend"},
                              {"accel", "object", true},
                              {"tcg-accel", "accel"},
                              {"interp-accel", "accel"},
                              {"memory-backend", "object", true},
                              {"memory-backend-ram", "memory-backend"},
                              {"memory-backend-file", "memory-backend"}};
  for (const machine::BoardInfo& b : machine::boards(m.target)) out.push_back({b.name + "-machine", "machine"});
  for (const std::string& model : machine::cpu_models(m.target)) out.push_back({model + "-" + cpu, cpu});
  for (const std::string& name : machine::device_names()) out.push_back({name, machine::device_bus(name) + "-device"});
  for (TypeRow& t : out) {
    const bool known =
        std::any_of(out.begin(), out.end(), [&](const TypeRow& other) { return other.name == t.parent; });
    if (!known && !t.parent.empty()) t.parent = "device";
  }
  return out;
}

const TypeRow* find_type(const std::vector<TypeRow>& all, const std::string& name) {
  const auto it = std::find_if(all.begin(), all.end(), [&](const TypeRow& t) { return t.name == name; });
  return it == all.end() ? nullptr : &*it;
}

bool is_a(const std::vector<TypeRow>& all, const TypeRow* type, const std::string& base) {
  for (; type != nullptr; type = find_type(all, type->parent)) {
    if (type->name == base) return true;
  }
  return false;
}

struct ListTypes {
  static constexpr const char* kType = "qom-list-types-arg";
  std::optional<std::string> implements;
  std::optional<bool> abstract;
  template <class V>
  void visit(V& v) {
    v("implements", implements, "only types that are this one or come from it");
    v("abstract", abstract, "also types that have no objects of their own; not by default");
  }
};
struct TypeInfo {
  static constexpr const char* kType = "ObjectTypeInfo";
  std::string name;
  std::optional<bool> abstract;
  std::optional<std::string> parent;
  template <class V>
  void visit(V& v) {
    v("name", name);
    v("abstract", abstract);
    v("parent", parent);
  }
};
Answer<std::vector<TypeInfo>> qom_list_types(Context& c, ListTypes& args) {
  const auto all = types(c.machine.config());
  std::vector<TypeInfo> out;
  for (const TypeRow& t : all) {
    if (t.abstract && !args.abstract.value_or(false)) continue;
    if (args.implements && !is_a(all, &t, *args.implements)) continue;
    TypeInfo info{.name = t.name};
    if (t.abstract) info.abstract = true;
    if (!t.parent.empty()) info.parent = t.parent;
    out.push_back(info);
  }
  return out;
}

struct TypeName {
  static constexpr const char* kType = "device-list-properties-arg";
  std::string name;
  template <class V>
  void visit(V& v) {
    v("typename", name, "as -device or qom-list-types has it");
  }
};

Answer<std::vector<PropertyInfo>> list_properties(Context& c, const std::string& name, bool devices_only) {
  const auto all = types(c.machine.config());
  const TypeRow* type = find_type(all, name);
  if (!type)
    return CommandError{"Device '" + name + "' not found (qom-list-types shows the types)", ErrorClass::DeviceNotFound};
  if (devices_only && (type->abstract || !is_a(all, type, "device")))
    return CommandError{"Parameter 'typename' expects a " + std::string(type->abstract ? "non-abstract " : "") +
                        "device type"};
  std::vector<PropertyInfo> out;
  if (is_a(all, type, "machine")) {
    for (const Property& p : machine_properties(c)) {
      if (!p.type.starts_with("child<")) out.push_back({p.name, p.type});
    }
  } else if (is_a(all, type, "cpu")) {
    const std::string model = name.substr(0, name.rfind('-', name.rfind('-') - 1));
    for (const Property& p : cpu_properties(model, c.machine.config())) out.push_back({p.name, p.type});
  } else if (is_a(all, type, "memory-backend")) {
    out = {{"size", "size"}, {"share", "bool"}};
    if (name == "memory-backend-file") out.push_back({"mem-path", "string"});
  } else if (name == "filter-dump") {
    out = {{"netdev", "string"}, {"file", "string"}, {"maxlen", "uint32"}};
  } else {
    for (const std::string& p : machine::device_properties(name)) {
      if (p != "id") out.push_back({p, property_type(p)});
    }
  }
  return out;
}
Answer<std::vector<PropertyInfo>> device_list_properties(Context& c, TypeName& args) {
  return list_properties(c, args.name, true);
}
Answer<std::vector<PropertyInfo>> qom_list_properties(Context& c, TypeName& args) {
  return list_properties(c, args.name, false);
}

constexpr Definition kRows[] = {
    command<&qom_list>("qom-list", "the properties of an object, and the objects below it"),
    command<&qom_get>("qom-get", "the value of a property"),
    command<&qom_set>("qom-set", "change a property"),
    command<&qom_list_types>("qom-list-types", "the types of objects that there are"),
    command<&device_list_properties>("device-list-properties", "what -device takes for a type of device"),
    command<&qom_list_properties>("qom-list-properties", "the properties that objects of a type have"),
};

}  // namespace

std::span<const Definition> object_commands() { return kRows; }

}  // namespace doppel::monitor
