#include "block/sync.h"

#include <chrono>
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

// Runs a request and counts it.
template <typename F>
int counted(Node& node, Counters::Kind kind, u64 bytes, F request) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  Waiter w;
  request(w.completion());
  const int error = w.wait();
  Counters::Row& row = node.counters.rows[kind];
  constexpr auto relaxed = std::memory_order_relaxed;
  if (error != 0) {
    row.failed.fetch_add(1, relaxed);
    return error;
  }
  row.operations.fetch_add(1, relaxed);
  row.bytes.fetch_add(bytes, relaxed);
  row.nanoseconds.fetch_add(static_cast<u64>((Clock::now() - begin) / std::chrono::nanoseconds(1)), relaxed);
  return 0;
}

void reached(Node& node, u64 end) {
  std::atomic<u64>& highest = node.counters.highest_written;
  u64 before = highest.load(std::memory_order_relaxed);
  while (before < end && !highest.compare_exchange_weak(before, end, std::memory_order_relaxed)) {
  }
}

}  // namespace

int read_sync(Node& node, u64 offset, std::span<u8> data) {
  return counted(node, Counters::Read, data.size(), [&](Completion done) { node.read(offset, data, std::move(done)); });
}

int write_sync(Node& node, u64 offset, std::span<const u8> data) {
  const int error =
      counted(node, Counters::Write, data.size(), [&](Completion done) { node.write(offset, data, std::move(done)); });
  if (error == 0) reached(node, offset + data.size());
  return error;
}

int read_sync(Node& node, u64 offset, Pieces data) {
  return counted(node, Counters::Read, size_of(data),
                 [&](Completion done) { node.read_pieces(offset, data, std::move(done)); });
}

int write_sync(Node& node, u64 offset, Pieces data) {
  const u64 size = size_of(data);
  const int error =
      counted(node, Counters::Write, size, [&](Completion done) { node.write_pieces(offset, data, std::move(done)); });
  if (error == 0) reached(node, offset + size);
  return error;
}

int flush_sync(Node& node) {
  return counted(node, Counters::Flush, 0, [&](Completion done) { node.flush(std::move(done)); });
}

int discard_sync(Node& node, u64 offset, u64 length) {
  return counted(node, Counters::Unmap, length,
                 [&](Completion done) { node.discard(offset, length, std::move(done)); });
}

int write_zeroes_sync(Node& node, u64 offset, u64 length) {
  const int error = counted(node, Counters::Write, length,
                            [&](Completion done) { node.write_zeroes(offset, length, std::move(done)); });
  if (error == 0) reached(node, offset + length);
  return error;
}

}  // namespace doppel::block
