// What every board does for its virtio devices: what they are made with, and what the monitor asks of network cards.
#include "hw/net/virtio_net.h"
#include "machine/board_machine.h"
#include "machine/pc_virtio.h"

namespace doppel::machine {

VirtioContext BoardMachine::virtio_context() {
  return {config_, clock_, device_lock_, memory_, [this](const MachineEvent& event) { tell(event); }};
}

std::vector<NicFilter> BoardMachine::rx_filters(const std::string& nic) {
  const std::lock_guard guard(device_lock_);
  std::vector<NicFilter> out;
  for (const auto& [name, device] : devices_by_name()) {
    if (!nic.empty() && nic != name) continue;
    auto* card = dynamic_cast<hw::VirtioPci*>(device);
    auto* net = card ? dynamic_cast<hw::VirtioNet*>(&card->device()) : nullptr;
    if (net) out.push_back({name, net->take_filter()});
  }
  return out;
}

}  // namespace doppel::machine
