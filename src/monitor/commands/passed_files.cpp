// File descriptors that a client passes over its unix socket.
#include "base/os/fd_sets.h"
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

struct AddFd {
  static constexpr const char* kType = "add-fd-arg";
  std::optional<s64> set;
  std::optional<std::string> opaque;
  template <class V>
  void visit(V& v) {
    v("fdset-id", set, "the set it is added to; left out: a new one");
    v("opaque", opaque, "a note of the client's");
  }
};
struct AddedFd {
  static constexpr const char* kType = "AddfdInfo";
  s64 set = 0, fd = 0;
  template <class V>
  void visit(V& v) {
    v("fdset-id", set, "the set: /dev/fdset/N opens its files");
    v("fd", fd, "the descriptor's number here");
  }
};
Answer<AddedFd> add_fd(Context& c, AddFd& args) {
  if (args.set && (*args.set < 0 || *args.set > INT32_MAX))
    return CommandError{"Parameter 'fdset-id' expects a non-negative value"};
  const auto fd = c.descriptors->next();
  if (!fd) return CommandError{"No file descriptor supplied via SCM_RIGHTS"};
  const auto set = args.set ? std::optional(static_cast<u32>(*args.set)) : std::nullopt;
  return AddedFd{.set = os::add_to_fd_set(set, *fd, args.opaque.value_or("")), .fd = *fd};
}

struct RemoveFd {
  static constexpr const char* kType = "remove-fd-arg";
  s64 set = 0;
  std::optional<s64> fd;
  template <class V>
  void visit(V& v) {
    v("fdset-id", set, "the set");
    v("fd", fd, "left out: all of the set");
  }
};
Answer<Empty> remove_fd(Context&, RemoveFd& args) {
  const bool possible =
      args.set >= 0 && args.set <= INT32_MAX && (!args.fd || (*args.fd >= 0 && *args.fd <= INT32_MAX));
  const auto fd = args.fd ? std::optional(static_cast<int>(*args.fd)) : std::nullopt;
  if (possible && os::remove_from_fd_set(static_cast<u32>(args.set), fd)) return Empty{};
  const std::string which = args.fd ? ", fd:" + std::to_string(*args.fd) : "";
  return CommandError{"File descriptor named 'fdset-id:" + std::to_string(args.set) + which + "' not found"};
}

struct FdOfSet {
  static constexpr const char* kType = "FdsetFdInfo";
  s64 fd = 0;
  std::optional<std::string> opaque;
  template <class V>
  void visit(V& v) {
    v("fd", fd);
    v("opaque", opaque, "the client's note");
  }
};
struct SetOfFds {
  static constexpr const char* kType = "FdsetInfo";
  s64 id = 0;
  std::vector<FdOfSet> fds;
  template <class V>
  void visit(V& v) {
    v("fdset-id", id);
    v("fds", fds);
  }
};
Answer<std::vector<SetOfFds>> query_fdsets(Context&, Empty&) {
  std::vector<SetOfFds> out;
  for (const os::FdSet& set : os::fd_sets()) {
    SetOfFds& s = out.emplace_back(SetOfFds{.id = set.id, .fds = {}});
    for (const auto& m : set.members)
      s.fds.push_back({.fd = m.fd, .opaque = m.opaque.empty() ? std::nullopt : std::optional(m.opaque)});
  }
  return out;
}

constexpr Definition kRows[] = {
    command<&add_fd>("add-fd", "add a file descriptor that came with the request to a set"),
    command<&remove_fd>("remove-fd", "close a descriptor of a set, or all of it"),
    command<&query_fdsets>("query-fdsets", "the sets of file descriptors"),
    command<&getfd>("getfd", "take a file descriptor that came with the request, and name it"),
    command<&closefd>("closefd", "close a named file descriptor"),
};

}  // namespace

std::span<const Definition> descriptor_commands() { return kRows; }

}  // namespace doppel::monitor
