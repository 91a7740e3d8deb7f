// IoLoop: the one I/O thread of the process, running a libuv loop. All fds of character devices are served there; work
// from other threads is posted to it. Signals are blocked on the thread: a write to a closed pipe is an error code, not
// SIGPIPE.
#pragma once
#include <uv.h>

#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace doppel::chardev {

class IoLoop {
 public:
  IoLoop();
  ~IoLoop() { stop(); }
  // Runs what at_stop left, closes every handle, joins. Later posts do nothing. Not on the thread.
  void stop();
  // `work` runs on the thread when the loop stops, if `owner` is still there.
  void at_stop(std::weak_ptr<void> owner, std::function<void()> work);
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;
  void post(std::function<void()> work);         // any thread
  void call(const std::function<void()>& work);  // any thread: waits until it ran
  bool on_thread() const { return std::this_thread::get_id() == thread_.get_id(); }
  uv_loop_t* uv() { return &loop_; }  // on the thread only

 private:
  void run();
  void run_posted();
  uv_loop_t loop_{};
  uv_async_t wake_{};
  std::mutex lock_;
  std::vector<std::function<void()>> posted_;
  std::vector<std::pair<std::weak_ptr<void>, std::function<void()>>> stop_work_;
  bool stopping_ = false;  // on the thread
  bool stopped_ = false;   // under lock_: posts are refused
  std::thread thread_;
};

}  // namespace doppel::chardev
