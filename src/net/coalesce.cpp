#include "net/coalesce.h"

#include <algorithm>
#include <cstring>

#include "net/checksum.h"

namespace doppel::net {
namespace {

enum TcpFlags : u8 { kFin = 0x01, kSyn = 0x02, kRst = 0x04, kPush = 0x08, kAck = 0x10, kUrg = 0x20, kCwr = 0x80 };
constexpr size_t kIpv4Header = 20, kIpv6Header = 40, kTcpChecksum = 16;
constexpr size_t kMaxDatagram = 65535;

u32 be32(const u8* p) { return u32{p[0]} << 24 | u32{p[1]} << 16 | u32{p[2]} << 8 | p[3]; }
void put_be16(u8* p, size_t v) {
  p[0] = static_cast<u8>(v >> 8);
  p[1] = static_cast<u8>(v);
}

// A segment that may stand in a row of others: data, no rare flags, no IP options, no padding behind it.
struct Segment {
  Headers h;
  size_t size = 0;  // of the payload
};
bool look(const Packet& p, Segment& s) {
  if (p.offload.segmentation != Segmentation::None || p.offload.needs_checksum || !p.offload.checksum_valid)
    return false;
  s.h = parse_headers(p.data);
  if (s.h.payload == 0 || s.h.protocol != kProtocolTcp) return false;
  if (s.h.l4 - s.h.l3 != (s.h.ipv6 ? kIpv6Header : kIpv4Header) || s.h.end != p.data.size()) return false;
  const u8 flags = p.data[s.h.l4 + 13];
  if ((flags & (kSyn | kRst | kUrg | kCwr)) != 0 || (flags & kAck) == 0) return false;
  s.size = s.h.end - s.h.payload;
  return s.size != 0;
}

// Everything but lengths, identification, sequence number, checksums and the flags that only a last segment has.
bool same_headers(const std::vector<u8>& a, const std::vector<u8>& b, const Headers& h) {
  const auto same = [&](size_t from, size_t to) { return std::equal(&a[from], &a[0] + to, &b[from]); };
  if (!same(0, h.l3 + 2)) return false;  // Ethernet, VLAN tag, version, service
  if (h.ipv6 ? !same(h.l3 + 2, h.l3 + 4) || !same(h.l3 + 6, h.l4)
             : !same(h.l3 + 6, h.l3 + 10) || !same(h.l3 + 12, h.l4))
    return false;
  if (!same(h.l4, h.l4 + 4) || !same(h.l4 + 8, h.l4 + 13)) return false;  // ports; acknowledgement, header length
  return same(h.l4 + 14, h.l4 + 16) && same(h.l4 + 18, h.payload);        // window; options
}

// Lengths and checksums of the whole; the TCP checksum holds the pseudo header's sum, as for a segment to be cut.
void finish(Packet& p, const Headers& h, size_t piece) {
  const size_t end = p.data.size();
  if (h.ipv6) {
    put_be16(&p.data[h.l3 + 4], end - h.l3 - kIpv6Header);
  } else {
    put_be16(&p.data[h.l3 + 2], end - h.l3);
    put_be16(&p.data[h.l3 + 10], 0);
    const auto header = std::span<const u8>(p.data).subspan(h.l3, kIpv4Header);
    put_be16(&p.data[h.l3 + 10], static_cast<u16>(~checksum_fold(checksum_add(header))));
  }
  put_be16(&p.data[h.l4 + kTcpChecksum], checksum_fold(pseudo_header_sum(p.data, h, end - h.l4)));
  p.offload = {.segmentation = h.ipv6 ? Segmentation::Tcp6 : Segmentation::Tcp4,
               .segment_size = static_cast<u16>(piece),
               .header_size = static_cast<u16>(h.payload),
               .needs_checksum = true,
               .checksum_start = static_cast<u16>(h.l4),
               .checksum_offset = kTcpChecksum};
}

}  // namespace

void coalesce_front(std::deque<Packet>& frames) {
  Segment first, next;
  if (frames.size() < 2 || !look(frames[0], first)) return;
  std::vector<u8>& whole = frames[0].data;
  const size_t piece = first.size;
  size_t joined = 0, last = piece;
  while (1 + joined < frames.size() && last == piece && (whole[first.h.l4 + 13] & (kFin | kPush)) == 0) {
    const Packet& p = frames[1 + joined];
    if (!look(p, next) || next.size > piece || next.h.payload != first.h.payload) break;
    if (next.h.ipv6 != first.h.ipv6 || whole.size() - first.h.l3 + next.size > kMaxDatagram) break;
    const u32 follows = static_cast<u32>(be32(&whole[first.h.l4 + 4]) + (whole.size() - first.h.payload));
    if (be32(&p.data[next.h.l4 + 4]) != follows || !same_headers(whole, p.data, first.h)) break;
    if (joined == 0) whole.reserve(std::min(kMaxDatagram + first.h.l3, piece * frames.size() + first.h.payload));
    whole[first.h.l4 + 13] = static_cast<u8>(whole[first.h.l4 + 13] | (p.data[next.h.l4 + 13] & (kFin | kPush)));
    whole.insert(whole.end(), p.data.begin() + static_cast<std::ptrdiff_t>(next.h.payload), p.data.end());
    last = next.size;
    joined++;
  }
  if (joined == 0) return;
  finish(frames[0], first.h, piece);
  frames.erase(frames.begin() + 1, frames.begin() + 1 + static_cast<std::ptrdiff_t>(joined));
}

}  // namespace doppel::net
