#include <random>

#include "device/ide_fixture.h"

namespace doppel::hw {
namespace {

using namespace test;

class AtapiTest : public IdeFixture {
 protected:
  void start(std::initializer_list<int> cdb, u32 limit = 0xfffe, bool dma = false) {
    out(0x176, 0xa0);
    out(0x171, dma ? 1 : 0);
    out(0x174, limit & 0xff);
    out(0x175, limit >> 8);
    out(0x177, 0xa0);
    EXPECT_FALSE(irq[1].level);
    EXPECT_EQ(in(0x376), 0x58u);
    EXPECT_EQ(in(0x172), 1u);
    std::vector<int> c(cdb);
    c.resize(12);
    for (unsigned i = 0; i < 12; i += 2) out(0x170, static_cast<u32>(c[i] | c[i + 1] << 8), 2);
  }
  // Runs a data-in command by PIO to its end; the status is left in `status`.
  std::vector<u8> run(std::initializer_list<int> cdb, u32 limit = 0xfffe) {
    start(cdb, limit);
    std::vector<u8> all;
    for (;;) {
      EXPECT_TRUE(irq[1].level);
      status = in(0x177);
      if ((status & 8) == 0) break;
      EXPECT_EQ(in(0x172), 2u);
      const u32 n = in(0x174) | in(0x175) << 8;
      EXPECT_LE(n, limit);
      const auto part = pio_in(0x170, n);
      all.insert(all.end(), part.begin(), part.begin() + n);
    }
    EXPECT_EQ(in(0x172), 3u);
    return all;
  }
  u32 sense() {
    const auto s = run({0x03, 0, 0, 0, 18});
    return u32{s[2]} << 16 | u32{s[12]} << 8 | s[13];
  }
  u32 status = 0;
};

TEST_F(AtapiTest, SignatureAndIdentify) {
  out(0x177, 0xec);
  EXPECT_EQ(in(0x177), 0x51u);
  EXPECT_EQ(in(0x174) | in(0x175) << 8, 0xeb14u);
  out(0x177, 0xa1);
  EXPECT_EQ(load_le<u16>(pio_in(0x170, 512).data()), 0x85c0u);
  EXPECT_EQ(in(0x177), 0x50u);
}

TEST_F(AtapiTest, InquiryAndCapacity) {
  const auto inquiry = run({0x12, 0, 0, 0, 36});
  ASSERT_EQ(inquiry.size(), 36u);
  EXPECT_EQ(inquiry[0], 5);
  EXPECT_EQ(std::string(inquiry.begin() + 8, inquiry.begin() + 14), "DOPPEL");
  EXPECT_EQ(run({0x25}), (std::vector<u8>{0, 0, 1, 255, 0, 0, 8, 0}));
  run({0x00});
  EXPECT_EQ(status, 0x50u);
}

TEST_F(AtapiTest, ReadInPiecesOfTheByteLimit) {
  EXPECT_EQ(run({0x28, 0, 0, 0, 0, 3, 0, 0, 5}, 2048), slice(disc->data, 3 * 2048, 5 * 2048));
  EXPECT_EQ(run({0xa8, 0, 0, 0, 0, 3, 0, 0, 0, 40}), slice(disc->data, 3 * 2048, 40 * 2048));
  EXPECT_EQ(run({0x28, 0, 0, 0, 0, 3, 0, 0, 1}, 1001), slice(disc->data, 3 * 2048, 2048));
  const auto raw = run({0xbe, 0, 0, 0, 0, 7, 0, 0, 1, 0xf8});
  ASSERT_EQ(raw.size(), 2352u);
  EXPECT_EQ(raw[14], 7);  // frame 157 is 00:02:07
  EXPECT_EQ(slice(raw, 16, 2048), slice(disc->data, 7 * 2048, 2048));
}

TEST_F(AtapiTest, ReadByDma) {
  prd(0x1000, {{0x8000, 0x1000}, {0x20000, 0x80001000}});
  out(0xc00c, 0x1000, 4);
  start({0x28, 0, 0, 0, 0, 9, 0, 0, 4}, 0, true);
  EXPECT_FALSE(irq[1].level);
  out(0xc008, 0x09);
  EXPECT_TRUE(irq[1].level);
  EXPECT_EQ(in(0xc00a), 4u);
  EXPECT_EQ(in(0x177), 0x50u);
  EXPECT_EQ(slice(memory.bytes, 0x8000, 4096), slice(disc->data, 9 * 2048, 4096));
  EXPECT_EQ(slice(memory.bytes, 0x20000, 4096), slice(disc->data, 11 * 2048, 4096));
}

TEST_F(AtapiTest, Errors) {
  run({0x28, 0, 0, 0, 2, 0, 0, 0, 1});
  EXPECT_EQ(status, 0x51u);
  EXPECT_EQ(in(0x171) >> 4, 5u);
  EXPECT_EQ(sense(), 0x052100u);
  run({0x99});
  EXPECT_EQ(sense(), 0x052000u);
  disc->fail_with = EIO;
  run({0x28, 0, 0, 0, 0, 0, 0, 0, 1});
  EXPECT_EQ(sense(), 0x031100u);
  EXPECT_EQ(sense(), 0u);
}

TEST_F(AtapiTest, TocModeSenseConfiguration) {
  const auto toc = run({0x43, 0, 0, 0, 0, 0, 0, 0, 100});
  EXPECT_EQ(toc, (std::vector<u8>{0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 2, 0}));
  const auto msf = run({0x43, 2, 0, 0, 0, 0, 0xaa, 0, 100});
  EXPECT_EQ(msf, (std::vector<u8>{0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 8, 62}));
  EXPECT_EQ(run({0x43, 0, 2, 0, 0, 0, 0, 0, 100}).size(), 48u);
  const auto page = run({0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 100});
  EXPECT_EQ(page[8], 0x2a);
  EXPECT_EQ(u32{page[0]} << 8 | page[1], page.size() - 2);
  const auto config = run({0x46, 0, 0, 0, 0, 0, 0, 1, 0});
  EXPECT_EQ(config[7], 8);  // profile: CD-ROM
  EXPECT_EQ(load_le<u32>(config.data()), __builtin_bswap32(static_cast<u32>(config.size() - 4)));
  EXPECT_EQ(run({0x46, 2, 0, 3, 0, 0, 0, 1, 0}).size(), 16u);
  EXPECT_EQ(run({0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8}).size(), 8u);
  EXPECT_EQ(run({0x51, 0, 0, 0, 0, 0, 0, 0, 100}).size(), 34u);
  EXPECT_EQ(run({0x52, 1, 0, 0, 0, 1, 0, 0, 100}).size(), 36u);
}

TEST_F(AtapiTest, MediumChange) {
  run({0x1e, 0, 0, 0, 1});
  EXPECT_TRUE(cd().locked());
  EXPECT_FALSE(cd().eject(false));
  EXPECT_EQ(run({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}), (std::vector<u8>{0, 6, 4, 0x10, 1, 2, 0, 0}));
  run({0x1b, 0, 0, 0, 2});
  EXPECT_EQ(sense(), 0x055302u);
  run({0x1e, 0, 0, 0, 0});
  run({0x1b, 0, 0, 0, 2});
  EXPECT_TRUE(cd().tray_open());
  run({0x00});
  EXPECT_EQ(sense(), 0x023a02u);
  EXPECT_TRUE(cd().eject(false));
  EXPECT_EQ(run({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}), (std::vector<u8>{0, 6, 4, 0x10, 3, 1, 0, 0}));
  auto other = std::make_shared<block::MemoryNode>(u64{8192}, true);
  cd().insert(other);
  run({0x00});
  EXPECT_EQ(sense(), 0x062800u);
  run({0x00});
  EXPECT_EQ(status, 0x50u);
  EXPECT_EQ(run({0x25})[3], 3);
}

TEST_F(AtapiTest, ModeSelectTakesItsParameters) {
  start({0x55, 0x10, 0, 0, 0, 0, 0, 0, 20});
  EXPECT_EQ(in(0x177), 0x58u);
  EXPECT_EQ(in(0x172), 0u);
  for (int i = 0; i < 10; i++) out(0x170, 0, 2);
  EXPECT_EQ(in(0x177), 0x50u);
}

TEST_F(AtapiTest, DeviceResetAndEjectInTheMiddle) {
  start({0x28, 0, 0, 0, 0, 0, 0, 0, 64}, 2048);
  pio_in(0x170, 2048);
  cd().eject(true);
  while ((in(0x177) & 8) != 0) pio_in(0x170, 2048);
  out(0x177, 0x08);
  EXPECT_EQ(in(0x174) | in(0x175) << 8, 0xeb14u);
  EXPECT_EQ(in(0x177), 0u);
}

TEST_F(AtapiTest, RandomPacketsAreHarmless) {
  std::mt19937 random(4);
  for (int i = 0; i < 20000; i++) {
    out(0x171, random() & 1);
    out(0x174, random());
    out(0x175, random());
    out(0x177, 0xa0);
    static constexpr u8 kOps[] = {0x00, 0x03, 0x12, 0x1a, 0x1b, 0x25, 0x28, 0x42, 0x43, 0x46,
                                  0x4a, 0x51, 0x52, 0x55, 0x5a, 0xa8, 0xac, 0xad, 0xbd, 0xbe};
    out(0x170, kOps[random() % std::size(kOps)] | (random() & 3) << 8, 2);
    for (int w = 0; w < 5; w++) out(0x170, random() & random() & random() & 0xffff, 2);
    if (random() % 4 == 0) out(0xc008, 9);
    for (unsigned n = random() % 3000; n != 0; n--) in(0x170, 2);
    if (random() % 8 == 0) cd().insert(random() % 2 == 0 ? disc : nullptr);
    if (random() % 16 == 0) cd().eject(random() % 2 == 0);
  }
}

}  // namespace
}  // namespace doppel::hw
