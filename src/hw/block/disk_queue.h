// DiskQueue: what a controller asks of a disk, done off the device lock. work() runs on a thread of the queue with no
// lock held; done() follows with the device lock held, on any thread. Requests run side by side: whoever needs an order
// waits for done() before the next one, as the buses' standards have it. Without a device lock (-icount, tests)
// everything happens inside submit(), so that what a guest sees depends on nothing else.
//
// A drive's policy (disk_policy.h) may hold requests back, and keep those that the disk fails until resume(); a drain
// waits for neither limits nor these.
//
// submit(), drain(), cancel(), resume(): device lock held; destroyed without it, as the last member of its owner.
// Threads are made when they are needed, at most kMaxThreads.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "hw/block/disk_policy.h"

namespace doppel::hw {

class DiskQueue final {
 public:
  static constexpr size_t kMaxThreads = 4;
  using Work = std::function<int()>;      // 0 or an errno value
  using Done = std::function<void(int)>;  // what work() returned
  struct Params {
    std::mutex* device_lock = nullptr;      // null: synchronous
    std::function<void()> batch_done = {};  // after some done() calls: to publish them together
  };
  explicit DiskQueue(Params p) : p_(std::move(p)) {}
  ~DiskQueue() { end(); }
  DiskQueue(const DiskQueue&) = delete;
  DiskQueue& operator=(const DiskQueue&) = delete;

  // What a policy wants to know of a request.
  struct Kind {
    std::shared_ptr<DiskPolicy> policy = nullptr;  // null: none
    bool is_read = false;
    u64 bytes = 0;
  };
  void submit(Work work, Done done, Kind kind);
  void submit(Work work, Done done) { submit(std::move(work), std::move(done), Kind{}); }
  void drain();   // until nothing is left, with all done() calls, and what they submit
  void end();     // without the device lock: the threads end with what they are at; the rest stays undone
  void cancel();  // work that was submitted is done, but nobody hears of it; what is kept is forgotten
  void resume();  // what is kept is tried again

 private:
  struct Job {
    Work work;
    Done done;
    Kind kind;
    int error = 0;
  };
  void run_here();
  void loop();
  void step(std::unique_lock<std::mutex>& guard, size_t index);  // lock_ held; the job todo_[index]
  bool next(std::unique_lock<std::mutex>& guard, size_t& index);
  void settle(Job& job);
  void deliver();  // device lock held
  void finish_work();

  Params p_;
  std::mutex lock_;  // a leaf
  std::condition_variable work_, idle_;
  std::deque<Job> todo_, done_, kept_;
  std::vector<std::thread> threads_;
  size_t running_ = 0, waiting_ = 0;
  bool delivering_ = false, stop_ = false, here_ = false;
};

}  // namespace doppel::hw
