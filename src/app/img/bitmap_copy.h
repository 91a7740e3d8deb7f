// convert --bitmaps: persistent bitmaps of the source are copied to the new image.
#pragma once
#include <string>

#include "block/node.h"

namespace doppel::app::img {

// Before anything is copied; prints what is wrong. `unable`: the target's format, if it can't have bitmaps.
int check_bitmaps(block::Node& source, const std::string& unable, bool skip_broken);
// The target is closed already. Inconsistent ones are left out.
int copy_bitmaps(block::Node& source, const std::string& target);

}  // namespace doppel::app::img
