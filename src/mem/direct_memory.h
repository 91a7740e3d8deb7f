// DirectMemory: guest memory that is the process's own, at host address = guest address + base: no soft TLB, no checks;
// what fails comes as a host fault (exec::VcpuLoop::host_fault). For single programs.
#pragma once
#include <atomic>

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

  // A debugger's watchpoints. Any thread, in a signal's handler too.
  std::atomic<bool> has_watchpoints{false};
  bool watch_before = false;  // the guest's CPU tells of an access before it is made
  // Does such an access to the page of `va` fail for the sake of a watchpoint in the page only?
  virtual bool watched_page(u64 va, bool write) const { return static_cast<void>(va), static_cast<void>(write), false; }
  // The address of the watchpoint that an access hits; 0: none.
  virtual u64 watchpoint_hit(u64 va, u64 size, bool write) const {
    return static_cast<void>(va), static_cast<void>(size), static_cast<void>(write), 0;
  }
  // Accesses to such pages don't fail until they are closed as often.
  virtual void open_watched_pages() {}
  virtual void close_watched_pages() {}
};

}  // namespace doppel::mem
