// Checksums against a slow sum of 16-bit words, and cutting segments.
#include "net/checksum.h"

#include <random>

#include "net/net_fixture.h"

namespace doppel::net::test {
namespace {

u16 slow(std::span<const u8> d) {
  u64 sum = 0;
  for (size_t i = 0; i < d.size(); i++) sum += i % 2 ? d[i] : d[i] << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<u16>(sum);
}

TEST(Checksum, AgreesWithTheDefinition) {
  std::mt19937 random(1);
  for (size_t n = 0; n < 300; n++) {
    std::vector<u8> d(n);
    for (u8& b : d) b = static_cast<u8>(random());
    EXPECT_EQ(checksum_fold(checksum_add(d)), slow(d)) << n;
  }
  EXPECT_EQ(checksum_fold(checksum_add(std::vector<u8>(70000, 0xff))), 0xffff);
}

TEST(Checksum, FramesAreChecked) {
  const u8 payload[] = {1, 2, 3, 4, 5};
  Packet p(udp_frame({2}, {4}, 0x0a00020f, 0x0a000202, 1000, 2000, payload));
  EXPECT_EQ(check_frame(p.data).ip, Checked::Good);
  EXPECT_EQ(check_frame(p.data).l4, Checked::None);  // UDP without one
  const Headers h = parse_headers(p.data);
  ASSERT_EQ(h.l4, 34u);
  const u16 seed = checksum_fold(pseudo_header_sum(p.data, h, 13));
  p.data[40] = static_cast<u8>(seed >> 8), p.data[41] = static_cast<u8>(seed);
  p.offload.needs_checksum = true;
  p.offload.checksum_start = 34;
  p.offload.checksum_offset = 6;
  complete_checksum(p);
  EXPECT_FALSE(p.offload.needs_checksum);
  EXPECT_EQ(check_frame(p.data).l4, Checked::Good);
  p.data[44] ^= 1;
  EXPECT_EQ(check_frame(p.data).l4, Checked::Bad);
  p.data[20] ^= 1;
  EXPECT_EQ(check_frame(p.data).ip, Checked::Bad);
}

std::vector<u8> tcp_segment(size_t payload) {
  std::vector<u8> f(14 + 20 + 20 + payload);
  f[12] = 8, f[14] = 0x45, f[22] = 64, f[23] = 6, f[18] = 0x12, f[19] = 0xff;
  f[26] = 10, f[29] = 15, f[30] = 10, f[33] = 2;
  f[34] = 4, f[36] = 0, f[37] = 80, f[41] = 100;  // sequence 100
  f[46] = 0x50, f[47] = 0x19;                     // FIN PSH ACK
  for (size_t i = 0; i < payload; i++) f[54 + i] = static_cast<u8>(i * 7 + i / 251);
  return f;
}

TEST(Checksum, ASegmentIsCutAndStaysTheSame) {
  for (const size_t size : {1u, 1460u, 1461u, 5000u, 65000u}) {
    Packet p(tcp_segment(size));
    const std::vector<u8> payload(p.data.begin() + 54, p.data.end());
    p.offload.segmentation = Segmentation::Tcp4;
    p.offload.segment_size = 1460;
    auto pieces = segment(std::move(p));
    ASSERT_EQ(pieces.size(), (size + 1459) / 1460);
    std::vector<u8> joined;
    for (size_t i = 0; i < pieces.size(); i++) {
      const auto& f = pieces[i].data;
      EXPECT_EQ(check_frame(f).ip, Checked::Good);
      EXPECT_EQ(check_frame(f).l4, Checked::Good);
      EXPECT_EQ(f[38] << 24 | f[39] << 16 | f[40] << 8 | f[41], static_cast<int>(100 + joined.size()));
      EXPECT_EQ(f[47] & 9, i + 1 == pieces.size() ? 9 : 0);
      joined.insert(joined.end(), f.begin() + 54, f.end());
    }
    EXPECT_EQ(joined, payload);
  }
}

TEST(Checksum, AnythingMayComeIn) {
  std::mt19937 random(3);
  for (int i = 0; i < 200000; i++) {
    Packet p(tcp_segment(random() % 64));
    p.data.resize(random() % (p.data.size() + 1));
    for (unsigned k = 0; k < random() % 6 && !p.data.empty(); k++)
      p.data[random() % p.data.size()] = static_cast<u8>(random());
    check_frame(p.data);
    p.offload.needs_checksum = random() & 1;
    p.offload.checksum_start = static_cast<u16>(random() % 100);
    p.offload.checksum_offset = static_cast<u16>(random() % 100);
    p.offload.segmentation = random() & 1 ? Segmentation::Tcp4 : Segmentation::Tcp6;
    p.offload.segment_size = static_cast<u16>(random() % 20);
    EXPECT_FALSE(segment(std::move(p)).empty());
  }
}

}  // namespace
}  // namespace doppel::net::test
