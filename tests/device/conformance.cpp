// What every device must do: reset is idempotent, state saved and loaded is the same, accesses of any offset and size
// do no harm, neither does a state that has been tampered with, sleep and wake are idempotent. The devices are listed
// in conformance_rigs.cpp.
#include <gtest/gtest.h>

#include <random>

#include "device/conformance_rigs.h"

namespace doppel::hw::test {
namespace {

StateArchive save(Device& device) {
  StateArchive ar(StateArchive::Mode::Save);
  device.archive(ar);
  return ar;
}

bool load(Device& device, const std::vector<u8>& data) {
  StateArchive ar(StateArchive::Mode::Load);
  if (!ar.deserialize(data)) return false;
  device.archive(ar);
  return true;
}

std::string differences(const StateArchive& a, const StateArchive& b) {
  std::string text;
  for (const std::string& name : a.diff(b)) text += name + " ";
  return text;
}

// Changes some bytes of the fields' values (see StateArchive::serialize for the format).
void tamper(std::vector<u8>& data, std::mt19937_64& random) {
  std::vector<size_t> places;
  size_t at = 12;
  while (at + 8 <= data.size()) {
    const u32 name = load_le<u32>(&data[at]), size = load_le<u32>(&data[at + 4]);
    at += 8 + name;
    for (u32 i = 0; i < std::min(size, 64u); i++) places.push_back(at + i);
    at += size;
  }
  if (places.empty()) return;
  for (size_t i = 0; i < 1 + places.size() / 20; i++)
    data[places[random() % places.size()]] = static_cast<u8>(random());
}

class Conformance : public testing::TestWithParam<RigEntry> {
 protected:
  static std::unique_ptr<Rig> build() {
    auto rig = std::make_unique<Rig>();
    GetParam().build(*rig);
    return rig;
  }

  // A guest that has no idea: any window, offset, size and value; time passes.
  static void play(Rig& rig, std::mt19937_64& random, int accesses) {
    for (int i = 0; i < accesses; i++) {
      const u64 r = random();
      const unsigned size = 1u << (r & 3);
      const u64 value = (r & 0x40) ? random() : random() & 0xff;
      u64 offset = (r >> 8) & ((r & 0x80) ? 0xffff : 0x3f);
      MmioHandler* window = rig.windows[(r >> 32) % rig.windows.size()];
      if ((r & 0x700000) == 0 && !rig.address_bus.mappings.empty()) {  // what a PCI device mapped itself
        const auto& m = *rig.address_bus.mappings[(r >> 40) % rig.address_bus.mappings.size()];
        if (m.handler != nullptr && m.enabled && m.size != 0) {
          window = m.handler;
          offset %= m.size;
        }
      } else if ((r & 0xf00000) == 0x800000) {
        if (r & 0x10)
          rig.ports.write(static_cast<u16>(random()), static_cast<u32>(value), size & 7 ? size : 4u);
        else
          rig.ports.read(static_cast<u16>(random()), size & 7 ? size : 4u);
        continue;
      }
      // As the buses do it: what a window can't take is not given to it whole.
      const AccessSizes sizes = window->access_sizes();
      const unsigned used = std::clamp<unsigned>(size, sizes.min, sizes.max);
      if (r & 0x10)
        window->write(offset, value & mask_bits(used * 8), used);
      else
        window->read(offset, used);
      if ((r & 0xf0000) == 0) rig.clock.advance(static_cast<s64>(random() % 3'000'000));
    }
  }
};

TEST_P(Conformance, ResetIsIdempotent) {
  auto rig = build();
  std::mt19937_64 random(1);
  for (int round = 0; round < 3; round++) {
    play(*rig, random, 300);
    rig->device->reset();
    const StateArchive once = save(*rig->device);
    rig->device->reset();
    EXPECT_EQ(differences(once, save(*rig->device)), "");
  }
}

TEST_P(Conformance, StateIsTheSameAfterSaveAndLoad) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 4; round++) {
    auto a = build();
    play(*a, random, 500 * round);
    const StateArchive saved = save(*a->device);
    EXPECT_EQ(differences(saved, save(*a->device)), "") << "saving changes the state";
    auto b = build();
    b->clock.advance(a->clock.now());
    StateArchive ar(StateArchive::Mode::Load);
    ASSERT_TRUE(ar.deserialize(saved.serialize()));
    b->device->archive(ar);
    EXPECT_TRUE(ar.errors().empty()) << ar.errors().front();
    EXPECT_EQ(differences(saved, save(*b->device)), "");
  }
}

TEST_P(Conformance, AnyAccessIsHarmless) {
  auto rig = build();
  std::mt19937_64 random(3);
  for (int round = 0; round < 4; round++) {
    play(*rig, random, 3000);
    EXPECT_FALSE(save(*rig->device).serialize().empty());
    rig->device->info();
    if (round == 1) rig->device->reset();
  }
}

TEST_P(Conformance, ATamperedStateIsHarmless) {
  auto rig = build();
  std::mt19937_64 random(4);
  play(*rig, random, 500);
  const std::vector<u8> good = save(*rig->device).serialize();
  for (int round = 0; round < 30; round++) {
    std::vector<u8> bad = good;
    tamper(bad, random);
    if (load(*rig->device, bad)) play(*rig, random, 200);
    rig->device->reset();
  }
}

TEST_P(Conformance, SleepAndWakeAreIdempotent) {
  auto rig = build();
  std::mt19937_64 random(5);
  play(*rig, random, 300);
  const StateArchive before = save(*rig->device);
  rig->device->sleep();
  rig->device->sleep();
  EXPECT_EQ(differences(before, save(*rig->device)), "");
  rig->device->wake();
  rig->device->wake();
  EXPECT_EQ(differences(before, save(*rig->device)), "");
}

INSTANTIATE_TEST_SUITE_P(Devices, Conformance, testing::ValuesIn(rigs()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace doppel::hw::test
