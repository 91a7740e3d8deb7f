// -object: what devices and other options name by id, and -audiodev. Values are checked and kept in Options.
#pragma once
#include "app/options.h"

namespace doppel::app {

Status take_object(Options& o, const std::string& text);
Status take_audiodev(Options& o, const std::string& text);
// -machine memory-backend=ID: the object is there and as large as the RAM.
Status check_memory_backend(Options& o);

}  // namespace doppel::app
