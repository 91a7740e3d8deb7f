// Pictures of a Surface as files: PNG (libpng) and binary PPM (P6).
#include "display/surface.h"

#include <png.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/os/fd_sets.h"

namespace doppel::display {
namespace {
struct FileCloser {
  void operator()(std::FILE* f) const { std::fclose(f); }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

Error cannot_write(const std::string& path) {
  return Error{"can't write '" + path + "': " + std::strerror(errno), "choose a folder that can be written"};
}

std::vector<u8> rgb_bytes(const Surface& surface) {
  std::vector<u8> bytes;
  bytes.reserve(surface.pixels.size() * 3);
  for (const u32 pixel : surface.pixels) {
    bytes.push_back(static_cast<u8>(pixel >> 16));
    bytes.push_back(static_cast<u8>(pixel >> 8));
    bytes.push_back(static_cast<u8>(pixel));
  }
  return bytes;
}
}  // namespace

Status write_png(const Surface& surface, const std::string& path) {
  if (surface.width == 0 || surface.height == 0)
    return Error{"there is no picture to write", "the display shows nothing yet"};
  const std::vector<u8> rgb = rgb_bytes(surface);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = surface.width;
  image.height = surface.height;
  image.format = PNG_FORMAT_RGB;
  errno = 0;
  const File file(os::open_stream(path, "w"));
  if (!file) return cannot_write(path);
  if (!png_image_write_to_stdio(&image, file.get(), 0, rgb.data(), 0, nullptr) || std::fflush(file.get()) != 0) {
    if (errno != 0) return cannot_write(path);
    return Error{"can't write '" + path + "': " + image.message, ""};
  }
  return success();
}

Status write_ppm(const Surface& surface, const std::string& path) {
  const File file(os::open_stream(path, "w"));
  if (!file) return cannot_write(path);
  const std::vector<u8> rgb = rgb_bytes(surface);
  std::fprintf(file.get(), "P6\n%u %u\n255\n", surface.width, surface.height);
  if (std::fwrite(rgb.data(), 1, rgb.size(), file.get()) != rgb.size() || std::fflush(file.get()) != 0)
    return cannot_write(path);
  return success();
}

}  // namespace doppel::display
