#include "chardev/io_loop.h"

#include <csignal>
#include <future>

#include "base/assert.h"

namespace doppel::chardev {

IoLoop::IoLoop() {
  ASSERT_MSG(uv_loop_init(&loop_) == 0, "libuv can't make an event loop");
  ASSERT(uv_async_init(&loop_, &wake_, [](uv_async_t* h) { static_cast<IoLoop*>(h->data)->run_posted(); }) == 0);
  wake_.data = this;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited by the thread
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void IoLoop::stop() {
  if (!thread_.joinable()) return;
  post([this] {
    std::vector<std::pair<std::weak_ptr<void>, std::function<void()>>> work;
    {
      std::lock_guard guard(lock_);
      work.swap(stop_work_);
    }
    for (auto& [owner, fn] : work) {
      if (const auto alive = owner.lock()) fn();
    }
    stopping_ = true;
  });
  thread_.join();
}

void IoLoop::at_stop(std::weak_ptr<void> owner, std::function<void()> work) {
  std::lock_guard guard(lock_);
  std::erase_if(stop_work_, [](const auto& w) { return w.first.expired(); });
  stop_work_.emplace_back(std::move(owner), std::move(work));
}

void IoLoop::run() {
  while (!stopping_) uv_run(&loop_, UV_RUN_ONCE);
  {
    std::lock_guard guard(lock_);
    stopped_ = true;
  }
  run_posted();
  // Devices closed their handles when they went away; what is left is ours.
  uv_walk(
      &loop_,
      [](uv_handle_t* h, void*) {
        if (!uv_is_closing(h)) uv_close(h, nullptr);
      },
      nullptr);
  while (uv_loop_close(&loop_) == UV_EBUSY) uv_run(&loop_, UV_RUN_DEFAULT);
}

void IoLoop::run_posted() {
  std::vector<std::function<void()>> work;
  {
    std::lock_guard guard(lock_);
    work.swap(posted_);
  }
  for (auto& w : work) w();
}

void IoLoop::post(std::function<void()> work) {
  std::lock_guard guard(lock_);
  if (stopped_) return;
  posted_.push_back(std::move(work));
  if (posted_.size() == 1) uv_async_send(&wake_);  // under the lock: the loop can't be closed meanwhile
}

void IoLoop::call(const std::function<void()>& work) {
  if (on_thread()) {
    work();
    return;
  }
  // The posted copy may be refused (stopped): its promise dies with it and the wait ends.
  auto done = std::make_shared<std::promise<void>>();
  auto future = done->get_future();
  post([&work, done = std::move(done)] {
    work();
    done->set_value();
  });
  future.wait();
}

}  // namespace doppel::chardev
