#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <future>

#include "base/assert.h"
#include "net/loop.h"

namespace doppel::net {

Loop::Loop() {
  ASSERT_MSG(::pipe2(wake_fd_, O_CLOEXEC | O_NONBLOCK) == 0, "the host gives no pipe");
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited by the thread
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Loop::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard guard(lock_);
    stopping_ = true;
  }
  wake();
  thread_.join();
  ::close(wake_fd_[0]);
  ::close(wake_fd_[1]);
}

void Loop::wake() {
  if (on_thread()) {
    again_ = true;
    return;
  }
  if (woken_.exchange(true)) return;
  const char c = 0;
  if (::write(wake_fd_[1], &c, 1) < 0) return;  // full: it will wake anyway
}

void Loop::post(std::function<void()> work) {
  {
    const std::lock_guard guard(lock_);
    if (stopped_) return;
    posted_.push_back(std::move(work));
  }
  wake();
}

void Loop::call(const std::function<void()>& work) {
  if (on_thread()) {
    work();
    return;
  }
  auto done = std::make_shared<std::promise<void>>();
  auto future = done->get_future();
  post([&work, done = std::move(done)] {
    work();
    done->set_value();
  });
  future.wait();  // refused: the promise died with the work, and the wait ends
}

void Loop::add(Poller& poller) {
  call([&] { pollers_.push_back(&poller); });
}
void Loop::remove(Poller& poller) {
  call([&] { std::erase(pollers_, &poller); });
}

void Loop::run_posted() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard guard(lock_);
    work.swap(posted_);
  }
  for (auto& w : work) w();
}

void Loop::run() {
  for (;;) {
    again_ = false;
    run_posted();
    {
      const std::lock_guard guard(lock_);
      if (stopping_ && posted_.empty()) {
        stopped_ = true;
        return;
      }
    }
    for (Poller* p : pollers_) p->work();
    PollSet set;
    set.add(wake_fd_[0], POLLIN);
    for (Poller* p : pollers_) p->before_wait(set);
    if (::poll(set.fds_.data(), set.fds_.size(), again_ ? 0 : set.timeout_ms_) < 0) {
      for (pollfd& p : set.fds_) p.revents = 0;
    }
    if (set.ready(0) != 0) {
      char c[16];
      if (::read(wake_fd_[0], c, sizeof c) < 0) c[0] = 0;
      woken_.store(false);  // before the queues are looked at
    }
    for (Poller* p : pollers_) p->after_wait(set);
  }
}

}  // namespace doppel::net
