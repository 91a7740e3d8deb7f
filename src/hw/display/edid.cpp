#include "hw/display/edid.h"

#include <cstring>
#include <string_view>

namespace doppel::hw {
namespace {
// Manufacturer id: three letters of five bits, big-endian.
void put_vendor(u8* at, std::string_view id) {
  const u32 v =
      static_cast<u32>(id[0] - '@') << 10 | static_cast<u32>(id[1] - '@') << 5 | static_cast<u32>(id[2] - '@');
  at[0] = static_cast<u8>(v >> 8);
  at[1] = static_cast<u8>(v);
}

// Detailed timing with reduced blanking made up from the size: porches and syncs that any driver accepts.
void put_timing(u8* at, u32 width, u32 height, u32 mm_width, u32 mm_height) {
  const u32 h_blank = width / 4, h_front = width / 32, h_sync = width / 16, v_blank = 35, v_front = 5, v_sync = 5;
  const u32 clock = (width + h_blank) * (height + v_blank) * 60 / 10000;
  store_le<u16>(at, static_cast<u16>(clock));
  at[2] = static_cast<u8>(width);
  at[3] = static_cast<u8>(h_blank);
  at[4] = static_cast<u8>((width >> 8) << 4 | h_blank >> 8);
  at[5] = static_cast<u8>(height);
  at[6] = static_cast<u8>(v_blank);
  at[7] = static_cast<u8>((height >> 8) << 4 | v_blank >> 8);
  at[8] = static_cast<u8>(h_front);
  at[9] = static_cast<u8>(h_sync);
  at[10] = static_cast<u8>((v_front & 15) << 4 | (v_sync & 15));
  at[11] = static_cast<u8>((h_front >> 8) << 6 | (h_sync >> 8) << 4);
  at[12] = static_cast<u8>(mm_width);
  at[13] = static_cast<u8>(mm_height);
  at[14] = static_cast<u8>((mm_width >> 8) << 4 | mm_height >> 8);
  at[17] = 0x18;  // digital separate syncs
}

void put_descriptor(u8* at, u8 tag, std::string_view text) {
  at[3] = tag;
  std::memset(at + 5, ' ', 13);
  std::memcpy(at + 5, text.data(), text.size());
  at[5 + text.size()] = '\n';
}
}  // namespace

std::array<u8, 128> make_edid(u16 width, u16 height) {
  std::array<u8, 128> e{};
  std::memset(&e[1], 0xff, 6);
  put_vendor(&e[8], "DPL");
  store_le<u16>(&e[10], 0x1234);
  e[16] = 42, e[17] = 2014 - 1990;  // week and year
  e[18] = 1, e[19] = 4;
  e[20] = 0xa5;                                                                // digital, 8 bits a colour, DisplayPort
  const u32 mm_width = width * 254u / 1000, mm_height = height * 254u / 1000;  // 100 dots an inch
  e[21] = static_cast<u8>(mm_width / 10), e[22] = static_cast<u8>(mm_height / 10);
  e[23] = 120;   // gamma 2.2
  e[24] = 0x06;  // sRGB, the first timing is preferred
  static constexpr u8 kSrgb[10] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
  std::memcpy(&e[25], kSrgb, sizeof kSrgb);
  e[35] = 0x21, e[36] = 0x08;           // 640x480, 800x600, 1024x768 at 60 Hz
  std::memset(&e[38], 0x01, 16);        // standard timings: unused but for two
  e[38] = 1280 / 8 - 31, e[39] = 0x80;  // 1280x1024
  e[40] = 1600 / 8 - 31, e[41] = 0x40;  // 1600x1200
  put_timing(&e[54], width, height, mm_width, mm_height);
  put_descriptor(&e[72], 0xfc, "Doppel");
  put_descriptor(&e[90], 0xff, "0");
  e[108 + 3] = 0x10;  // unused
  u8 sum = 0;
  for (size_t i = 0; i < 127; i++) sum = static_cast<u8>(sum + e[i]);
  e[127] = static_cast<u8>(-sum);
  return e;
}

}  // namespace doppel::hw
