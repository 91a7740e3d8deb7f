// DirectMemory: guest memory that is the process's own, at host address = guest address + base: no soft TLB, no checks;
// what fails comes as a host fault (exec::VcpuLoop::host_fault). For single programs.
#pragma once
#include "base/bits.h"

namespace doppel::mem {

class DirectMemory {
 public:
  virtual ~DirectMemory() = default;
  u64 base = 0;  // the x86-64 backend wants 0
  // Any thread. Code of the page at `page` (a multiple of kPageSize) is going to be translated: is it there and
  // executable? If the program may write to it, the host's page is made read-only until code_page_written().
  virtual bool watch_code(u64 page) = 0;
  // Any thread, in a signal's handler too: a store to `va` failed. True: the page was only read-only for its code's
  // sake; it may be written to now, and code made from it is about to be dropped by the caller.
  virtual bool code_page_written(u64 va) = 0;
};

}  // namespace doppel::mem
