// Clock and timers, the port space, interrupt gates.
#include <gtest/gtest.h>

#include "device/pc_fixture.h"
#include "hw/core/bus.h"
#include "hw/core/irq_router.h"

namespace doppel::hw::test {
namespace {

TEST(Clock, FiresInOrderAndRearms) {
  SteppedClock clock;
  std::string log;
  Timer a(clock, [&] { log += "a"; });
  Timer b(clock, [&] { log += "b"; });
  std::unique_ptr<Timer> tick;
  tick = std::make_unique<Timer>(clock, [&] {
    log += "t";
    tick->arm_in(10);
  });
  b.arm_at(15);
  a.arm_at(15);
  tick->arm_at(10);
  EXPECT_EQ(clock.next_deadline(), 10);
  clock.advance(30);
  EXPECT_EQ(log, "tbatt");
  EXPECT_EQ(clock.now(), 30);
  EXPECT_FALSE(a.armed());
  EXPECT_EQ(tick->deadline(), 40);
  tick.reset();
  EXPECT_EQ(clock.next_deadline(), -1);
}

TEST(Clock, TellsOfEarlierDeadlines) {
  SteppedClock clock;
  int told = 0;
  clock.on_earlier = [&] { told++; };
  Timer a(clock, [] {}), b(clock, [] {});
  a.arm_at(100);
  b.arm_at(200);
  b.arm_at(50);
  EXPECT_EQ(told, 2);
  b.disarm();
  EXPECT_EQ(clock.next_deadline(), 100);
  clock.advance(500);
  EXPECT_EQ(clock.run_due(), 0);
}

TEST(Clock, KnowsWhenPatienceEnds) {
  SteppedClock clock;
  int told = 0;
  clock.on_earlier = [&] { told++; };
  Timer patient(clock, [] {}), other(clock, [] {});
  EXPECT_EQ(clock.patient_deadline(), -1);
  patient.set_patience(1000);
  patient.arm_at(100);
  EXPECT_EQ(clock.next_deadline(), 100);
  EXPECT_EQ(clock.patient_deadline(), 1100);
  other.arm_at(500);  // later than the first deadline, and yet somebody may sleep past it
  EXPECT_EQ(told, 2);
  EXPECT_EQ(clock.next_deadline(), 100);
  EXPECT_EQ(clock.patient_deadline(), 500);
  clock.advance(200);
  EXPECT_FALSE(patient.armed());
  EXPECT_EQ(clock.patient_deadline(), 500);
  other.disarm();
  EXPECT_EQ(clock.patient_deadline(), -1);
  patient.set_patience(INT64_MAX);
  patient.arm_at(300);
  EXPECT_EQ(clock.patient_deadline(), INT64_MAX);
}

struct Recorder final : MmioHandler {
  explicit Recorder(AccessSizes s) : sizes(s) {}
  u64 read(u64 offset, unsigned size) override {
    log += "r" + std::to_string(offset) + "/" + std::to_string(size) + " ";
    return 0x10 + offset;
  }
  void write(u64 offset, u64 value, unsigned size) override {
    log += "w" + std::to_string(offset) + "/" + std::to_string(size) + "=" + std::to_string(value) + " ";
  }
  AccessSizes access_sizes() const override { return sizes; }
  AccessSizes sizes;
  std::string log;
};

TEST(PortBus, SplitsMovesAndOverlaps) {
  PortBus bus;
  Recorder bytes({1, 1}), words({1, 4}), wide({4, 4});
  auto b = bus.map("bytes", 0x60, 4, bytes);
  auto w = bus.map("words", 0xcf8, 8, words);
  EXPECT_EQ(bus.read(0x100, 4), 0xffffffffu);
  EXPECT_EQ(bus.read(0x60, 2), 0x1110u);
  EXPECT_EQ(bytes.log, "r0/1 r1/1 ");
  EXPECT_EQ(bus.read(0x63, 2), 0xff13u);
  bus.write(0xcf8, 0x12345678, 4);
  EXPECT_EQ(words.log, "w0/4=305419896 ");
  // A byte range in the middle of a dword register: dwords still go to the register.
  auto reset = bus.map("reset", 0xcf9, 1, bytes);
  words.log.clear();
  bytes.log.clear();
  bus.write(0xcf8, 1, 4);
  bus.write(0xcf9, 6, 1);
  EXPECT_EQ(words.log, "w0/4=1 ");
  EXPECT_EQ(bytes.log, "w0/1=6 ");
  reset->set(false, 0xcf9);
  bus.write(0xcf9, 7, 1);
  EXPECT_EQ(words.log, "w0/4=1 w1/1=7 ");
  reset->set(true, 0x200);
  EXPECT_EQ(bus.read(0x200, 1), 0x10u);
  w.reset();
  EXPECT_EQ(bus.read(0xcf8, 4), 0xffffffffu);
  auto x = bus.map("wide", 0x300, 8, wide);
  EXPECT_EQ(bus.read(0x301, 1), 0u);  // byte 1 of the register at 0
  EXPECT_EQ(wide.log, "r0/4 ");
  EXPECT_EQ(bus.read(0xffff, 4), 0xffffffffu);
  EXPECT_NE(bus.describe().find("0060-0063 bytes"), std::string::npos);
}

TEST(IrqRouter, OrInvertFanOut) {
  LineProbe p, q;
  IrqOr gate(p.line());
  IrqLine a = gate.input(), b = gate.input();
  a.raise();
  b.raise();
  a.raise();
  a.lower();
  EXPECT_TRUE(p.level);
  b.lower();
  EXPECT_FALSE(p.level);
  EXPECT_EQ(p.rises, 1);
  irq_fan_out({p.line(), irq_invert(q.line())}).set(false);
  EXPECT_TRUE(q.level);
}

}  // namespace
}  // namespace doppel::hw::test
