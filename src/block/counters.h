// Counters: what has been done to a disk, for the monitor (query-blockstats). Counted by the functions of sync.h,
// through which all devices make their requests. Threads: any.
#pragma once
#include <atomic>

#include "base/bits.h"

namespace doppel::block {

struct Counters {
  enum Kind { Read, Write, Flush, Unmap, kKinds };
  struct Row {
    std::atomic<u64> operations{0}, failed{0}, bytes{0}, nanoseconds{0};
  };
  Row rows[kKinds];
  std::atomic<u64> highest_written{0};  // the end of the write that reached furthest
};

}  // namespace doppel::block
