// CirrusVga through its ports and memory: modes, banks, the hidden DAC register, and the blitter.
#include <gtest/gtest.h>

#include "device/fake_machine.h"
#include "device/vga_fixture.h"
#include "hw/bus/pci/pci_bus.h"
#include "hw/display/cirrus_vga.h"

namespace doppel::hw {
namespace {

constexpr u64 kBar0 = 0xe0000000, kBar1 = 0xe4000000;

class Cirrus : public testing::Test {
 protected:
  Cirrus() {
    bus.attach(0x10, vga);
    vga.reset();
    bus.config_write(0, 0x10, 0x10, kBar0, 4);
    bus.config_write(0, 0x10, 0x14, kBar1, 4);
    bus.config_write(0, 0x10, 0x04, 3, 2);
    out(0x3c2, 0x23);  // colour ports
  }
  void out(u16 port, u8 v) { vga.core().write_port(port - 0x3b0u, v); }
  u8 in(u16 port) { return vga.core().read_port(port - 0x3b0u); }
  void seq(u8 i, u8 v) { out(0x3c4, i), out(0x3c5, v); }
  void gfx(u8 i, u8 v) { out(0x3ce, i), out(0x3cf, v); }
  void crtc(u8 i, u8 v) { out(0x3d4, i), out(0x3d5, v); }
  void mode(u8 sr7, u32 width, u32 height, u32 stride) {
    crtc(0x11, 0);
    crtc(1, static_cast<u8>(width / 8 - 1)), crtc(0x12, static_cast<u8>(height - 1));
    crtc(7, static_cast<u8>(((height - 1) >> 8 & 1) << 1 | ((height - 1) >> 9 & 1) << 6));
    crtc(0x13, static_cast<u8>(stride / 8)), crtc(0x1b, static_cast<u8>((stride / 8) >> 8 << 4));
    seq(1, 1), seq(7, sr7);
    in(0x3da), out(0x3c0, 0x20);
  }
  void hidden_dac(u8 v) {
    for (int i = 0; i < 4; i++) in(0x3c6);
    out(0x3c6, v);
  }
  struct Blit {
    u32 width, height, dst, src = 0, dst_pitch = 64, src_pitch = 64;
    u8 mode = 0, rop = 0x0d, ext = 0;
  };
  void blit(const Blit& b) {
    const auto two = [&](u8 at, u32 v) { gfx(at, static_cast<u8>(v)), gfx(at + 1u, static_cast<u8>(v >> 8)); };
    two(0x20, b.width - 1), two(0x22, b.height - 1), two(0x24, b.dst_pitch), two(0x26, b.src_pitch);
    two(0x28, b.dst), gfx(0x2a, static_cast<u8>(b.dst >> 16)), two(0x2c, b.src),
        gfx(0x2e, static_cast<u8>(b.src >> 16));
    gfx(0x30, b.mode), gfx(0x32, b.rop), gfx(0x33, b.ext), gfx(0x31, 2);
  }
  void colours(u32 fg, u32 bg) {
    constexpr u8 kFg[] = {1, 0x11, 0x13, 0x15}, kBg[] = {0, 0x10, 0x12, 0x14};
    for (unsigned i = 0; i < 4; i++)
      gfx(kFg[i], static_cast<u8>(fg >> (8 * i))), gfx(kBg[i], static_cast<u8>(bg >> (8 * i)));
  }
  u8& at(u32 address) { return vga.core().vram()[address]; }

