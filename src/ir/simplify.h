// One op at a time: constants folded, identities applied, chains of zext, trunc, extract and deposit shortened. Shared
// by the Builder (as ops are made) and by the fold pass (after state forwarding). O(1) an op; makes no new ops.
#pragma once
#include "ir/ir.h"

namespace doppel::ir {

enum class Simplified : u8 {
  Keep,   // emit `op`, which may have been rewritten in place
  Alias,  // its value is `alias`, an earlier op of the same type
  Drop,   // it does nothing (an exit whose condition is never true)
};
// `op` is not yet in `ops`; its arguments are.
Simplified simplify(const Op* ops, Op& op, Value& alias);

}  // namespace doppel::ir
