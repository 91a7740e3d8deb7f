#include "net/checksum.h"

#include <algorithm>
#include <utility>

namespace doppel::net {
namespace {

constexpr u16 kIpv4 = 0x0800, kIpv6 = 0x86dd, kVlan = 0x8100;
constexpr size_t kIpv4Header = 20, kIpv6Header = 40, kTcpHeader = 20, kUdpHeader = 8;
enum TcpFlags : u8 { kFin = 0x01, kPush = 0x08, kCwr = 0x80 };

u16 be16(const u8* p) { return static_cast<u16>(p[0] << 8 | p[1]); }
void put_be16(u8* p, u16 v) {
  p[0] = static_cast<u8>(v >> 8);
  p[1] = static_cast<u8>(v);
}
u32 be32(const u8* p) { return u32{be16(p)} << 16 | be16(p + 2); }
void put_be32(u8* p, u32 v) {
  put_be16(p, static_cast<u16>(v >> 16));
  put_be16(p + 2, static_cast<u16>(v));
}

bool parse_ipv4(std::span<const u8> f, Headers& h) {
  const size_t at = h.l3;
  if (f.size() < at + kIpv4Header || f[at] >> 4 != 4) return false;
  const size_t header = (f[at] & 15) * size_t{4}, total = be16(&f[at + 2]);
  if (header < kIpv4Header || total < header || f.size() < at + total) return false;
  h.protocol = f[at + 9];
  h.end = at + total;
  if ((be16(&f[at + 6]) & 0x3fff) == 0) h.l4 = at + header;  // neither a later fragment nor more to come
  return true;
}

// No extension headers: datagrams with them are rare, and their checksums stay with the guest.
bool parse_ipv6(std::span<const u8> f, Headers& h) {
  const size_t at = h.l3;
  if (f.size() < at + kIpv6Header || f[at] >> 4 != 6) return false;
  const size_t length = be16(&f[at + 4]);
  if (f.size() < at + kIpv6Header + length) return false;
  h.ipv6 = true;
  h.protocol = f[at + 6];
  h.end = at + kIpv6Header + length;
  h.l4 = at + kIpv6Header;
  return true;
}

}  // namespace

u64 checksum_add(std::span<const u8> data, u64 sum) {
  // Little-endian sums of 32-bit pieces give the byte-swapped result; it is swapped back on the way out.
  u64 s = 0, odd = 0;
  size_t i = 0;
  for (; i + 16 <= data.size(); i += 16) {
    const u64 a = load_le<u64>(&data[i]), b = load_le<u64>(&data[i + 8]);
    s += (a & 0xffffffff) + (b & 0xffffffff);
    odd += (a >> 32) + (b >> 32);
  }
  for (; i + 4 <= data.size(); i += 4) s += load_le<u32>(&data[i]);
  s = (s & 0xffffffff) + (s >> 32) + (odd & 0xffffffff) + (odd >> 32);
  if (i + 2 <= data.size()) {
    s += load_le<u16>(&data[i]);
    i += 2;
  }
  if (i < data.size()) s += data[i];
  while (s >> 16) s = (s & 0xffff) + (s >> 16);
  return sum + (((s & 0xff) << 8) | (s >> 8));
}

u16 checksum_fold(u64 sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<u16>(sum);
}

Headers parse_headers(std::span<const u8> f) {
  Headers h;
  if (f.size() < kEthernetHeader) return h;
  u16 type = be16(&f[12]);
  h.l3 = kEthernetHeader;
  if (type == kVlan && f.size() >= kEthernetHeader + 4) {
    type = be16(&f[16]);
    h.l3 += 4;
  }
  const bool ok = type == kIpv4 ? parse_ipv4(f, h) : type == kIpv6 && parse_ipv6(f, h);
  if (!ok) return {};
  if (h.l4 != 0 && h.protocol == kProtocolTcp && h.end >= h.l4 + kTcpHeader) {
    const size_t header = (f[h.l4 + 12] >> 4) * size_t{4};
    if (header >= kTcpHeader && h.l4 + header <= h.end) h.payload = h.l4 + header;
  } else if (h.l4 != 0 && h.protocol == kProtocolUdp && h.end >= h.l4 + kUdpHeader) {
    h.payload = h.l4 + kUdpHeader;
  }
  if (h.payload == 0) h.l4 = 0;
  return h;
}

u64 pseudo_header_sum(std::span<const u8> f, const Headers& h, size_t l4_length) {
  const u64 sum = h.ipv6 ? checksum_add(f.subspan(h.l3 + 8, 32)) : checksum_add(f.subspan(h.l3 + 12, 8));
  return sum + h.protocol + l4_length;
}

ReceiveChecksums check_frame(std::span<const u8> f, bool l4_good) {
  ReceiveChecksums out;
  const Headers h = parse_headers(f);
  if (h.l3 == 0) return out;
  if (!h.ipv6) {
    const u64 sum = checksum_add(f.subspan(h.l3, (f[h.l3] & 15) * size_t{4}));
    out.ip = checksum_fold(sum) == 0xffff ? Checked::Good : Checked::Bad;
  }
  if (h.l4 == 0) return out;
  out.udp = h.protocol == kProtocolUdp;
  if (l4_good) {
    out.l4 = Checked::Good;
    return out;
  }
  if (out.udp && be16(&f[h.l4 + 6]) == 0) return out;  // UDP without a checksum
  const size_t length = out.udp ? be16(&f[h.l4 + 4]) : h.end - h.l4;
  if (length > h.end - h.l4) return out;
  const u64 sum = checksum_add(f.subspan(h.l4, length), pseudo_header_sum(f, h, length));
  out.l4 = checksum_fold(sum) == 0xffff ? Checked::Good : Checked::Bad;
  return out;
}

void complete_checksum(Packet& p) {
  if (!std::exchange(p.offload.needs_checksum, false)) return;
  const size_t start = p.offload.checksum_start, at = start + p.offload.checksum_offset;
  if (start >= p.data.size() || at + 2 > p.data.size()) return;
  u16 sum = static_cast<u16>(~checksum_fold(checksum_add(std::span(p.data).subspan(start))));
  if (sum == 0) sum = 0xffff;  // the same number; in UDP, 0 would mean that there is none
  put_be16(&p.data[at], sum);
  p.offload.checksum_valid = true;
}

namespace {
// Headers of one piece of a segment: lengths, IP identification, sequence number, flags, checksums.
void finish_piece(std::vector<u8>& f, const Headers& h, size_t index, size_t offset, bool last) {
  if (h.ipv6) {
    put_be16(&f[h.l3 + 4], static_cast<u16>(f.size() - h.l3 - kIpv6Header));
  } else {
    put_be16(&f[h.l3 + 2], static_cast<u16>(f.size() - h.l3));
    put_be16(&f[h.l3 + 4], static_cast<u16>(be16(&f[h.l3 + 4]) + index));
    put_be16(&f[h.l3 + 10], 0);
    const auto header = std::span<const u8>(f).subspan(h.l3, (f[h.l3] & 15) * size_t{4});
    put_be16(&f[h.l3 + 10], static_cast<u16>(~checksum_fold(checksum_add(header))));
  }
  put_be32(&f[h.l4 + 4], static_cast<u32>(be32(&f[h.l4 + 4]) + offset));
  if (!last) f[h.l4 + 13] = static_cast<u8>(f[h.l4 + 13] & ~(kFin | kPush));
  if (index != 0) f[h.l4 + 13] = static_cast<u8>(f[h.l4 + 13] & ~kCwr);
  put_be16(&f[h.l4 + 16], 0);
  const u64 sum = checksum_add(std::span<const u8>(f).subspan(h.l4), pseudo_header_sum(f, h, f.size() - h.l4));
  put_be16(&f[h.l4 + 16], static_cast<u16>(~checksum_fold(sum)));
}

// A large segment has no length of its own in its IP header to go by: the frame's is taken.
Headers parse_segment(Packet& p) {
  const Segmentation kind = p.offload.segmentation;
  if (kind != Segmentation::Tcp4 && kind != Segmentation::Tcp6) return {};
  const bool tagged = p.data.size() > 18 && be16(&p.data[12]) == kVlan;
  const size_t l3 = kEthernetHeader + (tagged ? 4 : 0);
  if (p.data.size() > l3 + kIpv6Header && p.data.size() - l3 < 65536) {
    if (p.data[l3] >> 4 == 4) put_be16(&p.data[l3 + 2], static_cast<u16>(p.data.size() - l3));
    if (p.data[l3] >> 4 == 6) put_be16(&p.data[l3 + 4], static_cast<u16>(p.data.size() - l3 - kIpv6Header));
  }
  const Headers h = parse_headers(p.data);
  return h.payload != 0 && h.protocol == kProtocolTcp && h.end == p.data.size() ? h : Headers{};
}
}  // namespace

bool complete_whole(Packet& p) {
  const Headers h = parse_segment(p);
  if (h.payload == 0) return false;
  finish_piece(p.data, h, 0, 0, true);
  p.offload = {};
  p.offload.checksum_valid = true;
  return true;
}

std::vector<Packet> segment(Packet p) {
  std::vector<Packet> out;
  const Offload o = p.offload;
  const Headers h = parse_segment(p);
  if (h.payload == 0 || o.segment_size == 0) {
    complete_checksum(p);
    p.offload.segmentation = Segmentation::None;
    out.push_back(std::move(p));
    return out;
  }
  const size_t total = h.end - h.payload;
  size_t offset = 0, index = 0;
  do {
    const size_t n = std::min<size_t>(o.segment_size, total - offset);
    Packet piece(std::span<const u8>(p.data).first(h.payload));
    const auto from = p.data.begin() + static_cast<std::ptrdiff_t>(h.payload + offset);
    piece.data.insert(piece.data.end(), from, from + static_cast<std::ptrdiff_t>(n));
    finish_piece(piece.data, h, index++, offset, offset + n == total);
    piece.offload.checksum_valid = true;
    out.push_back(std::move(piece));
    offset += n;
  } while (offset < total);
  return out;
}

}  // namespace doppel::net
