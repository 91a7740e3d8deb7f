// make_mips_cpu: the CPU with its translator.
#include "guest/mips/cpu.h"
#include "guest/mips/translate/frontend.h"

namespace doppel::mips {

std::unique_ptr<guest::GuestCpu> make_mips_cpu(const CpuModel& model, Platform& platform, u32 index) {
  return std::make_unique<MipsCpu>(model, platform, index, make_frontend(model));
}

}  // namespace doppel::mips
