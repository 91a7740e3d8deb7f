// What a thread sleeps on until a time comes or somebody rings. Setting the time, earlier or later, does not wake it.
#pragma once
#include "base/bits.h"

namespace doppel {

class WakeTimer {
 public:
  WakeTimer();
  ~WakeTimer();
  WakeTimer(const WakeTimer&) = delete;
  WakeTimer& operator=(const WakeTimer&) = delete;
  bool ok() const;    // false: the host has no descriptor left for it
  void ring();        // any thread: wait() returns, now or the next time
  void set(s64 ns);   // any thread: from now on; negative: never. Replaces what was set
  void wait() const;  // one thread
 private:
  int timer_, bell_;
};

}  // namespace doppel
