// What Linux tells a program of its CPU, by the model: the auxiliary vector's entries and /proc/cpuinfo.
#pragma once
#include "guest/mips/cpu_models.h"
#include "guest/x86/cpu_models.h"
#include "user/thread.h"

namespace doppel::app {

user::Processor processor_of(const x86::CpuModel& model, bool wide);
user::Processor processor_of(const mips::CpuModel& model);

}  // namespace doppel::app
