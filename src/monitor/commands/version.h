// The version that monitors report: QEMU's that we are like, and ours as the package.
#pragma once
#include "monitor/commands/visit.h"

namespace doppel::monitor {

constexpr const char* kPackage = "Doppel 0.1.0";
constexpr int kMajor = 8, kMinor = 2, kMicro = 0;
Output version_value();      // as query-version answers
std::string version_text();  // 8.2.0 (Doppel 0.1.0)

}  // namespace doppel::monitor
