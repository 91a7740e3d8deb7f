// -fsdev and -virtfs: folders of the host for guests.
#pragma once
#include "app/options.h"

namespace doppel::app {

Status take_fsdev(Options& o, const std::string& text);
Status take_virtfs(Options& o, const std::string& text);

}  // namespace doppel::app
