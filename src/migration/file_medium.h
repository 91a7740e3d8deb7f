// A state in a file of the host.
#pragma once
#include <memory>

#include "migration/state_stream.h"

namespace doppel::migration {

class FileMedium : public Medium {
 public:
  static Result<std::unique_ptr<FileMedium>> create(const std::string& path);
  static Result<std::unique_ptr<FileMedium>> open(const std::string& path);
};

}  // namespace doppel::migration
