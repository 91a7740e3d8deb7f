// AddressMap: which addresses the program has mapped, as what; the guest's protections, which the host's differ from
// where code is watched. Any thread; own lock (reads by signal handlers go without: page flags are atomics).
#pragma once
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "mem/direct_memory.h"

namespace doppel::user {

class AddressMap final : public mem::DirectMemory {
 public:
  // Addresses below `end` are the program's. `top`: below which map() looks for room, downwards.
  void create(u64 end, u64 top, bool exec_needs_x);
  // Like the host's system calls, with the guest's addresses; host's PROT_ and MAP_ numbers; a value or -errno. Code of
  // the range is dropped (on_code_gone) by those which change what is there.
  s64 map(u64 va, u64 size, int prot, int flags, int fd, u64 offset);
  s64 unmap(u64 va, u64 size);
  s64 protect(u64 va, u64 size, int prot);
  s64 remap(u64 va, u64 old_size, u64 new_size, int flags, u64 new_va);
  s64 advise(u64 va, u64 size, int advice);
  // PROT_ bits of a page as the program set them, -1: not mapped. Any thread, in a handler too.
  int protection(u64 va) const;
  // Before the host's kernel writes to [va, va+size) for the program: pages that are read-only for their code's sake
  // only are made writable (quick when there are none).
  void prepare_write(u64 va, u64 size);
  // The host's address. No check.
  void* host(u64 va) const { return reinterpret_cast<void*>(va + base); }
  std::function<void(u64 va, u64 size)> on_code_gone;  // any thread
  std::string describe() const;                        // as /proc/self/maps

  bool watch_code(u64 page) override;
  bool code_page_written(u64 va) override;
};

}  // namespace doppel::user
