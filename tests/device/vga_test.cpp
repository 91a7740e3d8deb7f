#include <gtest/gtest.h>

#include <random>

#include "hw/display/edid.h"
#include "vga_fixture.h"

namespace doppel::hw {
namespace {

TEST(VgaText, ShowsCharactersWithNineDots) {
  Vga vga;
  vga.mode_3();
  vga.load_glyph('A', 0x81);
  vga.load_glyph(0xc4, 0xff);
  vga.crtc(0x0a, 0x20);  // cursor off
  vga.poke(0xb8000, 'A'), vga.poke(0xb8001, 0x1e);
  vga.poke(0xb8002, 0xc4), vga.poke(0xb8003, 0x07);
  vga.poke(0xb8000 + 160, 'A'), vga.poke(0xb8001 + 160, 0x07);
  EXPECT_EQ(vga.peek(0xb8000), 'A');
  EXPECT_EQ(vga.peek(0xb8001), 0x1e);
  EXPECT_TRUE(vga.core.in_text_mode());
  ASSERT_TRUE(vga.refresh());
  EXPECT_EQ(vga.picture.width, 720u);
  EXPECT_EQ(vga.picture.height, 400u);
  const u32 yellow = 14 * 4 * 4 + 3, red = vga.pixel(0, 0) >> 16;
  EXPECT_EQ(red, yellow);
  EXPECT_EQ(vga.pixel(0, 0), vga.pixel(7, 15));
  EXPECT_NE(vga.pixel(0, 0), vga.pixel(1, 0));
  EXPECT_EQ(vga.pixel(8, 0), vga.pixel(1, 0));   // ninth dot: background
  EXPECT_EQ(vga.pixel(17, 0), vga.pixel(9, 0));  // line graphics: repeated
  const std::string text = vga.core.text();
  EXPECT_EQ(text.substr(0, text.find('\n')), "A─");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 25);
}

TEST(VgaText, RefreshTellsChanges) {
  Vga vga;
  vga.mode_3();
  EXPECT_TRUE(vga.refresh());
  EXPECT_FALSE(vga.refresh());
  vga.poke(0xb8000, 'x');
  EXPECT_TRUE(vga.refresh());
  EXPECT_FALSE(vga.refresh());
  display::Surface other;
  EXPECT_TRUE(vga.core.refresh(other));
  EXPECT_EQ(other.pixels, vga.picture.pixels);
}

TEST(VgaText, CursorBlinks) {
  Vga vga;
  vga.mode_3();
  vga.poke(0xb8001, 0x0f);
  vga.refresh();
  const u32 lit = vga.pixel(0, 14), dark = vga.pixel(0, 0);
  EXPECT_NE(lit, dark);
  vga.clock.advance(8 * 14'300'000);  // 8 frames at 70 Hz
  EXPECT_TRUE(vga.refresh());
  EXPECT_EQ(vga.pixel(0, 14), dark);
}

TEST(VgaPlanar, WriteModesAndLatches) {
  Vga vga;
  vga.mode_12();
  vga.gfx(8, 0xff);
  vga.seq(2, 0x0f);
  vga.poke(0xa0000, 0x3c);  // mode 0: all planes
  vga.gfx(4, 2);
  EXPECT_EQ(vga.peek(0xa0000), 0x3c);
  vga.gfx(1, 0x0f), vga.gfx(0, 0x05);  // set/reset: colour 5 under the bit mask
  vga.gfx(8, 0x80);
  vga.peek(0xa0000);  // latch
  vga.poke(0xa0000, 0);
  vga.gfx(1, 0), vga.gfx(8, 0xff);
  vga.gfx(4, 0);
  EXPECT_EQ(vga.peek(0xa0000), 0xbc);
  vga.gfx(4, 1);
  EXPECT_EQ(vga.peek(0xa0000), 0x3c);
  vga.gfx(5, 1);  // mode 1: latch copy
  vga.peek(0xa0000);
  vga.poke(0xa0050, 0xff);
  vga.gfx(5, 0);
  vga.gfx(4, 0);
  EXPECT_EQ(vga.peek(0xa0050), 0xbc);
  vga.gfx(5, 2);  // mode 2: the value is the colour
  vga.gfx(8, 0x0f);
  vga.peek(0xa0051);
  vga.poke(0xa0051, 0x0a);
  vga.gfx(5, 3), vga.gfx(8, 0xff), vga.gfx(0, 0x0f);  // mode 3: the value is a mask
  vga.peek(0xa0052);
  vga.poke(0xa0052, 0x18);
  vga.gfx(5, 0), vga.gfx(4, 1);
  EXPECT_EQ(vga.peek(0xa0051), 0x0f);
  EXPECT_EQ(vga.peek(0xa0052), 0x18);
  vga.gfx(5, 8), vga.gfx(2, 0x0a), vga.gfx(7, 0x0f);  // read mode 1: where is colour 10?
  EXPECT_EQ(vga.peek(0xa0051), 0x0f);
  vga.gfx(5, 0), vga.gfx(3, 0x18);  // exclusive or with the latch
  vga.seq(2, 1), vga.gfx(4, 0), vga.peek(0xa0000), vga.poke(0xa0000, 0xff), vga.gfx(3, 0);
  EXPECT_EQ(vga.peek(0xa0000), 0x43);
}

TEST(VgaPlanar, ShowsSixteenColours) {
  Vga vga;
  vga.mode_12();
  vga.seq(2, 0x09);
  vga.poke(0xa0000 + 80 * 479 + 79, 0x01);  // the last dot
  ASSERT_TRUE(vga.refresh());
  EXPECT_EQ(vga.picture.width, 640u);
  EXPECT_EQ(vga.picture.height, 480u);
  EXPECT_EQ(vga.pixel(639, 479) & 0xff, (9u << 2) | 9 >> 4);
  EXPECT_EQ(vga.pixel(638, 479) & 0xff, 0u);
}

TEST(VgaPlanar, SplitScreenAndStart) {
  Vga vga;
  vga.mode_12();
  vga.crtc(0x0c, 0x40);                                   // start at 0x4000
  vga.crtc(7, 0x2e), vga.crtc(9, 0), vga.crtc(0x18, 99);  // line compare at 99
  vga.seq(2, 1);
  vga.poke(0xa0000, 0x80);
  vga.seq(2, 2);
  vga.poke(0xa4000, 0x80);
  vga.refresh();
  EXPECT_EQ(vga.pixel(0, 0) & 0xff, 2u * 4);
  EXPECT_EQ(vga.pixel(0, 100) & 0xff, 1u * 4);
}

TEST(VgaChain4, IsMappedDirectly) {
  Vga vga;
  vga.mode_13();
  EXPECT_TRUE(vga.bus.is_ram(0xa0000));
  vga.poke(0xa0000 + 320 * 199 + 319, 7);
  ASSERT_TRUE(vga.refresh());
  EXPECT_EQ(vga.picture.width, 640u);
  EXPECT_EQ(vga.picture.height, 400u);
  EXPECT_EQ(vga.pixel(639, 399) & 0xff, 7u * 4);
  EXPECT_EQ(vga.pixel(638, 398) & 0xff, 7u * 4);
  EXPECT_EQ(vga.pixel(637, 399) & 0xff, 0u);
  vga.seq(2, 2);  // plane 1 only: through the data path
  EXPECT_FALSE(vga.bus.is_ram(0xa0000));
  vga.poke(0xa0000, 1), vga.poke(0xa0001, 1);
  EXPECT_EQ(vga.peek(0xa0000), 0);
  EXPECT_EQ(vga.peek(0xa0001), 1);
}

TEST(VgaCga, FourColours) {
  Vga vga;
  vga.mode_4();
  vga.poke(0xb8000, 0xe4);           // dots 3 2 1 0
  vga.poke(0xb8000 + 0x2000, 0xff);  // odd lines are 8 KiB further
  vga.poke(0xb8000 + 79, 0x01);
  ASSERT_TRUE(vga.refresh());
  EXPECT_EQ(vga.picture.width, 640u);
  EXPECT_EQ(vga.picture.height, 400u);
  for (u32 i = 0; i < 4; i++) EXPECT_EQ(vga.pixel(2 * i, 0) & 0xff, (3 - i) * 4) << i;
  EXPECT_EQ(vga.pixel(0, 2) & 0xff, 3u * 4);
  EXPECT_EQ(vga.pixel(639, 0) & 0xff, 1u * 4);
}

TEST(VgaVbe, LinearModes) {
  Vga vga;
  vga.video_on();
  EXPECT_EQ(vga.core.read_vbe(kVbeId), 0xb0c5);
  EXPECT_EQ(vga.core.read_vbe(kVbeVideoMemory64k), 256);
  vga.vbe(kVbeXres, 1024), vga.vbe(kVbeYres, 768), vga.vbe(kVbeBpp, 32), vga.vbe(kVbeEnable, kVbeEnabled | kVbeLfb);
  vga.refresh();
  EXPECT_EQ(vga.picture.width, 1024u);
  EXPECT_FALSE(vga.refresh());
  u8* at = vga.core.vram() + (500 * 1024 + 20) * 4;
  store_le<u32>(at, 0xff123456);
  vga.bus.mark_written(at);
  EXPECT_TRUE(vga.refresh());
  EXPECT_EQ(vga.pixel(20, 500), 0x123456u);
  vga.vbe(kVbeVirtWidth, 2048), vga.vbe(kVbeYOffset, 250), vga.vbe(kVbeXOffset, 20);
  EXPECT_TRUE(vga.refresh());
  EXPECT_EQ(vga.pixel(0, 0), 0x123456u);
  EXPECT_EQ(vga.core.read_vbe(kVbeVirtHeight), (16u << 20) / 8192);
  // Banks of 64 KiB at 0xa0000.
  vga.vbe(kVbeBank, 31);
  vga.poke(0xa0000 + ((500 * 1024 + 20) * 4) % 65536, 0x99);
  EXPECT_EQ(*at, 0x99);
}

TEST(VgaVbe, OtherDepths) {
  Vga vga;
  vga.video_on();
  const struct {
    u16 bpp;
    u32 raw, expected;
  } kRows[] = {{8, 5, (5u * 4 * 4 + (20 >> 4)) << 16 | 0xebu << 8 | 20},
               {15, 0x7c1f, 0xff00ff},
               {16, 0x07e0, 0x00ff00},
               {24, 0x102030, 0x102030}};
  for (u8 i = 0; i < 16; i++) vga.dac(i, static_cast<u8>(i * 4), static_cast<u8>(63 - i), static_cast<u8>(i));
  for (const auto& row : kRows) {
    vga.vbe(kVbeEnable, 0);
    vga.vbe(kVbeXres, 640), vga.vbe(kVbeYres, 480), vga.vbe(kVbeBpp, row.bpp),
        vga.vbe(kVbeEnable, kVbeEnabled | kVbeLfb);
    const u32 bytes = (row.bpp + 7u) / 8;
    std::memcpy(vga.core.vram() + (640 * 10 + 3) * bytes, &row.raw, bytes);
    vga.bus.mark_written(vga.core.vram() + (640 * 10 + 3) * bytes);
    vga.refresh();
    EXPECT_EQ(vga.pixel(3, 10), row.expected) << row.bpp;
  }
}

TEST(Vga, CrtcLockAndDac) {
  Vga vga;
  vga.out(0x3c2, 0x67);
  vga.crtc(0x11, 0x80);
  vga.crtc(0, 0x55);
  EXPECT_EQ(vga.in(0x3d5), 0);
  vga.dac(200, 1, 2, 3);
  vga.out(0x3c7, 200);
  EXPECT_EQ(vga.in(0x3c9), 1);
  EXPECT_EQ(vga.in(0x3c9), 2);
  EXPECT_EQ(vga.in(0x3c9), 3);
  EXPECT_EQ(vga.in(0x3c7), 3);
  EXPECT_EQ(vga.in(0x3b5), 0xff);  // the monochrome addresses don't answer
}

TEST(Vga, RetraceComesAndGoes) {
  Vga vga;
  vga.mode_3();
  int changes = 0;
  u8 last = 0;
  for (int i = 0; i < 4000; i++) {
    vga.clock.advance(10'000);
    const u8 now = vga.in(0x3da) & 8;
    changes += now != last;
    last = now;
  }
  EXPECT_NEAR(changes / 2, 40.0 / 14.27, 1.0);  // 40 ms at 70 Hz
}

TEST(Vga, SurvivesAnything) {
  Vga vga;
  std::mt19937 random(1);
  for (int i = 0; i < 20000; i++) {
    const u32 r = random();
    switch (r & 7) {
      case 0:
      case 1:
      case 2: vga.core.write_port((r >> 3) % VgaCore::kPortCount, static_cast<u8>(r >> 16)); break;
      case 3: vga.core.read_port((r >> 3) % VgaCore::kPortCount); break;
      case 4: vga.vbe(static_cast<u16>((r >> 3) % 12), static_cast<u16>(random())); break;
      case 5: vga.poke(0xa0000 + (r >> 3) % 0x20000, static_cast<u8>(r >> 24)); break;
      case 6: vga.peek(0xa0000 + (r >> 3) % 0x20000); break;
      default:
        if (i % 50 == 0) vga.refresh(), vga.core.text();
        break;
    }
  }
}

TEST(Vga, StateRoundTrip) {
  Vga a, b;
  a.mode_12();
  a.poke(0xa0000, 0x55);
  StateArchive save(StateArchive::Mode::Save);
  a.core.archive(save);
  save.set_mode(StateArchive::Mode::Load);
  b.core.archive(save);
  StateArchive again(StateArchive::Mode::Save);
  b.core.archive(again);
  EXPECT_TRUE(save.diff(again).empty());
  a.refresh(), b.refresh();
  EXPECT_EQ(a.picture.pixels, b.picture.pixels);
}

TEST(Edid, ChecksumAndPreferredMode) {
  const auto edid = make_edid(1024, 768);
  u8 sum = 0;
  for (const u8 byte : edid) sum = static_cast<u8>(sum + byte);
  EXPECT_EQ(sum, 0);
  EXPECT_EQ(edid[56] | (edid[58] >> 4) << 8, 1024);
  EXPECT_EQ(edid[59] | (edid[61] >> 4) << 8, 768);
}

}  // namespace
}  // namespace doppel::hw
