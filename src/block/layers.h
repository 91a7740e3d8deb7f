// Layers: the states of a disk, each a qcow2 overlay on the one before. They lie in a folder beside the disk,
//
//   disk.img                            as it was before the first snapshot; nobody writes to it any more
//   disk.img.snapshots/layer-1.qcow2    on ../disk.img
//   disk.img.snapshots/current          names the layer that the machine writes to: "layer-1.qcow2"
//
// so that a raw disk stays what it was to the bit. block::open refuses to write to any layer but the current one.
#pragma once
#include <string>

#include "block/node.h"

namespace doppel::block {

struct Layer {
  std::string file, format;
  bool operator==(const Layer&) const = default;
};

std::string layers_folder(const std::string& disk);  // disk.img.snapshots
std::string disk_of(const std::string& file);        // the disk a layer belongs to; of another file the file itself
// Where a disk is written to: the disk itself as long as it has no layers.
Layer current_layer(const Layer& disk);
// A new empty layer on `base`, stable on the host's disk, which is not the current one yet. `size` in bytes.
Result<Layer> add_layer(const std::string& disk, const Layer& base, u64 size);
Status set_current(const std::string& disk, const Layer& layer);  // durable; the disk itself: it has no layers any more
// Whether something builds on the file, so that it must stay as it is.
Status check_writable(const std::string& file);
// For writing, though something may build on it.
Result<std::shared_ptr<Node>> open_unguarded(const std::string& file, const OpenOptions& options);
// A qcow2 image on `base`, anywhere.
Status create_on(const std::string& file, const Layer& base, u64 size);
// How an image names another one as what it stands on: relative to itself when they lie beside each other.
std::string name_from(const std::string& file, const std::string& base);
// Takes `layer` out of a chain, on which only `child` stands: what the child does not say itself is copied up. The
// child reads the same before, meanwhile and afterwards; the layer's file stays, and nothing needs it any more. Error:
// one of them is in use, or the layer has snapshots of its own.
Status take_out(const std::string& child, const std::string& layer);
// The virtual size of an image, whoever uses it.
Result<u64> size_of(const Layer& layer);
// The layers below an image, itself first; only names are looked at.
std::vector<std::string> chain_of(const Layer& layer);

}  // namespace doppel::block
