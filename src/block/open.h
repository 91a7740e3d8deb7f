// Between open() and the formats that open other images.
#pragma once
#include "block/node.h"

namespace doppel::block {

constexpr int kMaxDepth = 200;  // of a backing chain

Result<std::shared_ptr<Node>> open_at_depth(const std::string& path, const OpenOptions& options, int depth);

// The format of a file by its content: "raw" when nothing else fits.
Result<std::string> probe_format(const std::string& path, bool shared);

}  // namespace doppel::block
