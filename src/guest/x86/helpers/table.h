// The helpers that translated x86 code calls. One row each in helpers/{integer,system,simd,x87}.def:
//   HELPER(name, nargs, ret, effects)   ->   u64 helper_name(X86State*, u64...), declared here, defined in the file of
//   that part.
// ret is an ir::Type name (Void, I8, I16, I32, I64).
#pragma once
#include "guest/x86/state.h"
#include "ir/ir.h"

namespace doppel::x86 {

enum class Helper : u16 {
#define HELPER(name, nargs, ret, effects) name,
#include "guest/x86/helpers/integer.def"
#include "guest/x86/helpers/simd.def"
#include "guest/x86/helpers/system.def"
#include "guest/x86/helpers/x87.def"
#undef HELPER
  Count
};

#define HELPER_ARGS_0
#define HELPER_ARGS_1 , u64
#define HELPER_ARGS_2 , u64, u64
#define HELPER_ARGS_3 , u64, u64, u64
#define HELPER_ARGS_4 , u64, u64, u64, u64
#define HELPER(name, nargs, ret, effects) u64 helper_##name(X86State* HELPER_ARGS_##nargs);
#include "guest/x86/helpers/integer.def"
#include "guest/x86/helpers/simd.def"
#include "guest/x86/helpers/system.def"
#include "guest/x86/helpers/x87.def"
#undef HELPER

extern const ir::HelperTable kHelpers;

}  // namespace doppel::x86
