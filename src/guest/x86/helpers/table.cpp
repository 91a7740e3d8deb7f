#include "guest/x86/helpers/table.h"

namespace doppel::x86 {
namespace {
using namespace ir;  // effect names
const HelperInfo kRows[] = {
// SAFETY: every helper has the shape u64(X86State*, u64 x nargs); backends call it with exactly that.
#define HELPER(name, nargs, ret, effects) \
  {#name, reinterpret_cast<void (*)()>(&helper_##name), nargs, Type::ret, effects},
#include "guest/x86/helpers/integer.def"
#include "guest/x86/helpers/simd.def"
#include "guest/x86/helpers/system.def"
#include "guest/x86/helpers/x87.def"
#undef HELPER
    {"", nullptr, 0, Type::Void, 0}};
}  // namespace
const ir::HelperTable kHelpers{kRows, static_cast<u16>(Helper::Count)};
}  // namespace doppel::x86
