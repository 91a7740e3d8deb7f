// CPU models and features: one table (cpu_models.cpp) read by CPUID, by -cpu help and by the decoder (an instruction
// whose feature is off is #UD).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::x86 {

// Feature names as QEMU's command line has them. Word: which CPUID word, bit: which bit.
enum class FeatureWord : u8 { L1Ecx, L1Edx, L7Ebx, L7Ecx, L7Edx, E1Ecx, E1Edx, E7Edx, D1Eax, Count };
struct FeatureRow {
  const char* name;
  FeatureWord word;
  u8 bit;
  bool supported;
  const char* doc;
};
std::vector<const FeatureRow*> feature_rows();

struct CpuModel {
  std::string name;
  std::string vendor;  // 12 characters
  std::string brand;   // up to 48 characters
  u32 family = 6, model = 6, stepping = 3;
  u32 level = 1, xlevel = 0;  // highest CPUID leaves (xlevel 0: no 0x8000xxxx)
  u32 features[static_cast<size_t>(FeatureWord::Count)] = {};
  u32 phys_bits = 40;
  bool has(FeatureWord w, unsigned bit) const { return (features[static_cast<size_t>(w)] >> bit) & 1; }
  bool has(std::string_view name) const;
};

// "qemu64,+sse4.2,-popcnt" or "max,vendor=GenuineIntel": errors name the nearest model or feature.
Result<CpuModel> parse_cpu(std::string_view spec, bool default_64bit);
std::vector<CpuModel> all_models();
std::string cpu_help();  // as -cpu help prints

}  // namespace doppel::x86
