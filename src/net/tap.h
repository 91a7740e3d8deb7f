// Tap: a network interface of the host (Linux TUN/TAP). With offload the kernel takes TCP segments whole.
#pragma once
#include "net/backend.h"
#include "net/properties.h"

namespace doppel::net {

// ifname=, script=, downscript=, fd=
Result<std::shared_ptr<Backend>> make_tap(std::string id, Loop& loop, const Properties& p);

}  // namespace doppel::net
