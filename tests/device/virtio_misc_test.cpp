// Random numbers and the balloon, through their rings.
#include "device/virtio_bench.h"
#include "display/input_event.h"
#include "hw/input/virtio_input.h"
#include "hw/misc/virtio_balloon.h"
#include "hw/misc/virtio_rng.h"

namespace doppel::hw::test {
namespace {

using virtio::feature;

TEST(VirtioRng, FillsBuffersAndRepeatsItselfWhenAsked) {
  std::vector<u8> runs[2];
  for (auto& run : runs) {
    VirtioBench b;
    b.make<VirtioRng>(VirtioRng::Params{.clock = b.clock, .repeatable = true});
    b.start(0);
    const auto buffer = b.in(100);
    b.add(0, {buffer});
    b.kick(0);
    EXPECT_EQ(b.used_length(0, 0), 100u);
    run.assign(b.at(buffer.address), b.at(buffer.address) + 100);
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_GT(std::count_if(runs[0].begin(), runs[0].end(), [](u8 v) { return v != 0; }), 80);
}

TEST(VirtioRng, ThePeriodBoundsWhatIsTaken) {
  VirtioBench b;
  b.make<VirtioRng>(VirtioRng::Params{.clock = b.clock, .max_bytes = 150, .period_ms = 10});
  b.start(0);
  for (int i = 0; i < 3; i++) b.add(0, {b.in(100)});
  b.kick(0);
  EXPECT_EQ(b.used(0), 2);
  EXPECT_EQ(b.used_length(0, 1), 50u);
  b.clock.advance(9'000'000);
  EXPECT_EQ(b.used(0), 2);
  b.clock.advance(1'000'000);
  EXPECT_EQ(b.used(0), 3);
}

TEST(VirtioRng, RingsThatLieDoNoHarm) {
  for (u32 seed = 1; seed <= 10; seed++) {
    VirtioBench b;
    b.make<VirtioRng>(VirtioRng::Params{.clock = b.clock, .repeatable = true});
    b.fuzz(seed, 1000, virtio::kEventIdx | virtio::kIndirectDesc);
  }
}

struct InputEvent {
  u16 type, code;
  u32 value;
  bool operator==(const InputEvent&) const = default;
};
struct Input : VirtioBench {
  VirtioInput* input;
  u16 taken = 0;
  explicit Input(VirtioInput::Kind kind) {
    input = &make<VirtioInput>(VirtioInput::Params{.clock = clock, .kind = kind});
    start(0);
    for (int i = 0; i < 16; i++) add(0, {in(8)});
  }
  std::vector<InputEvent> events() {
    std::vector<InputEvent> out;
    for (; taken < used(0); taken++) {
      const u8* e = at(kBuffers + 16 * taken);
      out.push_back({load_le<u16>(e), load_le<u16>(e + 2), load_le<u32>(e + 4)});
    }
    return out;
  }
  std::vector<u8> property(u8 select, u8 subselect) {
    device->config_write(0, select, 1);
    device->config_write(1, subselect, 1);
    std::vector<u8> out(device->config_read(2, 1));
    for (size_t i = 0; i < out.size(); i++) out[i] = static_cast<u8>(device->config_read(8 + i, 1));
    return out;
  }
};

TEST(VirtioInput, AKeyboardSendsLinuxsCodes) {
  Input d(VirtioInput::Kind::Keyboard);
  const auto press = [&](const char* name) { d.input->key(*display::key_from_name(name), true); };
  press("a");
  press("ret");
  press("up");
  press("ctrl_r");
  const InputEvent end{0, 0, 0};
  EXPECT_EQ(d.events(), (std::vector<InputEvent>{{1, 30, 1}, end, {1, 28, 1}, end, {1, 103, 1}, end, {1, 97, 1}, end}));
  d.input->key(*display::key_from_name("a"), false);
  EXPECT_EQ(d.events(), (std::vector<InputEvent>{{1, 30, 0}, end}));
  d.input->key(0xffffff, true);
  EXPECT_TRUE(d.events().empty());
  const auto keys = d.property(0x11, 1);
  EXPECT_TRUE(keys[30 / 8] >> (30 % 8) & 1);
  EXPECT_TRUE(d.property(0x11, 3).empty());
  EXPECT_GT(d.property(1, 0).size(), 5u);
  EXPECT_TRUE(d.property(0x77, 0).empty());
}

TEST(VirtioInput, ATabletHasPlacesAndAMouseMoves) {
  Input tablet(VirtioInput::Kind::Tablet);
  const auto axis = tablet.property(0x12, 0);
  ASSERT_EQ(axis.size(), 20u);
  EXPECT_EQ(load_le<u32>(&axis[4]), 0x7fffu);
  tablet.input->point(100, 40000, 0, display::kButtonLeft);
  const InputEvent end{0, 0, 0};
  EXPECT_EQ(tablet.events(), (std::vector<InputEvent>{{3, 0, 100}, {3, 1, 0x7fff}, {1, 0x110, 1}, end}));
  Input mouse(VirtioInput::Kind::Mouse);
  mouse.input->move(-3, 0, 1, display::kButtonRight);
  EXPECT_EQ(mouse.events(), (std::vector<InputEvent>{{2, 0, ~u32{2}}, {2, 8, 1}, {1, 0x111, 1}, end}));
  mouse.input->move(0, 0, 0, display::kButtonRight);
  EXPECT_TRUE(mouse.events().empty());
}

TEST(VirtioInput, AReportGoesWholeOrNotAtAll) {
  Input d(VirtioInput::Kind::Tablet);
  for (int i = 0; i < 10; i++) d.input->point(i, i, 0, 0);
  EXPECT_EQ(d.used(0), 15);  // five reports of three events in sixteen buffers
  d.add(1, {d.out({0x11, 0, 0, 0, 1, 0, 0, 0})});
  d.kick(1);
  EXPECT_EQ(d.used(1), 1);
}

TEST(VirtioInput, RingsThatLieDoNoHarm) {
  for (u32 seed = 1; seed <= 10; seed++) {
    VirtioBench b;
    auto& d = b.make<VirtioInput>(VirtioInput::Params{.clock = b.clock, .kind = VirtioInput::Kind::Tablet});
    b.fuzz(seed, 1000, virtio::kEventIdx | virtio::kIndirectDesc,
           [&](std::mt19937& random) { d.point(static_cast<int>(random()), 5, 1, random() % 32); });
  }
}

struct Balloon : VirtioBench {
  std::vector<std::pair<u64, u64>> released;
  VirtioBalloon* balloon;
  Balloon() {
    balloon = &make<VirtioBalloon>(VirtioBalloon::Params{
        .clock = clock, .ram_bytes = 64 << 20, .free_page_reporting = true, .release = [this](u64 pa, u64 size) {
          released.emplace_back(pa, size);
        }});
  }
  static std::vector<u8> frames(std::initializer_list<u32> numbers) {
    std::vector<u8> raw(4 * numbers.size());
    size_t i = 0;
    for (const u32 n : numbers) store_le<u32>(&raw[4 * i++], n);
    return raw;
  }
};
using Runs = std::vector<std::pair<u64, u64>>;

TEST(VirtioBalloon, TheGuestGivesPagesBack) {
  Balloon b;
  b.start(feature(1) | feature(5));
  b.balloon->set_target(48 << 20);
  EXPECT_EQ(b.config_interrupts, 1u);
  EXPECT_EQ(b.device->config_read(0, 4), 4096u);
  b.add(0, {b.out(Balloon::frames({10, 11, 12, 20, 19, 18, 5}))});
  b.kick(0);
  EXPECT_EQ(b.released, (Runs{{0xa000, 0x3000}, {0x12000, 0x3000}, {0x5000, 0x1000}}));
  b.device->config_write(4, 4096, 4);
  EXPECT_EQ(b.balloon->actual(), u64{48} << 20);
  b.balloon->set_target(u64{1} << 60);
  EXPECT_EQ(b.device->config_read(0, 4), 0u);
}

TEST(VirtioBalloon, FreePagesAreReported) {
  Balloon b;
  b.start(feature(1) | feature(5));
  b.add(3, {{0x40000, 0x4000, true}, {0x50100, 0x2000, true}, {0x60001, 0x100, true}});
  b.kick(3);
  EXPECT_EQ(b.released, (Runs{{0x40000, 0x4000}, {0x51000, 0x1000}}));
}

TEST(VirtioBalloon, StatisticsAreKeptAndAskedForAgain) {
  Balloon b;
  b.start(feature(1));
  std::vector<u8> raw(20);
  store_le<u16>(&raw[0], 4);
  store_le<u64>(&raw[2], 12345);
  store_le<u16>(&raw[10], 200);
  b.add(2, {b.out(raw)});
  b.kick(2);
  EXPECT_EQ(b.balloon->stat(4), 12345u);
  EXPECT_EQ(b.balloon->stat(5), ~u64{0});
  EXPECT_EQ(b.used(2), 0);  // kept until somebody asks
  b.balloon->refresh_stats();
  EXPECT_EQ(b.used(2), 1);
}

TEST(VirtioBalloon, RingsThatLieDoNoHarm) {
  for (u32 seed = 1; seed <= 20; seed++) {
    Balloon b;
    b.fuzz(seed, 1000, b.device->offered(false), [&](std::mt19937& random) {
      if (random() % 16 == 0) b.balloon->set_target(u64{random()} << 10);
      if (random() % 16 == 0) b.balloon->refresh_stats();
      b.released.clear();
    });
  }
}

}  // namespace
}  // namespace doppel::hw::test
