#include "app/run_time.h"

#include <algorithm>

#include "app/blockdev.h"
#include "app/network.h"
#include "app/objects.h"
#include "crypto/secret.h"
#include "net/network.h"

namespace doppel::app {
namespace {

// "help" in place of a name: the list for who types it, an error for programs (which send JSON).
Error help(const std::string& asked, const std::string& list, const char* cause, const char* fix) {
  if (asked.starts_with("{") || list.empty()) return {cause, fix};
  return {list.substr(0, list.find_last_not_of('\n') + 1), ""};
}

class RunTime final : public monitor::Builder {
 public:
  RunTime(Options& options, machine::Machine& machine) : o_(options), machine_(machine) {}

  Status add_device(const std::string& text) override {
    Options one;
    if (Status s = take_device(one, text); !s) return s;
    if (one.machine.devices.empty()) return help(text, one.text, "that is no device", "-device help lists them");
    return machine_.plug(one.machine.devices[0]);
  }

  Status add_netdev(const std::string& text) override {
    if (!machine_.config().network) return Error{"this machine was made without a network", ""};
    Options one;
    if (Status s = take_netdev(one, text); !s) return s;
    if (one.netdevs.empty()) return help(text, one.text, "that is no network back end", "-netdev help lists them");
    auto id = machine_.config().network->add_backend(one.netdevs[0]);
    return id ? success() : Status(id.error());
  }

  Status add_object(const std::string& text) override;
  Status remove_object(const std::string& id) override;
  std::vector<std::pair<std::string, std::string>> objects() override;
  Status add_node(const std::string& text) override;
  Status remove_node(const std::string& name) override;
  Status add_drive(const std::string& text) override;

 private:
  Options& o_;
  machine::Machine& machine_;
};

Status RunTime::add_object(const std::string& text) {
  const std::string id = net::property(parse_key_values(text, "qom-type"), "id");
  for (const auto& [other, type] : objects()) {
    if (other == id) return Error{"there is already an object '" + id + "'", "choose another id"};
  }
  Options one;
  one.secrets = o_.secrets;  // a secret is kept there at once
  if (Status s = take_object(one, text); !s) return s;
  if (!one.machine.memory_backends.empty())
    return Error{"memory can't be added to a machine that runs", "give it with -object and -machine memory-backend="};
  for (const net::Properties& dump : one.dumps) {
    if (!machine_.config().network) return Error{"this machine was made without a network", ""};
    if (Status s = machine_.config().network->add_dump(dump); !s) return s;
    o_.dumps.push_back(dump);
  }
  for (const std::string& source : one.machine.rng_sources) {
    machine_.change_names([&](machine::MachineConfig& m) { m.rng_sources.push_back(source); });
    o_.machine.rng_sources.push_back(source);
  }
  return success();
}

Status RunTime::remove_object(const std::string& id) {
  for (const machine::DeviceConfig& device : machine_.given_devices()) {
    const auto it = device.properties.find("rng");
    if (it != device.properties.end() && it->second == id)
      return Error{"the object '" + id + "' is used by a " + device.driver, "take that away first: device_del"};
  }
  if (o_.secrets->remove(id)) return success();
  if (std::erase(o_.machine.rng_sources, id) != 0) {
    machine_.change_names([&](machine::MachineConfig& m) { std::erase(m.rng_sources, id); });
    return success();
  }
  const auto is_it = [&](const net::Properties& p) { return net::property(p, "id") == id; };
  if (machine_.config().network && machine_.config().network->remove_dump(id)) {
    std::erase_if(o_.dumps, is_it);
    return success();
  }
  for (const machine::MemoryBackend& b : o_.machine.memory_backends) {
    if (b.id == id) return Error{"the object '" + id + "' is the machine's memory", ""};
  }
  return Error{"there is no object '" + id + "'", "qom-list /objects shows them"};
}

std::vector<std::pair<std::string, std::string>> RunTime::objects() {
  std::vector<std::pair<std::string, std::string>> all;
  for (const machine::MemoryBackend& b : o_.machine.memory_backends) all.emplace_back(b.id, b.kind);
  for (const std::string& id : o_.secrets->ids()) all.emplace_back(id, "secret");
  for (const std::string& id : o_.machine.rng_sources) all.emplace_back(id, "rng-random");
  for (const net::Properties& p : o_.dumps) {
    if (net::has_property(p, "id")) all.emplace_back(net::property(p, "id"), "filter-dump");
  }
  return all;
}

Status RunTime::add_node(const std::string& text) {
  if (Status s = take_blockdev(o_, text); !s) return s;
  const auto undo = [&](const Error& e) {
    o_.blockdevs.pop_back();
    return Status(e);
  };
  auto drive = drive_of_node(o_, o_.blockdevs.back());
  if (!drive) return undo(drive.error());
  if (Status s = open_node(*drive, o_.blockdevs.back()); !s) return undo(s.error());
  if (Status s = machine_.add_drive(*drive); !s) return undo(s.error());
  return success();
}

Status RunTime::remove_node(const std::string& name) {
  const auto it = std::find_if(o_.blockdevs.begin(), o_.blockdevs.end(), [&](const auto& b) { return b.name == name; });
  if (it == o_.blockdevs.end()) return Error{"Failed to find node with node-name='" + name + "'", ""};
  for (const Options::Blockdev& other : o_.blockdevs) {
    if (other.file == name || other.backing == name)
      return Error{"the node '" + name + "' is below '" + other.name + "'", "remove that first"};
  }
  if (Status s = machine_.remove_drive(name); !s) return s;
  o_.blockdevs.erase(it);
  return success();
}

Status RunTime::add_drive(const std::string& text) {
  Options one;
  if (Status s = take_drive(one, text); !s) return s;
  machine::DriveConfig& drive = one.machine.drives[0];
  if (drive.interface != "none" || drive.id.empty() || drive.file.empty())
    return Error{"a drive that is added must have if=none, id= and file=", "drive_add 0 if=none,id=d1,file=disk.img"};
  block::OpenOptions options = block::open_options(drive.tuning);
  options.read_only = drive.read_only || drive.media == "cdrom";
  options.snapshot = drive.snapshot;
  options.format = drive.format;
  auto node = block::open(drive.file, options);
  if (!node) return node.error();
  drive.node = node.take();
  return machine_.add_drive(drive);
}

}  // namespace

std::unique_ptr<monitor::Builder> make_builder(Options& options, machine::Machine& machine) {
  return std::make_unique<RunTime>(options, machine);
}

}  // namespace doppel::app
