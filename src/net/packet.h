// Packet: one Ethernet frame on its way between a network card and a back end, without preamble and FCS, and what the
// sender left for others to do. A segment that still has to be cut (`Segmentation`) may have up to 64 KiB of payload.
#pragma once
#include <span>
#include <vector>

#include "base/bits.h"

namespace doppel::net {

constexpr size_t kEthernetHeader = 14;
constexpr size_t kMaxPacket = 65550 + 18;  // the longest IP datagram in a frame with a VLAN tag

enum class Segmentation : u8 { None, Tcp4, Tcp6, Udp };

struct Offload {
  Segmentation segmentation = Segmentation::None;
  u16 segment_size = 0;  // payload of each segment; its headers come before
  u16 header_size = 0;
  bool needs_checksum = false;  // sum from `checksum_start` to the end, stored at checksum_start + checksum_offset;
  bool checksum_valid = false;  // the receiver need not look: the TCP or UDP checksum is right, or was never made
  u16 checksum_start = 0;       // the field there holds the sum of the pseudo header
  u16 checksum_offset = 0;
};

struct Packet {
  std::vector<u8> data;
  Offload offload;
  Packet() = default;
  explicit Packet(std::span<const u8> bytes) : data(bytes.begin(), bytes.end()) {}
  explicit Packet(std::vector<u8>&& bytes) : data(std::move(bytes)) {}
};

}  // namespace doppel::net
