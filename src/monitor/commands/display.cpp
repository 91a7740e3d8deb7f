// The screen.
#include "display/surface.h"
#include "monitor/commands/command.h"

namespace doppel::monitor {

enum class ImageFormat { ppm, png };
template <>
struct EnumNames<ImageFormat> {
  static constexpr const char* kType = "ImageFormat";
  static std::vector<std::string_view> names() { return {"ppm", "png"}; }
};
enum class DisplayType { none, sdl };
template <>
struct EnumNames<DisplayType> {
  static constexpr const char* kType = "DisplayType";
  static std::vector<std::string_view> names() { return {"none", "sdl"}; }
};

namespace {

struct Screendump {
  static constexpr const char* kType = "screendump-arg";
  std::string file;
  std::optional<std::string> device;
  std::optional<s64> head;
  std::optional<ImageFormat> format;
  template <class V>
  void visit(V& v) {
    v("filename", file, "file to write");
    v("device", device, "the display adapter's id; not needed, there is one");
    v("head", head, "only 0");
    v("format", format, "ppm by default");
  }
};
Answer<Empty> screendump(Context& c, Screendump& args) {
  if (args.head.value_or(0) != 0) return CommandError{"The display adapter has one head: 0"};
  if (args.device && !c.machine.has_device(*args.device))
    return CommandError{"Device '" + *args.device + "' not found", ErrorClass::DeviceNotFound};
  if (!c.machine.console()) return CommandError{"there is no display adapter"};
  display::Surface surface;
  c.machine.console()->refresh(surface);
  const bool png = args.format.value_or(ImageFormat::ppm) == ImageFormat::png;
  const Status s = png ? display::write_png(surface, args.file) : display::write_ppm(surface, args.file);
  if (!s) return s.error();
  return Empty{};
}

struct DisplayOptions {
  static constexpr const char* kType = "DisplayOptions";
  DisplayType type{};
  template <class V>
  void visit(V& v) {
    v("type", type, "where the screen is shown");
  }
};
Answer<DisplayOptions> query_display_options(Context& c, Empty&) {
  return DisplayOptions{c.services.display == "sdl" ? DisplayType::sdl : DisplayType::none};
}

constexpr Definition kRows[] = {
    command<&screendump>("screendump", "write the screen to a picture"),
    command<&query_display_options>("query-display-options", "where the screen is shown"),
};

}  // namespace

std::span<const Definition> display_commands() { return kRows; }

}  // namespace doppel::monitor
