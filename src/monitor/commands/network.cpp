// Network cards and back ends.
#include "net/network.h"

#include "monitor/commands/command.h"

namespace doppel::monitor {
namespace {

CommandError no_network() { return {"This machine was made without a network"}; }

struct SetLink {
  static constexpr const char* kType = "set_link-arg";
  std::string name;
  bool up = false;
  template <class V>
  void visit(V& v) {
    v("name", name, "network card or back end");
    v("up", up, "whether the cable is plugged in");
  }
};
Answer<Empty> set_link(Context& c, SetLink& args) {
  if (!c.machine.config().network) return no_network();
  const Status s = c.machine.config().network->set_link(args.name, args.up);
  if (!s) return CommandError{s.error().text(), ErrorClass::DeviceNotFound};
  return Empty{};
}

constexpr Definition kRows[] = {
    command<&set_link>("set_link", "plug the cable of a network card in or out"),
};

}  // namespace

std::span<const Definition> network_commands() { return kRows; }

}  // namespace doppel::monitor
