// Network cards and back ends.
#include "net/network.h"

#include "monitor/commands/command.h"

namespace doppel::monitor {

template <>
struct EnumNames<hw::RxFilter::Pass> {
  static constexpr const char* kType = "RxState";
  static std::vector<std::string_view> names() { return {"none", "normal", "all"}; }
};

namespace {

CommandError no_network() { return {"This machine was made without a network"}; }

struct SetLink {
  static constexpr const char* kType = "set_link-arg";
  std::string name;
  bool up = false;
  template <class V>
  void visit(V& v) {
    v("name", name, "network card or back end");
    v("up", up, "whether the cable is plugged in");
  }
};
Answer<Empty> set_link(Context& c, SetLink& args) {
  if (!c.machine.config().network) return no_network();
  const Status s = c.machine.config().network->set_link(args.name, args.up);
  if (!s) return CommandError{s.error().text(), ErrorClass::DeviceNotFound};
  return Empty{};
}

// --- what cards take

struct RxFilterInfo {
  static constexpr const char* kType = "RxFilterInfo";
  std::string name;
  hw::RxFilter filter;
  std::string main_mac;
  std::vector<std::string> unicasts, multicasts;
  template <class V>
  void visit(V& v) {
    v("name", name, "the card's");
    v("promiscuous", filter.promiscuous, "whether it takes every frame");
    v("multicast", filter.multicast, "frames to groups: none, those to the groups listed, all");
    v("unicast", filter.unicast, "frames to one card: none, those to the addresses listed, all");
    v("vlan", filter.vlan, "frames with a VLAN's tag: none, those of the VLANs listed, all");
    v("broadcast-allowed", filter.broadcast, "whether it takes broadcasts");
    v("multicast-overflow", filter.multicast_overflow, "more groups than the table has: it takes all");
    v("unicast-overflow", filter.unicast_overflow, "more addresses than the table has: it takes all");
    v("main-mac", main_mac, "its address");
    v("vlan-table", filter.vlans, "VLANs, 0 to 4095");
    v("unicast-table", unicasts, "addresses besides its own");
    v("multicast-table", multicasts, "groups");
  }
};

std::vector<std::string> texts_of(const std::vector<hw::RxFilter::Mac>& macs) {
  std::vector<std::string> out;
  for (const auto& mac : macs) out.push_back(net::mac_text(mac));
  return out;
}

struct QueryRxFilter {
  static constexpr const char* kType = "query-rx-filter-arg";
  std::optional<std::string> name;
  template <class V>
  void visit(V& v) {
    v("name", name, "of one card; without: of all that can tell");
  }
};
Answer<std::vector<RxFilterInfo>> query_rx_filter(Context& c, QueryRxFilter& args) {
  std::vector<RxFilterInfo> out;
  for (auto& [nic, filter] : c.machine.rx_filters(args.name.value_or(""))) {
    if (args.name && nic != *args.name) continue;
    out.push_back({nic, filter, net::mac_text(filter.mac), texts_of(filter.unicasts), texts_of(filter.multicasts)});
  }
  if (!args.name || !out.empty()) return out;
  const auto& network = c.machine.config().network;
  if (network && network->mac_of(*args.name))
    return CommandError{"net client(" + *args.name + ") doesn't support rx-filter querying (virtio-net cards do)"};
  return CommandError{"invalid net client name: " + *args.name};
}

constexpr Definition kRows[] = {
    command<&query_rx_filter>("query-rx-filter", "which frames the network cards take, as the guest has set it"),
    command<&set_link>("set_link", "plug the cable of a network card in or out"),
};

}  // namespace

std::span<const Definition> network_commands() { return kRows; }

}  // namespace doppel::monitor
