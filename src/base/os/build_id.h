// What tells builds of this program apart.
#pragma once
#include <string>

namespace doppel::os {

// The linker's build ID of the running program, as bytes; empty: it has none.
std::string build_id();

}  // namespace doppel::os
