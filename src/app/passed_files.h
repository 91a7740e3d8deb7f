// -add-fd: descriptors that our parent opened and left open for us.
#pragma once
#include "app/options.h"

namespace doppel::app {

Status take_add_fd(Options& o, const std::string& text);

}  // namespace doppel::app
