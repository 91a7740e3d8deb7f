// A folder of the host as a FAT disk: "fat:[floppy:][12:|16:|32:][rw:]DIR", as QEMU names it. The disk is what the
// folder was when it was opened; its files' bytes are read when the guest asks for them. With "rw:" the guest may
// write: that goes to a temporary overlay, never into the folder; without it the disk is read-only, however it was
// asked for.
#pragma once
#include <memory>
#include <string>

#include "block/node.h"

namespace doppel::block::fat {

bool is_name(const std::string& path);  // begins with "fat:"
Result<std::shared_ptr<Node>> open_folder(const std::string& name, const OpenOptions& options);

}  // namespace doppel::block::fat
