#include "hw/block/disk_queue.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace doppel::hw {
namespace {
s64 host_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
}  // namespace

void DiskQueue::end() {
  {
    const std::lock_guard guard(lock_);
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& t : threads_) t.join();
  threads_.clear();
}

void DiskQueue::submit(Work work, Done done, Kind kind) {
  {
    const std::lock_guard guard(lock_);
    todo_.push_back({std::move(work), std::move(done), std::move(kind)});
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
      job.error = job.work();
      settle(job);
    }
    if (p_.batch_done) p_.batch_done();
  }
  here_ = false;
}

// Device lock held.
void DiskQueue::settle(Job& job) {
  if (job.error != 0 && job.kind.policy != nullptr) {
    const DiskPolicy::Action action = job.kind.policy->failed(job.kind.is_read, job.error);
    if (action == DiskPolicy::Action::Stop) {
      kept_.push_back(std::move(job));
      return;
    }
    if (action == DiskPolicy::Action::Ignore) job.error = 0;
  }
  job.done(job.error);
}

// The first job that its drive's limits let go, or a wait until one may; a drive's jobs keep their order. False: wait
// again.
bool DiskQueue::next(std::unique_lock<std::mutex>& guard, size_t& index) {
  const s64 now = host_now();
  s64 wait = 0;
  std::vector<const DiskPolicy*> late;
  for (index = 0; index < todo_.size(); index++) {
    const Kind& kind = todo_[index].kind;
    DiskPolicy* policy = kind.policy.get();
    if (policy == nullptr) return true;
    if (std::find(late.begin(), late.end(), policy) != late.end()) continue;
    const s64 more = policy->wait(now, kind.is_read);
    if (more <= 0) {
      policy->take(now, kind.is_read, kind.bytes);
      return true;
    }
    wait = wait == 0 ? more : std::min(wait, more);
    late.push_back(policy);
  }
  if (wait != 0) work_.wait_for(guard, std::chrono::nanoseconds(wait));
  return false;
}

void DiskQueue::step(std::unique_lock<std::mutex>& guard, size_t index) {
  Job job = std::move(todo_[index]);
  todo_.erase(todo_.begin() + static_cast<std::ptrdiff_t>(index));
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
    size_t index;
    if (!next(guard, index)) continue;
    step(guard, index);
    if (delivering_) continue;
    delivering_ = true;
    const bool busy = running_ != 0;
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
    // Finished since deliver() looked, by a thread that saw this one at it, and nobody at work to deliver it with.
    while (!done_.empty() && running_ == 0 && !stop_) {
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
    for (Job& job : jobs) settle(job);
    any = true;
  }
  if (any && p_.batch_done) p_.batch_done();
}

// The caller holds the device lock, for which a thread of the queue may be waiting: it does the work itself.
void DiskQueue::finish_work() {
  std::unique_lock guard(lock_);
  while (!todo_.empty()) step(guard, 0);
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
  std::deque<Job> forgotten, given_up;  // they end when lock_ is free: their memory tells what was written to it
  const std::lock_guard guard(lock_);
  forgotten.swap(done_);
  given_up.swap(kept_);
}

void DiskQueue::resume() {
  for (std::deque<Job> again = std::exchange(kept_, {}); !again.empty(); again.pop_front()) {
    Job& job = again.front();
    submit(std::move(job.work), std::move(job.done), std::move(job.kind));
  }
}

}  // namespace doppel::hw
