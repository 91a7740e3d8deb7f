// CacheCleaner: calls a function of each open image every so many milliseconds (cache-clean-interval=), on one thread
// for all of them, which begins with the first image and lives as long as the process.
#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>

#include "base/bits.h"

namespace doppel::block::qcow2 {

class CacheCleaner {
 public:
  using Interval = std::chrono::milliseconds;
  static CacheCleaner& instance();
  u64 add(Interval interval, std::function<void()> clean);  // gives a ticket
  void remove(u64 ticket);  // afterwards the function does not run and is not called any more

 private:
  struct Row {
    Interval interval;
    std::chrono::steady_clock::time_point next;
    std::function<void()> clean;
  };
  void run();
  std::mutex lock_;
  std::condition_variable wake_, ran_;
  std::map<u64, Row> rows_;
  u64 last_ticket_ = 0, running_ = 0;  // running_: the ticket whose function runs
  bool started_ = false;
};

}  // namespace doppel::block::qcow2
