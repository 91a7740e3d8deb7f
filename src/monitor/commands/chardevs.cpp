// Character devices.
#include "chardev/factory.h"
#include "monitor/commands/command.h"

namespace doppel::monitor {
namespace {

struct ChardevInfo {
  static constexpr const char* kType = "ChardevInfo";
  std::string label, filename;
  bool open = true;
  template <class V>
  void visit(V& v) {
    v("label", label, "its id");
    v("filename", filename, "what it is connected to");
    v("frontend-open", open, "whether something in the machine, or a monitor, uses it");
  }
};
Answer<std::vector<ChardevInfo>> query_chardev(Context& c, Empty&) {
  std::vector<ChardevInfo> out;
  if (!c.services.chardevs) return out;
  const std::lock_guard guard(c.services.change_lock);
  for (const auto& [id, device] : c.services.chardevs->all()) out.push_back({id, device->description(), true});
  return out;
}

constexpr Definition kRows[] = {
    command<&query_chardev>("query-chardev", "the character devices"),
};

}  // namespace

std::span<const Definition> chardev_commands() { return kRows; }

}  // namespace doppel::monitor
