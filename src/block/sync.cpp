#include "block/sync.h"

#include <condition_variable>
#include <mutex>

namespace doppel::block {
namespace {

// The completion may come on another thread; `signal` is the last thing that thread does with the object, under the
// lock that wait() needs.
class Waiter {
 public:
  Completion completion() {
    return [this](int error) {
      const std::lock_guard hold(lock_);
      error_ = error;
      finished_ = true;
      done_.notify_one();
    };
  }
  int wait() {
    std::unique_lock hold(lock_);
    done_.wait(hold, [this] { return finished_; });
    return error_;
  }

 private:
  std::mutex lock_;
  std::condition_variable done_;
  bool finished_ = false;
  int error_ = 0;
};

}  // namespace

int read_sync(Node& node, u64 offset, std::span<u8> data) {
  Waiter w;
  node.read(offset, data, w.completion());
  return w.wait();
}

int write_sync(Node& node, u64 offset, std::span<const u8> data) {
  Waiter w;
  node.write(offset, data, w.completion());
  return w.wait();
}

int flush_sync(Node& node) {
  Waiter w;
  node.flush(w.completion());
  return w.wait();
}

int discard_sync(Node& node, u64 offset, u64 length) {
  Waiter w;
  node.discard(offset, length, w.completion());
  return w.wait();
}

int write_zeroes_sync(Node& node, u64 offset, u64 length) {
  Waiter w;
  node.write_zeroes(offset, length, w.completion());
  return w.wait();
}

}  // namespace doppel::block
