// Builds and runs one machine from parsed options: character devices, monitor, debugger, window, and the way out.
#pragma once
#include "app/options.h"

namespace doppel::app {
int run_machine(Options options);  // the process's exit status
}  // namespace doppel::app
