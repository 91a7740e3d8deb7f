// The x86 translator as the executor sees it.
#pragma once
#include <memory>

#include "guest/guest.h"
#include "guest/x86/cpu_models.h"

namespace doppel::x86 {

// `model` must outlive the frontend.
std::unique_ptr<guest::Frontend> make_frontend(const CpuModel& model);

}  // namespace doppel::x86
