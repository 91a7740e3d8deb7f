#include "cable.h"

#include <algorithm>

#include "net/checksum.h"

namespace doppel::fuzz {

net::Loop& network_loop() {
  static net::Loop loop;
  return loop;
}

void Cable::transmit(net::Packet&& p) {
  if (p.data.size() > net::kMaxPacket) complaint = "a frame of " + std::to_string(p.data.size()) + " bytes was sent";
  if (p.offload.segmentation == net::Segmentation::None) {
    net::complete_checksum(p);
    return;
  }
  if (!offload_) complaint = "a segment was sent that was to be cut";
  net::complete_whole(p);
}

CableEnd::CableEnd(bool offload)
    : cable(std::make_shared<Cable>(offload)),
      port(std::make_shared<net::NicPort>("nic", "nic", net::MacAddress{0x52, 0x54, 0, 0x12, 0x34, 0x56})) {
  port->plug(cable);
  cable->set_peer(port);
}

void CableEnd::link(u64 value) { port->set_link((value & 1) != 0); }

std::vector<u8> make_frame(const net::MacAddress& mac, u64 value) {
  enum Kind { Tcp4, Udp4, Tcp6, Arp, TaggedTcp4, Icmp, Garbage, Runt };
  const auto kind = static_cast<Kind>(value & 7);
  const size_t length = kind == Runt ? value >> 8 & 31 : 14 + (value >> 8 & 0xffff) % (value >> 24 & 7 ? 1505 : 9000);
  std::vector<u8> f(length, static_cast<u8>(value >> 32));
  if (length < 14) return f;
  static constexpr u8 kGroup[] = {1, 0, 0x5e, 0, 0, 1};
  for (size_t i = 0; i < 6; i++)
    f[i] = (value >> 3 & 3) == 0   ? mac[i]
           : (value >> 3 & 3) == 1 ? u8{0xff}
           : (value >> 3 & 3) == 2 ? kGroup[i]
                                   : static_cast<u8>(value >> 8 * i & 0xfe);
  if (kind == Garbage) return f;
  const bool six = kind == Tcp6;
  size_t at = 12;
  const auto put16 = [&](size_t where, size_t v) {
    if (where + 2 > f.size()) return;
    f[where] = static_cast<u8>(v >> 8);
    f[where + 1] = static_cast<u8>(v);
  };
  if (kind == TaggedTcp4) {
    put16(12, 0x8100);
    put16(14, value >> 40 & 0xfff);
    at = 16;
  }
  put16(at, kind == Arp ? 0x0806 : six ? 0x86dd : 0x0800);
  at += 2;
  const size_t header = six ? 40 : 20;
  if (kind == Arp || f.size() < at + header + 20) return f;
  f[at] = six ? 0x60 : 0x45;
  put16(at + (six ? 4 : 2), f.size() - at - (six ? header : 0));
  if (!six) put16(at + 6, value >> 48 & 0x3f ? 0 : 0x2000);
  f[at + (six ? 6 : 9)] = kind == Icmp ? 1 : kind == Udp4 ? 17 : 6;
  const size_t l4 = at + header;
  if (kind == Udp4) put16(l4 + 4, f.size() - l4);
  if (kind == Tcp4 || six || kind == TaggedTcp4) {
    f[l4 + 12] = 0x50;
    f[l4 + 13] = static_cast<u8>(0x10 | (value >> 54 & 0x0f));
  }
  return f;
}

void CableEnd::frame(u32 offset, u64 value) {
  const unsigned count = 1 + (offset & 0x10 ? offset >> 8 & 31 : 0);
  u32 sequence = 1000;
  for (unsigned i = 0; i < count; i++) {
    net::Packet p(make_frame(port->mac(), value));
    const net::Headers h = net::parse_headers(p.data);
    if (h.payload != 0 && h.protocol == net::kProtocolTcp) {  // a stream, whose segments may be joined
      for (size_t b = 0; b < 4; b++) p.data[h.l4 + 4 + b] = static_cast<u8>(sequence >> (24 - 8 * b));
      sequence += static_cast<u32>(h.end - h.payload);
    }
    p.offload.checksum_valid = (value >> 5 & 1) != 0;
    if ((value >> 5 & 6) == 6 && h.payload != 0) {
      p.offload.needs_checksum = true;
      p.offload.checksum_start = static_cast<u16>(h.l4);
      p.offload.checksum_offset = h.protocol == net::kProtocolTcp ? 16 : 6;
      if (h.protocol == net::kProtocolTcp && (value >> 60 & 1) != 0) {
        p.offload.segmentation = h.ipv6 ? net::Segmentation::Tcp6 : net::Segmentation::Tcp4;
        p.offload.segment_size = static_cast<u16>(value >> 44 & 0xfff);
        p.offload.header_size = static_cast<u16>(h.payload);
      }
    }
    cable->give(std::move(p));
  }
}

}  // namespace doppel::fuzz
