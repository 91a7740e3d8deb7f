#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <optional>

#include "app/passed_files.h"
#include "base/os/fd_sets.h"

namespace doppel::app {
namespace {
constexpr u32 kMost = 0x7fffffff;
constexpr char kExample[] = "-add-fd fd=10,set=1";
}  // namespace

// The descriptor's number stays what the caller knows, and what query-fdsets shows.
Status take_add_fd(Options&, const std::string& text) {
  std::optional<u32> fd, set;
  std::string opaque;
  for (const auto& [key, value] : parse_key_values(text, "")) {
    if (key == "opaque") {
      opaque = value;
    } else if (key == "fd" || key == "set") {
      u32 number = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (error != std::errc() || end != value.data() + value.size() || number > kMost)
        return Error{"-add-fd " + key + "=" + value + " is no number of a descriptor or set", kExample, 1};
      (key == "fd" ? fd : set) = number;
    } else {
      return bad_property("add-fd", key, {"fd", "set", "opaque"});
    }
  }
  if (!fd || !set) return Error{std::string("-add-fd needs ") + (fd ? "set=" : "fd="), kExample, 1};
  const int given = static_cast<int>(*fd);
  if (given <= STDERR_FILENO)
    return Error{"-add-fd fd=" + std::to_string(given) + " is a standard stream", kExample, 1};
  if (::fcntl(given, F_GETFD) < 0)
    return Error{"-add-fd: there is no descriptor " + std::to_string(given),
                 "open it before the start, for example in a shell: 10<>FILE", 1};
  os::add_to_fd_set(set, given, opaque);
  return success();
}

}  // namespace doppel::app
