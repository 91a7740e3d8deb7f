// Gate: many at once (std::shared_lock), or one alone (std::unique_lock). Who wants to be alone goes before those that
// come later, so that a stream of the many never keeps it out.
#pragma once
#include <condition_variable>
#include <mutex>

namespace doppel::block {

class Gate {
 public:
  void lock() {
    std::unique_lock hold(lock_);
    waiting_++;
    changed_.wait(hold, [this] { return !alone_ && inside_ == 0; });
    waiting_--;
    alone_ = true;
  }
  void unlock() {
    const std::lock_guard hold(lock_);
    alone_ = false;
    changed_.notify_all();
  }
  void lock_shared() {
    std::unique_lock hold(lock_);
    changed_.wait(hold, [this] { return !alone_ && waiting_ == 0; });
    inside_++;
  }
  void unlock_shared() {
    const std::lock_guard hold(lock_);
    if (--inside_ == 0 && waiting_ != 0) changed_.notify_all();
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  unsigned inside_ = 0, waiting_ = 0;
  bool alone_ = false;
};

}  // namespace doppel::block
