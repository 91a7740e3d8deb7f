// Half-precision numbers (IEEE 754-2008 binary16) from and to singles, with NaNs of 2008.
#pragma once
#include "guest/mips/helpers/fp_ops.h"

namespace doppel::mips {

Outcome half_to_single(u32 half);
Outcome single_to_half(const FpUnit& unit, u32 single);

}  // namespace doppel::mips
