#include <random>

#include "device/ide_fixture.h"

namespace doppel::hw {
namespace {

using namespace test;
using IdeTest = IdeFixture;

TEST_F(IdeTest, AbsentDrivesReadZero) {
  out(0x1f6, 0xb0);
  EXPECT_EQ(in(0x1f7), 0u);
  out(0x1f2, 0x55);
  EXPECT_EQ(in(0x1f2), 0u);
  out(0x1f6, 0xa0);
  EXPECT_EQ(in(0x1f7), 0x50u);
  out(0x1f2, 0x55);
  EXPECT_EQ(in(0x1f2), 0x55u);
}

TEST_F(IdeTest, Identify) {
  out(0x1f7, 0xec);
  EXPECT_TRUE(irq[0].level);
  EXPECT_EQ(in(0x3f6), 0x58u);
  EXPECT_TRUE(irq[0].level);  // alternate status leaves it
  EXPECT_EQ(in(0x1f7), 0x58u);
  EXPECT_FALSE(irq[0].level);
  const auto id = pio_in(0x1f0, 512);
  EXPECT_EQ(in(0x1f7), 0x50u);
  EXPECT_EQ(load_le<u32>(&id[120]), 8192u);
  EXPECT_EQ(load_le<u64>(&id[200]), 8192u);
  EXPECT_EQ(std::string(id.begin() + 54, id.begin() + 62), "ODPPLEH ");
}

TEST_F(IdeTest, ReadSectorsInterruptsForEach) {
  taskfile(0x1f0, 5, 3, false);
  out(0x1f7, 0x20);
  std::vector<u8> got;
  for (int i = 0; i < 3; i++) {
    EXPECT_TRUE(irq[0].level) << i;
    EXPECT_EQ(in(0x1f7), 0x58u);
    const auto sector = pio_in(0x1f0, 512);
    got.insert(got.end(), sector.begin(), sector.end());
  }
  EXPECT_FALSE(irq[0].level);
  EXPECT_EQ(in(0x1f7), 0x50u);
  EXPECT_EQ(got, slice(disk->data, 5 * 512, 1536));
  EXPECT_EQ(in(0x1f3), 7u);
}

TEST_F(IdeTest, ChsAddresses) {
  out(0x1f2, 1);
  out(0x1f3, 2);  // sector 2
  out(0x1f4, 1);
  out(0x1f5, 0);     // cylinder 1
  out(0x1f6, 0xa3);  // head 3
  out(0x1f7, 0x20);
  EXPECT_EQ(pio_in(0x1f0, 512), slice(disk->data, ((16 + 3) * 63 + 1) * 512, 512));
  out(0x1f3, 0);  // no sector 0
  out(0x1f7, 0x20);
  EXPECT_EQ(in(0x1f7), 0x51u);
  EXPECT_EQ(in(0x1f1), 0x10u);
}

TEST_F(IdeTest, MultipleAnd48Bit) {
  out(0x1f2, 8);
  out(0x1f7, 0xc6);
  EXPECT_EQ(in(0x1f7), 0x50u);
  taskfile(0x1f0, 100, 10, true);
  out(0x1f7, 0x29);
  EXPECT_EQ(in(0x1f7), 0x58u);
  auto got = pio_in(0x1f0, 8 * 512);
  EXPECT_TRUE(irq[0].level);
  EXPECT_EQ(in(0x1f7), 0x58u);
  const auto rest = pio_in(0x1f0, 2 * 512);
  got.insert(got.end(), rest.begin(), rest.end());
  EXPECT_EQ(in(0x1f7), 0x50u);
  EXPECT_EQ(got, slice(disk->data, 51200, 5120));
  out(0x1f2, 3);  // not a power of two
  out(0x1f7, 0xc6);
  EXPECT_EQ(in(0x1f7), 0x51u);
}

TEST_F(IdeTest, WriteAndFlush) {
  taskfile(0x1f0, 9, 2, false);
  out(0x1f7, 0x30);
  EXPECT_FALSE(irq[0].level);  // the first block is asked for without an interrupt
  EXPECT_EQ(in(0x1f7), 0x58u);
  for (int i = 0; i < 128; i++) out(0x1f0, 0x11223344, 4);
  EXPECT_TRUE(irq[0].level);
  EXPECT_EQ(in(0x1f7), 0x58u);
  for (int i = 0; i < 256; i++) out(0x1f0, 0x5566, 2);
  EXPECT_TRUE(irq[0].level);
  EXPECT_EQ(in(0x1f7), 0x50u);
  EXPECT_EQ(load_le<u32>(&disk->data[9 * 512 + 508]), 0x11223344u);
  EXPECT_EQ(load_le<u16>(&disk->data[11 * 512 - 2]), 0x5566u);
  EXPECT_EQ(disk->flushes, 0u);
  out(0x1f7, 0xe7);
  EXPECT_EQ(disk->flushes, 1u);
}

TEST_F(IdeTest, OutOfRangeAndMediaErrors) {
  taskfile(0x1f0, 8191, 2, false);
  out(0x1f7, 0x20);
  EXPECT_EQ(in(0x1f7), 0x51u);
  EXPECT_EQ(in(0x1f1), 0x10u);
  taskfile(0x1f0, 0xffffffffffff, 0, true);
  out(0x1f7, 0x24);
  EXPECT_EQ(in(0x1f7), 0x51u);
  disk->fail_with = EIO;
  taskfile(0x1f0, 77, 1, false);
  out(0x1f7, 0x20);
  EXPECT_EQ(in(0x1f7), 0x51u);
  EXPECT_EQ(in(0x1f1), 0x40u);
  EXPECT_EQ(in(0x1f3), 77u);
}

TEST_F(IdeTest, DmaReadScattersByDescriptors) {
  prd(0x1000, {{0x10001, 0x203}, {0x20000, 0x1fe}, {0x30000, 0x80000400}});  // odd bits are ignored
  out(0xc004, 0x1000, 4);
  out(0xc002, 0x06);
  out(0xc000, 0x08);
  taskfile(0x1f0, 40, 4, true);
  out(0x1f7, 0x25);
  EXPECT_FALSE(irq[0].level);
  EXPECT_EQ(in(0x3f6), 0x58u);
  out(0xc000, 0x09);
  EXPECT_TRUE(irq[0].level);
  EXPECT_EQ(in(0xc002), 0x04u);
  EXPECT_EQ(in(0x1f7), 0x50u);
  out(0xc000, 0x00);
  out(0xc002, 0x04);
  EXPECT_EQ(in(0xc002), 0u);
  EXPECT_EQ(slice(memory.bytes, 0x10000, 0x202), slice(disk->data, 40 * 512, 0x202));
  EXPECT_EQ(slice(memory.bytes, 0x20000, 0x1fe), slice(disk->data, 40 * 512 + 0x202, 0x1fe));
  EXPECT_EQ(slice(memory.bytes, 0x30000, 0x400), slice(disk->data, 40 * 512 + 0x400, 0x400));
}

TEST_F(IdeTest, DmaWriteStartedBeforeTheCommand) {
  for (u32 i = 0; i < 1024; i++) memory.bytes[0x8000 + i] = static_cast<u8>(i * 11);
  prd(0x1000, {{0x8000, 0x12}, {0x8012, 0x800003ee}});
  out(0xc004, 0x1000, 4);
  out(0xc000, 0x01);
  EXPECT_EQ(in(0xc002), 0x01u);
  taskfile(0x1f0, 3, 2, false);
  out(0x1f7, 0xca);
  EXPECT_TRUE(irq[0].level);
  EXPECT_EQ(in(0xc002), 0x04u);
  EXPECT_EQ(slice(memory.bytes, 0x8000, 1024), slice(disk->data, 1536, 1024));
}

TEST_F(IdeTest, DescriptorTablesTooShortTooLongAndEndless) {
  prd(0x1000, {{0x8000, 0x80000200}});
  out(0xc004, 0x1000, 4);
  taskfile(0x1f0, 0, 2, false);
  out(0x1f7, 0xc8);
  out(0xc000, 0x09);
  EXPECT_FALSE(irq[0].level);  // too short: neither active nor interrupt
  EXPECT_EQ(in(0xc002), 0u);
  out(0xc000, 0);
  prd(0x1000, {{0x8000, 0x80008000}});
  taskfile(0x1f0, 0, 2, false);
  out(0x1f7, 0xc8);
  out(0xc000, 0x09);
  EXPECT_TRUE(irq[0].level);
  EXPECT_EQ(in(0xc002) & 4, 4u);
  out(0xc000, 0);
  in(0x1f7);
  for (u32 at = 0; at < 1 << 20; at += 8) prd(at, {{0xfffffff0, 2}});  // 2 bytes to nowhere, no end
  out(0xc002, 6);
  out(0xc004, 0, 4);
  taskfile(0x1f0, 0, 0, false);
  out(0x1f7, 0xc8);
  out(0xc000, 0x09);
  EXPECT_EQ(in(0xc002) & 0x05, 0x05u);
  out(0xc000, 0);
  out(0xc004, 0xfffffffc, 4);  // no table there
  out(0xc002, 6);
  taskfile(0x1f0, 0, 1, false);
  out(0x1f7, 0xc8);
  out(0xc000, 0x09);
  EXPECT_EQ(in(0xc002), 0x02u);
}

TEST_F(IdeTest, ResetsAndDiagnostic) {
  taskfile(0x1f0, 0, 8, false);
  out(0x1f7, 0x20);
  out(0x3f6, 0x04);
  EXPECT_EQ(in(0x1f7), 0x80u);
  EXPECT_FALSE(irq[0].level);
  out(0x3f6, 0x00);
  EXPECT_EQ(in(0x1f7), 0x50u);
  EXPECT_EQ(in(0x1f1), 0x01u);
  EXPECT_EQ(in(0x1f2) | in(0x1f3) << 8 | in(0x1f4) << 16 | in(0x1f5) << 24, 0x0101u);
  out(0x176, 0xa0);
  out(0x377, 0);
  out(0x177, 0x90);
  EXPECT_EQ(in(0x174) | in(0x175) << 8, 0xeb14u);
  EXPECT_TRUE(irq[1].level);
}

TEST_F(IdeTest, NienMasksAndHobShows) {
  out(0x3f6, 0x02);
  taskfile(0x1f0, 0x123456789a % 8192, 1, true);
  out(0x1f7, 0x24);
  EXPECT_FALSE(irq[0].level);
  out(0x3f6, 0x00);
  EXPECT_TRUE(irq[0].level);
  pio_in(0x1f0, 512);
  out(0x1f3, 0x11);
  out(0x1f3, 0x22);
  out(0x3f6, 0x80);
  EXPECT_EQ(in(0x1f3), 0x11u);
  out(0x3f6, 0x00);
  EXPECT_EQ(in(0x1f3), 0x22u);
}

TEST_F(IdeTest, FeaturesPowerAndSmart) {
  out(0x1f1, 0x03);
  out(0x1f2, 0x42);
  out(0x1f7, 0xef);
  EXPECT_EQ(in(0x1f7), 0x50u);
  out(0x1f7, 0xec);
  EXPECT_EQ(load_le<u16>(&pio_in(0x1f0, 512)[176]), 0x043fu);
  out(0x1f7, 0xe0);
  in(0x1f7);
  out(0x1f7, 0xe5);
  EXPECT_EQ(in(0x1f2), 0u);
  out(0x1f1, 0xd0);
  out(0x1f4, 0x4f);
  out(0x1f5, 0xc2);
  out(0x1f7, 0xb0);
  const auto data = pio_in(0x1f0, 512);
  u8 sum = 0;
  for (const u8 b : data) sum = static_cast<u8>(sum + b);
  EXPECT_EQ(sum, 0);
  out(0x1f1, 0xda);
  out(0x1f7, 0xb0);
  EXPECT_EQ(in(0x1f7), 0x50u);
  EXPECT_EQ(in(0x1f4) | in(0x1f5) << 8, 0xc24fu);
  out(0x1f7, 0xff);
  EXPECT_EQ(in(0x1f7), 0x51u);
  EXPECT_EQ(in(0x1f1), 0x04u);
}

TEST_F(IdeTest, TrimZeroesRanges) {
  memory.store<u64>(0x8000, u64{4} << 48 | 20);
  std::fill_n(memory.bytes.begin() + 0x8008, 504, u8{0});
  prd(0x1000, {{0x8000, 0x80000200}});
  out(0xc004, 0x1000, 4);
  out(0x1f1, 0x01);
  taskfile(0x1f0, 0, 1, true);
  out(0x1f7, 0x06);
  out(0xc000, 0x01);
  EXPECT_EQ(in(0x1f7), 0x50u);
  EXPECT_EQ(slice(disk->data, 20 * 512, 2048), std::vector<u8>(2048));
  EXPECT_NE(slice(disk->data, 24 * 512, 512), std::vector<u8>(512));
}

TEST_F(IdeTest, StateInTheMiddleOfATransfer) {
  taskfile(0x1f0, 5, 2, false);
  out(0x1f7, 0x20);
  auto got = pio_in(0x1f0, 100);
  StateArchive save(StateArchive::Mode::Save);
  ide->archive(save);
  ide->reset();
  StateArchive load(StateArchive::Mode::Load);
  ASSERT_TRUE(load.deserialize(save.serialize()));
  ide->archive(load);
  EXPECT_TRUE(irq[0].level);
  const auto rest = pio_in(0x1f0, 924);
  got.insert(got.end(), rest.begin(), rest.end());
  EXPECT_EQ(got, slice(disk->data, 2560, 1024));
}

TEST_F(IdeTest, RandomAccessesAreHarmless) {
  std::mt19937 random(3);
  const u16 bases[] = {0x1f0, 0x170, 0xc000, 0xc008};
  for (int i = 0; i < 200000; i++) {
    u16 port = static_cast<u16>(bases[random() % 4] + random() % 8);
    if (random() % 64 == 0) port = (random() & 1) != 0 ? 0x3f6 : 0x376;
    const unsigned size = 1u << (random() % 3);
    u32 value = random();
    if ((port & 0x0f) == 6 && port < 0x200) value &= 0xef;
    if ((random() & 1) != 0)
      ports.write(port, value, size);
    else
      ports.read(port, size);
  }
}

class SlowIdeTest : public IdeFixture {
 protected:
  SlowIdeTest() : IdeFixture(10'000) {}
};

TEST_F(SlowIdeTest, CommandsTakeTime) {
  taskfile(0x1f0, 5, 1, false);
  out(0x1f7, 0x20);
  EXPECT_EQ(in(0x1f7), 0x80u);
  EXPECT_FALSE(irq[0].level);
  out(0x1f3, 9);  // not heard
  clock.advance(10'000);
  EXPECT_TRUE(irq[0].level);
  EXPECT_EQ(pio_in(0x1f0, 512), slice(disk->data, 2560, 512));
  prd(0x1000, {{0x8000, 0x80000200}});
  out(0xc004, 0x1000, 4);
  taskfile(0x1f0, 7, 1, false);
  out(0x1f7, 0xc8);
  out(0xc000, 0x09);
  EXPECT_EQ(in(0xc002), 0x01u | 0x04u);  // the last command's interrupt bit was never cleared
  clock.advance(10'000);
  EXPECT_EQ(in(0xc002), 0x04u);
  EXPECT_EQ(slice(memory.bytes, 0x8000, 512), slice(disk->data, 7 * 512, 512));
  out(0x1f7, 0x20);
  out(0x3f6, 4);
  out(0x3f6, 0);
  clock.advance(100'000);
  EXPECT_EQ(in(0x1f7), 0x50u);  // the reset ended it
}

}  // namespace
}  // namespace doppel::hw
