// PIT, port 61, HPET.
#include "device/pc_fixture.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"
#include "hw/timer/port61.h"

namespace doppel::hw::test {
namespace {

struct PitTest : testing::Test {
  SteppedClock clock;
  LineProbe irq, nmi;
  I8254 pit{{.clock = clock, .irq = irq.line()}};
  Port61 port{{.clock = clock, .pit = pit, .nmi = nmi.line()}};
  void program(unsigned n, u8 mode, u16 count) {
    out8(pit, 3, static_cast<u8>(n << 6 | 0x30 | mode << 1));
    out8(pit, n, static_cast<u8>(count));
    out8(pit, n, static_cast<u8>(count >> 8));
  }
  u16 latched(unsigned n) {
    out8(pit, 3, static_cast<u8>(n << 6));
    const u8 low = in8(pit, n);
    return static_cast<u16>(low | in8(pit, n) << 8);
  }
  void ticks(u64 n) { clock.advance(static_cast<s64>((n * 1'000'000'000 + I8254::kHz - 1) / I8254::kHz)); }
};

TEST_F(PitTest, RateGeneratorInterruptsAtItsRate) {
  program(0, 2, 11932);  // 100 Hz
  const int start = irq.rises;
  clock.advance(1'000'000'000);
  EXPECT_NEAR(irq.rises - start, 100, 1);
  program(0, 3, 0);  // 18.2 Hz
  const int before = irq.rises;
  clock.advance(1'000'000'000);
  EXPECT_NEAR(irq.rises - before, 18, 1);
}

TEST_F(PitTest, TicksThatWaitedComeInABundle) {
  program(0, 2, 4773);  // 4.0002 ms
  const auto bundle = [&] {
    const int before = irq.rises;
    clock.run_due();
    clock.advance(1'000'000);
    return irq.rises - before;
  };
  EXPECT_NEAR(clock.patient_deadline() - clock.next_deadline(), 12'000'000, 1000);
  clock.skip(4'000'300 * 4);
  EXPECT_EQ(bundle(), 4);
  EXPECT_NEAR(clock.next_deadline(), 4'000'230 * 5, 1000);  // in phase
  EXPECT_NEAR(clock.patient_deadline() - clock.next_deadline(), 12'000'000, 1000);
  clock.skip(500'000'000);
  EXPECT_EQ(bundle(), 4);
  clock.skip(4'000'300 * 3);
  clock.run_due();
  program(0, 2, 4773);  // nothing is owed
  EXPECT_EQ(bundle(), 0);
  program(0, 3, 0);  // 55 ms: too long to wait
  EXPECT_EQ(clock.patient_deadline(), clock.next_deadline());
  clock.skip(500'000'000);
  EXPECT_EQ(bundle(), 1);
  program(0, 2, 119);  // 0.1 ms
  EXPECT_EQ(clock.patient_deadline(), clock.next_deadline());
  program(0, 0, 4773);
  EXPECT_EQ(clock.patient_deadline(), clock.next_deadline());
}

TEST_F(PitTest, CountsDownAndLatches) {
  program(0, 2, 1000);
  ticks(300);
  EXPECT_NEAR(latched(0), 700, 1);
  out8(pit, 3, 0);  // latch, then let time pass
  const u8 low = in8(pit, 0);
  ticks(100);
  const u8 high = in8(pit, 0);
  EXPECT_NEAR(low | high << 8, 700, 2);
  EXPECT_NEAR(latched(0), 600, 2);
  ticks(700);
  EXPECT_NEAR(latched(0), 900, 3);
}

TEST_F(PitTest, OneShotMode0) {
  program(0, 0, 100);
  EXPECT_FALSE(irq.level);
  ticks(99);
  EXPECT_FALSE(irq.level);
  ticks(2);
  EXPECT_TRUE(irq.level);
  program(0, 0, 50);
  EXPECT_FALSE(irq.level);
  const int rises = irq.rises;
  ticks(1000);
  EXPECT_EQ(irq.rises, rises + 1);
}

TEST_F(PitTest, NewCountTakesEffectAtThePeriodsEnd) {
  program(0, 2, 1000);
  ticks(500);
  out8(pit, 0, 0xd0);
  out8(pit, 0, 0x07);  // 2000
  EXPECT_NEAR(latched(0), 500, 1);
  ticks(501);
  EXPECT_NEAR(latched(0), 1999, 2);
}

TEST_F(PitTest, ReadBackStatusAndBcd) {
  out8(pit, 3, 0xb0);
  out8(pit, 3, 0xe8);  // status of counter 2: null count, OUT low
  EXPECT_EQ(in8(pit, 2), 0x70);
  out8(pit, 3, 0x71);  // counter 1, BCD, mode 0
  out8(pit, 1, 0x00);
  out8(pit, 1, 0x10);  // 1000
  ticks(1);
  EXPECT_EQ(latched(1), 0x0999);
}

TEST_F(PitTest, Port61GatesCounter2) {
  out8(port, 0, 0);
  program(2, 0, 1000);
  ticks(2000);
  EXPECT_FALSE(in8(port, 0) & 0x20);  // gate low: does not count
  out8(port, 0, 1);
  ticks(500);
  EXPECT_FALSE(in8(port, 0) & 0x20);
  out8(port, 0, 0);
  ticks(5000);
  out8(port, 0, 1);
  ticks(490);
  EXPECT_FALSE(in8(port, 0) & 0x20);
  ticks(12);
  EXPECT_TRUE(in8(port, 0) & 0x20);
  EXPECT_EQ(in8(port, 0) & 0x0f, 1);
}

TEST_F(PitTest, RefreshTogglesAndSerr) {
  int changes = 0;
  u8 last = in8(port, 0) & 0x10;
  for (int i = 0; i < 1000; i++) {
    clock.advance(1000);
    const u8 now = in8(port, 0) & 0x10;
    changes += now != last;
    last = now;
  }
  EXPECT_NEAR(changes, 66, 1);
  port.set_serr(true);
  EXPECT_TRUE(nmi.level);
  EXPECT_TRUE(in8(port, 0) & 0x80);
  out8(port, 0, 4);
  EXPECT_FALSE(nmi.level);
}

struct HpetTest : testing::Test {
  SteppedClock clock;
  LineProbe pins[24], irq0, irq8;
  bool legacy = false;
  u64 msi_address = 0;
  u32 msi_data = 0;
  std::unique_ptr<Hpet> hpet;
  HpetTest() {
    Hpet::Params p{.clock = clock};
    for (auto& pin : pins) p.irq.push_back(pin.line());
    p.legacy_timer = irq0.line();
    p.legacy_rtc = irq8.line();
    p.legacy = [this](bool on) { legacy = on; };
    p.msi = [this](u64 a, u32 d) {
      msi_address = a;
      msi_data = d;
    };
    hpet = std::make_unique<Hpet>(std::move(p));
  }
  void w(u64 offset, u64 v, unsigned size = 4) { hpet->write(offset, v, size); }
  u64 r(u64 offset, unsigned size = 4) { return hpet->read(offset, size); }
};

TEST_F(HpetTest, TicksThatWaitedComeInABundle) {
  w(0x10, 3);            // run, legacy replacement
  w(0x100, 0x4c);        // enable, periodic, VAL_SET
  w(0x108, 400'000, 8);  // 4 ms
  EXPECT_EQ(clock.patient_deadline(), 16'000'000);
  clock.skip(16'000'000);
  clock.run_due();
  clock.advance(100'000);
  EXPECT_EQ(irq0.rises, 4);
  EXPECT_EQ(clock.next_deadline(), 20'000'000);  // in phase
  clock.advance(900'000'000);
  EXPECT_EQ(irq0.rises, 4 + 225);
}

// A kernel that programs each tick anew: it shows after a while, and a tick of another length ends it.
TEST_F(HpetTest, TicksProgrammedOneByOneMayWaitToo) {
  w(0x10, 3);
  w(0x100, 4);  // enable
  const auto program = [&](s64 at) { w(0x108, static_cast<u64>(at) / 10, 8); };
  for (s64 n = 1; n <= 70; n++) {
    program(n * 4'000'000 + n % 5 * 10'000);  // late by what the kernel needs to get there
    EXPECT_NEAR(clock.patient_deadline() - clock.next_deadline(), n < 65 ? 0 : 12'000'000, 100'000) << n;
    clock.advance(clock.next_deadline() - clock.now());
  }
  program(80 * 4'000'000 + 20'000'000);
  EXPECT_EQ(clock.patient_deadline(), clock.next_deadline());
}

TEST(TickCadence, WhatIsNoTick) {
  const auto patience = [](s64 period, s64 jitter) {
    TickCadence c;
    for (s64 n = 0; n < 200; n++) c.programmed(1 + n * period + n % 2 * jitter);
    return c.patience();
  };
  EXPECT_EQ(patience(4'000'000, 0), 12'000'000);
  EXPECT_EQ(patience(4'000'000, 500'000), 0);
  EXPECT_EQ(patience(1'000'000, 0), 12'000'000);
  EXPECT_EQ(patience(100'000, 0), 0);
  EXPECT_EQ(patience(12'600'000, 0), 0);
  EXPECT_EQ(patience(0, 0), 0);
  EXPECT_EQ(patience(-4'000'000, 0), 0);
}

TEST_F(HpetTest, CounterRunsAtItsPeriod) {
  EXPECT_EQ(r(4), Hpet::kPeriodFs);
  EXPECT_EQ(r(0) & 0x1f00, 0x200u);
  clock.advance(1000);
  EXPECT_EQ(r(0xf0, 8), 0u);
  w(0x10, 1);
  clock.advance(1'000'000);
  EXPECT_EQ(r(0xf0, 8), 100'000u);
  w(0x10, 0);
  clock.advance(1'000'000);
  EXPECT_EQ(r(0xf0), 100'000u);
  w(0xf0, 5);
  EXPECT_EQ(r(0xf0, 8), 5u);
}

TEST_F(HpetTest, OneShotLevelAndEdge) {
  w(0x10, 1);
  w(0x140, 20 << 9 | 4 | 2);  // timer 2, pin 20, level
  w(0x148, 1000, 8);
  clock.advance(9'990);
  EXPECT_FALSE(pins[20].level);
  clock.advance(10);
  EXPECT_TRUE(pins[20].level);
  EXPECT_EQ(r(0x20), 4u);
  w(0x20, 4);
  EXPECT_FALSE(pins[20].level);
  w(0x140, 21 << 9 | 4);  // edge
  w(0x148, 2000, 8);
  clock.advance(100'000);
  EXPECT_EQ(pins[21].rises, 1);
}

TEST_F(HpetTest, LegacyPeriodicAsLinuxProgramsIt) {
  w(0x10, 3);
  EXPECT_TRUE(legacy);
  w(0x100, 4 | 8 | 0x40 | 0x100);  // periodic, set value, 32 bits
  w(0x108, static_cast<u32>(r(0xf0)) + 100'000);
  w(0x108, 100'000);
  clock.advance(100'000'000);
  EXPECT_EQ(irq0.rises, 100);
  clock.advance(500'000);
  const int before = irq0.rises;
  w(0x10, 0);
  EXPECT_FALSE(legacy);
  EXPECT_FALSE(irq0.level);
  clock.advance(10'000'000);
  EXPECT_EQ(irq0.rises, before);
}

TEST_F(HpetTest, MessageDelivery) {
  w(0x10, 1);
  w(0x130, 0x41);
  w(0x134, 0xfee00000);
  w(0x120, 0x4004);
  w(0x128, 10, 8);
  clock.advance(200);
  EXPECT_EQ(msi_address, 0xfee00000u);
  EXPECT_EQ(msi_data, 0x41u);
}

}  // namespace
}  // namespace doppel::hw::test
