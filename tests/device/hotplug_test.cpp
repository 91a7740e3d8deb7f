// Cards that come and go: the registers that the ACPI methods use, and that a card which is taken out leaves nothing.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <random>
#include <thread>

#include "device/conformance_rigs.h"
#include "device/nic_rig.h"
#include "device/pc_fixture.h"
#include "firmware/acpi.h"
#include "hw/bus/pci/pci_hotplug.h"
#include "hw/net/e1000.h"

namespace doppel::hw::test {
namespace {

enum Reg : u64 { kCame = 0, kGo = 4, kEject = 8, kRemovable = 12, kBus = 16, kSlot = 24, kEvent = 28, kStatus = 32 };

struct HotplugTest : testing::Test {
  int events = 0;
  std::vector<unsigned> ejected;
  std::vector<std::array<u32, 3>> reports;
  PciHotplug d{{.notify = [this] { events++; },
                .eject =
                    [this](unsigned slot) {
                      ejected.push_back(slot);
                      d.gone(slot);
                    },
                .report =
                    [this](unsigned slot, u32 event, u32 status) {
                      reports.push_back({slot, event, status});
                    }}};
  u32 in(u64 reg) { return static_cast<u32>(d.read(reg, 4)); }
  void out(u64 reg, u32 value) { d.write(reg, value, 4); }
};

TEST_F(HotplugTest, TellsOnceWhatCameAndWhatShallGo) {
  d.came(5);
  d.came(31);
  EXPECT_EQ(events, 2);
  EXPECT_EQ(in(kCame), 1u << 5 | 1u << 31);
  EXPECT_EQ(in(kCame), 0u);
  EXPECT_EQ(in(kRemovable), 1u << 5 | 1u << 31);
  d.ask(5);
  EXPECT_EQ(events, 3);
  EXPECT_EQ(in(kGo), 1u << 5);
  EXPECT_EQ(in(kGo), 0u) << "told twice, the next card of the slot would go";
  EXPECT_TRUE(d.asked(5));
}

TEST_F(HotplugTest, EjectsOnlyWhatMayGo) {
  d.came(3);
  out(kEject, ~u32{0});
  EXPECT_EQ(ejected, std::vector<unsigned>{3});
  out(kEject, ~u32{0});
  EXPECT_EQ(ejected.size(), 1u);
  EXPECT_EQ(in(kRemovable), 0u);
}

TEST_F(HotplugTest, OtherBusesAreEmpty) {
  d.came(3);
  out(kBus, 1);
  EXPECT_EQ(in(kCame), 0u);
  out(kEject, ~u32{0});
  EXPECT_TRUE(ejected.empty());
  out(kBus, 0);
  EXPECT_EQ(in(kCame), 1u << 3);
}

TEST_F(HotplugTest, ReportsWhatTheGuestSays) {
  out(kSlot, 0x24);  // bits above a slot's number do not count
  out(kEvent, 3);
  out(kStatus, 0x81);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0], (std::array<u32, 3>{4, 3, 0x81}));
}

TEST_F(HotplugTest, StateGoesAround) {
  d.came(7);
  d.ask(9);
  PciHotplug other({.notify = [] {}, .eject = [](unsigned) {}});
  clone_state(d, other);
  EXPECT_EQ(other.read(kCame, 4), 1u << 7);
  EXPECT_EQ(other.read(kGo, 4), 1u << 9);
  EXPECT_TRUE(other.asked(9));
}

TEST(Dsdt, HasTheSlotsThatCardsComeTo) {
  const auto text = [](u32 slots) {
    const auto body = firmware::build_dsdt_body({.hotplug_slots = slots});
    return std::string(body.begin(), body.end());
  };
  const std::string none = text(0), some = text(1u << 3 | 1u << 31);
  for (const char* name : {"PS03", "PS1F", "_EJ0", "_OST", "_E01", "PCIN"}) {
    EXPECT_EQ(none.find(name), std::string::npos) << name;
    EXPECT_NE(some.find(name), std::string::npos) << name;
  }
  EXPECT_EQ(some.find("PS04"), std::string::npos);
}

// Each card of the conformance suite is used, taken off the bus and destroyed; then time goes on and its places are
// touched. The sanitizers say whether anything of it was left.
TEST(Hotplug, ACardLeavesNothing) {
  int cards = 0;
  for (const RigEntry& entry : rigs()) {
    SCOPED_TRACE(entry.name);
    Rig r;
    entry.build(r);
    auto* card = dynamic_cast<PciDevice*>(r.device.get());
    if (card == nullptr || r.pci.at(0x10) != card) continue;
    cards++;
    std::mt19937 random(7);
    for (int i = 0; i < 300; i++) {
      MmioHandler& w = *r.windows[random() % r.windows.size()];
      const std::lock_guard guard(r.lock);
      w.write(random() % 0x100 * 4, random() | u64{random()} << 32, 4);
    }
    {
      const std::lock_guard guard(r.lock);
      r.pci.withdraw(*card);
      EXPECT_EQ(r.pci.config_read(0, 0x10, 0, 4), ~u32{0});
      EXPECT_EQ(r.ports.read(0xc000, 4), ~u32{0});
    }
    r.device->leave();
    {
      const std::lock_guard guard(r.lock);  // as the board does it: a destructor that takes it would hang
      r.device.reset();
    }
    r.windows.clear();
    const std::lock_guard guard(r.lock);
    r.clock.advance(s64{3600} * kNsPerSecond);
    EXPECT_EQ(r.ports.read(0xc000, 4), ~u32{0});
    EXPECT_EQ(r.ports.describe(), "");
  }
  EXPECT_GE(cards, 8);
}

// A frame that waits for the device lock while the card goes finds no card.
TEST(Hotplug, FramesFindNoCardAfterItLeft) {
  NicCard<E1000> c;
  std::atomic<bool> stop{false};
  std::thread sender([&] {
    while (!stop) {
      std::deque<net::Packet> frames;
      for (int i = 0; i < 8; i++) frames.emplace_back(std::vector<u8>(64, 0xff));
      c.port->receive(frames);
      c.port->room_to_send();
      c.port->link_changed(true);
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  {
    const std::lock_guard guard(c.rig.lock);
    c.rig.pci.withdraw(*c.card);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  c.rig.device->leave();
  {
    const std::lock_guard guard(c.rig.lock);
    c.rig.device.reset();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  stop = true;
  sender.join();
}

}  // namespace
}  // namespace doppel::hw::test
