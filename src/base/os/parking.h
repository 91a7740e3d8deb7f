// Where one thread sleeps until others wake it or a time is over: what a condition variable does, with one system call
// and no lock on the way to sleep. The thread says first that it will sleep, then looks whether there is work, then
// sleeps:
//   spot.announce(); if (work()) spot.retract(); else spot.sleep(ns);
// and who makes work calls wake() after it: then either the thread sees the work, or the wake finds the thread
// announced.
#pragma once
#include <atomic>

#include "base/bits.h"

namespace doppel::os {

class Parking {
 public:
  void announce() { asleep_.store(1, std::memory_order_seq_cst); }
  void retract() { asleep_.store(0, std::memory_order_relaxed); }
  // Until wake(), which may have come since announce(), or for `ns` (negative: for ever). May return early for no
  // reason.
  void sleep(s64 ns);
  void wake() {  // any thread
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_relaxed) != 0 && asleep_.exchange(0, std::memory_order_seq_cst) != 0) rouse();
  }

 private:
  void rouse();
  std::atomic<u32> asleep_{0};
};

}  // namespace doppel::os
