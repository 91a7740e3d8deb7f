// Consistency of a qcow2 image: every reference is found and compared with the counts. Repair mends counts and COPIED
// flags, or builds all counts anew where their blocks are lost.
// Memory: four bytes for each cluster of the file.
#pragma once
#include <functional>
#include <string>

#include "block/qcow2/image.h"

namespace doppel::block::qcow2 {

enum class Repair { None, Leaks, All };

struct CheckResult {
  u64 corruptions = 0, leaks = 0, check_errors = 0;
  u64 corruptions_fixed = 0, leaks_fixed = 0;
  u64 image_end = 0;
  u64 total_clusters = 0, allocated_clusters = 0, fragmented_clusters = 0, compressed_clusters = 0;
};

// `say` gets a line for each finding.
CheckResult check(Image& image, Repair repair, const std::function<void(const std::string&)>& say);

}  // namespace doppel::block::qcow2
