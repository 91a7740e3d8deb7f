// MIPS CPU models: one table (cpu_models.cpp), read by -cpu, by CP0's identification registers and by the translator
// (an instruction that the model lacks is a reserved instruction).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::mips {

struct CpuModel {
  std::string name;
  std::string description;
  bool is_64bit = false;
  bool big_endian = false;
  unsigned release = 1;  // of the architecture: 1, 2, 5
  bool fpu = false;
  bool fpu64 = false;  // FIR.F64: Status.FR can be set
  bool paired = false, mips3d = false;
  unsigned dsp = 0;  // revision of the DSP module; 0: none
  bool msa = false;
  bool mips16 = false;   // MIPS16e
  bool nan2008 = false;  // FCSR.NAN2008 and ABS2008
  u32 prid = 0;
  u32 fir = 0;
  unsigned tlb_entries = 16;
  u32 config0 = 0, config1 = 0, config2 = 0, config3 = 0, config4 = 0, config5 = 0, config7 = 0;
  u32 config5_writable = 0, msair = 0;
  u32 status_writable = 0;
  unsigned va_bits = 32, pa_bits = 32;
};

// "24Kf" or a name in another case. Errors name the nearest model; features after a comma don't exist.
Result<CpuModel> parse_cpu(std::string_view spec, bool is_64bit, bool big_endian);
std::vector<CpuModel> all_models();
std::string cpu_help(bool is_64bit);  // as -cpu help prints

}  // namespace doppel::mips
