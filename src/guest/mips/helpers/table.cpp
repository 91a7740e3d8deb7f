#include "guest/mips/helpers/table.h"

namespace doppel::mips {
namespace {
using namespace ir;  // effect names
const HelperInfo kRows[] = {
// SAFETY: every helper has the shape u64(MipsState*, u64 x nargs); backends call it with exactly that.
#define HELPER(name, nargs, ret, effects) \
  {#name, reinterpret_cast<void (*)()>(&helper_##name), nargs, Type::ret, effects},
#include "guest/mips/helpers/dsp.def"
#include "guest/mips/helpers/fp.def"
#include "guest/mips/helpers/msa.def"
#include "guest/mips/helpers/system.def"
#undef HELPER
    {"", nullptr, 0, Type::Void, 0}};
}  // namespace
const ir::HelperTable kHelpers{kRows, static_cast<u16>(Helper::Count)};
}  // namespace doppel::mips
