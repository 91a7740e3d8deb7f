// The only list of passes. `verify` runs after every pass in debug builds. Every pass is linear in the number of ops.
#pragma once
#include "ir/ir.h"

namespace doppel::ir {

struct OptFlags {
  bool fold = true;         // constants, identities, extract/zext chains
  bool state = true;        // get_reg after set_reg forwarded; set_reg overwritten before anything could see it removed
  bool dead_flags = true;   // flags overwritten before use are not computed
  bool dce = true;          // unused pure ops removed (turned into nothing and compacted)
  static OptFlags none() { return {false, false, false, false}; }
};
// Parses --opt=none|all|name,name (a leading '-' takes one away). Empty string on success, else the error.
std::string parse_opt_flags(const std::string& text, OptFlags& out);

// `flags_dead_on_exit` of an exit op is bit 1 of its aux: the frontend looked ahead and the flags row is overwritten there.
void run_pipeline(Region& region, const OptFlags& flags);

}  // namespace doppel::ir
