#include <atomic>
#include <thread>

#include "device/pc_fixture.h"
#include "hw/intc/ioapic_82093aa.h"
#include "hw/intc/local_apic.h"

namespace doppel::hw::test {
namespace {

struct Cpu {
  bool event = false;
  int nmis = 0, smis = 0, inits = 0, sipi = -1;
  std::unique_ptr<LocalApic> apic;
};

struct ApicTest : testing::Test {
  static constexpr unsigned kCpus = 3;
  SteppedClock clock;
  std::mutex lock;
  int current = 0;
  int pic_vector = 0x30;
  ApicBus bus{{.device_lock = lock,
               .current_cpu = [this] { return current; },
               .pic_acknowledge =
                   [this] {
                     bus.set_intr(false);
                     return static_cast<u8>(pic_vector);
                   }}};
  Cpu cpu[kCpus];
  std::unique_ptr<IoApic82093> io;

  ApicTest() {
    for (unsigned i = 0; i < kCpus; i++) {
      Cpu& c = cpu[i];
      c.apic = std::make_unique<LocalApic>(
          LocalApic::Params{.bus = bus,
                            .clock = clock,
                            .id = i,
                            .bsp = i == 0,
                            .apic_event = [&c](bool on) { c.event = on; },
                            .nmi = [&c] { c.nmis++; },
                            .smi = [&c] { c.smis++; },
                            .init = [&c] { c.inits++; },
                            .sipi = [&c](u8 v) { c.sipi = v; },
                            .tsc_to_ns = [](u64 tsc) { return static_cast<s64>(tsc / 2); }});
      bus.attach(*c.apic);
    }
    io = std::make_unique<IoApic82093>(IoApic82093::Params{.bus = bus});
    bus.attach(*io);
    for (unsigned i = 0; i < kCpus; i++) {
      write(i, 0xf0, 0x1ff);
      write(i, 0xd0, 1u << (24 + i));
    }
  }
  void write(int n, u32 offset, u32 value) {
    current = n;
    bus.write(offset, value, 4);
  }
  u32 read(int n, u32 offset) {
    current = n;
    return static_cast<u32>(bus.read(offset, 4));
  }
  void eoi(int n) { write(n, 0xb0, 0); }
  void redirect(unsigned pin, u64 entry) {
    io->write(0, 0x10 + 2 * pin + 1, 4);
    io->write(0x10, entry >> 32, 4);
    io->write(0, 0x10 + 2 * pin, 4);
    io->write(0x10, entry & 0xffffffff, 4);
  }
  u32 redirection(unsigned pin) {
    io->write(0, 0x10 + 2 * pin, 4);
    return static_cast<u32>(io->read(0x10, 4));
  }
};

TEST_F(ApicTest, RegistersAndIds) {
  EXPECT_EQ(read(2, 0x20), 2u << 24);
  EXPECT_EQ(read(0, 0x30), 0x50014u);
  EXPECT_EQ(read(0, 0x320), 0x10000u);
  EXPECT_EQ(cpu[0].apic->base(), 0xfee00900u);
  EXPECT_EQ(cpu[1].apic->base(), 0xfee00800u);
  read(0, 0x3a0);  // no such register
  write(0, 0x280, 0);
  EXPECT_EQ(read(0, 0x280), 0x80u);
  write(0, 0x280, 0);
  EXPECT_EQ(read(0, 0x280), 0u);
}

TEST_F(ApicTest, PrioritiesNestAndEoi) {
  write(0, 0x310, 0);
  write(0, 0x300, 0x40040 | 0);  // self 0x40
  write(0, 0x300, 0x40061);
  EXPECT_TRUE(cpu[0].event);
  EXPECT_EQ(cpu[0].apic->acknowledge(), 0x61);
  EXPECT_FALSE(cpu[0].event);
  EXPECT_EQ(read(0, 0xa0), 0x60u);
  write(0, 0x300, 0x40065);  // same class: waits
  EXPECT_FALSE(cpu[0].event);
  write(0, 0x300, 0x40070);
  EXPECT_TRUE(cpu[0].event);
  EXPECT_EQ(cpu[0].apic->acknowledge(), 0x70);
  eoi(0);
  eoi(0);
  EXPECT_EQ(cpu[0].apic->acknowledge(), 0x65);
  eoi(0);
  cpu[0].apic->set_cr8(4);
  EXPECT_FALSE(cpu[0].event);  // 0x40 is not above TPR 0x40
  EXPECT_EQ(cpu[0].apic->acknowledge(), -1);
  EXPECT_EQ(read(0, 0x80), 0x40u);
  cpu[0].apic->set_cr8(3);
  EXPECT_TRUE(cpu[0].event);
  EXPECT_EQ(cpu[0].apic->acknowledge(), 0x40);
  eoi(0);
  EXPECT_EQ(read(0, 0xa0), 0x30u);
}

TEST_F(ApicTest, Destinations) {
  auto hits = [&](u32 high, u32 low) {
    write(0, 0x310, high);
    write(0, 0x300, low);
    std::string s;
    for (Cpu& c : cpu) {
      s += c.event ? '1' : '0';
      while (c.apic->acknowledge() >= 0) {
        current = static_cast<int>(&c - cpu);
        bus.write(0xb0, 0, 4);
      }
    }
    return s;
  };
  EXPECT_EQ(hits(1u << 24, 0x50), "010");
  EXPECT_EQ(hits(0xffu << 24, 0x50), "111");
  EXPECT_EQ(hits(0x06u << 24, 0x850), "011");  // flat logical
  EXPECT_EQ(hits(0, 0x40050), "100");
  EXPECT_EQ(hits(0, 0x80050), "111");
  EXPECT_EQ(hits(0, 0xc0050), "011");
  EXPECT_EQ(hits(9u << 24, 0x50), "000");
  for (int i = 0; i < 3; i++) {
    write(i, 0xe0, 0x0fffffff);
    write(i, 0xd0, (0x10u | 1u << i) << 24);
  }
  EXPECT_EQ(hits(0x15u << 24, 0x850), "101");  // cluster 1
  EXPECT_EQ(hits(0x25u << 24, 0x850), "000");
}

TEST_F(ApicTest, LowestPriorityPrefersTheIdle) {
  cpu[0].apic->set_cr8(8);
  cpu[1].apic->set_cr8(2);
  cpu[2].apic->set_cr8(8);
  write(0, 0x310, 0xffu << 24);
  write(0, 0x300, 0x990);
  EXPECT_FALSE(cpu[0].event);
  EXPECT_TRUE(cpu[1].event);
  EXPECT_FALSE(cpu[2].event);
}

TEST_F(ApicTest, NmiSmiInitSipi) {
  write(0, 0x310, 1u << 24);
  write(0, 0x300, 0x400);
  write(0, 0x300, 0x200);
  EXPECT_EQ(cpu[1].nmis, 1);
  EXPECT_EQ(cpu[1].smis, 1);
  write(1, 0x80, 0x20);
  write(0, 0x300, 0x4500);  // INIT assert
  write(0, 0x300, 0x8500);  // de-assert: nothing
  write(0, 0x300, 0x4608);
  EXPECT_EQ(cpu[1].inits, 1);
  EXPECT_EQ(cpu[1].sipi, 8);
  EXPECT_EQ(read(1, 0x80), 0u);
  EXPECT_EQ(read(1, 0xf0), 0xffu);
  write(0, 0x300, 0xc4500);  // all but self
  EXPECT_EQ(cpu[0].inits, 0);
  EXPECT_EQ(cpu[2].inits, 1);
}

TEST_F(ApicTest, ExtIntThroughLint0) {
  bus.set_intr(true);
  EXPECT_TRUE(cpu[0].event);  // virtual wire
  EXPECT_FALSE(cpu[1].event);
  EXPECT_EQ(cpu[0].apic->acknowledge(), 0x30);
  EXPECT_FALSE(cpu[0].event);
  write(0, 0x350, 0x10700);
  bus.set_intr(true);
  EXPECT_FALSE(cpu[0].event);
  write(0, 0x350, 0x700);
  EXPECT_TRUE(cpu[0].event);
  bus.set_intr(false);  // goes away before INTA
  EXPECT_EQ(cpu[0].apic->acknowledge(), -1);
  EXPECT_FALSE(cpu[0].event);
}

// Time passes at every look at it, as on a host that lets the CPU's thread wait.
class LateClock final : public Clock {
 public:
  s64 now() const override { return now_ += 5'000; }

 private:
  mutable s64 now_ = 0;
};

TEST(ApicTimer, AShortOneShotIsNotLost) {
  LateClock clock;
  std::mutex lock;
  ApicBus bus{{.device_lock = lock, .current_cpu = [] { return 0; }, .pic_acknowledge = [] { return u8{0}; }}};
  LocalApic apic({.bus = bus, .clock = clock, .bsp = true});
  bus.attach(apic);
  const auto write = [&](u32 offset, u32 value) { bus.write(offset, value, 4); };
  write(0xf0, 0x1ff);
  write(0x3e0, 0xb);  // divide by 1: a nanosecond a count
  write(0x320, 0x50);
  write(0x380, 100);
  ASSERT_GE(clock.next_deadline(), 0);
  clock.run_due();
  EXPECT_EQ(bus.read(0x220, 4), 1u << 0x10);
}

TEST_F(ApicTest, TimerOneShotAndPeriodic) {
  write(0, 0x3e0, 0xb);  // divide by 1
  write(0, 0x320, 0x55);
  write(0, 0x380, 1'000'000);
  clock.advance(400'000);
  EXPECT_EQ(read(0, 0x390), 600'000u);
  clock.advance(600'000);
  EXPECT_EQ(cpu[0].apic->acknowledge(), 0x55);
  eoi(0);
  EXPECT_EQ(read(0, 0x390), 0u);
  clock.advance(5'000'000);
  EXPECT_FALSE(cpu[0].event);
  write(0, 0x320, 0x20056);
  write(0, 0x3e0, 0x3);  // divide by 16
  write(0, 0x380, 1000);
  int ticks = 0;
  for (int i = 0; i < 160; i++) {
    clock.advance(1000);
    if (cpu[0].apic->acknowledge() == 0x56) {
      ticks++;
      eoi(0);
    }
  }
  EXPECT_EQ(ticks, 10);
  EXPECT_EQ(read(0, 0x390), 1000u);
  clock.advance(16'000 * 5);  // nobody looked: one is pending
  EXPECT_EQ(cpu[0].apic->acknowledge(), 0x56);
  eoi(0);
  EXPECT_FALSE(cpu[0].event);
  write(0, 0x320, 0x30056);  // masked
  clock.advance(100'000);
  EXPECT_FALSE(cpu[0].event);
  write(0, 0x320, 0x20056);
  clock.advance(16'000);
  EXPECT_TRUE(cpu[0].event);
}

// 4 ms: three ticks may wait for a fourth, and all of them come; of a longer sleep no more than that is made up for.
TEST_F(ApicTest, TicksThatWaitedComeInABundle) {
  write(0, 0x3e0, 0xb);
  write(0, 0x320, 0x20056);
  write(0, 0x380, 4'000'000);
  const auto bundle = [&] {
    int ticks = 0;
    clock.run_due();
    for (int i = 0; i < 100; i++) {
      if (cpu[0].apic->acknowledge() == 0x56) ticks++, eoi(0);
      clock.advance(10'000);
    }
    return ticks;
  };
  EXPECT_EQ(clock.patient_deadline(), 16'000'000);
  clock.skip(16'000'000);
  EXPECT_EQ(bundle(), 4);
  EXPECT_EQ(clock.next_deadline(), 20'000'000);
  EXPECT_EQ(clock.patient_deadline(), 32'000'000);
  clock.skip(400'000'000);
  EXPECT_EQ(bundle(), 4);
  EXPECT_EQ(clock.next_deadline(), 420'000'000);  // in phase
  clock.skip(16'000'000);
  clock.run_due();
  write(0, 0x380, 4'000'000);  // programmed anew: nothing is owed
  EXPECT_EQ(bundle(), 1);
  clock.skip(16'000'000);
  clock.run_due();
  write(0, 0x320, 0x30056);  // masked: nothing either
  EXPECT_EQ(bundle(), 1);
  write(0, 0x320, 0x20056);
  write(0, 0x380, 13'000'000);  // too long a period to wait
  EXPECT_EQ(clock.patient_deadline(), clock.next_deadline());
  clock.skip(100'000'000);
  EXPECT_EQ(bundle(), 1);
  write(0, 0x380, 100'000);  // too short
  EXPECT_EQ(clock.patient_deadline(), clock.next_deadline());
  write(0, 0x320, 0x56);
  write(0, 0x380, 4'000'000);  // one-shot
  EXPECT_EQ(clock.patient_deadline(), clock.next_deadline());
}

TEST_F(ApicTest, TscDeadline) {
  LocalApic& a = *cpu[0].apic;
  a.set_tsc_deadline(100);
  EXPECT_EQ(a.tsc_deadline(), 0u);  // not in this mode
  write(0, 0x320, 0x40060);
  a.set_tsc_deadline(200'000);  // 100 us
  clock.advance(99'999);
  EXPECT_FALSE(cpu[0].event);
  clock.advance(1);
  EXPECT_EQ(a.acknowledge(), 0x60);
  EXPECT_EQ(a.tsc_deadline(), 0u);
  eoi(0);
  a.set_tsc_deadline(1);  // past: at once
  EXPECT_EQ(a.acknowledge(), 0x60);
  eoi(0);
  a.set_tsc_deadline(400'000);
  a.set_tsc_deadline(0);
  clock.advance(1'000'000);
  EXPECT_FALSE(cpu[0].event);
}

TEST_F(ApicTest, X2ApicModeAndBaseTransitions) {
  LocalApic& a = *cpu[1].apic;
  u64 v = 0;
  EXPECT_FALSE(a.read_msr(0x802, v));
  EXPECT_FALSE(a.write_msr(0x1b, 0xfee00400));  // x2 without enable
  EXPECT_TRUE(a.write_msr(0x1b, 0xfee00c00));
  EXPECT_TRUE(a.read_msr(0x802, v));
  EXPECT_EQ(v, 1u);
  EXPECT_TRUE(a.read_msr(0x80d, v));
  EXPECT_EQ(v, 2u);
  EXPECT_FALSE(a.write_msr(0x80d, 1));
  EXPECT_FALSE(a.write_msr(0x80b, 1));
  EXPECT_FALSE(a.read_msr(0x80e, v));
  EXPECT_FALSE(a.read_msr(0x831, v));
  EXPECT_TRUE(a.write_msr(0x83f, 0x77));  // self IPI
  EXPECT_EQ(a.acknowledge(), 0x77);
  EXPECT_TRUE(a.write_msr(0x80b, 0));
  EXPECT_EQ(a.acknowledge(), -1);
  EXPECT_TRUE(a.write_msr(0x830, u64{0} << 32 | 0x88));
  EXPECT_EQ(cpu[0].apic->acknowledge(), 0x88);
  eoi(0);
  EXPECT_TRUE(a.write_msr(0x830, u64{0xffffffff} << 32 | 0x89));
  EXPECT_TRUE(cpu[0].event && cpu[1].event);
  EXPECT_TRUE(cpu[2].event);
  EXPECT_FALSE(a.write_msr(0x1b, 0xfee00800));  // back to xAPIC directly
  EXPECT_TRUE(a.write_msr(0x1b, 0xfee00000));
  EXPECT_FALSE(a.write_msr(0x1b, 0xfee00c00));
  EXPECT_TRUE(a.write_msr(0x1b, 0xfee00800));
  EXPECT_EQ(read(1, 0xf0), 0xffu);
  EXPECT_FALSE(a.write_msr(0x1b, 0xfee00801));
}

TEST_F(ApicTest, IoApicEdgeLevelAndEoi) {
  EXPECT_EQ((io->write(0, 1, 4), io->read(0x10, 4)), 0x170020u);
  IrqLine pin2 = io->pin(2), pin10 = io->pin(10);
  pin2.raise();  // masked: lost
  pin2.lower();
  redirect(2, 0x31);
  EXPECT_FALSE(cpu[0].event);
  pin2.raise();
  EXPECT_EQ(cpu[0].apic->acknowledge(), 0x31);
  eoi(0);
  EXPECT_FALSE(cpu[0].event);
  pin2.lower();
  pin2.raise();
  EXPECT_EQ(cpu[0].apic->acknowledge(), 0x31);
  eoi(0);
  redirect(10, u64{1} << 56 | 0x8041);  // level, CPU 1
  pin10.raise();
  EXPECT_EQ(cpu[1].apic->acknowledge(), 0x41);
  EXPECT_TRUE(redirection(10) & 0x4000);
  EXPECT_EQ(read(1, 0x180 + 0x20), 2u);  // TMR
  eoi(1);
  EXPECT_TRUE(cpu[1].event);  // still high
  EXPECT_EQ(cpu[1].apic->acknowledge(), 0x41);
  pin10.lower();
  eoi(1);
  EXPECT_FALSE(cpu[1].event);
  EXPECT_FALSE(redirection(10) & 0x4000);
  pin10.raise();  // EOI register
  cpu[1].apic->acknowledge();
  io->write(0x40, 0x41, 4);
  EXPECT_EQ(read(1, 0x220), 2u);  // requested again behind the one in service
}

TEST_F(ApicTest, LevelEoiFromMsrTakesTheDeviceLock) {
  LocalApic& a = *cpu[1].apic;
  ASSERT_TRUE(a.write_msr(0x1b, 0xfee00c00));
  redirect(10, u64{1} << 56 | 0x8041);
  io->pin(10).raise();
  EXPECT_EQ(a.acknowledge(), 0x41);
  io->pin(10).lower();
  EXPECT_TRUE(a.write_msr(0x80b, 0));
  EXPECT_FALSE(redirection(10) & 0x4000);
}

TEST_F(ApicTest, MessageSignalled) {
  EXPECT_EQ(bus.deliver_msi(0xfee02000, 0x4045), 1);
  EXPECT_EQ(cpu[2].apic->acknowledge(), 0x45);
  EXPECT_EQ(bus.deliver_msi(0xfee06004, 0x46), 2);  // logical, CPUs 1 and 2
  EXPECT_EQ(bus.deliver_msi(0xfee09000, 0x46), 0);
}

// Two threads send while the CPU takes, raises and lowers its priority, and ends: no request may be left behind without
// an event.
TEST(ApicThreads, NoRequestIsLost) {
  SteppedClock clock;
  std::mutex lock;
  ApicBus bus({.device_lock = lock});
  std::atomic<bool> event{false};
  LocalApic target({.bus = bus, .clock = clock, .id = 0, .apic_event = [&](bool on) { event = on; }});
  bus.attach(target);
  target.write_register(0xf0, 0x1ff);
  std::atomic<int> senders{2};
  auto send = [&](u8 base) {
    for (int i = 0; i < 20'000; i++) bus.deliver({.vector = static_cast<u8>(base + i % 32)});
    senders--;
  };
  std::thread a(send, u8{0x40}), b(send, u8{0x90});
  u64 taken = 0;
  for (u32 n = 0; senders != 0 || event; n++) {
    if (n % 7 == 0) target.set_cr8(n % 14 == 0 ? 15 : 0);
    if (senders == 0) target.set_cr8(0);
    if (!event) continue;
    if (target.acknowledge() >= 0) {
      taken++;
      target.write_register(0xb0, 0);
    }
  }
  a.join();
  b.join();
  target.set_cr8(0);
  while (event) {
    if (target.acknowledge() < 0) continue;
    taken++;
    target.write_register(0xb0, 0);
  }
  EXPECT_FALSE(target.pending());
  EXPECT_GT(taken, 0u);
}

TEST_F(ApicTest, StateGoesRound) {
  write(0, 0x300, 0x40061);
  write(0, 0x320, 0x20056);
  write(0, 0x380, 10'000'000);
  clone_state(*cpu[0].apic, *cpu[2].apic);
  EXPECT_TRUE(cpu[2].event);
  EXPECT_EQ(cpu[2].apic->acknowledge(), 0x61);
}

}  // namespace
}  // namespace doppel::hw::test
