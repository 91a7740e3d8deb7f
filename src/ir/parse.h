// The text form of regions, as dump() prints it, back into a region.
#pragma once
#include <string_view>

#include "base/result.h"
#include "ir/ir.h"

namespace doppel::ir {

// Reads the first region of `text`; lines before its first op or "region" line are passed over, and it ends at an empty
// line. "%N" are labels: they may have gaps or be out of order, as in text that was edited, and are renumbered. Only
// the form is checked: verify() says whether the region is sound. O(length). The error names the line and what was
// expected.
Result<Region> parse(std::string_view text, const StateLayout& layout, const HelperTable& helpers);

}  // namespace doppel::ir
