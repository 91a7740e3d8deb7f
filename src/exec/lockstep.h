// Lockstep: the interpreter beside the JIT. Each region whose helpers are pure is first run by the interpreter on a
// copy of the state with its stores held back, then by the JIT for real; the first difference stops the process with a
// full report.
#pragma once
#include "exec/translate.h"

namespace doppel::exec {
backend::ExitReason run_lockstep(guest::GuestCpu& cpu, Translator& translator, Installed& block);
}  // namespace doppel::exec
