// The memory balloon.
#include "monitor/commands/command.h"

namespace doppel::monitor {
namespace {

struct Balloon {
  static constexpr const char* kType = "balloon-arg";
  u64 value = 0;
  template <class V>
  void visit(V& v) {
    v("value", value, "bytes that the guest shall make do with");
  }
};
Answer<Empty> balloon(Context& c, Balloon& args) {
  if (args.value == 0) return CommandError{"Parameter 'value' expects a size"};
  if (Status s = c.machine.set_balloon(args.value); !s) return s.error();
  return Empty{};
}

struct BalloonInfo {
  static constexpr const char* kType = "BalloonInfo";
  u64 actual = 0;
  template <class V>
  void visit(V& v) {
    v("actual", actual, "bytes that the guest has now");
  }
};
Answer<BalloonInfo> query_balloon(Context& c, Empty&) {
  auto bytes = c.machine.balloon_bytes();
  if (!bytes) return CommandError{bytes.error().text(), ErrorClass::DeviceNotActive};
  return BalloonInfo{*bytes};
}

constexpr Definition kRows[] = {
    command<&balloon>("balloon", "ask the guest to make do with this much memory"),
    command<&query_balloon>("query-balloon", "the guest's memory, without what it gave back"),
};

}  // namespace

std::span<const Definition> balloon_commands() { return kRows; }

}  // namespace doppel::monitor
