#include "hw/net/virtio_net.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"
#include "hw/net/multicast.h"
#include "hw/net/virtio_net_defs.h"
#include "net/checksum.h"

namespace doppel::hw {

using namespace virtio;
using namespace virtio_net;

namespace {

struct NamedFeature {
  const char* name;
  unsigned bit;
};
constexpr NamedFeature kNamed[] = {
    {"csum", kCsum},
    {"guest_csum", kGuestCsum},
    {"ctrl_guest_offloads", kCtrlGuestOffloads},
    {"guest_tso4", kGuestTso4},
    {"guest_tso6", kGuestTso6},
    {"guest_ecn", kGuestEcn},
    {"host_tso4", kHostTso4},
    {"host_tso6", kHostTso6},
    {"host_ecn", kHostEcn},
    {"mrg_rxbuf", kMrgRxbuf},
    {"status", virtio_net::kStatus},
    {"ctrl_vq", kCtrlVq},
    {"ctrl_rx", kCtrlRx},
    {"ctrl_vlan", kCtrlVlan},
    {"ctrl_rx_extra", kCtrlRxExtra},
    {"ctrl_mac_addr", kCtrlMacAddr},
};
constexpr u64 kGuestOffloads = feature(kGuestCsum) | feature(kGuestTso4) | feature(kGuestTso6) | feature(kGuestEcn);
constexpr u64 kNeedControl = feature(kCtrlRx) | feature(kCtrlVlan) | feature(kCtrlRxExtra) | feature(kCtrlMacAddr) |
                             feature(kCtrlGuestOffloads) | feature(kMq);
constexpr u16 kControlSize = 64;

u64 features_of(const VirtioNet::Params& p) {
  u64 f = p.features | feature(kMac);
  if (p.queue_pairs > 1) f |= feature(kMq);
  if (p.mtu != 0) f |= feature(kMtu);
  if (p.speed != ~u32{0} || p.duplex != 0xff) f |= feature(kSpeedDuplex);
  if ((f & feature(kCtrlVq)) == 0) f &= ~kNeedControl;
  if (p.event_idx) f |= kEventIdx;
  if (p.indirect) f |= kIndirectDesc;
  return f;
}

std::vector<u16> queues_of(const VirtioNet::Params& p) {
  std::vector<u16> sizes;
  for (u16 i = 0; i < p.queue_pairs; i++) {
    sizes.push_back(p.rx_size);
    sizes.push_back(p.tx_size);
  }
  sizes.push_back(kControlSize);
  return sizes;
}

// A flow's number, the same for both directions.
size_t flow_of(std::span<const u8> frame) {
  const net::Headers h = net::parse_headers(frame);
  if (h.l3 == 0) return 0;
  const size_t addresses = h.ipv6 ? 32 : 8, at = h.l3 + (h.ipv6 ? 8 : 12);
  u32 sum = 0;
  for (size_t i = 0; i + 4 <= addresses; i += 4) sum += load_le<u32>(&frame[at + i]);
  if (h.l4 != 0) sum += u32{load_le<u16>(&frame[h.l4])} + load_le<u16>(&frame[h.l4 + 2]);
  return (sum * 0x9e3779b1u) >> 24;
}
}  // namespace

u64 VirtioNet::all_features() {
  u64 all = 0;
  for (const NamedFeature& f : kNamed) all |= feature(f.bit);
  return all;
}

u64 VirtioNet::feature_by_name(std::string_view name) {
  for (const NamedFeature& f : kNamed) {
    if (name == f.name) return feature(f.bit);
  }
  return 0;
}

const std::vector<std::string>& VirtioNet::feature_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const NamedFeature& f : kNamed) all.emplace_back(f.name);
    return all;
  }();
  return names;
}

VirtioNet::VirtioNet(Params p)
    : VirtioDevice({.name = "virtio-net",
                    .id = kIdNet,
                    .features = features_of(p),
                    .queues = queues_of(p),
                    .config_size = kConfigSize},
                   p.clock),
      p_(std::move(p)) {
  poke(kMaxPairsAt, p_.queue_pairs, 2);
  poke(kMtuAt, p_.mtu, 2);
  poke(kSpeedAt, p_.speed, 4);
  poke(kDuplexAt, p_.duplex, 1);
  poke(kStatusAt, p_.port->link() ? kLinkUp : 0, 2);
  stopped();
  p_.port->connect(*this, p_.device_lock);
}

VirtioNet::~VirtioNet() { p_.port->disconnect(); }

void VirtioNet::leave() { p_.port->disconnect(); }

void VirtioNet::sleep() { p_.port->sleep(); }

void VirtioNet::wake() {
  p_.port->wake();
  if (stalled_) room_to_send();
}

// The state that a reset brings back.
void VirtioNet::stopped() {
  mac_ = p_.port->mac();
  for (size_t i = 0; i < mac_.size(); i++) poke(kMacAt + i, mac_[i], 1);
  promiscuous_ = true;
  all_multi_ = all_unicast_ = no_multi_ = no_unicast_ = no_broadcast_ = false;
  unicast_.clear();
  multicast_.clear();
  unicast_overflow_ = multicast_overflow_ = false;
  vlans_.reset();
  offloads_ = kGuestOffloads;
  pairs_ = 1;
  steering_ = {};
  stalled_ = false;
  filled_.reset();
}

