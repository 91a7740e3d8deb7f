// Character devices.
#include "chardev/devices.h"
#include "chardev/factory.h"
#include "crypto/secret.h"
#include "monitor/commands/command.h"

namespace doppel::monitor {

enum class DataFormat { utf8, base64 };
template <>
struct EnumNames<DataFormat> {
  static constexpr const char* kType = "DataFormat";
  static std::vector<std::string_view> names() { return {"utf8", "base64"}; }
};

namespace {

struct ChardevInfo {
  static constexpr const char* kType = "ChardevInfo";
  std::string label, filename;
  bool open = true;
  template <class V>
  void visit(V& v) {
    v("label", label, "its id");
    v("filename", filename, "what it is connected to");
    v("frontend-open", open, "false: it is a port of virtio-serial that the guest has not open");
  }
};
Answer<std::vector<ChardevInfo>> query_chardev(Context& c, Empty&) {
  std::vector<ChardevInfo> out;
  if (!c.services.chardevs) return out;
  const std::lock_guard guard(c.services.change_lock);
  for (const auto& [id, device] : c.services.chardevs->all())
    out.push_back({id, device->description(), device->front_open()});
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

// --- what a ringbuf holds

Result<std::shared_ptr<chardev::RingBuffer>> ring_of(Context& c, const std::string& id) {
  const std::lock_guard guard(c.services.change_lock);
  const auto device = c.services.chardevs ? c.services.chardevs->find(id) : nullptr;
  if (!device) return Error{"there is no character device '" + id + "'", "query-chardev lists them"};
  const auto ring = std::dynamic_pointer_cast<chardev::RingBuffer>(device);
  if (!ring) return Error{"'" + id + "' is no ringbuf", "-chardev ringbuf,id=ID,size=N"};
  return ring;
}

struct RingRead {
  static constexpr const char* kType = "ringbuf-read-arg";
  std::string device;
  u64 size = 0;
  std::optional<DataFormat> format;
  template <class V>
  void visit(V& v) {
    v("device", device, "the ringbuf's id");
    v("size", size, "bytes to take at most");
    v("format", format, "utf8 by default");
  }
};
Answer<std::string> ringbuf_read(Context& c, RingRead& args) {
  auto ring = ring_of(c, args.device);
  if (!ring) return ring.error();
  const std::string data = (*ring)->take(args.size);
  return args.format == DataFormat::base64 ? crypto::to_base64(data) : data;
}

struct RingWrite {
  static constexpr const char* kType = "ringbuf-write-arg";
  std::string device, data;
  std::optional<DataFormat> format;
  template <class V>
  void visit(V& v) {
    v("device", device, "the ringbuf's id");
    v("data", data, "what is put behind what it holds");
    v("format", format, "utf8 by default");
  }
};
Answer<Empty> ringbuf_write(Context& c, RingWrite& args) {
  auto ring = ring_of(c, args.device);
  if (!ring) return ring.error();
  std::vector<u8> bytes(args.data.begin(), args.data.end());
  if (args.format == DataFormat::base64) {
    auto decoded = crypto::from_base64(args.data);
    if (!decoded) return decoded.error();
    bytes = decoded.take();
  }
  (*ring)->write(bytes);
  return Empty{};
}

constexpr Definition kRows[] = {
    command<&ringbuf_read>("ringbuf-read", "take what was written to a ringbuf"),
    command<&ringbuf_write>("ringbuf-write", "write to a ringbuf"),
    command<&query_chardev>("query-chardev", "the character devices"),
    command<&chardev_add>("chardev-add", "make a character device"),
    command<&chardev_remove>("chardev-remove", "end a character device that nothing uses"),
};

}  // namespace

std::span<const Definition> chardev_commands() { return kRows; }

}  // namespace doppel::monitor
