// Surface: what a display adapter shows. Console: the adapter's picture and its text, shared by window, screendump and
// tests.
#pragma once
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::display {

// 32-bit pixels 0x00RRGGBB, row after row, no padding.
struct Surface {
  u32 width = 0, height = 0;
  std::vector<u32> pixels;
};

class Console {
 public:
  virtual ~Console() = default;
  // Brings `out` up to date; true if anything changed since the last call with the same `out`. Takes the device lock
  // itself.
  virtual bool refresh(Surface& out) = 0;
  // In a text mode the characters on the screen, a line each (UTF-8), else empty. Takes the device lock itself.
  virtual std::string text() = 0;
  virtual bool in_text_mode() = 0;
};

Status write_png(const Surface& surface, const std::string& path);
Status write_ppm(const Surface& surface, const std::string& path);

}  // namespace doppel::display
