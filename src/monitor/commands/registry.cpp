// All tables, joined. The order is that of the names.
#include <algorithm>

#include "monitor/commands/command.h"

namespace doppel::monitor {
namespace {

std::vector<const Definition*> join() {
  std::vector<const Definition*> out;
  for (const auto table :
       {status_commands(), version_commands(), cpu_commands(), block_commands(), block_limit_commands(),
        balloon_commands(), input_commands(), display_commands(), save_commands(), network_commands(),
        chardev_commands(), object_commands(), plug_commands(), job_commands(), migration_commands(), pci_commands(),
        descriptor_commands(), snapshot_commands(), introspection_commands()}) {
    for (const Definition& d : table) out.push_back(&d);
  }
  std::sort(out.begin(), out.end(),
            [](const Definition* a, const Definition* b) { return std::string_view(a->name) < b->name; });
  return out;
}

}  // namespace

std::vector<const Definition*> all_commands() {
  static const std::vector<const Definition*> kAll = join();
  return kAll;
}

const Definition* find_command(const std::string& name) {
  for (const Definition* d : all_commands()) {
    if (name == d->name) return d;
  }
  return nullptr;
}

}  // namespace doppel::monitor
