// The only list of passes. `verify` runs after every pass in debug builds. Every pass is linear in the number of ops.
//
// What a pass may assume and must keep: guest registers are exact at every op that may fault, at helpers that read
// state and at exits; `insn` marks stay. The flags row alone may be stale where a recipe of the region says how to make
// it exact (dead_flags): at faults, and at exits to code that overwrites it at once. The executor does so before
// anybody can look.
#pragma once
#include "ir/ir.h"

namespace doppel::ir {

struct OptFlags {
  bool fold = true;        // constants, identities, extract/zext chains
  bool state = true;       // get_reg after set_reg forwarded; set_reg overwritten before anything could see it removed
  bool dead_flags = true;  // flags overwritten before use are not computed
  bool dce = true;         // unused pure ops removed (turned into nothing and compacted)
  // The executor's, which --opt names too. --limit does not change them.
  bool chain = true;    // regions run from one to the next: links, jump caches
  bool resume = true;   // what is neither linked nor in the jump cache is looked up without the vCPU loop
  bool spaces = true;   // translations of an address space outlive a change to another one (docs/adr/0007)
  bool victims = true;  // translations that lost their place in the soft TLB are found again without a walk
#ifdef DOPPEL_DEBUG
  bool verify = true;  // after translation and after each pass; a failure prints the region and aborts
#else
  bool verify = false;
#endif
  static OptFlags none() {
    return {.fold = false,
            .state = false,
            .dead_flags = false,
            .dce = false,
            .chain = false,
            .resume = false,
            .spaces = false,
            .victims = false};
  }
};
// Parses --opt=none|all|name,name (a leading '-' takes one away; if the first has it, from all). Empty string on
// success, else the error.
std::string parse_opt_flags(const std::string& text, OptFlags& out);

void run_pipeline(Region& region, const OptFlags& flags);

}  // namespace doppel::ir
