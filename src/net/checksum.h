// The Internet checksum (RFC 1071) and what follows from it: completing the checksums that a sender left open, checking
// those of a frame that arrives, and cutting a large TCP segment into frames of the wire's size. Frames are never
// trusted: whatever does not parse is left as it is.
#pragma once
#include "net/packet.h"

namespace doppel::net {

// Ones' complement sum of big-endian words, not folded; add up parts (all but the last of even length).
u64 checksum_add(std::span<const u8> data, u64 sum = 0);
u16 checksum_fold(u64 sum);  // folded, not inverted

// What a frame has inside: offsets from its start, 0 where there is none.
struct Headers {
  size_t l3 = 0;       // IPv4 or IPv6
  size_t l4 = 0;       // TCP or UDP of an unfragmented datagram
  size_t payload = 0;  // behind the TCP or UDP header
  size_t end = 0;      // of the IP datagram; the frame may be padded behind it
  bool ipv6 = false;
  u8 protocol = 0;
};
constexpr u8 kProtocolTcp = 6, kProtocolUdp = 17;
Headers parse_headers(std::span<const u8> frame);
u64 pseudo_header_sum(std::span<const u8> frame, const Headers& h, size_t l4_length);

enum class Checked { None, Good, Bad };
struct ReceiveChecksums {
  Checked ip = Checked::None, l4 = Checked::None;
  bool udp = false;
};
// `l4_good`: the TCP or UDP checksum needs no look.
ReceiveChecksums check_frame(std::span<const u8> frame, bool l4_good = false);

// Carries out `needs_checksum`; offsets outside of the frame are ignored.
void complete_checksum(Packet& packet);
// Makes lengths and checksums of a segment that stays whole. False: it does not parse, or is too long for a datagram.
bool complete_whole(Packet& packet);
// Frames of the wire's size, checksums complete. A packet that can't be cut comes back alone.
std::vector<Packet> segment(Packet packet);

}  // namespace doppel::net
