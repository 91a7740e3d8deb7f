#include "net/network.h"

#include <algorithm>
#include <cstdio>

#include "base/nearest.h"
#include "net/sockets.h"
#include "net/tap.h"
#include "net/user_nat.h"

namespace doppel::net {

Result<MacAddress> parse_mac(const std::string& text) {
  unsigned v[6] = {};
  char separator[5] = {}, rest = 0;
  const int n = std::sscanf(text.c_str(), "%2x%c%2x%c%2x%c%2x%c%2x%c%2x%c", &v[0], &separator[0], &v[1], &separator[1],
                            &v[2], &separator[2], &v[3], &separator[3], &v[4], &separator[4], &v[5], &rest);
  bool ok = n == 11;
  for (const char c : separator) ok = ok && (c == ':' || c == '-');
  if (!ok) return Error{"'" + text + "' is no MAC address", "write it as 52:54:00:12:34:56"};
  MacAddress mac;
  for (size_t i = 0; i < 6; i++) mac[i] = static_cast<u8>(v[i]);
  if (mac[0] & 1) return Error{"the MAC address " + text + " is a group's", "clear bit 0 of its first byte"};
  return mac;
}

namespace {
NicPort::Tap tap_of(const std::shared_ptr<PacketDump>& dump) {
  return [dump](std::span<const u8> frame, bool) { dump->write(frame); };
}
}  // namespace

Network::~Network() {
  for (auto& nic : nics_) {
    if (nic->backend()) nic->backend()->set_peer(nullptr);
  }
  nics_.clear();
  for (auto& [id, backend] : backends_) {
    if (dynamic_cast<HubPort*>(backend.get())) backend.reset();  // before what is plugged into it
  }
  backends_.clear();
  hubs_.clear();
}

std::string Network::free_name(const std::string& stem) {
  for (;;) {
    std::string name = stem + "." + std::to_string(names_[stem]++);
    if (!backends_.contains(name)) return name;
  }
}

// The first of 52:54:00:12:34:56 and up that no card has.
MacAddress Network::free_mac() const {
  MacAddress mac = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
  const auto taken = [&] {
    return std::any_of(nics_.begin(), nics_.end(), [&](const auto& nic) { return nic->mac() == mac; });
  };
  while (taken()) {
    if (++mac[5] == 0) mac[4]++;
  }
  return mac;
}

std::string Network::backends_help() {
  return "Available netdev backend types:\nsocket\nstream\ndgram\nhubport\ntap\nuser\n";
}

Result<std::shared_ptr<Backend>> Network::make(const std::string& type, const std::string& id, const Properties& p) {
  if (type == "user") {
    auto config = parse_user(p);
    if (!config) return config.error();
    auto nat = UserNat::make(id, loop_, *config, hooks_.open_chardev, hooks_.say);
    if (!nat) return nat.error();
    return std::shared_ptr<Backend>(nat.take());
  }
  if (type == "socket") return make_socket(id, loop_, p);
  if (type == "stream") return make_stream(id, loop_, p);
  if (type == "dgram") return make_dgram(id, loop_, p);
  if (type == "tap") return make_tap(id, loop_, p);
  const std::string near = nearest(type, {"user", "tap", "socket", "stream", "dgram", "hubport"});
  return Error{"the network back end '" + type + "' is not built",
               near.empty() ? "use user, tap, socket, stream, dgram or hubport" : "did you mean '" + near + "'?"};
}

Result<std::string> Network::add_backend(const Properties& p) {
  const std::lock_guard guard(lock_);
  const std::string type = property(p, "type");
  if (type.empty()) return Error{"-netdev needs a type", "-netdev user,id=net0"};
  std::string id = property(p, "id");
  if (id.empty()) id = free_name(type);
  if (backends_.contains(id)) return Error{"there are two network back ends '" + id + "'", "change one id="};
  if (type == "hubport") {
    static constexpr const char* kKeys[] = {"hubid", "netdev"};
    if (Status s = check_keys(p, type, kKeys); !s) return s.error();
    return add_hub_port_locked(std::atoi(property(p, "hubid", "0").c_str()), id, property(p, "netdev"));
  }
  auto backend = make(type, id, p);
  if (!backend) return backend.error();
  backends_[id] = backend.take();
  if (const auto* stream = dynamic_cast<const StreamBackend*>(backends_[id].get()); stream && hooks_.say) {
    if (const std::string where = stream->chosen(); !where.empty())
      hooks_.say("the network back end '" + id + "' listens on " + where);
  }
  return id;
}

Result<std::string> Network::add_hub_port(int number, const std::string& id, const std::string& netdev) {
  const std::lock_guard guard(lock_);
  return add_hub_port_locked(number, id, netdev);
}

Result<std::string> Network::add_hub_port_locked(int number, const std::string& id, const std::string& netdev) {
  auto& hub = hubs_[number];
  if (!hub) hub = std::make_shared<Hub>(number);
  std::shared_ptr<Backend> inner;
  if (!netdev.empty()) {
    const auto it = backends_.find(netdev);
    if (it == backends_.end())
      return Error{"there is no network back end '" + netdev + "'", "add -netdev ...,id=" + netdev};
    if (it->second->has_peer()) return Error{"'" + netdev + "' is plugged in twice", "give the other another back end"};
    inner = it->second;
  }
  const std::string name = id.empty() ? free_name("hub" + std::to_string(number) + "port") : id;
  auto port = std::make_shared<HubPort>(name, loop_, hub);
  if (inner) {
    inner->set_peer(std::shared_ptr<Endpoint>(std::shared_ptr<Endpoint>(), port.get()));  // ~HubPort unplugs it
    port->plug(inner);
  }
  backends_[name] = port;
  return name;
}

Result<std::shared_ptr<NicPort>> Network::add_nic(const std::string& model, const std::string& name,
                                                  const std::string& mac, const std::string& netdev) {
  const std::lock_guard guard(lock_);
  MacAddress address = free_mac();
  if (!mac.empty()) {
    auto parsed = parse_mac(mac);
    if (!parsed) return parsed.error();
    address = *parsed;
  }
  auto port = std::make_shared<NicPort>(name.empty() ? free_name(model) : name, model, address);
  if (!netdev.empty()) {
    const auto it = backends_.find(netdev);
    if (it == backends_.end())
      return Error{"there is no network back end '" + netdev + "'", "add -netdev user,id=" + netdev};
    if (it->second->has_peer())
      return Error{"two cards use the network back end '" + netdev + "'", "give each its own, or join them by hubport"};
    for (const Dump& dump : dumps_) {
      if (dump.netdev == netdev) port->add_tap(dump.id, tap_of(dump.file));
    }
    port->plug(it->second);
  }
  nics_.push_back(port);
  return port;
}

Status Network::add_dump(const Properties& p) {
  const std::lock_guard guard(lock_);
  static constexpr const char* kKeys[] = {"netdev", "file", "maxlen", "queue", "status"};
  if (Status s = check_keys(p, "filter-dump", kKeys); !s) return s;
  const std::string netdev = property(p, "netdev");
  if (!backends_.contains(netdev))
    return Error{"filter-dump: there is no network back end '" + netdev + "'", "give netdev= the id of one"};
  if (!has_property(p, "file")) return Error{"filter-dump needs file=", "file=dump.pcap"};
  const u32 length = static_cast<u32>(std::strtoul(property(p, "maxlen", "65536").c_str(), nullptr, 0));
  if (length == 0) return Error{"filter-dump: maxlen=0 keeps nothing", "leave it out for 65536"};
  auto dump = PacketDump::open(property(p, "file"), length);
  if (!dump) return dump.error();
  const std::string id = property(p, "id");
  for (const Dump& other : dumps_) {
    if (!id.empty() && other.id == id) return Error{"there are two objects '" + id + "'", "change one id="};
  }
  dumps_.push_back({id, netdev, *dump});
  for (const auto& nic : nics_) {
    if (nic->backend() && nic->backend()->id() == netdev) nic->add_tap(id, tap_of(*dump));
  }
  return success();
}

bool Network::remove_dump(const std::string& id) {
  const std::lock_guard guard(lock_);
  if (std::erase_if(dumps_, [&](const Dump& d) { return d.id == id; }) == 0) return false;
  for (const auto& nic : nics_) nic->remove_tap(id);
  return true;
}

bool Network::remove_nic(const std::string& name) {
  const std::lock_guard guard(lock_);
  const auto it = std::find_if(nics_.begin(), nics_.end(), [&](const auto& nic) { return nic->name() == name; });
  if (it == nics_.end()) return false;
  if ((*it)->backend()) (*it)->backend()->set_peer(nullptr);
  nics_.erase(it);
  return true;
}

Status Network::remove_backend(const std::string& id) {
  const std::lock_guard guard(lock_);
  const auto it = backends_.find(id);
  if (it == backends_.end()) return Error{"there is no network back end '" + id + "'", "info network lists them"};
  for (const auto& [name, other] : backends_) {
    const auto* port = dynamic_cast<const HubPort*>(other.get());
    if (port && port->inner() == it->second)
      return Error{"the back end '" + id + "' is plugged into the hub's port '" + name + "'", "remove that first"};
  }
  for (const auto& nic : nics_) {
    if (nic->backend() == it->second) nic->unplug();
  }
  backends_.erase(it);
  return success();
}

std::vector<std::string> Network::unused() {
  const std::lock_guard guard(lock_);
  return unused_locked();
}

std::vector<std::string> Network::unused_locked() const {
  std::vector<std::string> out;
  for (const auto& [id, backend] : backends_) {
    const auto* port = dynamic_cast<const HubPort*>(backend.get());
    if (!backend->has_peer() && !(port && port->inner())) out.push_back(id);
  }
  return out;
}

// --- commands

std::string Network::info() {
  const std::lock_guard guard(lock_);
  std::string text;
  for (const auto& [number, hub] : hubs_) {
    text += "hub " + std::to_string(number) + "\n";
    for (const HubPort* port : hub->ports()) {
      text += " \\ " + port->id();
      if (port->inner()) text += ": " + port->inner()->id() + ": index=0," + port->inner()->info();
      for (const auto& nic : nics_) {
        if (nic->backend().get() == port)
          text += ": " + nic->name() + ": index=0,type=nic,model=" + nic->model() + ",macaddr=" + mac_text(nic->mac());
      }
      text += "\n";
    }
  }
  for (const auto& nic : nics_) {
    const Backend* b = nic->backend().get();
    if (dynamic_cast<const HubPort*>(b)) continue;
    text += nic->name() + ": index=0,type=nic,model=" + nic->model() + ",macaddr=" + mac_text(nic->mac()) +
            (nic->link() ? "" : ",link=down") + "\n";
    if (b == nullptr) continue;
    text += " \\ " + b->id() + ": index=0," + b->info() + (b->link() ? "" : ",link=down") + "\n    " +
            std::to_string(b->sent().frames) + " frames (" + std::to_string(b->sent().bytes) + " bytes) out, " +
            std::to_string(b->delivered().frames) + " (" + std::to_string(b->delivered().bytes) + " bytes) in, " +
            std::to_string(b->delivered().dropped) + " dropped\n";
  }
  for (const std::string& id : unused_locked()) text += id + ": index=0," + backends_.at(id)->info() + "\n";
  return text;
}

std::string Network::user_info() {
  const std::lock_guard guard(lock_);
  std::string text;
  for (const auto& [id, backend] : backends_) {
    if (auto* nat = dynamic_cast<UserNat*>(backend.get())) text += id + ":\n" + nat->connections();
  }
  return text;
}

std::optional<MacAddress> Network::mac_of(const std::string& nic) {
  const std::lock_guard guard(lock_);
  for (const auto& port : nics_)
    if (port->name() == nic) return port->mac();
  return std::nullopt;
}

Status Network::set_link(const std::string& name, bool up) {
  const std::lock_guard guard(lock_);
  for (const auto& nic : nics_) {
    if (nic->name() != name) continue;
    nic->set_link(up);
    return success();
  }
  const auto it = backends_.find(name);
  if (it == backends_.end())
    return Error{"there is no network card or back end '" + name + "'", "info network lists them"};
  it->second->set_link(up);
  return success();
}

Result<UserNat*> Network::find_user(const std::string& id) {
  for (const auto& [name, backend] : backends_) {
    auto* nat = dynamic_cast<UserNat*>(backend.get());
    if (nat && (id.empty() || id == name)) return nat;
  }
  if (id.empty()) return Error{"there is no user network", "start with -nic user"};
  return Error{"there is no user network '" + id + "'", "info network lists them"};
}

Status Network::hostfwd_add(const std::string& id, const std::string& rule, std::string& said) {
  const std::lock_guard guard(lock_);
  auto nat = find_user(id);
  if (!nat) return nat.error();
  auto f = parse_forward(rule);
  if (!f) return f.error();
  auto added = (*nat)->add_forward(*f);
  if (!added) return added.error();
  if (f->host_port == 0) said = "forwarded: " + added->text();
  return success();
}

Status Network::hostfwd_remove(const std::string& id, const std::string& rule) {
  const std::lock_guard guard(lock_);
  auto nat = find_user(id);
  if (!nat) return nat.error();
  auto f = parse_forward(rule, false);
  return f ? (*nat)->remove_forward(*f) : Status(f.error());
}

}  // namespace doppel::net
