// Alphanumeric modes: cells of a character and an attribute, fonts in plane 2, cursor, blinking, underline, the ninth
// dot.
#include <algorithm>

#include "display/codepage.h"
#include "hw/display/vga_core.h"

namespace doppel::hw {
namespace {
enum AttrMode : u8 { kMonochrome = 2, kLineGraphics = 4, kBlinkEnable = 8 };

// Sequencer register 3: where the two character maps begin in plane 2.
u32 font_offset(u8 select) {
  constexpr u32 kMaps[8] = {0x0000, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000};
  return kMaps[select & 7];
}
}  // namespace

void VgaCore::render_text_row(const Scan& scan, u32 columns, u32* line) {
  const u8 maps = r_.seq[3], mode = r_.attr[0x10], enable = r_.attr[0x12] & 0x0f;
  const u32 font_b = font_offset(static_cast<u8>((maps & 3) | (maps >> 2 & 4)));       // attribute bit 3 clear
  const u32 font_a = font_offset(static_cast<u8>((maps >> 2 & 3) | (maps >> 3 & 4)));  // attribute bit 3 set
  const bool nine = !(r_.seq[1] & 1);
  const u32 cursor_at = static_cast<u32>(r_.crtc[0x0e] << 8 | r_.crtc[0x0f]);
  const u32 cursor_first = r_.crtc[0x0a] & 0x1f, cursor_last = r_.crtc[0x0b] & 0x1f;
  const bool cursor_row =
      !(r_.crtc[0x0a] & 0x20) && scan.row >= cursor_first && scan.row <= cursor_last && last_cursor_;
  const u32 underline = r_.crtc[0x14] & 0x1f;
  for (u32 column = 0; column < columns; column++) {
    const u32 counter = (scan.address + column) & 0xffff;
    const u8* cell = vram_ + display_address(counter, scan.row) * 4;
    const u8 character = cell[0], attribute = cell[1];
    u32 foreground = attribute & 0x0f, background = attribute >> 4;
    bool hidden = false;
    if (mode & kBlinkEnable) {
      hidden = (attribute & 0x80) && last_blink_;
      background &= 7;
    }
    const u32 font = (attribute & 8) ? font_a : font_b;
    u32 dots = hidden ? 0 : vram_[((font + character * 32u + scan.row) & 0xffff) * 4 + 2];
    if ((mode & kMonochrome) && (attribute & 7) == 1 && scan.row == underline && !hidden) dots = 0xff;
    if (cursor_row && counter == (cursor_at & 0xffff)) dots = 0xff;
    const bool ninth = nine && (mode & kLineGraphics) && character >= 0xc0 && character <= 0xdf && (dots & 1);
    const bool solid = dots == 0xff && ((cursor_row && counter == (cursor_at & 0xffff)) ||
                                        ((mode & kMonochrome) && scan.row == underline));
    const u32 fg = palette16_[foreground & enable], bg = palette16_[background & enable];
    for (u32 i = 0; i < 8; i++) *line++ = (dots & (0x80u >> i)) ? fg : bg;
    if (nine) *line++ = ninth || solid ? fg : bg;
  }
}

bool VgaCore::in_text_mode() {
  const std::lock_guard guard(p_.lock);
  return frame().kind == Frame::Kind::Text;
}

std::string VgaCore::text() {
  const std::lock_guard guard(p_.lock);
  const Frame f = frame();
  if (f.kind != Frame::Kind::Text) return {};
  const u32 cell_height = ((r_.crtc[9] & 0x1fu) + 1) * ((r_.crtc[9] & 0x80) ? 2 : 1);
  const u32 columns = r_.crtc[1] + 1u, rows = f.height / cell_height;
  std::string out;
  u32 address = start_address();
  for (u32 row = 0; row < rows; row++, address += r_.crtc[0x13] * 2u) {
    std::string line;
    for (u32 column = 0; column < columns; column++) {
      display::append_cp437(line, vram_[display_address((address + column) & 0xffff, 0) * 4]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace doppel::hw
