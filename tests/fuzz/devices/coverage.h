// Which branches of the devices a case takes, from the compiler's trace-pc (the `fuzz` preset). In other builds there
// is none, and every case looks alike.
#pragma once
#include <cstddef>

namespace doppel::fuzz {

void coverage_begin();  // a case starts
size_t coverage_new();  // how many branches, or counts of them, no case before has shown; they are known from now on
size_t coverage_fresh_branches();  // of the case that ran, which none before has shown
void coverage_forget();            // nothing is known any more
size_t coverage_branches();        // known so far, without counts
bool coverage_available();
// Whether the case that ran shows every branch of the one remembered last.
void coverage_remember();
bool coverage_keeps();

}  // namespace doppel::fuzz
