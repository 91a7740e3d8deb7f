// The word of a list that somebody may have meant.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace doppel {

std::string nearest(std::string_view word, const std::vector<std::string>& candidates);  // empty: none is near

}  // namespace doppel
