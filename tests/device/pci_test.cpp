#include <gtest/gtest.h>

#include <random>

#include "device/fake_machine.h"
#include "hw/bus/pci/i440fx.h"
#include "hw/bus/pci/pci_bus.h"
#include "hw/bus/pci/pci_config_ports.h"
#include "hw/bus/pci/piix3_isa.h"

namespace doppel::hw {
namespace {

using namespace test;

class Widget final : public PciDevice, private MmioHandler {
 public:
  explicit Widget(u8 pin = 1)
      : PciDevice("widget", {.vendor = 0x1234, .device = 0x1111, .class_code = 0x030000, .pin = pin}), ram(0x10000) {
    add_ram_bar(0, ram.size(), ram.data());
    add_mmio_bar(2, 0x1000, *this);
    add_io_bar(4, 16, *this);
    std::vector<u8> rom(0x40);
    rom[0] = 0x55, rom[1] = 0xaa, rom[2] = 1, rom[0x18] = 0x1c;
    std::memcpy(&rom[0x1c], "PCIR\xff\xff\x34\x12", 8);  // another function's
    add_rom(std::move(rom));
    capability = add_capability(0x01, 8);
    second = add_capability(0x05, 10);
  }
  using PciDevice::dma;
  using PciDevice::set_intx;
  u64 read(u64 offset, unsigned) override { return 0xa0 + offset; }
  void write(u64 offset, u64 value, unsigned) override { last = {offset, value}; }
  std::vector<u8> ram;
  std::pair<u64, u64> last;
  u8 capability = 0, second = 0;
};

class PciTest : public ::testing::Test {
 protected:
  PciTest() { bus.attach(pci::devfn(2, 0), widget); }
  void config(u8 devfn, u8 reg, u32 value, unsigned size = 4) {
    ports.write(0xcf8, 0x80000000 | u32{devfn} << 8 | (reg & 0xfc), 4);
    ports.write(static_cast<u16>(0xcfc + (reg & 3)), value, size);
  }
  u32 config(u8 devfn, u8 reg) {
    ports.write(0xcf8, 0x80000000 | u32{devfn} << 8 | (reg & 0xfc), 4);
    return ports.read(static_cast<u16>(0xcfc + (reg & 3)), 4);
  }
  FakeMemory memory{1 << 20};
  FakeAddressBus address_bus;
  PortBus ports;
  PciBus bus{{address_bus, ports, memory}};
  unsigned resets = 0;
  IrqProbe irq[16];
  Piix3Isa isa{[this] {
    Piix3Isa::Params p;
    for (int i = 0; i < 16; i++) p.irq[static_cast<size_t>(i)] = irq[i].line();
    p.reset_request = [this] { resets++; };
    return p;
  }()};
  PciConfigPorts mechanism{{bus, &isa.reset_control()}};
  std::unique_ptr<MappedWindow> window = ports.map("pci", 0xcf8, 8, mechanism);
  Widget widget;
};

TEST(PciRom, ItNamesItsFunction) {
  Widget w;
  const u8* rom = w.bars()[6]->data;
  EXPECT_EQ(load_le<u16>(rom + 0x20), 0x1234);
  EXPECT_EQ(load_le<u16>(rom + 0x22), 0x1111);
  const u8 before = static_cast<u8>(0x55 + 0xaa + 1 + 0x1c + 'P' + 'C' + 'I' + 'R' + 0x34 + 0x12 + 0xff + 0xff);
  u8 sum = 0;
  for (size_t i = 0; i < 0x40; i++) sum = static_cast<u8>(sum + rom[i]);
  EXPECT_EQ(sum, before);
}

TEST_F(PciTest, IdsAndAbsentFunctions) {
  EXPECT_EQ(config(0x10, 0), 0x11111234u);
  EXPECT_EQ(config(0x10, 0x2c), 0x11001af4u);
  EXPECT_EQ(config(0x18, 0), 0xffffffffu);
  EXPECT_EQ(bus.config_read(1, 0x10, 0, 4), 0xffffffffu);
  EXPECT_EQ(ports.read(0xcfd, 1), 0xffu);  // function 18 is still addressed
  ports.write(0xcf8, 0, 4);
  EXPECT_EQ(ports.read(0xcfc, 4), 0xffffffffu);  // enable bit clear
}

TEST_F(PciTest, BarsAreSizedMappedAndMoved) {
  config(0x10, 0x10, 0xffffffff);
  EXPECT_EQ(config(0x10, 0x10), 0xffff0008u);
  config(0x10, 0x18, 0xffffffff);
  EXPECT_EQ(config(0x10, 0x18), 0xfffff000u);
  config(0x10, 0x20, 0xffffffff);
  EXPECT_EQ(config(0x10, 0x20), 0xfffffff1u);
  config(0x10, 0x30, 0xfffffffe);
  EXPECT_EQ(config(0x10, 0x30), 0xfffff000u);
  config(0x10, 0x14, 0xffffffff);
  EXPECT_EQ(config(0x10, 0x14), 0u);
  config(0x10, 0x04, 3, 2);  // all ones: being sized, nothing mapped
  EXPECT_TRUE(address_bus.mappings.empty());
  config(0x10, 0x10, 0xe0000000);
  config(0x10, 0x18, 0xf0000000);
  config(0x10, 0x20, 0xc000);
  config(0x10, 0x30, 0xf1000001);
  ASSERT_NE(address_bus.at(0xe0000000), nullptr);
  EXPECT_EQ(address_bus.at(0xe0000000)->data, widget.ram.data());
  ASSERT_NE(address_bus.at(0xf0000fff), nullptr);
  ASSERT_NE(address_bus.at(0xf1000000), nullptr);
  EXPECT_TRUE(address_bus.at(0xf1000000)->read_only);
  EXPECT_EQ(address_bus.at(0xf1000000)->data[1], 0xaa);
  EXPECT_EQ(ports.read(0xc004, 1), 0xa4u);
  config(0x10, 0x20, 0xd000);
  EXPECT_EQ(ports.read(0xc004, 1), 0xffu);
  EXPECT_EQ(ports.read(0xd004, 1), 0xa4u);
  config(0x10, 0x04, 0, 2);
  EXPECT_EQ(ports.read(0xd004, 1), 0xffu);
  EXPECT_EQ(address_bus.at(0xe0000000), nullptr);
}

TEST_F(PciTest, CapabilityList) {
  EXPECT_EQ(config(0x10, 0x04) >> 16 & 0x10, 0x10u);
  EXPECT_EQ(config(0x10, 0x34) & 0xff, widget.second);
  EXPECT_EQ(config(0x10, widget.second) & 0xffff, 0x05u | u32{widget.capability} << 8);
  EXPECT_EQ(config(0x10, widget.capability) & 0xffff, 0x01u);
}

TEST_F(PciTest, DmaNeedsBusMaster) {
  const u32 v = 0x12345678;
  EXPECT_FALSE(widget.dma().write(16, &v, 4));
  EXPECT_EQ(widget.dma().load<u32>(16), 0xffffffffu);
  config(0x10, 0x04, 4, 2);
  EXPECT_TRUE(widget.dma().write(16, &v, 4));
  EXPECT_EQ(widget.dma().load<u32>(16), v);
}

TEST_F(PciTest, InterruptsAreSwizzledRoutedAndShared) {
  Widget other(2);
  bus.attach(pci::devfn(1, 3), other);  // slot 1 pin B = slot 2 pin A = PIRQB
  for (unsigned n = 0; n < 4; n++) bus.connect_pirq(n, isa.pirq(n));
  bus.attach(pci::devfn(1, 0), isa);
  EXPECT_EQ(config(0x08, 0x60), 0x80808080u);
  widget.set_intx(true);
  for (const auto& i : irq) EXPECT_FALSE(i.level);
  config(0x08, 0x61, 0x0b, 1);
  EXPECT_TRUE(irq[11].level);
  EXPECT_EQ(isa.route(1), 11);
  other.set_intx(true);
  widget.set_intx(false);
  EXPECT_TRUE(irq[11].level);
  config(0x08, 0x61, 0x0a, 1);  // moved while high
  EXPECT_FALSE(irq[11].level);
  EXPECT_TRUE(irq[10].level);
  config(0x0b, 0x04, 0x400, 2);  // interrupt disable
  EXPECT_FALSE(irq[10].level);
  EXPECT_EQ(config(0x0b, 0x04) >> 16 & 8, 8u);  // but the status bit tells
  config(0x0b, 0x04, 0, 2);
  EXPECT_TRUE(irq[10].level);
  config(0x08, 0x61, 0x08, 1);  // interrupt 8 can't be reached
  EXPECT_FALSE(irq[8].level);
  bus.detach(isa);
}

TEST_F(PciTest, ResetControlSharesConfaddPorts) {
  ports.write(0xcf8, 0x80001004, 4);
  ports.write(0xcf9, 2, 1);
  EXPECT_EQ(ports.read(0xcf9, 1), 2u);
  EXPECT_EQ(resets, 0u);
  ports.write(0xcf9, 6, 1);
  EXPECT_EQ(resets, 1u);
  EXPECT_EQ(ports.read(0xcf8, 4), 0x80001004u);
}

TEST_F(PciTest, I440FxPamAndSmram) {
  PamMap pam;
  SmramState smram;
  unsigned calls = 0;
  I440Fx host({.on_pam =
                   [&](const PamMap& m) {
                     pam = m;
                     calls++;
                   },
               .on_smram = [&](const SmramState& s) { smram = s; },
               .ram_bytes = 128 << 20});
  bus.attach(0, host);
  host.reset();
  EXPECT_EQ(config(0, 0), 0x12378086u);
  EXPECT_EQ(calls, 1u);
  config(0, 0x59, 0x30, 1);
  EXPECT_EQ(pam[0], (PamRegion{0xf0000, 0x10000, true, true}));
  config(0, 0x5a, 0x13, 1);
  EXPECT_EQ(pam[1], (PamRegion{0xc0000, 0x4000, true, true}));
  EXPECT_EQ(pam[2], (PamRegion{0xc4000, 0x4000, true, false}));
  config(0, 0x5f, 0x20, 1);
  EXPECT_EQ(pam[12], (PamRegion{0xec000, 0x4000, false, true}));
  const unsigned before = calls;
  config(0, 0x5f, 0x20, 1);
  EXPECT_EQ(calls, before);  // no change, no flush
  config(0, 0x72, 0x4a, 1);
  EXPECT_TRUE(smram.open && smram.enabled);
  config(0, 0x72, 0x5a, 1);  // locking closes
  EXPECT_FALSE(smram.open);
  config(0, 0x72, 0x42, 1);
  EXPECT_EQ(config(0, 0x72) & 0xff, 0x1au);
  host.reset();
  EXPECT_FALSE(smram.enabled);
  EXPECT_FALSE(pam[0].read_ram);
}

TEST_F(PciTest, BusMayGoFirst) {
  Widget late;
  {
    PciBus short_lived({address_bus, ports, memory});
    short_lived.attach(pci::devfn(4, 0), late);
    short_lived.config_write(0, 0x20, 0x10, 0xe8000000, 4);
    short_lived.config_write(0, 0x20, 0x04, 3, 2);
    late.set_intx(true);
    EXPECT_NE(address_bus.at(0xe8000000), nullptr);
  }
  EXPECT_EQ(address_bus.at(0xe8000000), nullptr);
}

TEST_F(PciTest, StateReturns) {
  config(0x10, 0x10, 0xe0000000);
  config(0x10, 0x04, 3, 2);
  widget.set_intx(true);
  StateArchive save(StateArchive::Mode::Save);
  widget.archive(save);
  widget.reset();
  EXPECT_EQ(address_bus.at(0xe0000000), nullptr);
  StateArchive load(StateArchive::Mode::Load);
  ASSERT_TRUE(load.deserialize(save.serialize()));
  widget.archive(load);
  EXPECT_NE(address_bus.at(0xe0000000), nullptr);
  EXPECT_TRUE(widget.intx());
}

TEST_F(PciTest, RandomConfigurationWritesAreHarmless) {
  I440Fx host({});
  bus.attach(0, host);
  bus.attach(pci::devfn(1, 0), isa);
  std::mt19937 random(1);
  for (int i = 0; i < 20000; i++) {
    const unsigned size = 1u << (random() % 3);
    ports.write(0xcf8, random() % 4 == 0 ? random() : 0x80000000 | (random() % 0x1800), 4);
    const u16 port = static_cast<u16>(0xcf8 + random() % 8);
    if ((random() & 1) != 0)
      ports.write(port, random(), size);
    else
      ports.read(port, size);
  }
  bus.detach(isa);
}

}  // namespace
}  // namespace doppel::hw
