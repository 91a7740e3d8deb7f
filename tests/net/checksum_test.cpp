// Checksums against a slow sum of 16-bit words, and cutting segments.
#include "net/checksum.h"

#include <random>

#include "net/coalesce.h"
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

std::deque<Packet> pieces_of(size_t payload, u16 size) {
  Packet p(tcp_segment(payload));
  p.offload.segmentation = Segmentation::Tcp4;
  p.offload.segment_size = size;
  auto cut = segment(std::move(p));
  return {std::make_move_iterator(cut.begin()), std::make_move_iterator(cut.end())};
}

TEST(Coalesce, PiecesAreJoinedAndCutAgain) {
  for (const size_t size : {2921u, 5000u, 40000u}) {
    const auto before = pieces_of(size, 1460);
    auto frames = before;
    // Identifications that a stack makes: they need not be the same as those of a segment that is cut.
    coalesce_front(frames);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].offload.segmentation, Segmentation::Tcp4);
    EXPECT_EQ(frames[0].offload.segment_size, 1460);
    EXPECT_EQ(frames[0].offload.header_size, 54);
    EXPECT_EQ(frames[0].data.size(), 54 + size);
    EXPECT_EQ(check_frame(frames[0].data).ip, Checked::Good);
    EXPECT_EQ(frames[0].data[47] & 9, 9);
    Packet whole = frames[0];
    complete_checksum(whole);  // what it left open is right
    EXPECT_EQ(check_frame(whole.data).l4, Checked::Good);
    const auto after = segment(std::move(frames[0]));
    ASSERT_EQ(after.size(), before.size());
    for (size_t i = 0; i < after.size(); i++) EXPECT_EQ(after[i].data, before[i].data) << i;
  }
}

TEST(Coalesce, OnlyWhatBelongsTogether) {
  const auto joined = [](auto change) {
    auto frames = pieces_of(3 * 1460, 1460);
    change(frames);
    coalesce_front(frames);
    return 4 - frames.size();
  };
  EXPECT_EQ(joined([](auto&) {}), 3u);
  EXPECT_EQ(joined([](auto& f) { f[1].data[34] ^= 1; }), 1u);                   // another port
  EXPECT_EQ(joined([](auto& f) { f[1].data[29] ^= 1; }), 1u);                   // another address
  EXPECT_EQ(joined([](auto& f) { f[1].data[5] ^= 1; }), 1u);                    // another card
  EXPECT_EQ(joined([](auto& f) { f[2].data[41] ^= 1; }), 2u);                   // a gap
  EXPECT_EQ(joined([](auto& f) { f[1].data[45] ^= 1; }), 1u);                   // acknowledges something else
  EXPECT_EQ(joined([](auto& f) { f[1].data[48] ^= 1; }), 1u);                   // another window
  EXPECT_EQ(joined([](auto& f) { f[1].data[47] |= 4; }), 1u);                   // RST
  EXPECT_EQ(joined([](auto& f) { f[1].data[47] |= 8; }), 2u);                   // PSH ends a row
  EXPECT_EQ(joined([](auto& f) { f[1].offload.checksum_valid = false; }), 1u);  // nobody has looked
  EXPECT_EQ(joined([](auto& f) { std::swap(f[0], f[1]); }), 1u);                // order
  EXPECT_EQ(joined([](auto& f) { f[1].data.push_back(0); }), 1u);               // padding
  EXPECT_EQ(joined([](auto& f) { f[0].offload.needs_checksum = true; }), 1u);
}

TEST(Coalesce, ALongRowEndsAtADatagram) {
  auto frames = pieces_of(60000, 1000), more = pieces_of(60000, 1000);
  for (auto& f : frames) f.data[47] &= 0xf6;
  size_t sequence = 100 + 60000;
  for (auto& f : more) {
    for (size_t i = 0; i < 4; i++) f.data[38 + i] = static_cast<u8>(sequence >> (24 - 8 * i));
    sequence += f.data.size() - 54;
    frames.push_back(std::move(f));
  }
  coalesce_front(frames);
  EXPECT_LE(frames[0].data.size(), 14u + 65535);
  EXPECT_GT(frames[0].data.size(), 64000u);
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
    std::deque<Packet> frames(2, p);
    frames[1].offload = frames[0].offload = {.checksum_valid = true};
    coalesce_front(frames);
    EXPECT_FALSE(segment(std::move(p)).empty());
  }
}

}  // namespace
}  // namespace doppel::net::test
