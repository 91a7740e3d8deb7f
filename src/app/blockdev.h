// -blockdev: nodes by name. A format on a file, or a file alone, is a drive that -device ide-hd,drive=NODE plugs in.
#pragma once
#include "app/options.h"

namespace doppel::app {

Status take_blockdev(Options& o, const std::string& text);
// Once all nodes are known: nodes become drives of the machine (if=none). Errors: references to nothing.
Status resolve_blockdevs(Options& o);

}  // namespace doppel::app
