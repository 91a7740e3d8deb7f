#include "hw/input/i8042.h"

#include "device/pc_fixture.h"
#include "display/input_event.h"

namespace doppel::hw::test {
namespace {
using display::Key;

struct KbcTest : testing::Test {
  SteppedClock clock;
  LineProbe irq1, irq12;
  bool a20 = false;
  int resets = 0;
  u8 leds = 0xff;
  Ps2Keyboard keyboard{{.leds = [this](u8 v) { leds = v; }}};
  Ps2Mouse mouse;
  I8042 kbc{{.keyboard_irq = irq1.line(),
             .mouse_irq = irq12.line(),
             .a20 = [this](bool on) { a20 = on; },
             .reset_request = [this] { resets++; },
             .keyboard = &keyboard,
             .mouse = &mouse,
             .clock = &clock}};
  void command(u8 v) { out8(kbc.command(), 0, v); }
  void data(u8 v) { out8(kbc.data(), 0, v); }
  u8 status() { return in8(kbc.command(), 0); }
  void command_byte(u8 v) {
    command(0x60);
    data(v);
  }
  // All bytes that come, as text; waits for the serial link.
  std::string bytes() {
    std::string out;
    for (int idle = 0; idle < 2;) {
      if (!(status() & 1)) {
        clock.advance(1'000'000);
        idle++;
        continue;
      }
      idle = 0;
      const bool from_mouse = (status() & 0x20) != 0;
      char hex[8];
      std::snprintf(hex, sizeof hex, "%s%02x", from_mouse ? "m" : "", in8(kbc.data(), 0));
      out += (out.empty() ? "" : " ") + std::string(hex);
    }
    return out;
  }
  void mouse_command(u8 v) {
    command(0xd4);
    data(v);
  }
  void press(Key k, bool down) { keyboard.key(static_cast<u32>(k), down); }
};

TEST_F(KbcTest, SelfTestsAndCommandByte) {
  command(0xaa);
  EXPECT_EQ(bytes(), "55");
  EXPECT_TRUE(status() & 4);
  command(0xab);
  EXPECT_EQ(bytes(), "00");
  command(0xa9);
  EXPECT_EQ(bytes(), "00");
  command_byte(0x47);
  command(0x20);
  EXPECT_EQ(bytes(), "47");
  command(0xa7);
  command(0x20);
  EXPECT_EQ(bytes(), "67");
  data(0xff);
  EXPECT_EQ(bytes(), "fa aa");
  mouse_command(0xff);
  EXPECT_EQ(bytes(), "mfa maa m00");
}

TEST_F(KbcTest, KeysInThreeSets) {
  command_byte(0x43);
  press(Key::a, true);
  press(Key::a, false);
  press(Key::up, true);
  press(Key::up, false);
  EXPECT_EQ(bytes(), "1e 9e e0 48 e0 c8");
  command_byte(0x03);
  press(Key::a, true);
  press(Key::a, false);
  press(Key::up, true);
  press(Key::up, false);
  press(Key::f7, true);
  press(Key::f7, false);
  EXPECT_EQ(bytes(), "1c f0 1c e0 75 e0 f0 75 83 f0 83");
  press(Key::pause, true);
  press(Key::pause, false);
  EXPECT_EQ(bytes(), "e1 14 77 e1 f0 14 f0 77");
  press(Key::print, true);
  press(Key::print, false);
  EXPECT_EQ(bytes(), "e0 12 e0 7c e0 f0 7c e0 f0 12");
  data(0xf0);
  data(3);
  EXPECT_EQ(bytes(), "fa fa");
  press(Key::a, true);
  press(Key::a, false);
  press(Key::ctrl, true);
  press(Key::ctrl, false);
  EXPECT_EQ(bytes(), "1c 11 f0 11");  // only modifiers send breaks
  data(0xf0);
  data(1);
  bytes();
  press(Key::a, true);
  press(Key::up, false);
  press(Key::a, false);
  EXPECT_EQ(bytes(), "1e 9e");  // a release without a press is not sent
}

TEST_F(KbcTest, TranslatesEveryKeyToItsSet1Code) {
  command_byte(0x43);
  for (u32 k = 1; k < static_cast<u32>(Key::Count); k++) {
    const u16 code = display::key_set1(k);
    if (k == static_cast<u32>(Key::pause) || k == static_cast<u32>(Key::print) || code == 0) continue;
    keyboard.key(k, true);
    char want[16];
    if (code > 0xff)
      std::snprintf(want, sizeof want, "e0 %02x", code & 0xff);
    else
      std::snprintf(want, sizeof want, "%02x", code);
    EXPECT_EQ(bytes(), want) << display::key_name(k);
    keyboard.key(k, false);
    bytes();
  }
}

TEST_F(KbcTest, KeyboardCommands) {
  command_byte(0x43);
  data(0xed);
  data(5);
  EXPECT_EQ(bytes(), "fa fa");
  EXPECT_EQ(leds, 5);
  data(0xf2);
  EXPECT_EQ(bytes(), "fa ab 41");  // translated
  data(0xee);
  EXPECT_EQ(bytes(), "ee");
  data(0xf5);
  press(Key::b, true);
  EXPECT_EQ(bytes(), "fa");
  data(0xf4);
  data(0x01);
  EXPECT_EQ(bytes(), "fa fe");
}

TEST_F(KbcTest, InterruptsAndTheGapBetweenBytes) {
  command_byte(0x43);
  press(Key::a, true);
  press(Key::b, true);
  EXPECT_TRUE(irq1.level);
  EXPECT_EQ(in8(kbc.data(), 0), 0x1e);
  EXPECT_EQ(in8(kbc.data(), 0), 0x1e);  // the same again until the next comes over the wire
  EXPECT_FALSE(irq1.level);
  clock.advance(1'000'000);
  EXPECT_TRUE(irq1.level);
  EXPECT_EQ(in8(kbc.data(), 0), 0x30);
  command(0xad);
  press(Key::c, true);
  EXPECT_EQ(bytes(), "");
  command(0xae);
  EXPECT_EQ(bytes(), "2e");
}

TEST_F(KbcTest, OutputPort) {
  EXPECT_TRUE(a20);
  command(0xd1);
  data(0xdd);
  EXPECT_FALSE(a20);
  command(0xdf);
  EXPECT_TRUE(a20);
  command(0xfe);
  EXPECT_EQ(resets, 1);
  command(0xd1);
  data(0xfe & ~1);
  EXPECT_EQ(resets, 2);
  command(0xd2);
  data(0x77);
  EXPECT_EQ(bytes(), "77");
  command(0xd3);
  data(0x78);
  EXPECT_EQ(bytes(), "m78");
}

TEST_F(KbcTest, MousePackets) {
  command_byte(0x47);
  mouse.move(5, 5, 0, 0);
  EXPECT_EQ(bytes(), "");  // not enabled
  mouse_command(0xf4);
  EXPECT_EQ(bytes(), "mfa");
  mouse.move(5, 3, 0, display::kButtonLeft);
  EXPECT_TRUE(irq12.level);
  EXPECT_EQ(bytes(), "m29 m05 mfd");
  mouse.move(-1, 0, 0, 0);
  EXPECT_EQ(bytes(), "m18 mff m00");
  mouse.move(600, 0, 0, 0);
  EXPECT_EQ(bytes(), "m08 mff m00 m08 mff m00 m08 m5a m00");
  mouse_command(0xe9);
  EXPECT_EQ(bytes(), "mfa m20 m02 m64");
}

TEST_F(KbcTest, MouseWheelAndExplorer) {
  command_byte(0x47);
  auto rate = [&](u8 r) {
    mouse_command(0xf3);
    mouse_command(r);
  };
  rate(200);
  rate(100);
  rate(80);
  mouse_command(0xf2);
  EXPECT_EQ(bytes(), "mfa mfa mfa mfa mfa mfa mfa m03");
  mouse_command(0xf4);
  bytes();
  mouse.move(0, 0, 1, 0);
  EXPECT_EQ(bytes(), "m08 m00 m00 mff");
  rate(200);
  rate(200);
  rate(80);
  mouse_command(0xf2);
  bytes();
  mouse.move(0, 0, -2, display::kButtonSide);
  EXPECT_EQ(bytes(), "m08 m00 m00 m12");
}

TEST_F(KbcTest, ManyMotionsWhileNobodyReadsAddUp) {
  command_byte(0x47);
  mouse_command(0xf4);
  bytes();
  for (int i = 0; i < 1000; i++) mouse.move(1, 0, 0, 0);
  const std::string all = bytes();
  int sum = 0;
  for (size_t i = 0; i + 11 <= all.size() + 1; i += 12) sum += std::stoi(all.substr(i + 5, 2), nullptr, 16);
  EXPECT_EQ(sum, 1000);
}

}  // namespace
}  // namespace doppel::hw::test