size_t VirtioNet::header_size() const { return modern() || has(feature(kMrgRxbuf)) ? kMergeableHeader : kLegacyHeader; }

void VirtioNet::link_changed(bool up) {
  poke(kStatusAt, up ? kLinkUp : 0, 2);
  if (has(feature(virtio_net::kStatus))) config_changed();
}

// Legacy drivers set the MAC here.
void VirtioNet::config_written(u64 offset, u64 value, unsigned size) {
  if (modern() || offset + size > kMacAt + mac_.size()) return;
  poke(offset, value, size);
  for (size_t i = 0; i < mac_.size(); i++) mac_[i] = config()[kMacAt + i];
}

void VirtioNet::handle(u16 queue) {
  if (queue == control_queue()) {
    serve(queue, [&](const VirtqChain& chain) {
      const u8 ack = control(chain);
      this->queue(control_queue()).push(chain, static_cast<u32>(chain.write(0, {&ack, 1})));
      return Serve::Done;
    });
  } else if (queue % 2 == 1) {
    transmit(queue);
  } else {
    p_.port->room_to_receive();
  }
}

// --- sending

void VirtioNet::transmit(u16 queue) {
  serve(queue, [&](const VirtqChain& chain) {
    bool room = true;
    send_chain(chain, queue / 2, room);
    stalled_ = !room;
    if (!room) return Serve::Later;
    this->queue(queue).push(chain, 0);
    return Serve::Done;
  });
}

void VirtioNet::room_to_send() {
  for (u16 i = 0; i < p_.queue_pairs; i++) notify(2u * i + 1);
}

void VirtioNet::send_chain(const VirtqChain& chain, u16 pair, bool& room) {
  const size_t header = header_size();
  u8 h[kMergeableHeader] = {};
  const u64 total = chain.readable();
  if (total < header + net::kEthernetHeader || total - header > net::kMaxPacket) {
    DOPPEL_LOG(GuestErrors, "virtio-net: a frame of %llu bytes\n", static_cast<unsigned long long>(total));
    return;
  }
  chain.read(0, {h, header});
  net::Packet packet;
  packet.data.resize(total - header);
  chain.read(header, packet.data);
  net::Offload& o = packet.offload;
  const u8 gso = h[kGsoType] & ~u8{kGsoEcn};
  if (gso == kGsoTcp4 || gso == kGsoTcp6) {
    o.segmentation = gso == kGsoTcp4 ? net::Segmentation::Tcp4 : net::Segmentation::Tcp6;
    o.segment_size = load_le<u16>(h + kGsoSize);
    o.header_size = load_le<u16>(h + kHeaderLength);
  } else if (gso != kGsoNone) {
    DOPPEL_LOG(GuestErrors, "virtio-net: a segment of type %u\n", gso);
    return;
  } else if (h[kFlags] & kNeedsCsum) {
    o.needs_checksum = true;
    o.checksum_start = load_le<u16>(h + kCsumStart);
    o.checksum_offset = load_le<u16>(h + kCsumOffset);
  }
  if (p_.queue_pairs > 1) steering_[flow_of(packet.data)] = static_cast<u8>(pair);
  room = p_.port->send(std::move(packet));
}

// --- receiving

bool VirtioNet::receives_offload() const {
  const u64 all = feature(kGuestCsum) | feature(kGuestTso4) | feature(kGuestTso6);
  return ready() && (driver_features() & offloads_ & all) == all;
}

void VirtioNet::received() {
  for (u16 i = 0; i < pairs_ && filled_.any(); i++) {
    if (!filled_.test(i)) continue;
    filled_.reset(i);
    finish(static_cast<u16>(2 * i));
  }
}

bool VirtioNet::accepts(std::span<const u8> f) const {
  if (has(feature(kCtrlVlan)) && f.size() >= 16 && f[12] == 0x81 && f[13] == 0x00) {
    if (!vlans_.test(static_cast<size_t>((f[14] & 15) << 8 | f[15]))) return false;
  }
  if (promiscuous_) return true;
  net::MacAddress to;
  std::copy_n(f.begin(), to.size(), to.begin());
  const auto listed = [&](const std::vector<net::MacAddress>& table) {
    return std::find(table.begin(), table.end(), to) != table.end();
  };
  if (is_broadcast(f)) return !no_broadcast_;
  if (f[0] & 1) return !no_multi_ && (all_multi_ || multicast_overflow_ || listed(multicast_));
  return !no_unicast_ && (all_unicast_ || unicast_overflow_ || to == mac_ || listed(unicast_));
}

