#include "app/network.h"

#include <algorithm>
#include <cstdio>

#include "net/network.h"

namespace doppel::app {
namespace {

constexpr const char* kCardKeys[] = {"model", "mac", "macaddr", "addr", "name", "romfile", "bootindex", "vectors"};

bool is_card_key(const std::string& key) {
  return std::any_of(std::begin(kCardKeys), std::end(kCardKeys), [&](const char* k) { return key == k; });
}

// The properties of the card among those of its back end; the rest is left in `p`.
machine::NicConfig take_card(net::Properties& p) {
  machine::NicConfig nic;
  for (const auto& [key, value] : p) {
    if (key == "model") nic.model = value == "virtio" ? "virtio-net-pci" : value;
    if (key == "mac" || key == "macaddr") nic.mac = value;
    if (key == "addr") nic.address = value;
    if (key == "name") nic.name = value;
    if (key == "romfile") nic.rom_file = value.empty() ? "none" : value;
    if (key == "bootindex") nic.boot_index = std::atoi(value.c_str());
  }
  std::erase_if(p, [](const auto& kv) { return is_card_key(kv.first); });
  return nic;
}

bool wants_help(Options& o, const net::Properties& p) {
  const bool types = net::property(p, "type") == "help";
  if (!types && net::property(p, "model") != "help") return false;
  o.text = (types ? net::Network::backends_help() + "\n" : "") + "Available NIC models:\n" + machine::nic_models();
  return true;
}

}  // namespace

Status take_netdev(Options& o, const std::string& text) {
  o.network_given = true;
  const KeyValues p = parse_key_values(text, "type");
  if (net::property(p, "type") == "help") {
    o.text = net::Network::backends_help();
    return success();
  }
  if (net::property(p, "id").empty()) return Error{"-netdev needs id=", "-netdev user,id=net0"};
  o.netdevs.push_back(p);
  return success();
}

Status take_nic(Options& o, const std::string& text) {
  o.network_given = true;
  KeyValues p = parse_key_values(text, "type");
  if (wants_help(o, p) || net::property(p, "type") == "none") return success();
  if (net::property(p, "type").empty()) p.emplace_back("type", "user");
  o.nics.push_back(p);
  return success();
}

Status take_net(Options& o, const std::string& text) {
  o.network_given = true;
  const KeyValues p = parse_key_values(text, "type");
  if (wants_help(o, p) || net::property(p, "type") == "none") return success();
  o.legacy_nets.push_back(p);
  return success();
}

Status build_network(Options& o, chardev::Factory& chardevs) {
  auto network = std::make_shared<net::Network>(
      net::Network::Hooks{.open_chardev = [&chardevs](const std::string& spec) { return chardevs.open(spec); },
                          .say = [](const std::string& line) { std::fprintf(stderr, "doppel: %s\n", line.c_str()); }});
  o.machine.network = network;
  if (!o.network_given && !o.machine.no_defaults) o.nics.push_back({{"type", "user"}});
  for (const net::Properties& p : o.netdevs) {
    if (auto id = network->add_backend(p); !id) return id.error();
  }
  for (net::Properties p : o.nics) {
    machine::NicConfig nic = take_card(p);
    auto id = network->add_backend(p);
    if (!id) return id.error();
    nic.netdev = *id;
    o.machine.nics.push_back(nic);
  }
  for (net::Properties p : o.legacy_nets) {
    const bool card = net::property(p, "type") == "nic";
    machine::NicConfig nic = card ? take_card(p) : machine::NicConfig{};
    nic.netdev = card ? net::property(p, "netdev") : "";
    if (nic.netdev.empty()) {
      std::string inner;
      if (!card) {
        auto id = network->add_backend(p);
        if (!id) return id.error();
        inner = *id;
      }
      auto port = network->add_hub_port(0, "", inner);
      if (!port) return port.error();
      nic.netdev = *port;
    }
    if (card) o.machine.nics.push_back(nic);
  }
  for (const net::Properties& p : o.dumps) {
    if (Status s = network->add_dump(p); !s) return s;
  }
  return success();
}

void tell_unplugged(net::Network& network) {
  for (const std::string& id : network.unused())
    std::fprintf(stderr, "doppel: no card is plugged into the network back end '%s' (add -device e1000,netdev=%s)\n",
                 id.c_str(), id.c_str());
}

}  // namespace doppel::app
