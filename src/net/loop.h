// Loop: the one network thread of the process. Back ends add their descriptors before each wait and look at them after
// it (libslirp wants it so); work from other threads is posted. Nothing here takes the device lock; back ends do,
// through NicPort, when they hand frames to a card. Signals are blocked on the thread.
#pragma once
#include <poll.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/bits.h"

namespace doppel::net {

class PollSet {
 public:
  // Returns an index for ready(); `events` as for poll(2).
  size_t add(int fd, short events) {
    fds_.push_back({fd, events, 0});
    return fds_.size() - 1;
  }
  short ready(size_t index) const { return index < fds_.size() ? fds_[index].revents : short{0}; }
  void wake_within(int ms) { timeout_ms_ = timeout_ms_ < 0 ? ms : std::min(ms, timeout_ms_); }

 private:
  friend class Loop;
  std::vector<pollfd> fds_;
  int timeout_ms_ = -1;
};

class Poller {
 public:
  virtual ~Poller() = default;
  // On the thread, in this order, again and again.
  virtual void work() {}  // what other threads queued
  virtual void before_wait(PollSet& set) = 0;
  virtual void after_wait(const PollSet& set) = 0;
};

class Loop {
 public:
  Loop();
  ~Loop() { stop(); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  void stop();  // joins; later posts do nothing
  void post(std::function<void()> work);
  void call(const std::function<void()>& work);  // waits until it ran; not under the device lock
  void wake();                                   // pollers' work() is called soon; any thread, any lock held
  bool on_thread() const { return std::this_thread::get_id() == thread_.get_id(); }
  void add(Poller& poller);  // any thread but the loop's own pollers' callbacks
  void remove(Poller& poller);

 private:
  void run();
  void run_posted();
  int wake_fd_[2] = {-1, -1};
  std::atomic<bool> woken_{false};
  bool again_ = false;  // on the thread: woken by itself, it does not wait
  std::mutex lock_;
  std::vector<std::function<void()>> posted_;
  bool stopping_ = false, stopped_ = false;  // under lock_
  std::vector<Poller*> pollers_;             // on the thread
  std::thread thread_;
};

}  // namespace doppel::net
