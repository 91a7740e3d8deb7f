// --image-opts: an image as -blockdev says it, "driver=qcow2,file.filename=disk.qcow2,cache-size=1M", in place of its
// name.
#pragma once
#include <string>

#include "block/node.h"

namespace doppel::app::img {

struct ImageOpts {
  std::string path;
  block::OpenOptions options;
};
// Errors: no file's name, keys and values that are not known.
Result<ImageOpts> parse_image_opts(const std::string& text);
// As open -o has it, without a file's name.
Status add_image_opts(const std::string& text, block::OpenOptions& options);

// From now on opening this path means these options, too.
void remember_image_opts(const ImageOpts& opts);
// What was remembered of a path is added to `options`.
block::OpenOptions with_image_opts(const std::string& path, const block::OpenOptions& options);

}  // namespace doppel::app::img
