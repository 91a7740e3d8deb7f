// CPUID of a model (SDM vol. 2, CPUID; AMD's CPUID specification, publication 25481).
#pragma once
#include "guest/x86/cpu_models.h"
#include "guest/x86/state.h"

namespace doppel::x86 {
// Leaf 1 EAX, and EDX after reset.
u32 cpuid_signature(const CpuModel& model);
}  // namespace doppel::x86
