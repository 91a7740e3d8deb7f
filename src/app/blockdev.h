// -blockdev: nodes by name. A format on a file, or a file alone, is a drive that -device ide-hd,drive=NODE plugs in.
#pragma once
#include "app/options.h"

namespace doppel::app {

Status take_blockdev(Options& o, const std::string& text);
// The drive that a node stands for.
Result<machine::DriveConfig> drive_of_node(const Options& o, const Options::Blockdev& node);
// Opens its image (of a file node: sees that it is there).
Status open_node(machine::DriveConfig& drive, const Options::Blockdev& node);
// Once all nodes are known: nodes become drives of the machine (if=none). Errors: references to nothing.
Status resolve_blockdevs(Options& o);

}  // namespace doppel::app
