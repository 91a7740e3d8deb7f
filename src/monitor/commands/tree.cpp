// Made of what qom-list and qom-get say, and of the PCI bus.
#include "monitor/commands/tree.h"

#include <set>

namespace doppel::monitor {
namespace {

constexpr const char* kPeripheral = "/machine/peripheral";

Answer<Output> list(Context& c, const std::string& path) { return find_command("qom-list")->run(c, {{"path", path}}); }
Output get(Context& c, const std::string& path, const std::string& property) {
  auto answer = find_command("qom-get")->run(c, {{"path", path}, {"property", property}});
  return answer ? *answer : Output(nullptr);
}
bool is_child(const Output& property) { return property["type"].get<std::string>().starts_with("child<"); }
std::string below(const std::string& path, const std::string& name) { return (path == "/" ? "" : path) + "/" + name; }
std::string text_of(const Output& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

void add_tree(Context& c, const std::string& path, const std::string& indent, std::string& text) {
  auto all = list(c, path);
  if (!all) return;
  for (const Output& p : *all) {
    if (!is_child(p)) continue;
    const std::string name = p["name"].get<std::string>(), type = p["type"].get<std::string>();
    text += indent + "/" + name + " (" + type.substr(6, type.size() - 7) + ")\n";
    if (type != "child<chardev>") add_tree(c, below(path, name), indent + "  ", text);
  }
}

// A device's name of its type, and its properties.
std::string device_text(Context& c, const std::string& path, const std::string& id, const std::string& indent) {
  std::string text = indent + "dev: " + text_of(get(c, path, "type")) + ", id \"" + id + "\"\n";
  auto all = list(c, path);
  if (!all) return text;
  for (const Output& p : *all) {
    const std::string name = p["name"].get<std::string>();
    if (is_child(p) || name == "type" || name == "realized" || name == "hotplugged" || name == "guest-stats") continue;
    text += indent + "  " + name + " = " + get(c, path, name).dump() + "\n";
  }
  return text;
}

std::string function_text(const machine::PciFunctionInfo& f, const std::string& indent) {
  const auto word = [&](size_t at) { return static_cast<unsigned>(load_le<u16>(&f.config[at])); };
  std::string text = indent + format("class %04x, addr 00:%02x.%u, pci id %04x:%04x (sub %04x:%04x)\n", word(0x0a),
                                     f.slot, f.function, word(0), word(2), word(0x2c), word(0x2e));
  for (const machine::PciRegionInfo& r : f.regions)
    text += indent + format("bar %d: %s of 0x%llx bytes at 0x%llx\n", r.bar, r.io ? "i/o" : "mem",
                            static_cast<unsigned long long>(r.size),
                            r.address < 0 ? ~0ull : static_cast<unsigned long long>(static_cast<u64>(r.address)));
  return text;
}

}  // namespace

std::string qom_list(Context& c, const Words& w) {
  auto all = list(c, w.size() > 1 ? w[1] : "/");
  if (!all) return all.error().description + "\n";
  std::string text;
  for (const Output& p : *all) text += p["name"].get<std::string>() + " (" + p["type"].get<std::string>() + ")\n";
  return text;
}

std::string qom_get(Context& c, const Words& w) {
  if (w.size() < 3) return "qom-get needs an object's path and a property (qom-list shows them)\n";
  auto answer = find_command("qom-get")->run(c, {{"path", w[1]}, {"property", w[2]}});
  return (answer ? (*answer).dump() : answer.error().description) + "\n";
}

std::string qom_set(Context& c, const Words& w) {
  if (w.size() < 4) return "qom-set needs an object's path, a property and a value\n";
  Input value = Input::parse(w[3], nullptr, false);
  if (value.is_discarded()) value = w[3];
  return run_definition(c, "qom-set", {{"path", w[1]}, {"property", w[2]}, {"value", value}});
}

std::string info_qom_tree(Context& c, const Words& w) {
  const std::string path = w.size() > 1 ? w[1] : "/machine";
  auto all = list(c, path);
  if (!all) return all.error().description + "\n";
  std::string text = path + " (" + text_of(get(c, path, "type")) + ")\n";
  add_tree(c, path, "  ", text);
  return text;
}

// The devices of the PCI bus in the order of their places, below a controller what is on its bus; then all others.
std::string info_qtree(Context& c, const Words&) {
  std::set<std::string> shown;
  const auto given = c.machine.given_devices();
  const auto property = [](const machine::DeviceConfig& d, const char* name) {
    const auto it = d.properties.find(name);
    return it == d.properties.end() ? std::string() : it->second;
  };
  std::string text = "bus: main-system-bus\n  type System\n";
  const auto functions = c.machine.pci_functions();
  if (!functions.empty()) text += "  bus: pci.0\n    type PCI\n";
  for (const machine::PciFunctionInfo& f : functions) {
    const std::string place = "    ";
    if (f.id.empty()) {
      text += place + "dev: without a name, id \"\"\n" + function_text(f, place + "  ");
      continue;
    }
    shown.insert(f.id);
    text += device_text(c, below(kPeripheral, f.id), f.id, place) + function_text(f, place + "  ");
    bool first = true;
    for (const machine::DeviceConfig& d : given) {
      const std::string bus = property(d, "bus"), id = property(d, "id");
      if (id.empty() || (bus != f.id && bus != f.id + ".0")) continue;
      if (first) text += place + "  bus: " + f.id + ".0\n";
      first = false;
      shown.insert(id);
      text += device_text(c, below(kPeripheral, id), id, place + "    ");
    }
  }
  for (const char* folder : {kPeripheral, "/machine/unattached"}) {
    auto all = list(c, folder);
    if (!all) continue;
    for (const Output& p : *all) {
      const std::string name = p["name"].get<std::string>();
      if (is_child(p) && !shown.contains(name) && !name.starts_with("device["))
        text += device_text(c, below(folder, name), name, "  ");
    }
  }
  return text;
}

}  // namespace doppel::monitor
