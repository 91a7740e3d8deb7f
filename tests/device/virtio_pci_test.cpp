// Virtio's transports: PCI with its capabilities, the legacy ports, MSI-X, the window in configuration space; memory
// mapped registers. The device behind them is the source of random numbers.
#include "hw/bus/virtio/virtio_pci.h"

#include <gtest/gtest.h>

#include "device/conformance_rigs.h"
#include "hw/bus/virtio/virtio_mmio.h"
#include "hw/misc/virtio_rng.h"

namespace doppel::hw::test {
namespace {

using namespace virtio;
constexpr u8 kPlace = 0x18;
constexpr u64 kMsixBar = 0xf0000000, kBar4 = 0xf1000000;
constexpr u16 kPorts = 0xc000;

struct Function {
  std::vector<std::pair<u64, u32>> messages;
  Rig rig;
  PciBus pci{{rig.address_bus, rig.ports, rig.memory, [this](u64 a, u32 d) { messages.emplace_back(a, d); }}};
  std::unique_ptr<VirtioPci> card;
  explicit Function(bool legacy = true, bool modern = true, unsigned vectors = 2) {
    card = std::make_unique<VirtioPci>(VirtioPci::Params{
        .device = std::make_unique<VirtioRng>(VirtioRng::Params{.clock = rig.clock, .repeatable = true}),
        .class_code = 0x00ff00,
        .legacy = legacy,
        .modern = modern,
        .vectors = vectors});
    pci.attach(kPlace, *card);
    if (legacy) set_config(0x10, kPorts, 4);
    set_config(0x14, kMsixBar, 4);
    set_config(0x20, kBar4, 4);
    set_config(0x04, 7, 2);
  }
  u32 config(u8 at, unsigned size = 4) { return pci.config_read(0, kPlace, at, size); }
  void set_config(u8 at, u64 v, unsigned size) { pci.config_write(0, kPlace, at, static_cast<u32>(v), size); }
  u64 get(u64 at, unsigned size) {
    auto* m = rig.address_bus.at(at);
    return m->handler->read(at - m->address, size);
  }
  void set(u64 at, u64 v, unsigned size) {
    auto* m = rig.address_bus.at(at);
    m->handler->write(at - m->address, v, size);
  }
  // Offset of a capability; 0: none.
  u8 capability(u8 id, int type = -1) {
    for (u8 at = static_cast<u8>(config(0x34, 1)); at != 0; at = static_cast<u8>(config(static_cast<u8>(at + 1), 1))) {
      if (config(at, 1) == id && (type < 0 || config(static_cast<u8>(at + 3), 1) == static_cast<u32>(type))) return at;
    }
    return 0;
  }
  u8* mem(u64 at) { return &rig.memory.bytes[at]; }
  // Descriptors at 0x1000, available at 0x2000, used at 0x3000; one buffer of 32 bytes at 0x8000.
  void offer(u64 avail = 0x2000) {
    store_le<u64>(mem(0x1000), 0x8000);
    store_le<u32>(mem(0x1008), 32);
    store_le<u16>(mem(0x100c), 2);
    store_le<u16>(mem(avail + 2), static_cast<u16>(load_le<u16>(mem(avail + 2)) + 1));
  }
  void start_modern(bool queue_vector = true) {
    set(kBar4 + 20, 0, 1);
    set(kBar4 + 20, kAcknowledge | kDriver, 1);
    set(kBar4 + 8, 1, 4);
    set(kBar4 + 12, 1, 4);
    set(kBar4 + 20, kAcknowledge | kDriver | kFeaturesOk, 1);
    set(kBar4 + 16, 0, 2);
    if (queue_vector) set(kBar4 + 26, 1, 2);
    set(kBar4 + 32, 0x1000, 4);
    set(kBar4 + 40, 0x2000, 4);
    set(kBar4 + 48, 0x3000, 4);
    set(kBar4 + 28, 1, 2);
    set(kBar4 + 20, kAcknowledge | kDriver | kFeaturesOk | kDriverOk, 1);
  }
};

TEST(VirtioPci, NamesItselfAsTransitionalOrNot) {
  Function both;
  EXPECT_EQ(both.config(0), 0x10051af4u);
  EXPECT_EQ(both.config(0x2c), 0x00041af4u);
  EXPECT_EQ(both.config(0x08, 1), 0u);
  Function modern(false, true);
  EXPECT_EQ(modern.config(0), 0x10441af4u);
  EXPECT_EQ(modern.config(0x08, 1), 1u);
  EXPECT_EQ(modern.config(0x10), 0u);
  Function legacy(true, false);
  EXPECT_EQ(legacy.capability(9), 0);
  EXPECT_EQ(legacy.config(0x20), 0u);
}

TEST(VirtioPci, CapabilitiesPointAtTheStructures) {
  Function f;
  const u32 offsets[] = {0, 0x3000, 0x1000, 0x2000};
  for (int type = 1; type <= 4; type++) {
    const u8 at = f.capability(9, type);
    ASSERT_NE(at, 0) << type;
    EXPECT_EQ(f.config(static_cast<u8>(at + 4), 1), 4u);
    EXPECT_EQ(f.config(static_cast<u8>(at + 8)), offsets[type - 1]);
  }
  EXPECT_EQ(f.config(static_cast<u8>(f.capability(9, 2) + 16)), 4u);
  EXPECT_EQ(f.config(static_cast<u8>(f.capability(0x11) + 2), 2), 1u);  // two vectors
}

TEST(VirtioPci, AModernDriverGetsItsBytes) {
  Function f;
  EXPECT_EQ(f.get(kBar4 + 18, 2), 1u);
  f.start_modern();
  EXPECT_EQ(f.get(kBar4 + 20, 1), 15u);
  EXPECT_EQ(f.get(kBar4 + 24, 2), 8u);
  f.offer();
  f.set(kBar4 + 0x3000, 0, 2);
  EXPECT_EQ(load_le<u16>(f.mem(0x3002)), 1);
  EXPECT_EQ(load_le<u32>(f.mem(0x3008)), 32u);
  EXPECT_NE(load_le<u64>(f.mem(0x8000)), 0u);
  EXPECT_TRUE(f.card->intx());
  EXPECT_EQ(f.get(kBar4 + 0x1000, 1), 1u);
  EXPECT_EQ(f.get(kBar4 + 0x1000, 1), 0u);
  EXPECT_FALSE(f.card->intx());
  f.set(kBar4 + 20, 0, 1);
  EXPECT_EQ(f.get(kBar4 + 20, 1), 0u);
  EXPECT_EQ(f.get(kBar4 + 28, 2), 0u);
}

TEST(VirtioPci, FeaturesThatWereNotOfferedAreRefused) {
  Function f;
  f.set(kBar4 + 20, kAcknowledge | kDriver, 1);
  f.set(kBar4 + 12, 0x00ffffff, 4);
  f.set(kBar4 + 8, 1, 4);
  f.set(kBar4 + 12, 1, 4);
  f.set(kBar4 + 20, kAcknowledge | kDriver | kFeaturesOk, 1);
  EXPECT_EQ(f.get(kBar4 + 20, 1), kAcknowledge | kDriver);
  Function old;
  old.set(kBar4 + 20, kAcknowledge | kDriver, 1);  // without version 1
  old.set(kBar4 + 20, kAcknowledge | kDriver | kFeaturesOk, 1);
  EXPECT_EQ(old.get(kBar4 + 20, 1), kAcknowledge | kDriver);
}

TEST(VirtioPci, ALegacyDriverGetsItsBytes) {
  Function f;
  EXPECT_EQ(f.rig.ports.read(kPorts, 4) >> 27, 7u);  // any layout, indirect, event index
  f.rig.ports.write(kPorts + 18, 3, 1);
  f.rig.ports.write(kPorts + 14, 0, 2);
  EXPECT_EQ(f.rig.ports.read(kPorts + 12, 2), 8u);
  f.rig.ports.write(kPorts + 8, 1, 4);
  EXPECT_EQ(f.rig.ports.read(kPorts + 8, 4), 1u);
  f.rig.ports.write(kPorts + 18, 7, 1);
  f.offer(0x1000 + 8 * 16);
  f.rig.ports.write(kPorts + 16, 0, 2);
  EXPECT_EQ(load_le<u16>(f.mem(0x2002)), 1);
  EXPECT_TRUE(f.card->intx());
  EXPECT_EQ(f.rig.ports.read(kPorts + 19, 1), 1u);
  EXPECT_FALSE(f.card->intx());
  f.rig.ports.write(kPorts + 18, 0, 1);
  EXPECT_EQ(f.rig.ports.read(kPorts + 8, 4), 0u);
}

TEST(VirtioPci, MsixSendsAndHoldsMessages) {
  Function f;
  const u8 cap = f.capability(0x11);
  f.set(kMsixBar + 16, 0xfee01000, 4);
  f.set(kMsixBar + 24, 0x41, 4);
  f.set_config(static_cast<u8>(cap + 2), 0x8000, 2);
  f.start_modern();
  f.offer();
  f.set(kBar4 + 0x3000, 0, 2);
  EXPECT_TRUE(f.messages.empty());  // the vector is masked
  EXPECT_FALSE(f.card->intx());
  EXPECT_EQ(f.get(kMsixBar + 2048, 4), 2u);
  f.set(kMsixBar + 28, 0, 4);
  ASSERT_EQ(f.messages.size(), 1u);
  EXPECT_EQ(f.messages[0], std::pair(u64{0xfee01000}, u32{0x41}));
  EXPECT_EQ(f.get(kMsixBar + 2048, 4), 0u);
  f.set_config(static_cast<u8>(cap + 2), 0xc000, 2);  // the whole function
  f.offer();
  f.set(kBar4 + 0x3000, 0, 2);
  EXPECT_EQ(f.messages.size(), 1u);
  f.set_config(static_cast<u8>(cap + 2), 0x8000, 2);
  EXPECT_EQ(f.messages.size(), 2u);
  f.set(kBar4 + 26, 9, 2);  // no such vector
  EXPECT_EQ(f.get(kBar4 + 26, 2), 0xffffu);
}

TEST(VirtioPci, ConfigurationSpaceHasAWindowOnTheStructures) {
  Function f;
  const u8 cap = f.capability(9, 5);
  f.set_config(static_cast<u8>(cap + 4), 4, 1);
  f.set_config(static_cast<u8>(cap + 8), 18, 4);
  f.set_config(static_cast<u8>(cap + 12), 2, 4);
  EXPECT_EQ(f.config(static_cast<u8>(cap + 16), 2), 1u);
  f.set_config(static_cast<u8>(cap + 8), 20, 4);
  f.set_config(static_cast<u8>(cap + 12), 1, 4);
  f.set_config(static_cast<u8>(cap + 16), 3, 1);
  EXPECT_EQ(f.get(kBar4 + 20, 1), 3u);
  f.set_config(static_cast<u8>(cap + 8), 0xfffffff0, 4);
  f.set_config(static_cast<u8>(cap + 12), 4, 4);
  f.config(static_cast<u8>(cap + 16));
  f.set_config(static_cast<u8>(cap + 16), 3, 4);
}

TEST(VirtioPci, NothingMovesWithoutBusMastering) {
  Function f;
  f.start_modern();
  f.set_config(0x04, 3, 2);
  f.offer();
  f.set(kBar4 + 0x3000, 0, 2);
  EXPECT_EQ(load_le<u16>(f.mem(0x3002)), 0);
  f.set_config(0x04, 7, 2);
  EXPECT_EQ(load_le<u16>(f.mem(0x3002)), 1);
}

TEST(VirtioPci, ABrokenRingAsksForAReset) {
  Function f;
  f.start_modern();
  store_le<u16>(f.mem(0x2002), 4000);
  f.set(kBar4 + 0x3000, 0, 2);
  EXPECT_EQ(f.get(kBar4 + 20, 1), 15u | kNeedsReset);
  EXPECT_EQ(f.get(kBar4 + 0x1000, 1), 3u);  // the configuration changed
  store_le<u16>(f.mem(0x2002), 0);
  f.offer();
  f.set(kBar4 + 0x3000, 0, 2);
  EXPECT_EQ(load_le<u16>(f.mem(0x3002)), 0);
  f.start_modern();
  f.set(kBar4 + 0x3000, 0, 2);
  EXPECT_EQ(load_le<u16>(f.mem(0x3002)), 1);
}

TEST(VirtioMmio, ADriverGetsItsBytes) {
  SteppedClock clock;
  FakeMemory memory(1 << 20);
  IrqProbe irq;
  VirtioMmio m({.device = std::make_unique<VirtioRng>(VirtioRng::Params{.clock = clock, .repeatable = true}),
                .irq = irq.line(),
                .dma = memory});
  EXPECT_EQ(m.read(0, 4), 0x74726976u);
  EXPECT_EQ(m.read(4, 4), 2u);
  EXPECT_EQ(m.read(8, 4), 4u);
  m.write(0x14, 1, 4);
  EXPECT_EQ(m.read(0x10, 4), 1u);
  m.write(0x70, 3, 4);
  m.write(0x24, 1, 4);
  m.write(0x20, 1, 4);
  m.write(0x70, 11, 4);
  EXPECT_EQ(m.read(0x34, 4), 8u);
  m.write(0x38, 4, 4);
  m.write(0x80, 0x1000, 4);
  m.write(0x90, 0x2000, 4);
  m.write(0xa0, 0x3000, 4);
  m.write(0x44, 1, 4);
  EXPECT_EQ(m.read(0x44, 4), 1u);
  m.write(0x70, 15, 4);
  store_le<u64>(&memory.bytes[0x1000], 0x8000);
  store_le<u32>(&memory.bytes[0x1008], 32);
  store_le<u16>(&memory.bytes[0x100c], 2);
  store_le<u16>(&memory.bytes[0x2002], 1);
  m.write(0x50, 0, 4);
  EXPECT_EQ(load_le<u16>(&memory.bytes[0x3002]), 1);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(m.read(0x60, 4), 1u);
  m.write(0x64, 1, 4);
  EXPECT_FALSE(irq.level);
  m.write(0x70, 0, 4);
  EXPECT_EQ(m.read(0x70, 4), 0u);
  EXPECT_EQ(m.read(0x44, 4), 0u);
}

TEST(VirtioMmio, AnEmptyPlaceHasNumberZero) {
  FakeMemory memory(4096);
  VirtioMmio m({.device = nullptr, .dma = memory});
  EXPECT_EQ(m.read(0, 4), 0x74726976u);
  EXPECT_EQ(m.read(8, 4), 0u);
  m.write(0x70, 1, 4);
  m.reset();
}

}  // namespace
}  // namespace doppel::hw::test