  FakeBus memory;
  PortBus ports;
  test::FakeMemory ram{4096};
  PciBus bus{{memory, ports, ram}};
  SteppedClock clock;
  std::mutex lock;
  CirrusVga vga{{.core = {.memory = memory, .clock = clock, .lock = lock}, .rom = {}}};
  display::Surface picture;
};

TEST_F(Cirrus, IsItself) {
  EXPECT_EQ(bus.config_read(0, 0x10, 0, 4), 0x00b81013u);
  out(0x3d4, 0x27);
  EXPECT_EQ(in(0x3d5), 0xb8);
  out(0x3c4, 6);
  EXPECT_EQ(in(0x3c5), 0x0f);
  out(0x3c5, 0x12);
  EXPECT_EQ(in(0x3c5), 0x12);
}

TEST_F(Cirrus, ShowsPackedPixels) {
  mode(0x07, 640, 480, 1280);
  hidden_dac(0xe1);
  memory.write(kBar0 + 1280 * 2 + 2 * 5, 0x00), memory.write(kBar0 + 1280 * 2 + 2 * 5 + 1, 0xf8);  // 5, 2: red
  EXPECT_TRUE(vga.core().refresh(picture));
  EXPECT_EQ(picture.width, 640u);
  EXPECT_EQ(picture.height, 480u);
  EXPECT_EQ(picture.pixels[640 * 2 + 5], 0xff0000u);
  hidden_dac(0xe0);  // 15 bits: the same is green's and red's
  EXPECT_TRUE(vga.core().refresh(picture));
  EXPECT_EQ(picture.pixels[640 * 2 + 5], 0xf70000u);
}

TEST_F(Cirrus, Banks) {
  mode(0x01, 640, 480, 640);
  gfx(0x09, 0x10);  // 64 KiB
  memory.write(0xa0005, 0x5a);
  EXPECT_EQ(at(0x10005), 0x5a);
  gfx(0x0b, 0x21), gfx(0x09, 0), gfx(0x0a, 2);  // two banks, steps of 16 KiB
  memory.write(0xa8007, 0x77);
  EXPECT_EQ(at(0x8007), 0x77);
  EXPECT_EQ(memory.read(0xa8007), 0x77);
}

TEST_F(Cirrus, Fills) {
  colours(0x4433, 0);
  blit({.width = 8, .height = 3, .dst = 0x1000, .mode = 0xd0, .ext = 4});
  for (u32 y = 0; y < 3; y++) {
    for (u32 x = 0; x < 8; x++) EXPECT_EQ(at(0x1000 + y * 64 + x), x % 2 ? 0x44 : 0x33);
    EXPECT_EQ(at(0x1000 + y * 64 + 8), 0);
  }
  EXPECT_EQ(at(0x1000 + 3 * 64), 0);
}

TEST_F(Cirrus, CopiesBothWays) {
  for (u32 i = 0; i < 64; i++) at(i) = static_cast<u8>(i);
  blit({.width = 32, .height = 1, .dst = 8 + 31, .src = 31, .mode = 1});  // overlapping, from the end
  for (u32 i = 0; i < 32; i++) EXPECT_EQ(at(8 + i), i);
  blit({.width = 32, .height = 1, .dst = 0, .src = 8});
  for (u32 i = 0; i < 32; i++) EXPECT_EQ(at(i), i);
  blit({.width = 32, .height = 1, .dst = 0, .src = 0, .rop = 0xd0});  // NOT
  EXPECT_EQ(at(3), 0xfc);
}

TEST_F(Cirrus, TransparentCopy) {
  at(0) = 1, at(1) = 0, at(2) = 3;
  at(100) = at(101) = at(102) = 9;
  gfx(0x34, 0);
  blit({.width = 3, .height = 1, .dst = 100, .src = 0, .mode = 8});
  EXPECT_EQ(at(100), 1);
  EXPECT_EQ(at(101), 9);
  EXPECT_EQ(at(102), 3);
}

TEST_F(Cirrus, ExpandsBitsOfTheCpu) {
  colours(0xaa, 0x11);
  at(0x2000 + 64 * 2) = 0x99;
  blit({.width = 10, .height = 2, .dst = 0x2000, .mode = 0x84});
  EXPECT_TRUE(in(0x3cf) & 1);  // busy: graphics 0x31 is selected
  EXPECT_FALSE(memory.is_ram(kBar0));
  for (const u8 byte : {0xf0, 0x40, 0x0f, 0x80}) memory.write(kBar0 + 0x100, byte);
  EXPECT_FALSE(in(0x3cf) & 1);
  EXPECT_TRUE(memory.is_ram(kBar0));
  const std::string rows[] = {"1111000001", "0000111110"};
  for (u32 y = 0; y < 2; y++) {
    for (u32 x = 0; x < 10; x++) EXPECT_EQ(at(0x2000 + y * 64 + x), rows[y][x] == '1' ? 0xaa : 0x11) << x << " " << y;
  }
  EXPECT_EQ(at(0x2000 + 64 * 2), 0x99);
}

TEST_F(Cirrus, PatternsFromMemory) {
  for (u32 i = 0; i < 64; i++) at(0x400 + i) = static_cast<u8>(i);
  blit({.width = 16, .height = 9, .dst = 0x8000, .src = 0x400, .mode = 0x40});
  for (u32 y = 0; y < 9; y++) {
    for (u32 x = 0; x < 16; x++) EXPECT_EQ(at(0x8000 + y * 64 + x), y % 8 * 8 + x % 8);
  }
}

TEST_F(Cirrus, RegistersInMemory) {
  gfx(5, 0);
  memory.write(kBar1 + 0x104, 0x42);  // foreground
  memory.write(kBar1 + 0x108, 3);     // width
  memory.write(kBar1 + 0x110, 0x20);  // destination
  memory.write(kBar1 + 0x118, 0xc0), memory.write(kBar1 + 0x11a, 0x0d), memory.write(kBar1 + 0x11b, 4);
  memory.write(kBar1 + 0x140, 2);
  EXPECT_EQ(at(0x20), 0x42);
  EXPECT_EQ(at(0x23), 0x42);
  EXPECT_EQ(at(0x24), 0);
  EXPECT_EQ(in(0x3ce), 5);  // the ports' index stays
}

}  // namespace
}  // namespace doppel::hw
