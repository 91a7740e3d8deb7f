// The MIPS translator as the executor sees it.
#pragma once
#include <memory>

#include "guest/guest.h"
#include "guest/mips/cpu_models.h"

namespace doppel::mips {

std::unique_ptr<guest::Frontend> make_frontend(const CpuModel& model);

}  // namespace doppel::mips
