// What monitors make while the machine runs, by the words of the command line.
#pragma once
#include <memory>

#include "app/options.h"
#include "monitor/commands/builder.h"

namespace doppel::app {

// `options` are those that the machine was made with; both outlive the builder.
std::unique_ptr<monitor::Builder> make_builder(Options& options, machine::Machine& machine);

}  // namespace doppel::app
