// Progress of a long command: with -p as qemu-img shows it on stdout; without, on a terminal, a bar with bytes and time
// left on stderr (never under the name qemu-img). With --json a line of JSON on stdout each time:
// {"done": BYTES, "total": BYTES, "percent": P}.
#pragma once
#include <chrono>
#include <mutex>

#include "base/bits.h"

namespace doppel::app::img {

class Arguments;

class Progress {
 public:
  enum class Style { None, Percent, Bar, Json };
  static Style style(const Arguments& a);
  Progress(Style style, u64 total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void add(u64 bytes);  // any thread
  void finish();        // all is done: shows 100%

 private:
  using Clock = std::chrono::steady_clock;
  void show();
  Style style_;
  u64 total_, done_ = 0;
  Clock::time_point start_, shown_;
  bool finished_ = false;
  std::mutex lock_;
};

}  // namespace doppel::app::img
