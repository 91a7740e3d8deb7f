// The control queue (virtio 1.2, 5.1.6.5): a command is a class, a number and its data; the answer is one byte. And the
// filter that it sets, for others to see.
#include <algorithm>

#include "base/log.h"
#include "hw/net/virtio_net.h"
#include "hw/net/virtio_net_defs.h"

namespace doppel::hw {

using namespace virtio;
using namespace virtio_net;

namespace {
constexpr size_t kCommand = 2;      // class and number
constexpr size_t kTableLimit = 64;  // addresses of a table; more: all pass
}  // namespace

u8 VirtioNet::control(const VirtqChain& chain) {
  u8 command[kCommand];
  if (chain.read(0, command) != kCommand || chain.writable() == 0) {
    needs_reset("a control command without class or answer");
    return kAckError;
  }
  switch (command[0]) {
    case kClassRx: return control_rx(command[1], chain);
    case kClassMac: return control_mac(command[1], chain);
    case kClassVlan: return control_vlan(command[1], chain);
    case kClassMq: {
      u8 raw[2];
      if (command[1] != 0 || chain.read(kCommand, raw) != sizeof raw) return kAckError;
      const u16 pairs = load_le<u16>(raw);
      if (pairs == 0 || pairs > p_.queue_pairs || !has(feature(kMq))) return kAckError;
      pairs_ = pairs;
      return kAckOk;
    }
    case kClassOffloads: {
      u8 raw[8];
      if (command[1] != 0 || chain.read(kCommand, raw) != sizeof raw || !has(feature(kCtrlGuestOffloads)))
        return kAckError;
      const u64 wanted = load_le<u64>(raw);
      if (wanted & ~driver_features()) return kAckError;
      offloads_ = wanted;
      return kAckOk;
    }
    default: return kAckError;
  }
}

u8 VirtioNet::control_rx(u8 command, const VirtqChain& chain) {
  u8 on;
  if (chain.read(kCommand, {&on, 1}) != 1) return kAckError;
  bool* const kModes[] = {&promiscuous_, &all_multi_, &all_unicast_, &no_multi_, &no_unicast_, &no_broadcast_};
  if (command >= std::size(kModes) || !has(feature(command < kAllUni ? kCtrlRx : kCtrlRxExtra))) return kAckError;
  *kModes[command] = on != 0;
  return filter_set();
}

// A table: a 32-bit count, then addresses. False: there is less data than it says.
bool VirtioNet::read_mac_table(const VirtqChain& chain, u64& at, std::vector<net::MacAddress>& table, bool& overflow) {
  u8 raw[4];
  if (chain.read(at, raw) != sizeof raw) return false;
  const u64 count = load_le<u32>(raw);
  at += sizeof raw;
  if (chain.readable() < at + count * 6) return false;
  table.clear();
  overflow = count > kTableLimit;
  for (u64 i = 0; i < count && !overflow; i++) {
    net::MacAddress mac;
    chain.read(at + 6 * i, mac);
    table.push_back(mac);
  }
  at += count * 6;
  return true;
}

u8 VirtioNet::control_mac(u8 command, const VirtqChain& chain) {
  u64 at = kCommand;
  if (command == kAddrSet && has(feature(kCtrlMacAddr))) {
    net::MacAddress mac;
    if (chain.read(at, mac) != mac.size()) return kAckError;
    mac_ = mac;
    for (size_t i = 0; i < mac.size(); i++) poke(kMacAt + i, mac[i], 1);
    return filter_set();
  }
  if (command != kTableSet || !has(feature(kCtrlRx))) return kAckError;
  std::vector<net::MacAddress> unicast, multicast;
  bool many_unicast = false, many_multicast = false;
  if (!read_mac_table(chain, at, unicast, many_unicast) || !read_mac_table(chain, at, multicast, many_multicast))
    return kAckError;
  unicast_ = std::move(unicast);
  multicast_ = std::move(multicast);
  unicast_overflow_ = many_unicast;
  multicast_overflow_ = many_multicast;
  return filter_set();
}

u8 VirtioNet::control_vlan(u8 command, const VirtqChain& chain) {
  u8 raw[2];
  if (chain.read(kCommand, raw) != sizeof raw || command > kVlanDel || !has(feature(kCtrlVlan))) return kAckError;
  const u16 id = load_le<u16>(raw);
  if (id >= vlans_.size()) return kAckError;
  vlans_.set(id, command == kVlanAdd);
  return filter_set();
}

// A guest may do it a million times a second: whoever listens has to ask before he is told again.
u8 VirtioNet::filter_set() {
  if (filter_watched_ && p_.filter_changed) {
    filter_watched_ = false;
    p_.filter_changed();
  }
  return kAckOk;
}

RxFilter VirtioNet::take_filter() {
  using Pass = RxFilter::Pass;
  const auto pass = [](bool none, bool all) { return none ? Pass::None : all ? Pass::All : Pass::Normal; };
  filter_watched_ = true;
  RxFilter f{.promiscuous = promiscuous_,
             .broadcast = !no_broadcast_,
             .unicast = pass(no_unicast_, all_unicast_),
             .multicast = pass(no_multi_, all_multi_),
             .vlan = pass(vlans_.none(), false),
             .unicast_overflow = unicast_overflow_,
             .multicast_overflow = multicast_overflow_,
             .mac = mac_,
             .unicasts = unicast_,
             .multicasts = multicast_,
             .vlans = {}};
  if (!has(feature(kCtrlVlan))) f.vlan = Pass::All;  // tags are not looked at
  for (size_t id = 0; id < vlans_.size(); id++) {
    if (vlans_.test(id)) f.vlans.push_back(static_cast<u16>(id));
  }
  return f;
}

}  // namespace doppel::hw
