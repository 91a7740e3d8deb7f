// The keys of -drive and -blockdev that say how an image is treated: caches, discards, limits, errors.
#pragma once
#include <string>

#include "base/result.h"
#include "block/tuning.h"

namespace doppel::app {

// False: the key is none of them. Errors: values that they don't have.
Result<bool> take_tuning(block::Tuning& t, const std::string& key, const std::string& value);

}  // namespace doppel::app
