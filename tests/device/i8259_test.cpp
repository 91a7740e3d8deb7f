#include "hw/intc/i8259.h"

#include "device/pc_fixture.h"

namespace doppel::hw::test {
namespace {

struct PicTest : testing::Test {
  LineProbe intr;
  I8259Pair pic{{.intr = intr.line()}};
  MmioHandler& m = pic.master();
  MmioHandler& s = pic.slave();

  void init(u8 icw4 = 1) {
    out8(m, 0, 0x11);
    out8(m, 1, 0x20);
    out8(m, 1, 4);
    out8(m, 1, icw4);
    out8(s, 0, 0x11);
    out8(s, 1, 0x28);
    out8(s, 1, 2);
    out8(s, 1, icw4);
    out8(m, 1, 0);
    out8(s, 1, 0);
  }
  void SetUp() override { init(); }
};

TEST_F(PicTest, VectorsPrioritiesAndEoi) {
  pic.irq(5).raise();
  pic.irq(1).raise();
  EXPECT_TRUE(intr.level);
  EXPECT_EQ(pic.acknowledge(), 0x21);
  EXPECT_FALSE(intr.level);  // 5 is lower than 1 in service
  out8(m, 0, 0x20);
  EXPECT_TRUE(intr.level);
  EXPECT_EQ(pic.acknowledge(), 0x25);
  pic.irq(0).raise();
  EXPECT_TRUE(intr.level);  // nests
  EXPECT_EQ(pic.acknowledge(), 0x20);
  out8(m, 0, 0x0b);
  EXPECT_EQ(in8(m, 0), 0x21);  // ISR: 0 and 5
  out8(m, 0, 0x60 | 5);
  EXPECT_EQ(in8(m, 0), 0x01);
}

TEST_F(PicTest, CascadeAndSlaveEoi) {
  pic.irq(12).raise();
  EXPECT_EQ(pic.acknowledge(), 0x2c);
  pic.irq(8).raise();  // higher than 12 at the slave, but the master's IR2 is in service
  EXPECT_FALSE(intr.level);
  out8(s, 0, 0x20);
  out8(m, 0, 0x20);
  EXPECT_TRUE(intr.level);
  EXPECT_EQ(pic.acknowledge(), 0x28);
}

TEST_F(PicTest, SpuriousWhenTheLineFalls) {
  pic.irq(3).raise();
  pic.irq(3).lower();
  EXPECT_FALSE(intr.level);
  EXPECT_EQ(pic.acknowledge(), 0x27);
  out8(m, 0, 0x0b);
  EXPECT_EQ(in8(m, 0), 0);  // no ISR bit for it
}

TEST_F(PicTest, EdgeNeedsANewEdgeLevelDoesNot) {
  pic.irq(5).raise();
  pic.acknowledge();
  out8(m, 0, 0x20);
  EXPECT_FALSE(intr.level);
  out8(pic.elcr(), 0, 0xff);
  EXPECT_EQ(in8(pic.elcr(), 0), 0xf8);
  pic.irq(5).raise();
  EXPECT_TRUE(intr.level);
  pic.acknowledge();
  EXPECT_FALSE(intr.level);
  out8(m, 0, 0x20);
  EXPECT_TRUE(intr.level);
  pic.irq(5).lower();
  EXPECT_FALSE(intr.level);
}

TEST_F(PicTest, MaskAutoEoiRotateSpecialMaskPoll) {
  out8(m, 1, 0xff);
  pic.irq(4).raise();
  EXPECT_FALSE(intr.level);
  out8(m, 1, 0xef);
  EXPECT_TRUE(intr.level);
  EXPECT_EQ(in8(m, 1), 0xef);
  pic.acknowledge();
  out8(m, 0, 0xa0);  // rotate on EOI: 4 becomes the lowest
  out8(m, 1, 0);
  pic.irq(4).lower();
  pic.irq(4).raise();
  pic.irq(5).raise();
  EXPECT_EQ(pic.acknowledge(), 0x25);
  out8(m, 0, 0x68);  // special mask mode
  out8(m, 1, 0x20);
  EXPECT_TRUE(intr.level);  // 5 is masked: 4 may come though 5 is in service
  out8(m, 0, 0x0c);         // poll
  EXPECT_EQ(in8(m, 0), 0x84);
  init(3);
  pic.irq(6).raise();
  pic.acknowledge();
  out8(m, 0, 0x0b);
  EXPECT_EQ(in8(m, 0), 0);  // automatic EOI
}

}  // namespace
}  // namespace doppel::hw::test
