// Character devices.
#include "chardev/factory.h"
#include "monitor/commands/command.h"

namespace doppel::monitor {
namespace {

struct ChardevInfo {
  static constexpr const char* kType = "ChardevInfo";
  std::string label, filename;
  bool open = true;
  template <class V>
  void visit(V& v) {
    v("label", label, "its id");
    v("filename", filename, "what it is connected to");
    v("frontend-open", open, "whether something in the machine, or a monitor, uses it");
  }
};
Answer<std::vector<ChardevInfo>> query_chardev(Context& c, Empty&) {
  std::vector<ChardevInfo> out;
  if (!c.services.chardevs) return out;
  const std::lock_guard guard(c.services.change_lock);
  for (const auto& [id, device] : c.services.chardevs->all()) out.push_back({id, device->description(), true});
  return out;
}

struct ChardevAdd {
  static constexpr const char* kType = "chardev-add-arg";
  std::string id;
  Input backend;
  template <class V>
  void visit(V& v) {
    v("id", id, "its name");
    v("backend", backend, "{\"type\": T, \"data\": {...}}: null, file, pipe, pty, socket or ringbuf, as -chardev");
  }
};
struct ChardevReturn {
  static constexpr const char* kType = "ChardevReturn";
  std::optional<std::string> pty;
  template <class V>
  void visit(V& v) {
    v("pty", pty, "path of the terminal that was made");
  }
};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == ',' ? std::string(",,") : std::string(1, c);
  return out;
}

// {"addr": {"type": "unix", "data": {"path": "/x"}}, "wait": false} as ",path=/x,wait=off". Names that only this form
// has become those of -chardev.
void put_options(const Input& data, std::string& out) {
  for (auto it = data.begin(); it != data.end(); ++it) {
    const std::string& key = it.key();
    if (it->is_object()) {
      put_options(it->contains("data") && (*it)["data"].is_object() ? (*it)["data"] : *it, out);
      continue;
    }
    if (key == "type") continue;
    const std::string name = key == "out"      ? "path"
                             : key == "in"     ? "input-path"
                             : key == "device" ? "path"
                             : key == "str"    ? "fd"
                                               : key;
    out += "," + name + "=";
    if (it->is_boolean())
      out += it->get<bool>() ? "on" : "off";
    else
      out += escaped(it->is_string() ? it->get<std::string>() : it->dump());
  }
}

Answer<ChardevReturn> chardev_add(Context& c, ChardevAdd& args) {
  if (!c.services.chardevs) return CommandError{"This machine has no character devices"};
  const Input& b = args.backend;
  if (!b.is_object() || !b.contains("type") || !b["type"].is_string())
    return CommandError{"Parameter 'backend.type' expects a string"};
  std::string options = b["type"].get<std::string>() + ",id=" + escaped(args.id);
  if (b.contains("data") && b["data"].is_object()) {
    Input data = b["data"];
    // A descriptor by name, as getfd has it.
    if (data.contains("addr") && data["addr"].is_object() && data["addr"].value("type", "") == "fd" &&
        data["addr"].contains("data") && data["addr"]["data"].is_object()) {
      const std::string name = data["addr"]["data"].value("str", "");
      const auto fd = c.descriptors->take(name);
      if (!fd) return CommandError{"File descriptor named '" + name + "' not found (getfd names one)"};
      data["addr"]["data"]["str"] = std::to_string(*fd);
    }
    put_options(data, options);
  }
  const std::lock_guard guard(c.services.change_lock);
  auto made = c.services.chardevs->create(options);
  if (!made) return made.error();
  const auto device = *made;
  c.machine.change_names([&](machine::MachineConfig& m) { m.chardevs[args.id] = device; });
  ChardevReturn out;
  if (const std::string text = device->description(); text.starts_with("pty:")) out.pty = text.substr(4);
  return out;
}

struct ChardevId {
  static constexpr const char* kType = "chardev-remove-arg";
  std::string id;
  template <class V>
  void visit(V& v) {
    v("id", id, "its name");
  }
};
Answer<Empty> chardev_remove(Context& c, ChardevId& args) {
  if (!c.services.chardevs) return CommandError{"This machine has no character devices"};
  const std::lock_guard guard(c.services.change_lock);
  // The machine's list of names is no user.
  c.machine.change_names([&](machine::MachineConfig& m) { m.chardevs.erase(args.id); });
  const Status s = c.services.chardevs->remove(args.id);
  if (s) return Empty{};
  if (const auto device = c.services.chardevs->find(args.id))
    c.machine.change_names([&](machine::MachineConfig& m) { m.chardevs[args.id] = device; });
  return s.error();
}

constexpr Definition kRows[] = {
    command<&query_chardev>("query-chardev", "the character devices"),
    command<&chardev_add>("chardev-add", "make a character device"),
    command<&chardev_remove>("chardev-remove", "end a character device that nothing uses"),
};

}  // namespace

std::span<const Definition> chardev_commands() { return kRows; }

}  // namespace doppel::monitor