VirtioNet::Took VirtioNet::receive(const net::Packet& packet) {
  const std::span<const u8> frame = packet.data;
  if (!ready() || frame.size() < net::kEthernetHeader || frame.size() > net::kMaxPacket || !accepts(frame))
    return Took::Frame;
  u16 pair = 0;
  if (pairs_ > 1) pair = steering_[flow_of(frame)] % pairs_;
  const u16 queue = static_cast<u16>(2 * pair);
  if (!usable(queue)) return Took::Frame;  // to nobody
  const bool stored = store(queue, packet, frame);
  filled_.set(pair);
  return stored ? Took::Frame : Took::Nothing;
}

// False: the driver has not given enough buffers yet.
bool VirtioNet::store(u16 index, const net::Packet& packet, std::span<const u8> frame) {
  Virtqueue& q = queue(index);
  const size_t header = header_size();
  const bool mergeable = has(feature(kMrgRxbuf));
  u8 h[kMergeableHeader] = {};
  const net::Offload& o = packet.offload;
  if (o.segmentation != net::Segmentation::None) {
    h[kGsoType] = o.segmentation == net::Segmentation::Tcp4 ? kGsoTcp4 : kGsoTcp6;
    store_le<u16>(h + kGsoSize, o.segment_size);
    store_le<u16>(h + kHeaderLength, o.header_size);
  }
  if (o.needs_checksum) {
    h[kFlags] = kNeedsCsum;
    store_le<u16>(h + kCsumStart, o.checksum_start);
    store_le<u16>(h + kCsumOffset, o.checksum_offset);
  } else if (o.checksum_valid && (driver_features() & offloads_ & feature(kGuestCsum))) {
    h[kFlags] = kDataValid;
  }
  u64 room = 0;
  u16 used = 0;
  const u64 needed = header + frame.size();
  while (room < needed && (used == 0 || mergeable)) {
    if (rx_chains_.size() <= used) rx_chains_.emplace_back();
    if (!q.pop(rx_chains_[used])) {
      q.unpop(used);
      return used >= q.setup().size;  // a whole ring is too small: the frame is lost
    }
    room += rx_chains_[used++].writable();
  }
  if (rx_chains_[0].writable() < header || room < needed) {
    DOPPEL_LOG(GuestErrors, "virtio-net: a receive buffer of %llu bytes\n",
               static_cast<unsigned long long>(rx_chains_[0].writable()));
    for (u16 i = 0; i < used; i++) q.push(rx_chains_[i], 0);
    return true;
  }
  store_le<u16>(h + kNumBuffers, used);
  size_t at = 0;
  for (u16 i = 0; i < used; i++) {
    const VirtqChain& c = rx_chains_[i];
    const size_t skip = i == 0 ? header : 0;
    if (i == 0) c.write(0, {h, header});
    const size_t n = std::min<u64>(c.writable() - skip, frame.size() - at);
    c.write(skip, frame.subspan(at, n));
    at += n;
    q.push(c, static_cast<u32>(skip + n));
  }
  return true;
}

// --- state

void VirtioNet::archive_device(StateArchive& ar) {
  const auto table = [&](const char* name, std::vector<net::MacAddress>& macs) {
    std::vector<u8> bytes;
    for (const net::MacAddress& m : macs) bytes.insert(bytes.end(), m.begin(), m.end());
    ar.blob(name, bytes);
    if (!ar.loading()) return;
    macs.assign(std::min<size_t>(bytes.size() / 6, 64), {});
    for (size_t i = 0; i < macs.size(); i++)
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(6 * i), 6, macs[i].begin());
  };
  ar.field("mac", mac_);
  ar.field("promiscuous", promiscuous_);
  ar.field("all_multicast", all_multi_);
  ar.field("all_unicast", all_unicast_);
  ar.field("no_multicast", no_multi_);
  ar.field("no_unicast", no_unicast_);
  ar.field("no_broadcast", no_broadcast_);
  table("unicast", unicast_);
  table("multicast", multicast_);
  ar.field("unicast_overflow", unicast_overflow_);
  ar.field("multicast_overflow", multicast_overflow_);
  std::array<u8, 512> vlans{};
  for (size_t i = 0; i < vlans_.size(); i++) vlans[i / 8] |= static_cast<u8>(vlans_.test(i) << (i % 8));
  ar.field("vlans", vlans);
  ar.field("offloads", offloads_);
  ar.field("pairs", pairs_);
  ar.field("steering", steering_);
  if (!ar.loading()) return;
  for (size_t i = 0; i < vlans_.size(); i++) vlans_.set(i, (vlans[i / 8] >> (i % 8) & 1) != 0);
  pairs_ = std::clamp<u16>(pairs_, 1, p_.queue_pairs);
  poke(kStatusAt, p_.port->link() ? kLinkUp : 0, 2);
}

std::string VirtioNet::info() const {
  char text[160];
  std::snprintf(text, sizeof text, "mac %s, link %s, queue pairs %u of %u%s\n", net::mac_text(mac_).c_str(),
                p_.port->link() ? "up" : "down", pairs_, p_.queue_pairs, promiscuous_ ? ", promiscuous" : "");
  return VirtioDevice::info() + text;
}

}  // namespace doppel::hw
