// The network's part of the command line: -netdev, -nic and -net, and making the cables from them.
#pragma once
#include "app/options.h"
#include "chardev/factory.h"

namespace doppel::app {

Status take_netdev(Options& o, const std::string& text);
Status take_nic(Options& o, const std::string& text);
Status take_net(Options& o, const std::string& text);

// Fills o.machine.network and o.machine.nics. Without any of the options: an e1000 on a user network.
Status build_network(Options& o, chardev::Factory& chardevs);
// A line for each back end that no card of the machine is plugged into: one that device_add shall have, or a mistake.
void tell_unplugged(net::Network& network);

}  // namespace doppel::app
