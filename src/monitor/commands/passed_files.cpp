// File descriptors that a client passes over its unix socket.
#include "monitor/commands/command.h"

namespace doppel::monitor {
namespace {

struct FdName {
  static constexpr const char* kType = "getfd-arg";
  std::string name;
  template <class V>
  void visit(V& v) {
    v("fdname", name, "what it is to be called");
  }
};
Answer<Empty> getfd(Context& c, FdName& args) {
  if (args.name.empty() || (args.name[0] >= '0' && args.name[0] <= '9'))
    return CommandError{"Parameter 'fdname' expects a name not starting with a digit"};
  const auto fd = c.descriptors->next();
  if (!fd) return CommandError{"No file descriptor supplied via SCM_RIGHTS"};
  c.descriptors->name(args.name, *fd);
  return Empty{};
}
Answer<Empty> closefd(Context& c, FdName& args) {
  if (!c.descriptors->close(args.name)) return CommandError{"File descriptor named '" + args.name + "' not found"};
  return Empty{};
}

constexpr Definition kRows[] = {
    command<&getfd>("getfd", "take a file descriptor that came with the request, and name it"),
    command<&closefd>("closefd", "close a named file descriptor"),
};

}  // namespace

std::span<const Definition> descriptor_commands() { return kRows; }

}  // namespace doppel::monitor
