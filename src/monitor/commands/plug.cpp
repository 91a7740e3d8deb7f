// What comes and goes while the machine runs: devices, network and block back ends, objects.
#include "monitor/commands/builder.h"
#include "monitor/commands/command.h"
#include "net/network.h"

namespace doppel::monitor {
namespace {

constexpr const char* kPeripheral = "/machine/peripheral/";

Answer<Empty> done(const Status& s) {
  if (!s) return s.error();
  return Empty{};
}

// Takes the application's part, or says that there is none.
template <typename F>
Answer<Empty> build(Context& c, F body) {
  if (!c.services.builder) return CommandError{"Nothing can be added to this machine while it runs"};
  const std::lock_guard guard(c.services.change_lock);
  return done(body(*c.services.builder));
}

// What a command lists by itself, and what only the thing that is made knows, in one object again.
template <typename T>
std::string whole(const T& args, std::initializer_list<std::pair<const char*, std::optional<std::string>>> own) {
  Input all = args.others.is_object() ? args.others : Input::object();
  for (const auto& [key, value] : own) {
    if (value) all[key] = *value;
  }
  return all.dump(-1, ' ', true, Input::error_handler_t::replace);
}

struct DeviceAdd {
  static constexpr const char* kType = "device_add-arg";
  std::string driver;
  std::optional<std::string> id, bus;
  Input others;
  template <class V>
  void visit(V& v) {
    v("driver", driver,
      "as -device has it: a network card, virtio-*-pci, a disk controller, scsi-hd, scsi-cd, virtserialport, "
      "virtconsole");
    v("id", id, "its name, to take it out again");
    v("bus", bus, "pci.0; of drives and ports: that of their controller, ID.0");
    v.others(others, "properties of the device: device-list-properties lists them");
  }
};
Answer<Empty> device_add(Context& c, DeviceAdd& args) {
  const std::string text = whole(args, {{"driver", args.driver}, {"id", args.id}, {"bus", args.bus}});
  return build(c, [&](Builder& b) { return b.add_device(text); });
}

struct DeviceDel {
  static constexpr const char* kType = "device_del-arg";
  std::string id;
  template <class V>
  void visit(V& v) {
    v("id", id, "the device's id, or its path");
  }
};
Answer<Empty> device_del(Context& c, DeviceDel& args) {
  std::string id = args.id;
  if (id.starts_with(kPeripheral)) id.erase(0, std::string_view(kPeripheral).size());
  bool known = false;
  for (const machine::DeviceConfig& d : c.machine.given_devices()) {
    const auto it = d.properties.find("id");
    known |= it != d.properties.end() && it->second == id;
  }
  if (!known)
    return CommandError{"Device '" + args.id + "' not found (qom-list /machine/peripheral shows the devices)",
                        ErrorClass::DeviceNotFound};
  return done(c.machine.unplug(id));
}

struct NetdevAdd {
  static constexpr const char* kType = "netdev_add-arg";
  std::string type, id;
  Input others;
  template <class V>
  void visit(V& v) {
    v("type", type, "user, tap, socket, stream, dgram or hubport");
    v("id", id, "its name");
    v.others(others, "as -netdev; fd may name a descriptor of getfd");
  }
};
Answer<Empty> netdev_add(Context& c, NetdevAdd& args) {
  for (const char* key : {"fd", "addr.str"}) {
    const auto it = args.others.find(key);
    if (it == args.others.end() || !it->is_string() || (std::string(key) != "fd" && args.others["addr.type"] != "fd"))
      continue;
    const std::string name = it->get<std::string>();
    if (name.empty() || (name[0] >= '0' && name[0] <= '9')) continue;
    const auto fd = c.descriptors->take(name);
    if (!fd) return CommandError{"File descriptor named '" + name + "' not found (getfd names one)"};
    *it = std::to_string(*fd);
  }
  const std::string text = whole(args, {{"type", args.type}, {"id", args.id}});
  return build(c, [&](Builder& b) { return b.add_netdev(text); });
}

struct Id {
  static constexpr const char* kType = "netdev_del-arg";
  std::string id;
  template <class V>
  void visit(V& v) {
    v("id", id, "its name");
  }
};
Answer<Empty> netdev_del(Context& c, Id& args) {
  if (!c.machine.config().network) return CommandError{"This machine was made without a network"};
  const std::lock_guard guard(c.services.change_lock);
  const Status s = c.machine.config().network->remove_backend(args.id);
  if (!s) return CommandError{s.error().text(), ErrorClass::DeviceNotFound};
  return Empty{};
}

struct ObjectAdd {
  static constexpr const char* kType = "ObjectOptions";
  std::string type, id;
  Input others;
  template <class V>
  void visit(V& v) {
    v("qom-type", type, "secret, rng-random, rng-builtin or filter-dump");
    v("id", id, "its name");
    v.others(others, "as -object");
  }
};
Answer<Empty> object_add(Context& c, ObjectAdd& args) {
  const std::string text = whole(args, {{"qom-type", args.type}, {"id", args.id}});
  return build(c, [&](Builder& b) { return b.add_object(text); });
}
struct ObjectDel : Id {
  static constexpr const char* kType = "object-del-arg";
};
Answer<Empty> object_del(Context& c, ObjectDel& args) {
  return build(c, [&](Builder& b) { return b.remove_object(args.id); });
}

struct NodeAdd {
  static constexpr const char* kType = "BlockdevOptions";
  std::string driver;
  std::optional<std::string> name;
  Input others;
  template <class V>
  void visit(V& v) {
    v("driver", driver, "file, or a format: raw, qcow2 ...");
    v("node-name", name, "its name");
    v.others(others, "as -blockdev");
  }
};
Answer<Empty> blockdev_add(Context& c, NodeAdd& args) {
  const std::string text = whole(args, {{"driver", args.driver}, {"node-name", args.name}});
  return build(c, [&](Builder& b) { return b.add_node(text); });
}
struct NodeName {
  static constexpr const char* kType = "blockdev-del-arg";
  std::string name;
  template <class V>
  void visit(V& v) {
    v("node-name", name, "the node that goes");
  }
};
Answer<Empty> blockdev_del(Context& c, NodeName& args) {
  return build(c, [&](Builder& b) { return b.remove_node(args.name); });
}

constexpr Definition kRows[] = {
    command<&device_add>("device_add", "plug a device in"),
    command<&device_del>("device_del", "ask the guest to let go of a device; DEVICE_DELETED tells when it has"),
    command<&netdev_add>("netdev_add", "make a network back end"),
    command<&netdev_del>("netdev_del", "end a network back end; a card that uses it has no cable then"),
    command<&object_add>("object-add", "make an object"),
    command<&object_del>("object-del", "end an object"),
    command<&blockdev_add>("blockdev-add", "open an image for devices to come"),
    command<&blockdev_del>("blockdev-del", "close an image that no device uses"),
};

}  // namespace

std::span<const Definition> plug_commands() { return kRows; }

}  // namespace doppel::monitor
