// Makes a qcow2 image's file small: clusters of zeroes are given back, the clusters at the file's end move to free ones
// before, and the file is cut. A power cut in the midst leaks clusters at worst: a copy is stable and counted before
// anything refers to it, and what it was copied from is freed last.
// What stays where it is: compressed clusters, bitmaps, snapshot tables. Memory: a batch of 64 MiB, and 24 bytes for
// each reference to a cluster that moves.
#pragma once
#include <functional>

#include "block/qcow2/image.h"

namespace doppel::block::qcow2 {

struct CompactResult {
  u64 given_back = 0, moved = 0;  // clusters
};

// Nobody else uses the image meanwhile. `progress` gets bytes of the disk that were looked at. An
// errno value.
int compact(Image& image, const std::function<void(u64 bytes)>& progress, CompactResult& result);

}  // namespace doppel::block::qcow2
