#include "hw/block/disk_queue.h"

#include <utility>

namespace doppel::hw {

void DiskQueue::end() {
  {
    const std::lock_guard guard(lock_);
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& t : threads_) t.join();
  threads_.clear();
}

void DiskQueue::submit(Work work, Done done) {
  {
    const std::lock_guard guard(lock_);
    todo_.push_back({std::move(work), std::move(done)});
    if (p_.device_lock != nullptr) {
      if (waiting_ < todo_.size() && threads_.size() < kMaxThreads) threads_.emplace_back([this] { loop(); });
      work_.notify_one();
      return;
    }
  }
  run_here();
}

// Synchronous: a done() that submits again finds the outer call at work.
void DiskQueue::run_here() {
  if (std::exchange(here_, true)) return;
  while (!todo_.empty()) {
    while (!todo_.empty()) {
      Job job = std::move(todo_.front());
      todo_.pop_front();
      job.done(job.work());
    }
    if (p_.batch_done) p_.batch_done();
  }
  here_ = false;
}

void DiskQueue::step(std::unique_lock<std::mutex>& guard) {
  Job job = std::move(todo_.front());
  todo_.pop_front();
  running_++;
  guard.unlock();
  job.error = job.work();
  guard.lock();
  running_--;
  done_.push_back(std::move(job));
  idle_.notify_all();
}

// Completions go to the guest at once when the device lock is free, else with the last of a burst. One thread delivers
// at a time; what others finish meanwhile goes with it.
void DiskQueue::loop() {
  std::unique_lock guard(lock_);
  for (;;) {
    waiting_++;
    work_.wait(guard, [this] { return stop_ || !todo_.empty(); });
    waiting_--;
    if (stop_) return;
    step(guard);
    if (delivering_) continue;
    delivering_ = true;
    const bool busy = !todo_.empty();
    guard.unlock();
    std::unique_lock device(*p_.device_lock, std::defer_lock);
    if (busy) {
      if (device.try_lock()) deliver();
    } else {
      device.lock();
      deliver();
    }
    guard.lock();
    delivering_ = false;
    // Finished since deliver() looked, by a thread that saw this one at it, and no work to deliver it with.
    while (!done_.empty() && todo_.empty() && !stop_) {
      delivering_ = true;
      guard.unlock();
      if (!device.owns_lock()) device.lock();
      deliver();
      guard.lock();
      delivering_ = false;
    }
    if (device.owns_lock()) device.unlock();
  }
}

void DiskQueue::deliver() {
  bool any = false;
  for (;;) {
    std::deque<Job> jobs;
    {
      const std::lock_guard guard(lock_);
      jobs.swap(done_);
    }
    if (jobs.empty()) break;
    for (Job& job : jobs) job.done(job.error);
    any = true;
  }
  if (any && p_.batch_done) p_.batch_done();
}

// The caller holds the device lock, for which a thread of the queue may be waiting: it does the work itself.
void DiskQueue::finish_work() {
  std::unique_lock guard(lock_);
  while (!todo_.empty()) step(guard);
  idle_.wait(guard, [this] { return running_ == 0; });
}

void DiskQueue::drain() {
  for (;;) {
    finish_work();
    {
      const std::lock_guard guard(lock_);
      if (todo_.empty() && done_.empty()) return;
    }
    deliver();
  }
}

void DiskQueue::cancel() {
  finish_work();
  std::deque<Job> forgotten;
  const std::lock_guard guard(lock_);
  forgotten.swap(done_);
}

}  // namespace doppel::hw
