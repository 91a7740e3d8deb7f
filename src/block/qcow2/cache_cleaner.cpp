#include "block/qcow2/cache_cleaner.h"

#include <algorithm>
#include <thread>

namespace doppel::block::qcow2 {

CacheCleaner& CacheCleaner::instance() {
  static CacheCleaner& cleaner = *new CacheCleaner;  // never destroyed: its thread may outlive main()
  return cleaner;
}

u64 CacheCleaner::add(Interval interval, std::function<void()> clean) {
  const std::lock_guard hold(lock_);
  rows_[++last_ticket_] = {interval, std::chrono::steady_clock::now() + interval, std::move(clean)};
  if (!started_) std::thread([this] { run(); }).detach();
  started_ = true;
  wake_.notify_one();
  return last_ticket_;
}

void CacheCleaner::remove(u64 ticket) {
  std::unique_lock hold(lock_);
  rows_.erase(ticket);
  ran_.wait(hold, [&] { return running_ != ticket; });
}

void CacheCleaner::run() {
  std::unique_lock hold(lock_);
  for (;;) {
    const auto row = std::ranges::min_element(rows_, {}, [](const auto& numbered) { return numbered.second.next; });
    if (row == rows_.end()) {
      wake_.wait(hold);
    } else if (const auto next = row->second.next; std::chrono::steady_clock::now() < next) {
      wake_.wait_until(hold, next);
    } else {
      row->second.next = std::chrono::steady_clock::now() + row->second.interval;
      const auto clean = row->second.clean;
      running_ = row->first;
      hold.unlock();
      clean();
      hold.lock();
      running_ = 0;
      ran_.notify_all();
    }
  }
}

}  // namespace doppel::block::qcow2
