#include <gtest/gtest.h>

#include <random>

#include "device/fake_machine.h"
#include "hw/bus/pci/pci_bus.h"
#include "hw/bus/pci/piix4_pm.h"

namespace doppel::hw {
namespace {

using namespace test;

class Piix4Test : public ::testing::Test {
 protected:
  Piix4Test() {
    bus.attach(pci::devfn(1, 3), pm);
    pm.reset();
    bus.config_write(0, 0x0b, 0x40, 0x600, 4);
    bus.config_write(0, 0x0b, 0x80, 1, 1);
  }
  SteppedClock clock;
  FakeMemory memory{4096};
  FakeAddressBus address_bus;
  PortBus ports;
  PciBus bus{{address_bus, ports, memory}};
  IrqProbe sci;
  unsigned smis = 0, offs = 0, suspends = 0;
  Piix4Pm pm{{.clock = clock,
              .sci = sci.line(),
              .smi = [this] { smis++; },
              .soft_off = [this] { offs++; },
              .suspend = [this] { suspends++; }}};
  std::unique_ptr<MappedWindow> apm = ports.map("apm", 0xb2, 2, pm.apm_ports());
};

TEST_F(Piix4Test, BaseReadsBackAndMoves) {
  EXPECT_EQ(bus.config_read(0, 0x0b, 0, 4), 0x71138086u);
  EXPECT_EQ(bus.config_read(0, 0x0b, 0x40, 4), 0x601u);
  EXPECT_EQ(ports.read(0x604, 2), 0u);
  bus.config_write(0, 0x0b, 0x40, 0xb001, 4);
  EXPECT_EQ(ports.read(0x604, 2), 0xffffu);
  EXPECT_EQ(ports.read(0xb004, 2), 0u);
}

TEST_F(Piix4Test, AcpiModeThroughTheCommandPort) {
  ports.write(0xb2, 0xf1, 1);
  EXPECT_EQ(ports.read(0x604, 2), 1u);
  EXPECT_EQ(ports.read(0xb2, 1), 0xf1u);
  ports.write(0xb2, 0xf0, 1);
  EXPECT_EQ(ports.read(0x604, 2), 0u);
  EXPECT_EQ(smis, 0u);
}

TEST_F(Piix4Test, SmiWhenEnabled) {
  ports.write(0xb3, 0x5a, 1);
  ports.write(0xb2, 0x01, 1);
  EXPECT_EQ(smis, 0u);
  bus.config_write(0, 0x0b, 0x58, 1u << 25, 4);
  ports.write(0xb2, 0x01, 1);
  EXPECT_EQ(smis, 1u);
  EXPECT_EQ(ports.read(0xb3, 1), 0x5au);
}

TEST_F(Piix4Test, TimerRunsAt3579545Hz) {
  const u32 start = ports.read(0x608, 4);
  clock.advance(kNsPerSecond);
  EXPECT_EQ((ports.read(0x608, 4) - start) & 0xffffff, 3579545u);
  EXPECT_EQ(ports.read(0x608, 4) & 0xff000000, 0u);
}

TEST_F(Piix4Test, TimerOverflowRaisesSci) {
  ports.write(0x604, 1, 2);
  ports.write(0x602, 1, 2);
  clock.advance(2'343'000'000);
  EXPECT_FALSE(sci.level);
  clock.advance(1'000'000);  // 2^23 ticks are 2.3435 s
  EXPECT_TRUE(sci.level);
  EXPECT_EQ(ports.read(0x600, 2) & 1, 1u);
  ports.write(0x600, 1, 2);
  EXPECT_FALSE(sci.level);
  clock.advance(2'344'000'000);
  EXPECT_TRUE(sci.level);
}

TEST_F(Piix4Test, PowerButtonAndSoftOff) {
  pm.press_power_button();
  EXPECT_FALSE(sci.level);
  ports.write(0x602, 0x100, 2);
  EXPECT_FALSE(sci.level);
  ports.write(0x604, 1, 2);
  EXPECT_TRUE(sci.level);
  EXPECT_EQ(ports.read(0x600, 4), 0x01000100u);
  ports.write(0x601, 0x01, 1);  // a byte write clears only its bits
  EXPECT_FALSE(sci.level);
  ports.write(0x604, 0x2001, 2);
  EXPECT_EQ(offs, 1u);
  EXPECT_EQ(ports.read(0x604, 2) & 0x2000, 0u);
  ports.write(0x604, 0x2401, 2);
  EXPECT_EQ(suspends, 1u);
  pm.wake_guest(AcpiPm::kPwrBtn);
  EXPECT_EQ(ports.read(0x600, 2), 0x8100u);
}

TEST_F(Piix4Test, GpeRaisesSci) {
  ports.write(0x604, 1, 2);
  ports.write(0x60e, 0x0004, 2);
  pm.raise_gpe(2);
  EXPECT_TRUE(sci.level);
  ports.write(0x60c, 0x0004, 2);
  EXPECT_FALSE(sci.level);
}

class Eeprom final : public SmbusSlave {
 public:
  int read_byte(u8 command) override { return command ^ 0xff; }
  bool write_byte(u8, u8) override { return true; }
};

TEST_F(Piix4Test, Smbus) {
  Eeprom eeprom;
  pm.smbus().connect(0x50, eeprom);
  bus.config_write(0, 0x0b, 0x90, 0x701, 4);
  bus.config_write(0, 0x0b, 0xd2, 9, 1);
  ports.write(0x704, 0xa1, 1);
  ports.write(0x703, 0x12, 1);
  ports.write(0x702, 0x48, 1);
  EXPECT_EQ(ports.read(0x700, 1), 0x02u);
  EXPECT_EQ(ports.read(0x705, 1), 0xedu);
  ports.write(0x700, 0xff, 1);
  ports.write(0x704, 0xa3, 1);
  ports.write(0x702, 0x48, 1);
  EXPECT_EQ(ports.read(0x700, 1), 0x04u);  // nobody there
}

TEST_F(Piix4Test, RandomAccessesAndState) {
  std::mt19937 random(2);
  for (int i = 0; i < 20000; i++) {
    const unsigned size = 1u << (random() % 3);
    const u16 port = static_cast<u16>(0x600 + random() % 0x120);
    if ((random() & 1) != 0)
      ports.write(port, random(), size);
    else
      ports.read(port, size);
    if (i % 64 == 0) clock.advance(random() % 100'000'000);
  }
  StateArchive save(StateArchive::Mode::Save), again(StateArchive::Mode::Save);
  pm.archive(save);
  pm.reset();
  StateArchive load(StateArchive::Mode::Load);
  ASSERT_TRUE(load.deserialize(save.serialize()));
  pm.archive(load);
  pm.archive(again);
  EXPECT_TRUE(save.diff(again).empty());
}

}  // namespace
}  // namespace doppel::hw
