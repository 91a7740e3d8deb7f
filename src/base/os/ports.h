// Who holds a port of the host, and which one is free: for messages and for port 0.
#pragma once
#include <netinet/in.h>

#include <string>

#include "base/bits.h"

namespace doppel::os {

// "program, pid N" of the process that listens on (TCP) or is bound to (UDP) the port; empty if the host doesn't tell.
std::string port_holder(u16 port, bool udp = false);
// A port of `address` that nobody holds now, from `wanted` upwards (0: the host chooses); 0 if there is none.
u16 free_port(in_addr address, bool udp, u16 wanted = 0);

}  // namespace doppel::os
