#include "device/pc_fixture.h"
#include "hw/rtc/mc146818.h"

namespace doppel::hw::test {
namespace {

struct RtcTest : testing::Test {
  SteppedClock clock;
  LineProbe irq;
  Mc146818 rtc{{.clock = clock, .irq = irq.line(), .start_seconds = *rtc_start_seconds("2024-02-28T23:59:58")}};
  u8 get(u8 index) {
    out8(rtc, 0, index);
    return in8(rtc, 1);
  }
  void set(u8 index, u8 value) {
    out8(rtc, 0, index);
    out8(rtc, 1, value);
  }
};

TEST_F(RtcTest, CountsDatesInBcd) {
  EXPECT_EQ(get(0), 0x58);
  EXPECT_EQ(get(4), 0x23);
  clock.advance(2 * kNsPerSecond);
  EXPECT_EQ(get(0), 0x00);
  EXPECT_EQ(get(7), 0x29);  // leap year
  EXPECT_EQ(get(8), 0x02);
  EXPECT_EQ(get(9), 0x24);
  EXPECT_EQ(get(0x32), 0x20);
  EXPECT_EQ(get(6), 5);  // Thursday
  EXPECT_EQ(get(0xd), 0x80);
}

TEST_F(RtcTest, BinaryAnd12Hours) {
  set(0xb, 0x04);  // binary, 12 hours
  EXPECT_EQ(get(0), 58);
  EXPECT_EQ(get(4), 0x80 | 11);
  clock.advance(2 * kNsPerSecond);
  EXPECT_EQ(get(4), 12);
}

TEST_F(RtcTest, SettingTheTime) {
  set(0xb, 0x82);
  set(9, 0x99);
  set(8, 0x12);
  set(7, 0x31);
  set(4, 0x23);
  set(2, 0x59);
  set(0, 0x59);
  set(0x32, 0x19);
  clock.advance(5 * kNsPerSecond);
  EXPECT_EQ(get(0), 0x59);  // SET stops updates
  set(0xb, 0x02);
  EXPECT_EQ(get(0), 0x59);
  clock.advance(kNsPerSecond);
  EXPECT_EQ(get(9), 0x00);
  EXPECT_EQ(get(0x32), 0x20);
  EXPECT_EQ(get(4), 0x00);
}

TEST_F(RtcTest, UpdateInProgress) {
  clock.advance(kNsPerSecond - 300'000);
  EXPECT_FALSE(get(0xa) & 0x80);
  clock.advance(200'000);
  EXPECT_TRUE(get(0xa) & 0x80);
  clock.advance(100'000);
  EXPECT_FALSE(get(0xa) & 0x80);
}

TEST_F(RtcTest, UpdateEndedInterrupt) {
  set(0xb, 0x12);
  get(0xc);
  clock.advance(kNsPerSecond);
  EXPECT_TRUE(irq.level);
  clock.advance(3 * kNsPerSecond);
  EXPECT_EQ(irq.rises, 1);  // not read: no more
  EXPECT_EQ(get(0xc) & 0x90, 0x90);
  EXPECT_FALSE(irq.level);
  clock.advance(kNsPerSecond);
  EXPECT_EQ(irq.rises, 2);
}

TEST_F(RtcTest, AlarmWithWildcards) {
  set(1, 0x05);
  set(3, 0xff);
  set(5, 0xff);  // second 5 of every minute
  set(0xb, 0x22);
  get(0xc);
  clock.advance(6 * kNsPerSecond);
  EXPECT_FALSE(irq.level);
  clock.advance(kNsPerSecond);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(get(0xc) & 0xa0, 0xa0);
  clock.advance(59 * kNsPerSecond);
  EXPECT_FALSE(irq.level);
  clock.advance(kNsPerSecond);
  EXPECT_TRUE(irq.level);
}

TEST_F(RtcTest, PeriodicRate) {
  set(0xa, 0x26);  // 1024 Hz
  set(0xb, 0x42);
  int count = 0;
  for (int i = 0; i < 10'000; i++) {
    clock.advance(100'000);
    if (irq.level) {
      count++;
      get(0xc);
    }
  }
  EXPECT_NEAR(count, 1024, 2);
  set(0xb, 0x02);
  clock.advance(kNsPerSecond);
  EXPECT_EQ(get(0xc) & 0xc0, 0x40);  // the flag comes without the enable
}

TEST_F(RtcTest, NvramAndStartDates) {
  rtc.set_nvram(0x34, 0xab);
  EXPECT_EQ(get(0x34), 0xab);
  set(0x35, 0xcd);
  rtc.reset();
  EXPECT_EQ(rtc.nvram(0x35), 0xcd);
  EXPECT_EQ(*rtc_start_seconds("1970-01-02"), 86400);
  EXPECT_FALSE(rtc_start_seconds("tomorrow").ok());
  EXPECT_FALSE(rtc_start_seconds("2023-02-29").ok());
  EXPECT_TRUE(rtc_start_seconds("localtime").ok());
}

}  // namespace
}  // namespace doppel::hw::test
